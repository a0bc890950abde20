package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// Fold turns the changes of one run into verdicts: Note for every change, Settle, Decide for every
// change again, Rest. It is used by one goroutine.
type Fold struct {
	options Options
	view    View
	run     Run
	merge   modes
	touched touches
	seen    []sighting
	aside   []*mapping.Change
	tally   tally
	// belonging is nil where no groups are entries, again are the people whom changed groups concern and who are
	// still to be decided, concerned all of them.
	belonging *belonging
	again     []store.Key
	concerned map[store.Key]bool
	referees  referees
	// moved are names of those who go, are renamed, or have something else to lend: whoever names them is decided again.
	moved []store.Key
	lent  map[store.Key]lending
	// later are those who name somebody of the run.
	later []*mapping.Change
	// one is the desk for entries that have to do with no other.
	one desk
}

// sighting is the newest change of an entry, in 24 bytes: a first run has one for every entry.
type sighting struct {
	key store.Key
	// state is the change's number, behind it two flags.
	state uint64
}

const (
	contested = 1 << iota
	decided
	deferred
	numberShift = 3
)

// NewFold returns a fold for one run of the source in o.
func NewFold(o Options, v View, r Run) *Fold {
	f := &Fold{options: o, view: v, run: r, merge: modesOf(o)}
	if o.Memberships || o.SelectGroups {
		f.belonging = newBelonging(o.Source, v)
	}
	return f
}

// Note takes a change into account: one of the run, or (with Number 0) what waits from earlier runs or is
// to be decided again. The run's own changes are numbered from 1; of several changes of one entry the
// highest number counts. c may be reused afterwards.
func (f *Fold) Note(c *mapping.Change) error {
	at := uint32(len(f.seen))
	f.seen = append(f.seen, sighting{store.KeyOf(c.Key), c.Number << numberShift})
	return f.touch(c, at)
}

// Settle ends the noting: it finds the entries that have to do with each other.
func (f *Fold) Settle() error {
	if err := f.callAgain(); err != nil {
		return fmt.Errorf("find whom groups concern: %w", err)
	}
	f.touched.shared(func(a, b uint32) {
		if f.seen[a].key != f.seen[b].key {
			f.seen[a].state |= contested
			f.seen[b].state |= contested
		}
	})
	f.touched = touches{}
	slices.SortFunc(f.seen, func(a, b sighting) int {
		return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(b.state, a.state))
	})
	kept := f.seen[:0]
	for _, s := range f.seen {
		if n := len(kept); n > 0 && kept[n-1].key == s.key {
			kept[n-1].state |= s.state & (contested | deferred)
			continue
		}
		kept = append(kept, s)
	}
	f.seen = kept
	return nil
}

// Decide yields the verdict of a noted change, unless a newer one of the entry exists, it was
// decided before, or it is contested: then [Fold.Rest] yields it. c may be reused afterwards, the
// verdict belongs to yield.
func (f *Fold) Decide(c *mapping.Change, yield func(*Verdict) error) error {
	key := store.KeyOf(c.Key)
	at, found := slices.BinarySearchFunc(f.seen, key, func(s sighting, key store.Key) int {
		return bytes.Compare(s.key[:], key[:])
	})
	if !found {
		return nil
	}
	s := &f.seen[at]
	if s.state>>numberShift != c.Number || s.state&decided != 0 {
		return nil
	}
	s.state |= decided
	if s.state&contested != 0 {
		f.aside = append(f.aside, cloneChange(c))
		return nil
	}
	if s.state&deferred != 0 {
		f.later = append(f.later, cloneChange(c))
		return nil
	}
	f.one.clear(f)
	return f.one.decideOne(c, key, f.counted(yield))
}

// Rest yields the verdicts of the contested entries, and of users who are concerned without an entry of
// their own in the run (their Key is empty).
func (f *Fold) Rest(yield func(*Verdict) error) error {
	if _, err := f.Concerned(math.MaxInt, yield); err != nil {
		return err
	}
	aside, later := f.aside, f.later
	f.aside, f.later = nil, nil
	byKey := func(a, b *mapping.Change) int { return strings.Compare(a.Key, b.Key) }
	slices.SortFunc(later, byKey)
	if err := f.decideLater(later, nil); err != nil {
		return err
	}
	if len(aside) > 0 {
		slices.SortFunc(aside, byKey)
		d := &desk{Fold: f}
		if err := d.decide(aside, f.counted(yield)); err != nil {
			return err
		}
	}
	return f.decideLater(later, f.counted(yield))
}

// decideLater decides those who name somebody: without yield it only learns what becomes of them.
func (f *Fold) decideLater(later []*mapping.Change, yield func(*verdict) error) error {
	for _, c := range later {
		f.one.clear(f)
		if err := f.one.decideOne(c, store.KeyOf(c.Key), yield); err != nil {
			return err
		}
	}
	return nil
}

// counted counts verdicts on their way for the guard.
func (f *Fold) counted(yield func(*Verdict) error) func(*verdict) error {
	return func(v *verdict) error {
		f.tally.add(f.belonging, v)
		return yield(&v.Verdict)
	}
}

func cloneChange(c *mapping.Change) *mapping.Change {
	clone := *c
	for i, list := range c.List {
		clone.List[i] = slices.Clone(list)
	}
	clone.Members, clone.Names = slices.Clone(c.Members), slices.Clone(c.Names)
	clone.Warnings, clone.ShortPINs = slices.Clone(c.Warnings), slices.Clone(c.ShortPINs)
	return &clone
}
