package policy

import (
	"slices"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// lending is what an entry of the run has for those who borrow from it, nothing when it is gone.
type lending struct {
	number uint64
	lends  []mapping.Lent
}

// byManager is how an origin's Members name the entry that its own borrows from.
func byManager(key string) store.Key { return store.KeyOf("manager:" + key) }

// lend notes what an entry of the run has for those who borrow from it (E3), and calls them into the run where it is not what it
// was. What was rejected, or is missed and not for the last time, stays as it was.
func (f *Fold) lend(c *mapping.Change, key store.Key, origin *store.Origin) error {
	tells := c.Absent || c.Loan.Borrows != 0 || len(c.Loan.Lends) > 0
	pending := c.Absent && origin != nil && origin.User != "" && origin.Missed+1 < f.options.AbsentFor
	if c.Number == 0 || c.Rejected != "" || !tells || pending || f.lent[key].number > c.Number {
		return nil
	}
	now := lending{c.Number, slices.Clone(c.Loan.Lends)}
	if origin != nil && origin.Tombstone {
		now.lends = nil
	}
	if f.lent == nil {
		f.lent = map[store.Key]lending{}
	}
	f.lent[key] = now
	if origin == nil && f.run.First {
		return nil // nobody is in the store yet
	}
	before, err := storedLends(origin)
	if err == nil && !slices.Equal(before, now.lends) {
		f.moved = append(f.moved, byManager(c.Key))
	}
	return err
}

// storedLends returns what an entry had for others when it was taken over last.
func storedLends(origin *store.Origin) ([]mapping.Lent, error) {
	if origin == nil || origin.Gone || len(origin.Change) == 0 {
		return nil, nil
	}
	c, err := decodeChange(origin.Change)
	if err != nil {
		return nil, err
	}
	return c.Loan.Lends, nil
}

// keepLends has an origin say what its entry has for others now, where it keeps what the entry said before.
func (e *entry) keepLends(o *store.Origin) error {
	if c := e.change; c.Number == 0 || c.Rejected != "" || c.Absent || e.stand == group || len(o.Change) == 0 {
		return nil
	}
	kept, err := decodeChange(o.Change)
	if err != nil || slices.Equal(kept.Loan.Lends, e.change.Loan.Lends) {
		return err
	}
	kept.Loan.Lends = e.change.Loan.Lends
	o.Change, err = encodeChange(kept)
	return err
}

// borrow writes into an entry's change what it borrows, as its lender has it after the run. A change that rests in an origin is
// copied for that: the origin is written anew when it says something else.
func (d *desk) borrow(e *entry) error {
	loan := &e.change.Loan
	if loan.Borrows == 0 || e.change.Absent {
		return nil
	}
	lends, err := d.lends(loan.Lender)
	if err != nil {
		return err
	}
	texts := e.change.Text
	for p := range store.TextCount {
		if loan.Borrows.Has(p) {
			texts[p] = ""
		}
	}
	for _, lent := range lends {
		if loan.Borrows.Has(lent.Property) {
			texts[lent.Property] = lent.Value
		}
	}
	if e.change.Number == 0 && texts != e.change.Text {
		told := *e.change
		e.change, e.borrowed = &told, true
	}
	e.change.Text = texts
	return nil
}

func (d *desk) lends(lender string) ([]mapping.Lent, error) {
	if lender == "" {
		return nil, nil
	}
	key := store.KeyOf(lender)
	if now, noted := d.lent[key]; noted {
		return now.lends, nil
	}
	origin, err := d.view.Origin(d.options.Source, key)
	if err != nil {
		return nil, err
	}
	return storedLends(origin)
}
