package policy

import (
	"maps"
	"slices"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// Concerned yields the verdicts of up to limit people whose groups changed and who are not in the run themselves, and
// reports whether there are more. It is called between the last Decide and [Fold.Rest], which yields those that are left.
func (f *Fold) Concerned(limit int, yield func(*Verdict) error) (more bool, err error) {
	for ; len(f.again) > 0 && limit > 0; limit-- {
		key := f.again[0]
		f.again = f.again[1:]
		c, err := f.waiting(key)
		if err != nil {
			return false, err
		}
		if err := f.Decide(c, yield); err != nil {
			return false, err
		}
	}
	return len(f.again) > 0, nil
}

// callAgain notes the people whom changed groups concern, and those who name somebody who moved, as what waits is noted: with what their entries said last.
func (f *Fold) callAgain() error {
	keys := map[store.Key]bool{}
	if f.belonging != nil {
		if err := f.belonging.settle(f.run.First, keys); err != nil {
			return err
		}
	}
	if err := f.referrers(keys); err != nil || len(keys) == 0 {
		return err
	}
	for _, s := range f.seen {
		delete(keys, s.key) // decided anyway
	}
	f.concerned = keys
	for _, key := range slices.SortedFunc(maps.Keys(keys), compareKeys) {
		c, err := f.waiting(key)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		f.again = append(f.again, key)
		if err := f.Note(c); err != nil {
			return err
		}
	}
	return nil
}

// waiting returns what an entry said last, nil for one that is gone.
func (f *Fold) waiting(key store.Key) (*mapping.Change, error) {
	origin, err := f.view.Origin(f.options.Source, key)
	if err != nil || origin == nil || origin.Gone || len(origin.Change) == 0 {
		return nil, err
	}
	c, err := decodeChange(origin.Change)
	if err != nil {
		return nil, err
	}
	c.Number = 0
	return c, nil
}

// groupVerdict says what becomes of the group that an entry stands for: what it is called is what its members' verdicts
// say too, and what it is held by is in its origin.
func (e *entry) groupVerdict(v *Verdict) {
	if e.change.Rejected != "" {
		return
	}
	old, now := "", e.path()
	if e.origin != nil && !e.origin.Gone {
		if c, err := decodeChange(e.origin.Change); err == nil {
			old = pathOf(c)
		}
	}
	if old == now {
		return
	}
	v.Changed = []Changed{{Property: pathChanged, Old: old, New: now}}
	if old != "" && now != "" {
		v.Renamed = []string{old, now}
	}
}

// path returns the group that an entry's members are in after the run.
func (e *entry) path() string {
	if e.change.Rejected == "" && !e.absent() {
		return pathOf(e.change)
	}
	return ""
}
