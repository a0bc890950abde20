package policy

import (
	"cmp"
	"slices"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// touches are the things that noted entries touch, as hashes.
type touches struct {
	all []touched
}

// touched is a hash and the number of the note it comes from, in twelve bytes.
type touched struct{ high, low, at uint32 }

// The kinds of things that are no claims; claims use their space.
const (
	userThing          store.Space = 200
	administratorThing store.Space = 201
)

func (t *touches) add(kind store.Space, value string, at uint32) {
	h := hash(kind, value)
	t.all = append(t.all, touched{uint32(h >> 32), uint32(h), at})
}

// shared calls fn for notes that touch the same thing; every note that shares anything with
// a note of another entry is named at least once together with one of another entry.
func (t *touches) shared(fn func(a, b uint32)) {
	slices.SortFunc(t.all, func(a, b touched) int {
		return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
	})
	first := 0
	for i := 1; i < len(t.all); i++ {
		if t.all[i].high != t.all[first].high || t.all[i].low != t.all[first].low {
			first = i
			continue
		}
		fn(t.all[first].at, t.all[i].at)
	}
}

// touch notes what deciding c may read or write besides its own origin: its user, the values it may
// claim, the users who hold them, and what an inactive user would get back.
func (f *Fold) touch(c *mapping.Change, at uint32) error {
	if c.Kind == connectors.Group && f.belonging == nil {
		return nil
	}
	origin, err := f.view.Origin(f.options.Source, f.seen[at].key)
	if err != nil {
		return err
	}
	if isGroup(c, origin) {
		if f.belonging != nil {
			f.belonging.note(c, f.seen[at].key)
		}
		return nil
	}
	if err := f.lend(c, f.seen[at].key, origin); err != nil {
		return err
	}
	own := ""
	if origin != nil && origin.User != "" {
		own = origin.User
		u, err := f.touchUser(own, false, at)
		if err != nil {
			return err
		}
		f.move(c, origin, u)
	}
	if c.Absent || c.Rejected != "" {
		return nil
	}
	if f.refer(c) {
		f.seen[at].state |= deferred
	}
	return f.touchChange(c, own, own == "" || !f.options.PairByObjectID, at)
}

// touchUser notes a user whom the entry belongs to, or may be linked to anew (joins).
func (f *Fold) touchUser(id string, joins bool, at uint32) (*store.User, error) {
	f.touched.add(userThing, id, at)
	u, err := f.view.User(id)
	if err != nil || u == nil {
		return nil, err
	}
	if u.Administrator {
		f.touched.add(administratorThing, "", at)
	}
	if !u.Active {
		back := *u
		back.Active = true
		for _, claim := range store.Claims(&back) {
			if err := f.touchClaim(claim, id, false, at); err != nil {
				return nil, err
			}
		}
	}
	if len(u.Origins) < 2 && !joins {
		return u, nil // the one origin is the entry's own
	}
	for _, ref := range u.Origins {
		if err := f.touchOrigin(ref, id, at); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// touchOrigin notes what a user's other entries say: a value may come from there.
func (f *Fold) touchOrigin(ref store.OriginRef, id string, at uint32) error {
	origin, err := f.view.Origin(ref.Source, ref.Key)
	if err != nil || origin == nil || len(origin.Change) == 0 {
		return err
	}
	c, err := decodeChange(origin.Change)
	if err != nil {
		return err
	}
	return f.touchChange(c, id, false, at)
}

// touchChange notes the values that a change speaks of; leads is true when they may lead to a user.
func (f *Fold) touchChange(c *mapping.Change, own string, leads bool, at uint32) error {
	for _, s := range spaces {
		if s.single {
			if err := f.touchClaim(store.Claim{Space: s.space, Value: c.Text[s.text]}, own, leads, at); err != nil {
				return err
			}
		}
		if !s.multi {
			continue
		}
		for _, v := range c.List[s.list.List()] {
			if err := f.touchClaim(store.Claim{Space: s.space, Value: v}, own, false, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Fold) touchClaim(claim store.Claim, own string, leads bool, at uint32) error {
	claim = store.FoldClaim(claim)
	if claim.Value == "" {
		return nil
	}
	f.touched.add(claim.Space, claim.Value, at)
	holder, err := f.view.Holder(claim)
	if err != nil || holder == "" || holder == own {
		return err
	}
	if leads {
		_, err := f.touchUser(holder, true, at)
		return err
	}
	f.touched.add(userThing, holder, at)
	return nil
}

// hash is FNV-1a with a final mix. Whoever makes two values collide makes a run slower.
func hash(kind store.Space, value string) uint64 {
	const prime = 0x100000001b3
	h := uint64(0xcbf29ce484222325)
	h = (h ^ uint64(kind)) * prime
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * prime
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}
