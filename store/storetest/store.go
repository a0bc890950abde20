// Package storetest opens stores for tests of other packages.
package storetest

import (
	"path/filepath"
	"testing"

	"rollcall/store"
)

// Open returns an empty store in the test's folder. When the test ends, the store's invariants are
// checked and it is closed.
func Open(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "store.db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, db) })
	return db
}

func finish(t testing.TB, db *store.DB) {
	t.Helper()
	if err := db.Check(); err != nil {
		t.Errorf("store after the test: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("close the store: %v", err)
	}
}
