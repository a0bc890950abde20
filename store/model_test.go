package store_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rollcall/store"
)

// TestStoreIsAMap runs random transactions against a store and against maps that know nothing of
// indexes and counters. After each one the store says the same, and Check finds nothing.
func TestStoreIsAMap(t *testing.T) {
	folder, files := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		files++
		db := open(t, filepath.Join(folder, fmt.Sprint(files)), store.Options{NoSync: true})
		defer db.Close()
		m := &machine{db: db, users: map[string]*store.User{}, origins: map[string]map[string]store.Origin{"a": {}, "b": {}}}
		rt.Repeat(map[string]func(*rapid.T){
			"put user":    m.putUser,
			"deactivate":  m.deactivate,
			"swap":        m.swap,
			"put origin":  m.putOrigin,
			"drop origin": m.dropOrigin,
			"revise":      m.revise,
			"relay":       m.relay,
			"roll back":   m.rollBack,
			"":            m.compare,
		})
	})
}

// machine is a store and what it should hold.
type machine struct {
	db      *store.DB
	users   map[string]*store.User
	origins map[string]map[string]store.Origin // by source and key
	bodies  []string
	relayed int
}

var (
	someNames   = []string{"alice", "Alice", "bob", "BOB", "čeněk", "ČENĚK", "zoë", "Zoe\u0308"}
	someCards   = []string{"01", "1", "0a", "0A"}
	someNumbers = []string{"", "E1", "e1", "E2"}
)

func (m *machine) putUser(t *rapid.T) {
	u := m.draw(t)
	u.Text[store.UserName] = rapid.SampledFrom([]string{"alice", "Alice", "bob", "BOB", "čeněk", "ČENĚK", "zoë"}).Draw(t, "name")
	u.Text[store.PersonalNumber] = rapid.SampledFrom(someNumbers).Draw(t, "personal number")
	u.List[store.Aliases.List()] = drawValues(t, "aliases", someNames)
	u.List[store.Cards.List()] = drawValues(t, "cards", someCards)
	u.List[store.PINs.List()] = drawValues(t, "PINs", someCards)
	u.Active, u.InactiveReason = true, ""
	m.put(t, u)
}

func (m *machine) deactivate(t *rapid.T) {
	u := m.draw(t)
	if m.users[u.ID] == nil {
		return
	}
	u.Active, u.InactiveReason = false, "manual"
	m.put(t, u)
}

// put expects ErrTaken exactly where the model has another holder.
func (m *machine) put(t *rapid.T, u *store.User) {
	err := m.db.Update(func(tx *store.Tx) error { return tx.PutUser(u) })
	taken := m.taken(u)
	if (err != nil) != taken || taken && !errors.Is(err, store.ErrTaken) {
		t.Fatalf("put %v: %v; taken in the model: %t", u, err, taken)
	}
	if !taken {
		m.users[u.ID] = u
	}
}

// swap gives each of two users all that the other one claims, as a run does: releases first, maybe
// in a transaction of their own.
func (m *machine) swap(t *rapid.T) {
	ids := slices.Sorted(maps.Keys(m.users))
	if len(ids) < 2 {
		return
	}
	a, b := clone(m.users[ids[0]]), clone(m.users[rapid.SampledFrom(ids[1:]).Draw(t, "other")])
	released := func(tx *store.Tx) error {
		return errors.Join(
			tx.SetApplying(&store.Applying{Source: "a"}),
			tx.ReleaseClaims(a.ID, store.Claims(m.users[a.ID])),
			tx.ReleaseClaims(b.ID, store.Claims(m.users[b.ID])),
		)
	}
	a.Text, b.Text, a.List, b.List = b.Text, a.Text, b.List, a.List
	a.Active, b.Active, a.InactiveReason, b.InactiveReason = b.Active, a.Active, b.InactiveReason, a.InactiveReason
	taken := func(tx *store.Tx) error {
		return errors.Join(tx.PutUser(b), tx.PutUser(a), tx.SetApplying(nil))
	}
	m.swapped(t, released, taken)
	m.users[a.ID], m.users[b.ID] = a, b
}

func (m *machine) swapped(t *rapid.T, released, taken func(*store.Tx) error) {
	if rapid.Bool().Draw(t, "at once") {
		must(t, m.db.Update(func(tx *store.Tx) error { return errors.Join(released(tx), taken(tx)) }))
		return
	}
	must(t, m.db.Update(released))
	must(t, m.db.Check())
	must(t, m.db.Update(taken))
}

