package store_test

import (
	"bytes"
	"slices"
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

// H1: the active users whom a source leads to are counted, each once, whoever owns them.
func TestCountLinked(t *testing.T) {
	db := storetest.Open(t)
	u := named("u", "alice")
	for _, step := range []struct {
		keys   []string
		reason string
		want   int
	}{{nil, "", 0}, {[]string{"a"}, "", 1}, {[]string{"a", "b"}, "", 1}, {[]string{"b"}, "manual", 0}, {[]string{"b"}, "", 1}, {nil, "", 0}} {
		refs := u.Origins
		u.Active, u.InactiveReason, u.Origins = step.reason == "", step.reason, nil
		update(t, db, func(tx *store.Tx) error {
			for _, ref := range refs {
				must(t, tx.DeleteOrigin("people", ref.Key))
			}
			for _, key := range step.keys {
				u.Origins = append(u.Origins, store.OriginRef{Source: "people", Key: store.KeyOf(key)})
				must(t, tx.PutOrigin("people", &store.Origin{Key: key, User: u.ID}))
			}
			slices.SortFunc(u.Origins, func(a, b store.OriginRef) int { return bytes.Compare(a.Key[:], b.Key[:]) })
			return tx.PutUser(u)
		})
		must(t, db.View(func(tx *store.Tx) error {
			s, err := tx.Source("people")
			if err == nil && (s.Linked != step.want || s.Active != 0) {
				t.Errorf("%+v: %d users are linked, %d active ones owned", step, s.Linked, s.Active)
			}
			return err
		}))
		must(t, db.Check())
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
