package connectorstest

import (
	"os"
	"testing"
)

// Missing ends a test that lacks something of the machine, a server, a tool or a right: with CI set it fails, elsewhere it is skipped, loudly.
func Missing(t testing.TB, what ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what...)
	}
	t.Skip(append([]any{"NOT TESTED:"}, what...)...)
}
