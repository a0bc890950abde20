package policy

import (
	"flag"
	"os"
	"testing"
)

// CI judges a change and not the draw: its random companies are the same every time. Elsewhere every run draws anew, and what it finds is
// printed with the seed.
func TestMain(m *testing.M) {
	if os.Getenv("CI") == "true" {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
