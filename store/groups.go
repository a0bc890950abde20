package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

// groupState is a group as a transaction has it. It is written when the transaction ends.
type groupState struct {
	Group
	number uint64
	dirty  bool
}

// Group returns the group of that path, nil when there is none.
func (tx *Tx) Group(path string) (*Group, error) {
	s, err := tx.groupAt(path)
	if err != nil || s == nil || len(s.Holds) == 0 {
		return nil, err
	}
	return s.copy(), nil
}

// GroupByID returns the group of that id, nil when there is none.
func (tx *Tx) GroupByID(id string) (*Group, error) {
	n := parseNumber(tx.table(groupIDsBucket).get([]byte(id)))
	if n == 0 {
		return nil, nil
	}
	s, err := tx.groupNumbered(n)
	if err != nil || len(s.Holds) == 0 {
		return nil, err
	}
	return s.copy(), nil
}

// Groups calls fn for every group whose path is behind after, in the order of paths, bytewise. ErrStop ends it early; fn must
// not write users or origins.
func (tx *Tx) Groups(after string, fn func(*Group) error) error {
	var from []byte
	if after != "" {
		from = pathKey(after)
	}
	return tx.table(groupPathsBucket).each(from, func(_, value []byte) error {
		s, err := tx.groupNumbered(parseNumber(value))
		if err != nil || len(s.Holds) == 0 {
			return err
		}
		return fn(s.copy())
	})
}

// Members calls fn for the id of every user who is in the group of a path, in the order in which users were made.
func (tx *Tx) Members(path string, fn func(userID string) error) error {
	s, err := tx.groupAt(path)
	if err != nil || s == nil {
		return err
	}
	prefix := number(s.number)
	return tx.table(membersBucket).each(prefix, func(key, _ []byte) error {
		if string(key[:8]) != string(prefix) {
			return ErrStop
		}
		id, err := tx.userID(parseNumber(key[8:]))
		if err != nil {
			return err
		}
		return fn(id)
	})
}

// join brings memberships from a user's old state, nil for none, to the new one.
func (tx *Tx) join(old, u *User, user uint64) error {
	var before []Value
	if old != nil {
		before = Memberships(old)
	}
	after := Memberships(u)
	if len(before) == 0 && len(after) == 0 || sameMemberships(before, after) {
		return nil
	}
	for _, v := range after {
		at, found := findValue(before, v.V)
		if found && slices.Equal(before[at].Origins, v.Origins) || v.V == "" {
			continue
		}
		var held []string
		if found {
			held = before[at].Origins
		}
		if err := tx.hold(v.V, held, v.Origins); err != nil {
			return err
		}
		if !found {
			if err := tx.member(v.V, user, 1); err != nil {
				return err
			}
		}
	}
	for _, v := range before {
		if _, found := findValue(after, v.V); found || v.V == "" {
			continue
		}
		if err := tx.member(v.V, user, -1); err != nil {
			return err
		}
		if err := tx.hold(v.V, v.Origins, nil); err != nil {
			return err
		}
	}
	return nil
}

// hold changes who keeps a group, and with it the groups above. A group that is not there yet is made.
func (tx *Tx) hold(path string, old, origins []string) error {
	if slices.Equal(old, origins) {
		return nil
	}
	s, err := tx.touch(path)
	if err != nil {
		return err
	}
	before := slices.Sorted(maps.Keys(s.Holds))
	for _, origin := range origins {
		if !slices.Contains(old, origin) {
			s.Holds[origin]++
		}
	}
	for _, origin := range old {
		if slices.Contains(origins, origin) {
			continue
		}
		if s.Holds[origin]--; s.Holds[origin] <= 0 {
			delete(s.Holds, origin)
		}
	}
	if parent := ParentOf(path); parent != "" {
		return tx.hold(parent, before, slices.Sorted(maps.Keys(s.Holds)))
	}
	return nil
}

// holdByEntry moves the hold of an entry from what its old origin kept, nil for no origin, to path.
func (tx *Tx) holdByEntry(source string, old []byte, path string) error {
	before := ""
	if len(old) > originHead && old[0]&flagHolds != 0 {
		var o Origin
		if err := decoding.Unmarshal(old[originHead:], &o); err != nil {
			return fmt.Errorf("origin of %s: %w", source, err)
		}
		before = o.Holds
	}
	if before == path {
		return nil
	}
	if path != "" {
		if err := tx.hold(path, nil, []string{source}); err != nil {
			return err
		}
	}
	if before != "" {
		return tx.hold(before, []string{source}, nil)
	}
	return nil
}

// member notes that a user joined (1) or left (-1) a group.
func (tx *Tx) member(path string, user uint64, n int) error {
	s, err := tx.touch(path)
	if err != nil {
		return err
	}
	s.Members += n
	key := memberKey(s.number, user)
	members := tx.table(membersBucket)
	if n < 0 {
		err = members.delete(key)
	} else {
		members.bucket.FillPercent = fillAppended
		err = members.put(key, []byte{})
	}
	if err != nil {
		return err
	}
	return tx.noteMember(key, n)
}

