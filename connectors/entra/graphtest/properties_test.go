package graphtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every name that the service accepts is a published one: the SDK's models are made from the CSDL, and their source can be read
// without compiling them.
func TestPropertiesArePublished(t *testing.T) {
	user, group := published(t, "user.go"), published(t, "group.go")
	if len(user) < 60 || len(group) < 50 {
		t.Fatalf("the models of the SDK have %d and %d properties: they are not read", len(user), len(group))
	}
	for _, c := range []struct {
		known map[string]bool
		names []string
	}{{user, UserProperties()}, {user, PersonProperties()}, {group, GroupProperties()}} {
		for _, name := range c.names {
			if !c.known[name] {
				t.Errorf("there is no property %s", name)
			}
		}
	}
}

var field = regexp.MustCompile(`res\["([A-Za-z]+)"\] = func`)

// published returns the properties of a model, with those of every directory object.
func published(t *testing.T, model string) map[string]bool {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/microsoftgraph/msgraph-sdk-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range []string{model, "directory_object.go", "entity.go"} {
		source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "models", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range field.FindAllSubmatch(source, -1) {
			names[string(match[1])] = true
		}
	}
	return names
}
