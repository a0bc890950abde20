package entra

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImportsStayLean: any other package of the SDK than these costs minutes and 4.5 GiB to compile.
func TestImportsStayLean(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(out)) {
		if strings.HasPrefix(p, "github.com/microsoftgraph/msgraph-sdk-go/") && p != "github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors" ||
			p == "github.com/microsoftgraph/msgraph-sdk-go" {
			t.Errorf("%s is imported", p)
		}
	}
	if !strings.Contains(string(out), "odataerrors") {
		t.Error("the list of imports is not one")
	}
}