// touch returns a group that is going to change, a new one where there is none, and remembers how it was.
func (tx *Tx) touch(path string) (*groupState, error) {
	s, err := tx.groupAt(path)
	if err == nil && s == nil {
		s, err = tx.newGroup(path)
	}
	if err != nil {
		return nil, fmt.Errorf("group %q: %w", path, err)
	}
	if err := tx.noteGroup(s); err != nil {
		return nil, err
	}
	if s.Holds == nil {
		s.Holds = map[string]int{}
	}
	s.dirty = true
	return s, nil
}

// newGroup makes a group behind the one above it, so that what is told of them is told in this order.
func (tx *Tx) newGroup(path string) (*groupState, error) {
	if parent := ParentOf(path); parent != "" {
		if above, err := tx.groupAt(parent); err != nil {
			return nil, err
		} else if above == nil {
			if _, err := tx.newGroup(parent); err != nil {
				return nil, err
			}
		}
	}
	n, err := tx.table(groupsBucket).bucket.NextSequence()
	if err != nil {
		return nil, err
	}
	id, err := tx.freeGroupID(path)
	if err != nil {
		return nil, err
	}
	s := &groupState{Group: Group{ID: id, Path: path}, number: n}
	tx.groups[n] = s
	return s, errors.Join(tx.table(groupPathsBucket).put(pathKey(path), number(n)), tx.table(groupIDsBucket).put([]byte(id), number(n)))
}

// freeGroupID returns the id of a path or, where a group that was called so has it, the next one.
func (tx *Tx) freeGroupID(path string) (string, error) {
	var store string
	if err := tx.meta(metaID, &store); err != nil {
		return "", err
	}
	namespace, err := uuid.Parse(store)
	if err != nil { // a test's store may be called anything
		namespace = uuid.NewSHA1(uuid.Nil, []byte(store))
	}
	for n, name := 2, "group\x00"+path; ; n++ {
		id := uuid.NewSHA1(namespace, []byte(name)).String()
		if tx.table(groupIDsBucket).get([]byte(id)) == nil {
			return id, nil
		}
		name = "group\x00" + path + "\x00" + strconv.Itoa(n)
	}
}

// groupAt returns the group of a path, also one that nobody holds any more, nil for none.
func (tx *Tx) groupAt(path string) (*groupState, error) {
	n := parseNumber(tx.table(groupPathsBucket).get(pathKey(path)))
	if n == 0 {
		return nil, nil
	}
	return tx.groupNumbered(n)
}

func (tx *Tx) groupNumbered(n uint64) (*groupState, error) {
	if s := tx.groups[n]; s != nil {
		return s, nil
	}
	s := &groupState{number: n}
	found, err := tx.table(groupsBucket).load(number(n), &s.Group)
	if err == nil && !found {
		err = tx.table(groupsBucket).bad(number(n), errors.New("the index knows a group that is not there"))
	}
	if err != nil {
		return nil, err
	}
	tx.groups[n] = s
	return s, nil
}

// putGroups writes the groups that changed, in an order of their own so that equal transactions write equal files.
func (tx *Tx) putGroups() error {
	for _, n := range slices.Sorted(maps.Keys(tx.groups)) {
		s := tx.groups[n]
		if !s.dirty {
			continue
		}
		if err := tx.table(groupsBucket).save(number(n), &s.Group); err != nil {
			return err
		}
		s.dirty = false
	}
	return nil
}

// forgetGroup removes a group that nobody holds.
func (tx *Tx) forgetGroup(s *groupState) error {
	delete(tx.groups, s.number)
	return errors.Join(tx.table(groupsBucket).delete(number(s.number)), tx.table(groupPathsBucket).delete(pathKey(s.Path)),
		tx.table(groupIDsBucket).delete([]byte(s.ID)))
}

func (s *groupState) copy() *Group {
	g := s.Group
	g.Holds = maps.Clone(s.Holds)
	return &g
}

// pathKey returns the index key of a path: of a long one the key holds a hash, because bbolt's keys are short.
func pathKey(path string) []byte {
	const short = 1024
	if len(path) <= short {
		return []byte(path)
	}
	sum := sha256.Sum256([]byte(path))
	return append([]byte(path[:short]), sum[:]...)
}

func memberKey(group, user uint64) []byte {
	return binary.BigEndian.AppendUint64(number(group), user)
}

func sameMemberships(a, b []Value) bool {
	return slices.EqualFunc(a, b, func(a, b Value) bool { return a.V == b.V && slices.Equal(a.Origins, b.Origins) })
}

func findValue(list []Value, v string) (int, bool) {
	for i := range list {
		if list[i].V == v {
			return i, true
		}
	}
	return 0, false
}
