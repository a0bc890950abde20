package store

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
)

// TestLetters keeps one letter a user, the last one, and forgets only what it was asked to.
func TestLetters(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var page []Letter
	err = db.Update(func(tx *Tx) error {
		u := &User{ID: "a", Active: true}
		u.Text[UserName] = "alice"
		err := errors.Join(tx.PutUser(u), tx.PutLetter(&Letter{User: "a", Issue: 1, Hash: "x"}), tx.PutLetter(&Letter{User: "a", Issue: 2, Length: 6, Hash: "y"}),
			tx.FailLetter(&Letter{User: "a", Issue: 1}, "late"), tx.FailLetter(&Letter{User: "a", Issue: 2}, "no address"),
			tx.DropLetter(&Letter{User: "a", Issue: 1}), tx.DropLetter(&Letter{User: "b", Issue: 1}))
		if err == nil {
			page, err = tx.Letters("", 10)
		}
		return err
	})
	if err != nil || !slices.Equal(page, []Letter{{User: "a", Issue: 2, Length: 6, Hash: "y", Failed: "no address"}}) {
		t.Errorf("%+v, %v", page, err)
	}
	err = db.Update(func(tx *Tx) error {
		err := tx.DropLetter(&page[0])
		if err == nil {
			page, err = tx.Letters("", 10)
		}
		return err
	})
	if err := errors.Join(err, db.Check()); err != nil || len(page) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}
