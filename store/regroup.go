package store

import (
	"fmt"
)

// What happened to groups since their last revision waits in the bucket of changed groups:
//
//	0, n            → the n-th rename
//	group           → the group as it was, empty for one that is new
//	group, user     → "+" for a user who joined, "-" for one who left
//
// so that a run of any length tells of a group once, when all its users are written.

// GroupChange is what happened to a group since its last revision.
type GroupChange struct {
	// Before is nil for a new group, Group is the group as it is now; Deleted is true when it is no more.
	Before, Group *Group
	Deleted       bool
	// Added and Removed are the ids of users who joined and left, in the order in which users were made.
	Added, Removed []string
	// Last is true unless more members of this group follow in further changes.
	Last bool
}

// Kind is the kind of the event: created, updated or deleted. Of a group with many changed members, the first
// change creates, the last one deletes, and those between update.
func (c *GroupChange) Kind() string {
	switch {
	case c.Before == nil:
		return "created"
	case c.Deleted && c.Last:
		return "deleted"
	}
	return "updated"
}

// MaxGroupMembers is how many users a [GroupChange] names at most: an event must fit into a message.
const MaxGroupMembers = 10_000

// RenameGroup notes that what made one path makes another one from now on: unless the old group stays or the new one was
// there before, it is the same group, and keeps its id. The users' new paths are written apart from this.
func (tx *Tx) RenameGroup(from, to string) error {
	t := tx.table(regroupBucket)
	n, err := t.bucket.NextSequence()
	if err != nil {
		return fmt.Errorf("rename group %q: %w", from, err)
	}
	return t.save(memberKey(0, n), []string{from, to})
}

// Regroup calls fn for what happened to groups, in the order in which they were made, until about limit users were named; fn
// sets Group.Revision. It reports whether there is more. It is called when all users are written that belong together.
func (tx *Tx) Regroup(limit int, fn func(*GroupChange) error) (more bool, err error) {
	if first, _ := tx.table(regroupBucket).bucket.Cursor().First(); first == nil {
		return false, nil
	}
	if err := tx.renameGroups(); err != nil {
		return false, err
	}
	for limit > 0 {
		c, s, keys, err := tx.nextChange()
		if err != nil || c == nil {
			return false, err
		}
		if err := tx.tellGroup(c, s, fn); err != nil {
			return false, err
		}
		if err := tx.table(regroupBucket).deleteAll(keys); err != nil {
			return false, err
		}
		limit -= len(keys)
	}
	return true, nil
}

// tellGroup gives a change to fn and keeps its revision. A group that came and went again is nobody's news.
func (tx *Tx) tellGroup(c *GroupChange, s *groupState, fn func(*GroupChange) error) error {
	never := c.Before == nil && c.Deleted
	same := c.Before != nil && !c.Deleted && c.Before.Path == s.Path && len(c.Added)+len(c.Removed) == 0 && sameHolders(c.Before, &s.Group)
	if !never && !same {
		c.Group = s.copy()
		if err := fn(c); err != nil {
			return err
		}
		s.Revision, s.dirty = c.Group.Revision, true
	}
	if c.Last {
		delete(tx.noted, s.number)
	}
	if c.Deleted && c.Last {
		return tx.forgetGroup(s)
	}
	if c.Last {
		return nil
	}
	return tx.table(regroupBucket).save(number(s.number), c.Group) // what follows is an update
}

// nextChange gathers what waits of the first group, with the keys that are dealt with then.
func (tx *Tx) nextChange() (c *GroupChange, s *groupState, keys [][]byte, err error) {
	t := tx.table(regroupBucket)
	err = t.each(nil, func(key, value []byte) error {
		key = append([]byte(nil), key...)
		if len(key) == 8 {
			if c != nil {
				return ErrStop
			}
			c = &GroupChange{Last: true}
			if len(value) > 0 {
				c.Before = &Group{}
				if err := t.decode(key, value, c.Before); err != nil {
					return err
				}
			}
			if s, err = tx.groupNumbered(parseNumber(key)); err != nil {
				return err
			}
			c.Deleted = len(s.Holds) == 0
			keys = append(keys, key)
			return nil
		}
		if c == nil {
			return t.bad(key, fmt.Errorf("a member of a group that did not change"))
		}
		if len(c.Added)+len(c.Removed) == MaxGroupMembers {
			c.Last = false
			keys = keys[1:] // the group itself still waits
			return ErrStop
		}
		id, err := tx.userID(parseNumber(key[8:]))
		if err != nil {
			return err
		}
		if value[0] == '+' {
			c.Added = append(c.Added, id)
		} else {
			c.Removed = append(c.Removed, id)
		}
		keys = append(keys, key)
		return nil
	})
	return c, s, keys, err
}

