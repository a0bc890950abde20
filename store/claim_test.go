package store_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"rollcall/store"
	"rollcall/store/storetest"
)

func TestFold(t *testing.T) {
	same := [][]string{
		{"alice", "ALICE", " Alice\t", "alice\x00", "\u200balice\ufeff"},
		{"čeněk", "ČENĚK", "c\u030cene\u030ck", "\u00a0Čeněk\u00a0"},
		{"strasse", "STRASSE", "straße", "STRAẞE"},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", "σίσυφοσ"},
		{"i\u0307", "İ"},
		{"\xffa", "\xffA", " \xffA "},
		{"", " ", "\x00", "\u200b\u200d"},
	}
	for _, spellings := range same {
		for _, s := range spellings {
			if got, want := store.Fold(s), store.Fold(spellings[0]); got != want {
				t.Errorf("Fold(%q) = %q, Fold(%q) = %q", s, got, spellings[0], want)
			}
		}
	}
	different := []string{"alice", "a lice", "álice", "i", "ı", "i\u0307", "\xff", "\xfe", "\ufffd", "\xffÁ", "\xffá", "аlice"}
	for i, a := range different {
		for _, b := range different[:i] {
			if store.Fold(a) == store.Fold(b) {
				t.Errorf("Fold(%q) = Fold(%q)", a, b)
			}
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"Alice", "ČENĚK", "İ", "ᾳ\u0301", "\u0345\u0301Α", "\xff", "\u200b\u0301a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := store.Fold(s)
		if twice := store.Fold(once); twice != once {
			t.Errorf("Fold(%q) = %q, folded again %q", s, once, twice)
		}
		if utf8.ValidString(s) != utf8.ValidString(once) {
			t.Errorf("Fold(%q) = %q", s, once)
		}
	})
}

func BenchmarkFold(b *testing.B) {
	for _, s := range []string{"jiri.novak", "Jiri.Novak", "Jiří.Novák"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				store.Fold(s)
			}
		})
	}
}

// TestU1EveryUserHasAName puts somebody without one.
func TestU1EveryUserHasAName(t *testing.T) {
	db := storetest.Open(t)
	err := db.Update(func(tx *store.Tx) error { return tx.PutUser(named("u", "")) })
	if err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("a user without a name: %v", err)
	}
}

func TestClaims(t *testing.T) {
	u := named("u", "Alice")
	u.Text[store.PersonalNumber] = "E7"
	u.List[store.Aliases.List()] = values("ALICE", "Alice.Novak", "alice.novak")
	u.List[store.Cards.List()] = values("0A", "0a")
	u.List[store.PINs.List()] = values("hash")
	want := []store.Claim{
		{Space: store.Names, Value: "alice"}, {Space: store.Names, Value: "alice.novak"},
		{Space: store.CardNumbers, Value: "0A"}, {Space: store.CardNumbers, Value: "0a"},
		{Space: store.PINHashes, Value: "hash"}, {Space: store.PersonalNumbers, Value: "e7"},
	}
	if got := store.Claims(u); !reflect.DeepEqual(got, want) {
		t.Errorf("an active user claims %v, want %v", got, want)
	}
	u.Active = false
	if got, want := store.Claims(u), []store.Claim{want[0], want[5]}; !reflect.DeepEqual(got, want) {
		t.Errorf("an inactive user claims %v, want %v (C6)", got, want)
	}
}

// TestTaken has a second user want each kind of value that a first one holds.
func TestTaken(t *testing.T) {
	db := storetest.Open(t)
	alice := named("1", "Alice")
	alice.Text[store.PersonalNumber] = "E7"
	alice.List[store.Aliases.List()] = values("ali")
	alice.List[store.Cards.List()] = values("0A")
	alice.List[store.PINs.List()] = values("secret-hash")
	update(t, db, func(tx *store.Tx) error { return tx.PutUser(alice) })
	tests := map[string]func(*store.User){
		`name "ali"`:           func(u *store.User) { u.Text[store.UserName] = "ALI" },
		`name "alice"`:         func(u *store.User) { u.List[store.Aliases.List()] = values("alice") },
		`card "0A"`:            func(u *store.User) { u.List[store.Cards.List()] = values("0A") },
		`a PIN of user 2`:      func(u *store.User) { u.List[store.PINs.List()] = values("secret-hash") },
		`personal number "e7"`: func(u *store.User) { u.Text[store.PersonalNumber] = "e7" },
	}
	for want, change := range tests {
		bob := named("2", "bob")
		bob.List[store.Cards.List()] = values("FREE")
		change(bob)
		update(t, db, func(tx *store.Tx) error {
			err := tx.PutUser(bob)
			var taken *store.TakenError
			if !errors.As(err, &taken) || !errors.Is(err, store.ErrTaken) || taken.Holder != "1" || taken.User != "2" {
				t.Fatalf("%s: %v", want, err)
			}
			if text := err.Error(); !strings.Contains(text, want) || !strings.HasSuffix(text, "user 1") || strings.Contains(text, "secret") {
				t.Errorf("error %q does not name %s and user 1, or names too much", text, want)
			}
			if holder, _ := tx.Holder(store.Claim{Space: store.CardNumbers, Value: "FREE"}); holder != "" {
				t.Errorf("%s: a refused user holds a card", want)
			}
			return nil
		})
	}
}

