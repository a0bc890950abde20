package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Each file in testdata is a configuration and the mistakes that are found in it.
func TestMistakes(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parse("rollcall.yaml", archive.Files[0].Data)
			got := "none\n"
			if err != nil {
				got = err.Error() + "\n"
			}
			if want := string(archive.Files[1].Data); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestX(t *testing.T) {
	text, _ := os.ReadFile("/tmp/all.yaml")
	c, err := parse("rollcall.yaml", text)
	t.Log(err)
	t.Logf("%+v", c)
}
