package store

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What ends first comes first; what was renewed or taken away does not come at all (K6, P7).
func TestExpired(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	user := func(id string, ends ...time.Duration) *User {
		u := &User{ID: id, Active: true}
		u.Text[UserName] = id
		for i, d := range ends {
			u.List[PINs.List()] = append(u.List[PINs.List()], Value{V: id + string(rune('a'+i)), Origins: []string{"manual"}, Expires: noon.Add(d)})
		}
		u.List[Cards.List()] = []Value{{V: "card of " + id, Origins: []string{"manual"}}}
		return u
	}
	want := func(at time.Duration, limit int, ids ...string) {
		t.Helper()
		if err := db.View(func(tx *Tx) error {
			got, err := tx.Expired(noon.Add(at), limit)
			if !slices.Equal(got, ids) {
				t.Errorf("at %s: %q, want %q", at, got, ids)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if err := db.Check(); err != nil {
			t.Error(err)
		}
	}
	put := func(users ...*User) {
		t.Helper()
		if err := db.Update(func(tx *Tx) error {
			for _, u := range users {
				if err := tx.PutUser(u); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	want(time.Hour, 10)
	put(user("a", 3, 1, 1), user("b", 2), user("c"))
	want(0, 10)
	want(2, 10, "a", "b")
	want(3, 1, "a")
	put(user("a", 5), user("b"))
	want(4, 10)
	want(5, 10, "a")
	if err := db.bolt.Update(func(b *bolt.Tx) error { return b.Bucket([]byte(expiringBucket)).Put(expiryKey(1, "c"), []byte{}) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Check(); err == nil {
		t.Error("Check overlooks what the index should not know")
	}
}

// TestUpgradeExpiring opens a store of format 2: what expires is indexed afterwards.
func TestUpgradeExpiring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := Open(path, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	u := &User{ID: "a", Active: true}
	u.Text[UserName] = "alice"
	u.List[Cards.List()] = []Value{{V: "1", Origins: []string{"manual"}, Expires: time.Unix(1, 0)}}
	err = errors.Join(db.Update(func(tx *Tx) error { return tx.PutUser(u) }), db.bolt.Update(func(b *bolt.Tx) error {
		return errors.Join(b.DeleteBucket([]byte(expiringBucket)), newTx(b).setMeta(metaFormat, 2))
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	if db, err = Open(path, Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Check(); err != nil {
		t.Error(err)
	}
	if err := db.View(func(tx *Tx) error {
		next, err := tx.NextExpiry()
		if !next.Equal(time.Unix(1, 0)) {
			t.Errorf("the next expiry is %s", next)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