// TestSwapInOneRun swaps names and cards between two users by releases (C5).
func TestSwapInOneRun(t *testing.T) {
	db := storetest.Open(t)
	a, b := named("1", "alice"), named("2", "bob")
	a.List[store.Cards.List()], b.List[store.Cards.List()] = values("A"), values("B")
	update(t, db, func(tx *store.Tx) error { return errors.Join(tx.PutUser(a), tx.PutUser(b)) })
	claimsOfA, claimsOfB := store.Claims(a), store.Claims(b)
	a.Text, b.Text, a.List, b.List = b.Text, a.Text, b.List, a.List
	if err := db.Update(func(tx *store.Tx) error { return tx.PutUser(a) }); !errors.Is(err, store.ErrTaken) {
		t.Fatalf("without a release: %v", err)
	}
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.SetApplying(&store.Applying{Source: "people", Run: 7}),
			tx.ReleaseClaims("1", claimsOfA), tx.ReleaseClaims("2", claimsOfB),
			tx.ReleaseClaims("3", claimsOfB), tx.ReleaseClaims("1", claimsOfB))
	})
	must(t, db.Check())
	update(t, db, func(tx *store.Tx) error { return tx.PutUser(a) })
	must(t, db.Check())
	update(t, db, func(tx *store.Tx) error { return errors.Join(tx.PutUser(b), tx.SetApplying(nil)) })
	for name, id := range map[string]string{"bob": "1", "alice": "2"} {
		if got := byName(t, db, name); got == nil || got.ID != id {
			t.Errorf("%s is %v, want user %s", name, got, id)
		}
	}
}

// TestReleasedAndKept gives up a value that the user's new state still claims.
func TestReleasedAndKept(t *testing.T) {
	db := storetest.Open(t)
	a := named("1", "alice")
	update(t, db, func(tx *store.Tx) error { return tx.PutUser(a) })
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.ReleaseClaims("1", store.Claims(a)), tx.PutUser(a))
	})
	if byName(t, db, "alice") == nil {
		t.Error("alice is not found")
	}
}

// TestNamesOfTheInactive: a deactivated user's aliases are free, the user name is not (C6).
func TestNamesOfTheInactive(t *testing.T) {
	db := storetest.Open(t)
	a := named("1", "alice")
	a.List[store.Aliases.List()] = values("ali")
	update(t, db, func(tx *store.Tx) error { return tx.PutUser(a) })
	a.Active, a.InactiveReason = false, "manual"
	update(t, db, func(tx *store.Tx) error { return tx.PutUser(a) })
	if byName(t, db, "ali") != nil || byName(t, db, "alice") == nil {
		t.Error("an inactive user has an alias or no name")
	}
	update(t, db, func(tx *store.Tx) error { return tx.PutUser(named("2", "ali")) })
	a.Active, a.InactiveReason = true, ""
	err := db.Update(func(tx *store.Tx) error { return tx.PutUser(a) })
	if !errors.Is(err, store.ErrTaken) {
		t.Errorf("back with the alias of another: %v", err)
	}
}

// TestHostileValues stores bytes that are no UTF-8, zero bytes and values of a megabyte.
func TestHostileValues(t *testing.T) {
	db := storetest.Open(t)
	long := strings.Repeat("x", 1<<20)
	a, b := named("1", "alice"), named("2", "bob")
	a.Text[store.FullName] = "\xff\x00\xc3("
	a.Text[store.Notes] = long
	a.List[store.Cards.List()] = values("\x00", "\xfe", long+"a")
	b.List[store.Cards.List()] = values("\xff", long+"b")
	a.List[store.Aliases.List()] = values(long[:300], "\xff\xfe")
	for _, u := range []*store.User{a, b} {
		slices.SortFunc(u.List[store.Cards.List()], func(a, b store.Value) int { return strings.Compare(a.V, b.V) })
	}
	o := store.Origin{Key: long + "\xff", Entry: "\xff", Change: []byte(long)}
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.PutUser(a), tx.PutUser(b), tx.PutOrigin("people", &o))
	})
	must(t, db.View(func(tx *store.Tx) error {
		for _, want := range []*store.User{a, b} {
			if got, err := tx.User(want.ID); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("user %s is another: %v", want.ID, err)
			}
		}
		if holder, err := tx.Holder(store.Claim{Space: store.CardNumbers, Value: long + "b"}); holder != "2" {
			t.Errorf("holder of a long card: %q, %v", holder, err)
		}
		got, err := tx.Origin("people", store.KeyOf(o.Key))
		if err != nil || !reflect.DeepEqual(*got, o) {
			t.Errorf("the origin is another: %v", err)
		}
		return nil
	}))
	must(t, db.Check())
}

func TestUserIDsAreRefused(t *testing.T) {
	db := storetest.Open(t)
	for _, id := range []string{"", "a\x00b", strings.Repeat("x", 256)} {
		if db.Update(func(tx *store.Tx) error { return tx.PutUser(named(id, "alice")) }) == nil {
			t.Errorf("user id %q was taken", id)
		}
	}
}

func named(id, name string) *store.User {
	u := &store.User{ID: id, Active: true}
	u.Text[store.UserName] = name
	return u
}

func byName(t *testing.T, db *store.DB, name string) (u *store.User) {
	t.Helper()
	must(t, db.View(func(tx *store.Tx) (err error) {
		u, err = tx.UserByName(name)
		return err
	}))
	return u
}
