package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// TestCheckFinds breaks one invariant at a time, behind the store's back, and wants it named.
func TestCheckFinds(t *testing.T) {
	tests := map[string]func(*Tx) error{
		"user a: lies under number 7":        func(tx *Tx) error { return move(tx.table(usersBucket), number(1), number(7)) },
		"bucket users, key 0000000000000001": func(tx *Tx) error { return tx.table(usersBucket).put(number(1), []byte{0xff}) },
		`user a: name "alice" belongs to user`: func(tx *Tx) error {
			return tx.table(claimsBucket).delete(claimKey(Claim{Space: Names, Value: "alice"}))
		},
		`name "nobody" belongs to user number 1`: func(tx *Tx) error {
			return tx.table(claimsBucket).put(claimKey(Claim{Space: Names, Value: "nobody"}), []byte{1})
		},
		`the id "z" belongs to user number 9`:   func(tx *Tx) error { return tx.table(claimsBucket).put(idKey("z"), []byte{9}) },
		"is no number":                          func(tx *Tx) error { return tx.table(claimsBucket).put(idKey("z"), nil) },
		"is no block of an index":               func(tx *Tx) error { return tx.table(blockBucket).put(blockKey, []byte("block")) },
		"no run is being applied":               func(tx *Tx) error { return tx.ReleaseClaims("a", []Claim{{Space: Names, Value: "alice"}}) },
		`released name "x" without claiming it`: func(tx *Tx) error { return tx.table(releasedBucket).put(releasedKey("a", []byte("\x01x")), nil) },
		"holds and has released a PIN":          func(tx *Tx) error { return tx.table(releasedBucket).put(releasedKey("a", []byte("\x03hash")), nil) },
		"user name of 0 characters":             nameless,
		"user name of 256 characters":           change(func(u *User) { u.Text[UserName] = strings.Repeat("č", 256) }),
		`user name "alice " is not trimmed NFC`: change(func(u *User) { u.Text[UserName] = "alice " }),
		"is not trimmed NFC":                    change(func(u *User) { u.Text[UserName] = "e\u0301" }),
		`reason for being inactive ""`:          change(func(u *User) { u.Active = false }),
		`reason for being inactive "manual"`:    change(func(u *User) { u.InactiveReason = "manual" }),
		"anonymized and active":                 change(func(u *User) { u.Anonymized = true }),
		"owned by corp without an origin":       change(func(u *User) { u.Owner = "corp" }),
		"groups is not sorted": change(func(u *User) {
			u.List[Groups.List()] = []Value{{V: "b", Origins: []string{"x"}}, {V: "a", Origins: []string{"x"}}}
		}),
		"cards is not sorted or has an empty or":   change(func(u *User) { u.List[Cards.List()] = []Value{{Origins: []string{"x"}}} }),
		`origins [] are empty`:                     change(func(u *User) { u.List[Groups.List()] = []Value{{V: "a"}} }),
		`origins ["b" "a"] are empty or`:           change(func(u *User) { u.List[Groups.List()] = []Value{{V: "a", Origins: []string{"b", "a"}}} }),
		"origins are not sorted":                   change(func(u *User) { u.Origins = append(u.Origins, u.Origins...) }),
		"of people is missing or linked":           func(tx *Tx) error { return tx.DeleteOrigin("people", KeyOf("k1")) },
		"user b is missing or does not know":       func(tx *Tx) error { return tx.PutOrigin("people", &Origin{Key: "k3", User: "b"}) },
		"user z is missing or does not know":       func(tx *Tx) error { return tx.PutOrigin("people", &Origin{Key: "k3", User: "z"}) },
		`lies under another key than "k1"'s`:       func(tx *Tx) error { return move(tx.table(originsBucket, "people"), key("k1"), key("k9")) },
		"waits and is not in the index":            func(tx *Tx) error { return tx.table(waitingBucket, "people").delete(key("k2")) },
		"in the index of waiting ones, 1 wait":     func(tx *Tx) error { return tx.table(waitingBucket, "people").put(key("k1"), nil) },
		"source corp: 1 origins in the index":      waitNowhere,
		"flags or digest in front differ":          func(tx *Tx) error { return tx.table(originsBucket, "people").put(key("k1"), flip(tx, key("k1"))) },
		"too short for an origin":                  func(tx *Tx) error { return tx.table(originsBucket, "people").put(key("k1"), []byte{0}) },
		`counters of source "people": 9, 9 active`: func(tx *Tx) error { return tx.table(talliesBucket).save(tallyKey("people"), tally{All: 9, Active: 9}) },
		`counters of source "": 9, 9 active`:       func(tx *Tx) error { return tx.table(talliesBucket).save(tallyKey(""), tally{All: 9, Active: 9}) },
		`counters of source "people" are missing`:  func(tx *Tx) error { return tx.table(talliesBucket).delete(tallyKey("people")) },
		"revision 3, chain":                        func(tx *Tx) error { return tx.table(revisionsBucket).delete(number(2)) },
		"does not follow 0, chain":                 rewrite,
		"revisions end at 2":                       func(tx *Tx) error { return tx.table(revisionsBucket).delete(number(3)) },
		`letter to "z" lies under "z"`:             func(tx *Tx) error { return tx.PutLetter(&Letter{User: "z"}) },
		"result 1: lies under 0000000000000005":    func(tx *Tx) error { return move(tx.table(resultsBucket), number(1), number(5)) },
		"run 1 of people: lies elsewhere":          func(tx *Tx) error { return move(tx.table(runsBucket, "people"), number(1), number(2)) },
		"plan of run 7 of people: there is no":     func(tx *Tx) error { return tx.PlanPut("people", 7, []byte("k"), nil) },
		"a verdict that is not there": func(tx *Tx) error {
			return errors.Join(tx.PlanPut("people", 1, []byte("k"), nil), tx.putIndexes(), tx.removeRoom(planPath("people", 1, chunkName(1))...))
		},
	}
	for want, breakIt := range tests {
		t.Run(want, func(t *testing.T) {
			db := sound(t)
			defer db.Close()
			if err := db.Check(); err != nil {
				t.Fatal(err)
			}
			if err := db.bolt.Update(func(b *bolt.Tx) error {
				tx := newTx(b)
				return errors.Join(breakIt(tx), tx.putIndexes())
			}); err != nil {
				t.Fatal(err)
			}
			if err := db.Check(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Check says: %v", err)
			}
		})
	}
}