// noteGroup remembers how a group was before its first change.
func (tx *Tx) noteGroup(s *groupState) error {
	t := tx.table(regroupBucket)
	key := number(s.number)
	if tx.noted[s.number] || t.get(key) != nil {
		return nil
	}
	tx.noted[s.number] = true
	if len(s.Holds) == 0 {
		return t.put(key, []byte{})
	}
	return t.save(key, &s.Group)
}

// noteMember remembers who joined or left. Who does both has done nothing.
func (tx *Tx) noteMember(key []byte, n int) error {
	t := tx.table(regroupBucket)
	if t.get(key) != nil {
		return t.delete(key)
	}
	sign := []byte("+")
	if n < 0 {
		sign = []byte("-")
	}
	t.bucket.FillPercent = fillAppended
	return t.put(key, sign)
}

// renameGroups gives new groups the identity of those that became them.
func (tx *Tx) renameGroups() error {
	t := tx.table(regroupBucket)
	var renames [][2]string
	var keys [][]byte
	err := t.each(nil, func(key, value []byte) error {
		if len(key) != 16 || parseNumber(key[:8]) != 0 {
			return ErrStop
		}
		var paths [2]string
		if err := t.decode(key, value, &paths); err != nil {
			return err
		}
		renames, keys = append(renames, paths), append(keys, append([]byte(nil), key...))
		return nil
	})
	if err != nil {
		return err
	}
	for _, paths := range renames {
		if err := tx.renameGroup(paths[0], paths[1]); err != nil {
			return fmt.Errorf("rename group %q: %w", paths[0], err)
		}
	}
	return t.deleteAll(keys)
}

func (tx *Tx) renameGroup(from, to string) error {
	old, err := tx.groupAt(from)
	if err != nil || old == nil || len(old.Holds) > 0 {
		return err
	}
	s, err := tx.groupAt(to)
	if err != nil || s == nil || len(s.Holds) == 0 {
		return err
	}
	t := tx.table(regroupBucket)
	was, isNew := t.get(number(old.number)), t.get(number(s.number))
	if len(was) == 0 || isNew == nil || len(isNew) > 0 {
		return nil
	}
	was = append([]byte(nil), was...)
	if err := tx.moveMembers(old.number, s.number); err != nil {
		return err
	}
	if err := t.delete(number(old.number)); err != nil {
		return err
	}
	if err := tx.forgetGroup(old); err != nil {
		return err
	}
	if err := tx.table(groupIDsBucket).delete([]byte(s.ID)); err != nil {
		return err
	}
	s.ID, s.Revision, s.dirty = old.ID, old.Revision, true
	if err := tx.table(groupIDsBucket).put([]byte(s.ID), number(s.number)); err != nil {
		return err
	}
	return t.put(number(s.number), was)
}

// moveMembers makes those who left the one group and joined the other stay.
func (tx *Tx) moveMembers(from, to uint64) error {
	t := tx.table(regroupBucket)
	var users []uint64
	var keys [][]byte
	err := t.each(number(from), func(key, _ []byte) error {
		if parseNumber(key[:8]) != from {
			return ErrStop
		}
		users, keys = append(users, parseNumber(key[8:])), append(keys, append([]byte(nil), key...))
		return nil
	})
	if err != nil {
		return err
	}
	for _, user := range users {
		if err := tx.noteMember(memberKey(to, user), -1); err != nil {
			return err
		}
	}
	return t.deleteAll(keys)
}

func sameHolders(a, b *Group) bool {
	if len(a.Holds) != len(b.Holds) {
		return false
	}
	for origin := range a.Holds {
		if b.Holds[origin] == 0 {
			return false
		}
	}
	return true
}
