package csv_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/csv"
)

// TestDenied wants another reason for a file that may not be read than for one that is not there. Root, who may read every
// file, is nobody for this thread while it asks.
func TestDenied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	must(t, os.WriteFile(path, []byte("EXTID,NOTES\n1,\n"), 0))
	const nobody = 65534
	if os.Getuid() == 0 {
		runtime.LockOSThread()
		must(t, syscall.Setfsuid(nobody))
		defer func() {
			must(t, syscall.Setfsuid(0))
			runtime.UnlockOSThread()
		}()
	}
	if _, err := open(t, csv.Config{Path: path}).Check(context.Background()); !errors.Is(err, connectors.ErrDenied) {
		t.Fatalf("got %v", err)
	}
}
