package store

import (
	"errors"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestUpgrade opens a store of format 1: its users' groups are there afterwards and wait to be told, and Check counts
// whom the sources lead to.
func TestUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := Open(path, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	u := &User{ID: "a", Active: true, Origins: []OriginRef{{Source: "people", Key: KeyOf("k1")}}}
	u.Text[UserName] = "alice"
	u.List[Groups.List()] = []Value{{V: "Staff|IT", Origins: []string{"people"}}}
	err = errors.Join(db.Update(func(tx *Tx) error {
		return errors.Join(tx.PutUser(u), tx.PutOrigin("people", &Origin{Key: "k1", User: "a"}))
	}), db.bolt.Update(func(b *bolt.Tx) error {
		for _, name := range groupBuckets {
			if err := b.DeleteBucket([]byte(name)); err != nil {
				return err
			}
		}
		return errors.Join(newTx(b).table(talliesBucket).delete(tallyKey(linkedTo("people"))), newTx(b).setMeta(metaFormat, 1))
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if db, err = Open(path, Options{NoSync: true}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Check(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if db, err = Open(path, Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var told []string
	err = db.Update(func(tx *Tx) error {
		_, err := tx.Regroup(100, func(c *GroupChange) error {
			c.Group.Revision = 1
			told = append(told, c.Kind()+" "+c.Group.Path)
			return nil
		})
		return err
	})
	if err != nil || len(told) != 2 || told[0] != "created Staff" || told[1] != "created Staff|IT" {
		t.Errorf("told %q, %v", told, err)
	}
}
