package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/store"
	"rollcall/store/storetest"
)

// A snapshot holds the store as it was when it was taken, and says what that is.
func TestSnapshot(t *testing.T) {
	db := storetest.Open(t)
	people := crowd(700)
	update(t, db, func(tx *store.Tx) error { return putAll(tx, people[:600]) })
	copied, said := snapshotOf(t, db)
	want := digest(t, db)
	update(t, db, func(tx *store.Tx) error { return putAll(tx, people[600:]) })
	path := filepath.Join(t.TempDir(), "copy.db")
	found, kept, err := store.Restore(bytes.NewReader(copied), path, store.RestoreOptions{Want: &said})
	must(t, err)
	if found != said || kept != "" || said.Digest != want || said.Store != db.ID() {
		t.Errorf("restored %+v, snapshot of %+v, kept %q", found, said, kept)
	}
	restored := open(t, path, store.Options{})
	defer shut(t, restored)
	if got := digest(t, restored); got != want || got == digest(t, db) {
		t.Errorf("digest %x, want %x", got, want)
	}
	must(t, restored.Check())
}

// A plain copy of the file is taken as well.
func TestRestorePlainCopy(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error { return putAll(tx, crowd(3)) })
	want := digest(t, db)
	plain, err := os.ReadFile(db.Path())
	must(t, err)
	found, _, err := store.Restore(bytes.NewReader(plain), filepath.Join(t.TempDir(), "copy.db"), store.RestoreOptions{})
	if err != nil || found.Digest != want {
		t.Errorf("digest %x, want %x (%v)", found.Digest, want, err)
	}
}

// What is not whole, or something else than was promised, replaces nothing.
func TestRestoreRefuses(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error { return putAll(tx, crowd(300)) })
	whole, said := snapshotOf(t, db)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	other := said
	other.Revision++
	contents := said
	contents.Digest[0]++
	tests := map[string]struct {
		data []byte
		want *store.Snapshot
		err  error
	}{
		"half":           {data: whole[:len(whole)/2]},
		"one bit":        {data: flipped},
		"nothing":        {err: store.ErrDamaged},
		"no store":       {data: []byte("alice,bob"), err: store.ErrDamaged},
		"other revision": {data: whole, want: &other, err: store.ErrOtherSnapshot},
		"other contents": {data: whole, want: &contents, err: store.ErrOtherSnapshot},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			_, _, err := store.Restore(bytes.NewReader(test.data), path, store.RestoreOptions{Want: test.want})
			if err == nil || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A store that is there stays unless it is replaced by force, and then lies beside. One that is open stays.
func TestRestoreOverStore(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error { return putAll(tx, crowd(3)) })
	copied, said := snapshotOf(t, db)
	path := filepath.Join(t.TempDir(), "store.db")
	old := open(t, path, store.Options{})
	id := old.ID()
	restore := func(force bool) (string, error) {
		_, kept, err := store.Restore(bytes.NewReader(copied), path, store.RestoreOptions{Want: &said, Force: force, Now: time.Unix(0, 0)})
		return kept, err
	}
	if _, err := restore(true); !errors.Is(err, store.ErrLocked) {
		t.Errorf("over an open store: %v", err)
	}
	shut(t, old)
	if _, err := restore(false); !errors.Is(err, store.ErrExists) {
		t.Errorf("without force: %v", err)
	}
	kept, err := restore(true)
	must(t, err)
	for at, want := range map[string]string{path: db.ID(), kept: id} {
		one := open(t, at, store.Options{})
		if one.ID() != want {
			t.Errorf("%s is store %s, want %s", at, one.ID(), want)
		}
		shut(t, one)
	}
}

func snapshotOf(t *testing.T, db *store.DB) ([]byte, store.Snapshot) {
	t.Helper()
	var b bytes.Buffer
	said, err := db.WriteSnapshot(&b)
	must(t, err)
	return b.Bytes(), said
}

func FuzzRestore(f *testing.F) {
	db := storetest.Open(f)
	var b bytes.Buffer
	_, err := db.WriteSnapshot(&b)
	must(f, err)
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:40])
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "store.db")
		if _, _, err := store.Restore(bytes.NewReader(data), path, store.RestoreOptions{}); err != nil {
			if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
				t.Errorf("%v, and left behind: %v", err, left)
			}
		}
	})
}