func (m *machine) putOrigin(t *rapid.T) {
	source := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "source")
	o := store.Origin{
		Key:     rapid.SampledFrom([]string{"k1", "k2", "k3", "\xff"}).Draw(t, "key"),
		Entry:   rapid.String().Draw(t, "entry"),
		Waiting: rapid.Bool().Draw(t, "waiting"),
		Gone:    rapid.Bool().Draw(t, "gone"),
		User:    rapid.SampledFrom(append(slices.Sorted(maps.Keys(m.users)), "")).Draw(t, "user"),
	}
	o.Digest = store.DigestOf("config", []byte(o.Entry))
	o.Names = store.HashNames(rapid.SliceOfN(rapid.SampledFrom(someNames), 0, 2).Draw(t, "names"))
	o.Members = store.HashNames(rapid.SliceOfN(rapid.SampledFrom(someNames), 0, 3).Draw(t, "members"))
	m.setOrigin(t, source, o.Key, &o)
}

func (m *machine) dropOrigin(t *rapid.T) {
	source := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "source")
	m.setOrigin(t, source, rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key"), nil)
}

// setOrigin writes or, for nil, deletes an origin, and both users' sides of the link.
func (m *machine) setOrigin(t *rapid.T, source, key string, o *store.Origin) {
	concerned := []string{m.origins[source][key].User}
	if o == nil {
		delete(m.origins[source], key)
	} else {
		m.origins[source][key] = *o
		concerned = append(concerned, o.User)
	}
	must(t, m.db.Update(func(tx *store.Tx) error {
		for _, id := range concerned {
			if u := m.users[id]; u != nil {
				m.users[id] = m.linked(u)
				must(t, tx.PutUser(m.users[id]))
			}
		}
		if o == nil {
			return tx.DeleteOrigin(source, store.KeyOf(key))
		}
		return tx.PutOrigin(source, o)
	}))
}

func (m *machine) revise(t *rapid.T) {
	body := rapid.String().Draw(t, "body")
	must(t, m.db.Update(func(tx *store.Tx) error {
		n, chain := tx.Head()
		wrong := store.Revision{Number: n + 2, Chain: store.ChainOf(chain, []byte(body)), Body: []byte(body)}
		if tx.AppendRevision(wrong) == nil {
			t.Fatal("a revision with a gap before it was taken")
		}
		return tx.AppendRevision(store.Revision{Number: n + 1, Chain: store.ChainOf(chain, []byte(body)), Body: []byte(body)})
	}))
	m.bodies = append(m.bodies, body)
}

func (m *machine) relay(t *rapid.T) {
	upTo := rapid.IntRange(0, len(m.bodies)).Draw(t, "up to")
	limit := rapid.IntRange(1, 3).Draw(t, "limit")
	must(t, m.db.Update(func(tx *store.Tx) error { return tx.DropRevisions(uint64(upTo), limit) }))
	m.relayed = max(m.relayed, min(upTo, m.relayed+limit))
}

