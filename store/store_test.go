package store_test

import (
	"testing"

	"rollcall/store"
	"rollcall/store/storetest"
)

func TestSmoke(t *testing.T) {
	db := storetest.Open(t)
	u := &store.User{ID: "a", Active: true}
	u.Text[store.UserName] = "Alice"
	if err := db.Update(func(tx *store.Tx) error { return tx.PutUser(u) }); err != nil {
		t.Fatal(err)
	}
	db.View(func(tx *store.Tx) error {
		got, err := tx.UserByName("ALICE")
		t.Log(got, err)
		b, _ := got.MarshalJSON()
		t.Log(string(b))
		return nil
	})
}
