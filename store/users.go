package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// User returns the user of that id, nil when there is none.
func (tx *Tx) User(id string) (*User, error) {
	u, _, err := tx.user(id)
	return u, err
}

// PutUser writes a user, new or known, and brings the indexes, groups and counters into line. It fails with
// [ErrTaken] and changes nothing when another user holds a value that u claims, and writes nobody without a name (U1).
func (tx *Tx) PutUser(u *User) error {
	if u.ID == "" || len(u.ID) > 255 || strings.ContainsRune(u.ID, 0) {
		return fmt.Errorf("put user: %q is no user id", u.ID)
	}
	if u.Text[UserName] == "" {
		return fmt.Errorf("put user: %s has no name", u.ID)
	}
	old, n, err := tx.user(u.ID)
	if err != nil {
		return err
	}
	users := tx.table(usersBucket)
	var held []Claim
	if old != nil {
		held = Claims(old)
	} else if n, err = users.bucket.NextSequence(); err != nil {
		return fmt.Errorf("put user: %w", err)
	}
	users.bucket.FillPercent = fillAppended
	if err := tx.claim(u, n, held, Claims(u)); err != nil {
		return fmt.Errorf("put user: %w", err)
	}
	if err := tx.countUser(old, u); err != nil {
		return err
	}
	if err := tx.join(old, u, n); err != nil {
		return fmt.Errorf("put user: %w", err)
	}
	if err := tx.expire(old, u); err != nil {
		return fmt.Errorf("put user: %w", err)
	}
	return users.save(number(n), u)
}

// Users calls fn for every user whose id is behind after, in the order of ids. ErrStop ends it
// early; fn must not write users.
func (tx *Tx) Users(after string, fn func(*User) error) error {
	index, err := tx.claims()
	if err != nil {
		return err
	}
	return index.each(idKey(after), func(key []byte, n uint64) error {
		if Space(key[0]) != ids {
			return ErrStop
		}
		u, err := tx.numbered(n)
		if err != nil {
			return err
		}
		return fn(u)
	})
}

// UserByName returns the user who is called name, or has it as alias while active, in any spelling
// (see [Fold]); nil when there is none.
func (tx *Tx) UserByName(name string) (*User, error) {
	id, err := tx.Holder(Claim{Space: Names, Value: name})
	if err != nil || id == "" {
		return nil, err
	}
	return tx.User(id)
}

// CountUsers returns how many users there are and how many of them are active.
func (tx *Tx) CountUsers() (total, active int) {
	t, err := tx.tally(everyone)
	if tx.keep(err) != nil {
		return 0, 0
	}
	return t.All, t.Active
}

// CountAdministrators returns how many active users are administrators (U19).
func (tx *Tx) CountAdministrators() int {
	t, err := tx.tally(administrators)
	if tx.keep(err) != nil {
		return 0
	}
	return t.Active
}

// user returns a user and his number, nil and 0 when there is none.
func (tx *Tx) user(id string) (*User, uint64, error) {
	index, err := tx.claims()
	if err != nil {
		return nil, 0, err
	}
	n, err := index.get(idKey(id))
	if err != nil || n == 0 {
		return nil, 0, err
	}
	u, err := tx.numbered(n)
	return u, n, err
}

// numbered returns the user of a number that the index knows.
func (tx *Tx) numbered(n uint64) (*User, error) {
	var u User
	return &u, tx.record(n, &u)
}

// userID returns the id of a user without the rest.
func (tx *Tx) userID(n uint64) (string, error) {
	var u struct {
		ID string `cbor:"1,keyasint"`
	}
	err := tx.record(n, &u)
	return u.ID, err
}

func (tx *Tx) record(n uint64, v any) error {
	t := tx.table(usersBucket)
	found, err := t.load(number(n), v)
	if err == nil && !found {
		err = t.bad(number(n), errors.New("the index knows a user who is not there"))
	}
	return err
}

// countUser moves the counters from a user's old state, nil for none, to the new one.
func (tx *Tx) countUser(old, u *User) error {
	all, err := tx.tally(everyone)
	if err != nil {
		return err
	}
	if old == nil {
		all.All++
		old = &User{}
	}
	if old.Active == u.Active && old.Owner == u.Owner && old.Administrator == u.Administrator && slices.Equal(old.Origins, u.Origins) {
		return nil
	}
	if err := tx.countActive(old, -1); err != nil {
		return err
	}
	return tx.countActive(u, 1)
}

func (tx *Tx) countActive(u *User, n int) error {
	if !u.Active {
		return nil
	}
	all, err := tx.tally(everyone)
	if err != nil {
		return err
	}
	all.Active += n
	if u.Administrator {
		known, err := tx.tally(administrators)
		if err != nil {
			return err
		}
		known.Active += n
	}
	if err := tx.countLinked(u, n); err != nil || u.Owner == "" {
		return err
	}
	owner, err := tx.tally(u.Owner)
	if err != nil {
		return err
	}
	owner.Active += n
	return nil
}

// countLinked counts an active user once for every source that he has an entry of.
func (tx *Tx) countLinked(u *User, n int) error {
	for i, ref := range u.Origins {
		if i > 0 && u.Origins[i-1].Source == ref.Source {
			continue
		}
		linked, err := tx.tally(linkedTo(ref.Source))
		if err != nil {
			return err
		}
		linked.Active += n
	}
	return nil
}