// TestCheckIsBounded breaks more than anybody wants to read.
func TestCheckIsBounded(t *testing.T) {
	db := sound(t)
	defer db.Close()
	err := db.Update(func(tx *Tx) error {
		for i := range 200 {
			u := &User{ID: strings.Repeat("x", i+1), Active: true, Text: Texts{UserName: strings.Repeat("x", i+1) + " "}}
			if err := tx.PutUser(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Check()
	if err == nil || !errors.Is(err, errEnough) || strings.Count(err.Error(), "\n") != violationLimit {
		t.Errorf("%d lines", strings.Count(err.Error(), "\n"))
	}
}

// TestCheckFindsBrokenValues puts values that nobody can decode.
func TestCheckFindsBrokenValues(t *testing.T) {
	db := sound(t)
	defer db.Close()
	err := db.bolt.Update(func(b *bolt.Tx) error {
		tx := newTx(b)
		for i := range uint64(500) {
			if err := tx.table(resultsBucket).put(number(i+1000), make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Check(); err == nil || !strings.Contains(err.Error(), "bucket results, key") {
		t.Errorf("Check says: %v", err)
	}
}

// sound returns a store with a little of everything.
func sound(t *testing.T) *DB {
	t.Helper()
	db, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	a, b := &User{ID: "a", Active: true, Owner: "people"}, &User{ID: "b", InactiveReason: "manual"}
	a.Origins = []OriginRef{{Source: "people", Key: KeyOf("k1")}}
	a.Text[UserName], b.Text[UserName] = "alice", "bob"
	a.List[PINs.List()] = []Value{{V: "hash", Origins: []string{"manual"}}}
	err = db.Update(func(tx *Tx) error {
		return errors.Join(
			tx.PutUser(a), tx.PutUser(b),
			tx.PutOrigin("people", &Origin{Key: "k1", User: "a"}),
			tx.PutOrigin("people", &Origin{Key: "k2", Waiting: true}),
			tx.PutRun(&Run{Source: "people", Number: 1}),
			tx.AppendResult("applied", "people", nil),
			revise(tx), revise(tx), revise(tx),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func revise(tx *Tx) error {
	n, chain := tx.Head()
	return tx.AppendRevision(Revision{Number: n + 1, Time: time.Unix(int64(n), 0), Chain: ChainOf(chain, nil)})
}

// change puts user a as f changes it, by the front door: PutUser leaves such things to Check.
func change(f func(*User)) func(*Tx) error {
	return func(tx *Tx) error {
		u, err := tx.User("a")
		if err != nil {
			return err
		}
		f(u)
		return errors.Join(tx.PutUser(u), tx.putTallies())
	}
}

// nameless writes user a without a name, which PutUser does not.
func nameless(tx *Tx) error {
	u, err := tx.User("a")
	if err != nil {
		return err
	}
	u.Text[UserName] = ""
	return tx.table(usersBucket).save(number(1), u)
}

func move(t *table, from, to []byte) error {
	value := append([]byte(nil), t.get(from)...)
	return errors.Join(t.delete(from), t.put(to, value))
}

func waitNowhere(tx *Tx) error {
	t, err := tx.room(waitingBucket, "corp")
	return errors.Join(err, t.put(key("k1"), nil))
}

func flip(tx *Tx, k []byte) []byte {
	value := append([]byte(nil), tx.table(originsBucket, "people").get(k)...)
	value[1] ^= 1
	return value
}

func rewrite(tx *Tx) error {
	return tx.table(revisionsBucket).save(number(1), Revision{Number: 1, Body: []byte("another"), Chain: ChainOf("", nil)})
}

func key(s string) []byte {
	k := KeyOf(s)
	return k[:]
}
