package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"rollcall/store"
	"rollcall/store/storetest"
)

func TestOpenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := open(t, path, store.Options{})
	id := db.ID()
	update(t, db, func(tx *store.Tx) error { return putAll(tx, crowd(10)) })
	shut(t, db)
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("files beside the store: %v", files)
	}
	db = open(t, path, store.Options{ReadOnly: true})
	if db.ID() != id || db.Path() != path {
		t.Errorf("id %q of %s, want %q of %s", db.ID(), db.Path(), id, path)
	}
	if err := db.Update(func(*store.Tx) error { return nil }); err == nil {
		t.Error("a store that was opened for reading was updated")
	}
	shut(t, db)
}

func TestOpenWithID(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "store.db"), store.Options{ID: "the-original"})
	if db.ID() != "the-original" {
		t.Errorf("id %q", db.ID())
	}
	shut(t, db)
}

// TestOpenRefuses opens files that are no stores of this version, each made from a good one.
func TestOpenRefuses(t *testing.T) {
	good := storeFile(t)
	tests := map[string]struct {
		file []byte
		want error
		text string
	}{
		"empty":            {nil, store.ErrDamaged, "without a valid header"},
		"text":             {[]byte("user_name;email\nalice;alice@corp.example\n"), store.ErrDamaged, "without a valid header"},
		"long text":        {bytes.Repeat([]byte("alice;"), 1<<16), store.ErrDamaged, "without a valid header"},
		"one page":         {good[:4096], store.ErrDamaged, "truncated"},
		"half":             {good[:usedBytes(t, good)/2], store.ErrDamaged, "truncated"},
		"a byte short":     {good[:usedBytes(t, good)-1], store.ErrDamaged, "truncated"},
		"broken headers":   {patched(good, 20, 4116), store.ErrDamaged, "without a valid header"},
		"another bbolt":    {otherFile(t, nil), store.ErrDamaged, "not one of rollcall"},
		"newer":            {otherFile(t, map[string][]byte{"format": {0x18, 0x63}, "id": []byte("\x61a")}), store.ErrNewer, "format 99"},
		"format unknown":   {otherFile(t, map[string][]byte{"format": []byte("one")}), store.ErrDamaged, `key "format"`},
		"without id":       {otherFile(t, map[string][]byte{"format": {1}}), store.ErrDamaged, "id"},
		"without a bucket": {otherFile(t, map[string][]byte{"format": {1}, "id": []byte("\x61a")}), store.ErrDamaged, "bucket users"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			write(t, path, test.file)
			for _, readOnly := range []bool{true, false} {
				db, err := store.Open(path, store.Options{ReadOnly: readOnly})
				if err == nil {
					db.Close()
					t.Fatal("it was opened")
				}
				refused(t, err, test.want, path, test.text)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, test.file) {
				t.Errorf("the file was changed: %d bytes instead of %d, %v", len(now), len(test.file), err)
			}
		})
	}
}

// TestOpenFallsBack breaks one of the two headers: the store is the last but one transaction's.
func TestOpenFallsBack(t *testing.T) {
	for _, at := range []int{20, 4116} {
		path := filepath.Join(t.TempDir(), "store.db")
		write(t, path, patched(storeFile(t), at))
		db := open(t, path, store.Options{})
		if err := db.Check(); err != nil {
			t.Errorf("header at %d broken: %v", at, err)
		}
		shut(t, db)
	}
}

func TestOpenMissing(t *testing.T) {
	folder := t.TempDir()
	_, err := store.Open(filepath.Join(folder, "store.db"), store.Options{ReadOnly: true})
	refused(t, err, os.ErrNotExist, folder, "store.db")
	_, err = store.Open(filepath.Join(folder, "missing", "store.db"), store.Options{})
	refused(t, err, os.ErrNotExist, folder, "missing")
	_, err = store.Open(folder, store.Options{})
	refused(t, err, store.ErrDamaged, folder, "regular file")
}

func TestOpenLocked(t *testing.T) {
	db := storetest.Open(t)
	for _, readOnly := range []bool{true, false} {
		_, err := store.Open(db.Path(), store.Options{Timeout: 50 * time.Millisecond, ReadOnly: readOnly})
		refused(t, err, store.ErrLocked, db.Path(), "another rollcall uses it")
	}
}

// TestCreateTwice lets many create the same store: one is first, the others wait for it in vain, and
// none takes the file away from another.
func TestCreateTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	opened := make(chan *store.DB)
	for range 8 {
		go func() {
			db, _ := store.Open(path, store.Options{Timeout: 300 * time.Millisecond})
			opened <- db
		}()
	}
	var first *store.DB
	for range 8 {
		db := <-opened
		if db != nil && first != nil {
			t.Error("two have the store open")
		}
		if db != nil {
			first = db
		}
	}
	if first == nil {
		t.Fatal("nobody could open the store")
	}
	shut(t, first)
	shut(t, open(t, path, store.Options{}))
}

func refused(t *testing.T, err, want error, path, text string) {
	t.Helper()
	var o *store.OpenError
	if !errors.As(err, &o) || !errors.Is(err, want) {
		t.Fatalf("error %v, want an OpenError that is %v", err, want)
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), text) || o.Try == "" {
		t.Errorf("error %q with hint %q names neither %s nor %q", err, o.Try, path, text)
	}
}

// storeFile returns the bytes of a store with some people.
func storeFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	db := open(t, path, store.Options{})
	update(t, db, func(tx *store.Tx) error { return putAll(tx, crowd(100)) })
	shut(t, db)
	return read(t, path)
}

// otherFile returns the bytes of a bbolt file, with a bucket meta when there is something in it.
func otherFile(t *testing.T, meta map[string][]byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	b, err := bolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, b.Update(func(tx *bolt.Tx) error {
		if meta == nil {
			return nil
		}
		bucket, err := tx.CreateBucket([]byte("meta"))
		for k, v := range meta {
			err = errors.Join(err, bucket.Put([]byte(k), v))
		}
		return err
	}))
	must(t, b.Close())
	return read(t, path)
}

// usedBytes returns how much of the file bbolt uses; behind it lies what it has reserved.
func usedBytes(t *testing.T, file []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "used.db")
	write(t, path, file)
	b, err := bolt.Open(path, 0o600, nil)
	must(t, err)
	defer b.Close()
	var size int64
	must(t, b.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }))
	return int(size)
}

func patched(file []byte, at ...int) []byte {
	file = bytes.Clone(file)
	for _, i := range at {
		file[i] ^= 0xff
	}
	return file
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path, b, 0o600))
}

func digest(t *testing.T, db *store.DB) store.Digest {
	t.Helper()
	d, err := db.Digest()
	must(t, err)
	return d
}

func shut(t testing.TB, db *store.DB) {
	t.Helper()
	must(t, db.Close())
}
