package store

import (
	"fmt"
	"strings"
)

// User returns the user of that id, nil when there is none.
func (tx *Tx) User(id string) (*User, error) {
	var u User
	found, err := tx.table(usersBucket).load([]byte(id), &u)
	if err != nil || !found {
		return nil, err
	}
	return &u, nil
}

// PutUser writes a user, new or known, and brings the indexes and counters into line. It fails with
// [ErrTaken] and changes nothing when another user holds a value that u claims.
func (tx *Tx) PutUser(u *User) error {
	if u.ID == "" || len(u.ID) > 255 || strings.ContainsRune(u.ID, 0) {
		return fmt.Errorf("put user: %q is no user id", u.ID)
	}
	old, err := tx.User(u.ID)
	if err != nil {
		return err
	}
	var held []Claim
	if old != nil {
		held = Claims(old)
	}
	if err := tx.claim(u.ID, held, Claims(u)); err != nil {
		return fmt.Errorf("put user: %w", err)
	}
	if err := tx.countUser(old, u); err != nil {
		return err
	}
	return tx.table(usersBucket).save([]byte(u.ID), u)
}

// Users calls fn for every user whose id is behind after, in the order of ids. ErrStop ends it
// early; fn must not write users.
func (tx *Tx) Users(after string, fn func(*User) error) error {
	t := tx.table(usersBucket)
	return t.each([]byte(after), func(key, value []byte) error {
		var u User
		if err := t.decode(key, value, &u); err != nil {
			return err
		}
		return fn(&u)
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
	if old.Active == u.Active && old.Owner == u.Owner {
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
	if u.Owner == "" {
		return nil
	}
	owner, err := tx.tally(u.Owner)
	if err != nil {
		return err
	}
	owner.Active += n
	return nil
}
