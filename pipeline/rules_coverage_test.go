package pipeline_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every rule of testdata/RULES is named by a test: in its file's name, its function's name or a comment. Data that looks like a rule's
// id names none.
func TestEveryRuleHasATest(t *testing.T) {
	list, err := os.ReadFile("testdata/RULES")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`\b(?:Test|Fuzz)?([A-Z]\d{1,2})(?:\b|[A-Z])`)
	named := map[string]bool{}
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".txtar") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range rule.FindAllSubmatch([]byte(filepath.Base(path)+"\n"+wordsOf(path, string(text))), -1) {
			named[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(string(list))
	for _, id := range ids {
		if !named[id] {
			t.Errorf("no test names the rule %s", id)
		}
	}
	if len(ids) < 80 {
		t.Errorf("RULES lists %d ids", len(ids))
	}
}

// wordsOf returns the comments of a test and the names of its functions.
func wordsOf(path, text string) string {
	if strings.HasSuffix(path, ".txtar") {
		head, _, _ := strings.Cut(text, "\n-- ")
		return head
	}
	return strings.Join(regexp.MustCompile(`(?m)(?:^|\s)//.*$|^func \w+`).FindAllString(text, -1), "\n")
}
