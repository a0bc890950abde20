package store_test

import (
	"testing"

	"rollcall/store"
	"rollcall/store/storetest"
)

// An answer is read under its own place in the log only, and 1,024 messages later another one lies there.
func TestAnswers(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error { return tx.PutAnswer(7, []byte("done")) })
	answer := func(sequence uint64) (text string) {
		t.Helper()
		if err := db.View(func(tx *store.Tx) error { text = string(tx.Answer(sequence)); return nil }); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got := answer(7); got != "done" {
		t.Errorf("answer is %q", got)
	}
	if got := answer(7 + 1024); got != "" {
		t.Errorf("a later message has the answer of an earlier one: %q", got)
	}
	update(t, db, func(tx *store.Tx) error { return tx.PutAnswer(7+1024, []byte("refused")) })
	if old, now := answer(7), answer(7+1024); old != "" || now != "refused" {
		t.Errorf("answers %q and %q", old, now)
	}
	update(t, db, (*store.Tx).ForgetAnswers)
	if got := answer(7 + 1024); got != "" {
		t.Errorf("a forgotten answer is %q", got)
	}
}

// U19: active administrators are counted, and Check counts them again.
func TestCountAdministrators(t *testing.T) {
	db := storetest.Open(t)
	count := func() (n int) {
		_ = db.View(func(tx *store.Tx) error { n = tx.CountAdministrators(); return nil })
		return n
	}
	for _, step := range []struct {
		active, administrator bool
		want                  int
	}{{true, false, 0}, {true, true, 1}, {false, true, 0}, {true, true, 1}, {true, false, 0}} {
		u := store.User{ID: "1", Active: step.active, Administrator: step.administrator}
		u.Text[store.UserName] = "alice"
		if !step.active {
			u.InactiveReason = "manual"
		}
		update(t, db, func(tx *store.Tx) error { return tx.PutUser(&u) })
		if got := count(); got != step.want {
			t.Errorf("%+v: %d administrators", step, got)
		}
	}
}

// U22: a tombstone lies where the entry lay, without its key.
func TestTombstone(t *testing.T) {
	db := storetest.Open(t)
	key := store.KeyOf("ext:p-1001")
	update(t, db, func(tx *store.Tx) error {
		return tx.PutOrigin("people", &store.Origin{Key: "ext:p-1001", Entry: "line 2"})
	})
	update(t, db, func(tx *store.Tx) error {
		return tx.PutOrigin("people", &store.Origin{Key: key.String(), Tombstone: true, Digest: store.TombstoneDigest()})
	})
	err := db.View(func(tx *store.Tx) error {
		o, err := tx.Origin("people", key)
		if err == nil && (o == nil || !o.Tombstone || o.Key == "ext:p-1001") {
			t.Errorf("the origin is %+v", o)
		}
		if s, err := tx.Source("people"); err != nil || s.Entries != 1 {
			t.Errorf("the source has %d entries (%v)", s.Entries, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
