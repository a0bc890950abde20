//go:build unix

package csv_test

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/csv"
)

// TestPipe would hang if the pipe were opened.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := open(t, csv.Config{Path: path}).Check(context.Background()); !errors.Is(err, connectors.ErrScope) {
		t.Fatalf("got %v", err)
	}
}