// rollBack does all kinds of things in a transaction that fails.
func (m *machine) rollBack(t *rapid.T) {
	failed := errors.New("failed")
	err := m.db.Update(func(tx *store.Tx) error {
		u := m.draw(t)
		u.Text[store.UserName], u.Active = "somebody else", true
		_ = tx.PutUser(u)
		_ = tx.PutOrigin("a", &store.Origin{Key: "k9", Waiting: true})
		_ = tx.DeleteOrigin("b", store.KeyOf("k1"))
		_ = tx.AppendResult("applied", "a", nil)
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatalf("update: %v", err)
	}
}

func (m *machine) compare(t *rapid.T) {
	must(t, m.db.Check())
	must(t, m.db.View(func(tx *store.Tx) error {
		m.compareUsers(t, tx)
		m.compareClaims(t, tx)
		m.compareOrigins(t, tx)
		m.compareRevisions(t, tx)
		return nil
	}))
}

func (m *machine) compareUsers(t *rapid.T, tx *store.Tx) {
	ids, active := []string{}, 0
	must(t, tx.Users("", func(u *store.User) error {
		ids = append(ids, u.ID)
		if !reflect.DeepEqual(u, m.users[u.ID]) {
			t.Fatalf("user\n%+v\nwant\n%+v", u, m.users[u.ID])
		}
		if u.Active {
			active++
		}
		return nil
	}))
	if want := slices.Sorted(maps.Keys(m.users)); !slices.Equal(ids, want) {
		t.Fatalf("users %v, want %v", ids, want)
	}
	if n, a := tx.CountUsers(); n != len(ids) || a != active {
		t.Fatalf("%d users, %d active; want %d, %d", n, a, len(ids), active)
	}
}

func (m *machine) compareClaims(t *rapid.T, tx *store.Tx) {
	for space, values := range map[store.Space][]string{store.Names: someNames, store.CardNumbers: someCards, store.PINHashes: someCards, store.PersonalNumbers: someNumbers} {
		for _, value := range values {
			c := store.Claim{Space: space, Value: value}
			if holder, err := tx.Holder(c); err != nil || holder != m.holder(c, "") {
				t.Fatalf("holder of %v: %q, %v; want %q", c, holder, err, m.holder(c, ""))
			}
		}
	}
}

func (m *machine) compareOrigins(t *rapid.T, tx *store.Tx) {
	for source, want := range m.origins {
		entries, waiting := 0, 0
		for key, o := range want {
			got, err := tx.Origin(source, store.KeyOf(key))
			if err != nil || !reflect.DeepEqual(*got, o) {
				t.Fatalf("origin %q: %+v, %v; want %+v", key, got, err, o)
			}
			if !o.Gone {
				entries++
			}
			if o.Waiting {
				waiting++
			}
		}
		must(t, tx.Waiting(source, func(_ store.Key, o *store.Origin) error {
			waiting--
			if !want[o.Key].Waiting {
				t.Fatalf("origin %q waits", o.Key)
			}
			return nil
		}))
		s, err := tx.Source(source)
		if err != nil || s.Entries != entries || waiting != 0 {
			t.Fatalf("source %s: %+v, %v; want %d entries; %d more waiting", source, s, err, entries, waiting)
		}
		m.compareBaseline(t, tx, source)
		m.compareLinks(t, tx, source)
	}
}

func (m *machine) compareLinks(t *rapid.T, tx *store.Tx, source string) {
	for _, name := range someNames {
		hash := store.KeyOf(name)
		named, joined := 0, 0
		for _, o := range m.origins[source] {
			if slices.Contains(o.Names, hash) {
				named++
			}
			if slices.Contains(o.Members, hash) {
				joined++
			}
		}
		isNamed, err := tx.Named(source, hash)
		must(t, err)
		hasJoined, err := tx.Joined(source, hash)
		must(t, err)
		if len(isNamed) != named || len(hasJoined) != joined {
			t.Fatalf("%s: %d entries are called so and %d have it as a member; want %d and %d", name, len(isNamed), len(hasJoined), named, joined)
		}
	}
}

func (m *machine) compareBaseline(t *rapid.T, tx *store.Tx, source string) {
	got, want := map[store.Key]store.Digest{}, map[store.Key]store.Digest{}
	for key, o := range m.origins[source] {
		want[store.KeyOf(key)] = o.Digest
	}
	var after store.Key
	for more := true; more; {
		page, next, err := tx.Baseline(source, after, 2)
		must(t, err)
		for _, e := range page {
			got[e.Key], after = e.Digest, e.Key
		}
		more = next
	}
	if !maps.Equal(got, want) {
		t.Fatalf("baseline %v, want %v", got, want)
	}
}

func (m *machine) compareRevisions(t *rapid.T, tx *store.Tx) {
	revisions, err := tx.Revisions(0, 1000)
	must(t, err)
	var got []string
	for i, r := range revisions {
		if r.Number != uint64(m.relayed+i+1) {
			t.Fatalf("revision %d at %d", r.Number, i)
		}
		got = append(got, string(r.Body))
	}
	if !slices.Equal(got, m.bodies[m.relayed:]) {
		t.Fatalf("revisions %q, want %q", got, m.bodies[m.relayed:])
	}
}

// draw returns a copy of a known user or a new one.
func (m *machine) draw(t *rapid.T) *store.User {
	id := fmt.Sprintf("user %d", rapid.IntRange(1, 4).Draw(t, "id"))
	if u := m.users[id]; u != nil {
		return clone(u)
	}
	return &store.User{ID: id}
}

func (m *machine) taken(u *store.User) bool {
	for _, c := range store.Claims(u) {
		if m.holder(c, u.ID) != "" {
			return true
		}
	}
	return false
}

// holder returns the id of the user, other than one, who claims c.
func (m *machine) holder(c store.Claim, except string) string {
	for id, u := range m.users {
		if id != except && slices.Contains(store.Claims(u), store.FoldClaim(c)) {
			return id
		}
	}
	return ""
}

// linked returns u with the origins that point to it; the first one's source owns it.
func (m *machine) linked(u *store.User) *store.User {
	u = clone(u)
	u.Origins, u.Owner = nil, ""
	for source, origins := range m.origins {
		for key, o := range origins {
			if o.User == u.ID {
				u.Origins = append(u.Origins, store.OriginRef{Source: source, Key: store.KeyOf(key)})
			}
		}
	}
	slices.SortFunc(u.Origins, func(a, b store.OriginRef) int {
		return slices.Compare(append([]byte(a.Source), a.Key[:]...), append([]byte(b.Source), b.Key[:]...))
	})
	if len(u.Origins) > 0 {
		u.Owner = u.Origins[0].Source
	}
	return u
}

func drawValues(t *rapid.T, label string, from []string) (list []store.Value) {
	drawn := rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID).Draw(t, label)
	slices.Sort(drawn)
	return values(drawn...)
}

func clone(u *store.User) *store.User {
	c := *u
	return &c
}

func must(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
