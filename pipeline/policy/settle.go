package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcall/store"
)

// verdict is a verdict with what the guard wants to know beside.
type verdict struct {
	Verdict
	relinked bool
	old      *store.User
}

// verdicts yields what was decided: one verdict for every entry, and one for every user who is
// concerned without an entry in the run.
func (d *desk) verdicts(yield func(*verdict) error) error {
	for _, e := range d.entries {
		v, err := d.verdict(e)
		if err != nil {
			return fmt.Errorf("decide %s: %w", e.change.Entry, err)
		}
		if d.isIdle(e, v) {
			continue
		}
		if err := yield(v); err != nil {
			return err
		}
	}
	for _, u := range d.units {
		if len(u.entries) > 0 || u.new == u.old {
			continue
		}
		v := &verdict{Verdict: Verdict{Action: Update, Name: nameOf(u.old), Reason: d.leftBy(u)}}
		v.carry(u)
		if err := yield(v); err != nil {
			return err
		}
	}
	return nil
}

// leftBy says why a user changes of whom the run reads no entry.
func (d *desk) leftBy(u *unit) string {
	if slices.ContainsFunc(u.new.Origins, func(ref store.OriginRef) bool { return ref.Source == d.options.Source }) {
		return entryText(u.lost[0]) + " is somebody else now [O5]"
	}
	return "no entry of " + d.options.Source + " leads to this user any more [O6]"
}

// isIdle reports whether an entry is on the desk for a change of groups only, and nothing came of it: it does not count.
func (d *desk) isIdle(e *entry, v *verdict) bool {
	return d.concerned[e.key] && v.User == nil && v.Origin == nil
}

func (d *desk) verdict(e *entry) (*verdict, error) {
	c, v := e.change, &verdict{}
	v.Key, v.Entry, v.Absent = c.Key, c.Entry, e.absent()
	v.Name = e.name()
	v.Action, v.Reason = e.outcome(d.options)
	v.Warnings = slices.Concat(c.Warnings, e.warnings)
	if e.stand == anonymous {
		v.Warnings, v.Forget = nil, c.RawSequence
	}
	v.relinked = e.relinked && v.Action != Conflict && v.Action != Reject
	if e.stand == group {
		e.groupVerdict(&v.Verdict)
	}
	if u := e.unit; u != nil && u.new != u.old && u.carrier() == e {
		v.carry(u)
	}
	if u := e.unit; u != nil && u.carrier() == e {
		d.wantPIN(v, u)
	}
	var err error
	v.Origin, err = d.origin(e, v.Action, v.Reason)
	return v, err
}

// carry puts the user's new state into the verdict.
func (v *verdict) carry(u *unit) {
	v.User, v.old = u.new, u.old
	v.Changed = difference(u.old, u.new)
	v.Releases, v.Claims = without(u.held, u.wanted), u.gain
	switch {
	case u.old == nil:
		v.Event = "created"
	case u.old.Active && !u.new.Active:
		v.Event, v.Deactivated = "deactivated", true
	case !u.old.Active && u.new.Active:
		v.Event = "reactivated"
	case !silent(u.old, u.new):
		v.Event = "updated"
	}
}

// carrier is the entry whose verdict carries the user: the first that is there, else the first.
func (u *unit) carrier() *entry {
	for _, e := range u.entries {
		if e.stand == present {
			return e
		}
	}
	for _, e := range u.entries {
		if e.stand == missing || e.stand == disabled {
			return e
		}
	}
	return u.entries[0]
}

// outcome is what becomes of the entry, and why.
func (e *entry) outcome(o Options) (Action, string) {
	u := e.unit
	switch {
	case e.stand == group:
		return e.groupOutcome(o)
	case e.stand == unreadable:
		return Reject, e.reason
	case e.stand == anonymous:
		return Ignore, anonymousReason
	case e.action != "":
		return e.action, e.reason
	case e.stand == pending:
		return Unchanged, fmt.Sprintf("missed by %d of %d runs in a row [O2]", e.missed, o.AbsentFor)
	case u != nil && u.refused && !e.dealtWith:
		return u.action, u.reason
	case e.stand == missing:
		return Delete, u.noted(e.absence(o))
	case e.stand == disabled:
		return Disable, u.noted("disabled in the directory [L6]")
	case e.stand == unselected:
		return Ignore, "not selected"
	}
	action := u.outcome(e, o.Source)
	if action == Update && u.carrier() != e {
		return action, "another login of " + nameOf(u.new) + " [O5]"
	}
	return action, cmp.Or(e.note, u.note)
}

// groupOutcome is what becomes of a group's entry: it is kept, so that memberships can be resolved.
func (e *entry) groupOutcome(o Options) (Action, string) {
	switch {
	case e.absent():
		return Delete, e.absence(o)
	case e.change.Rejected != "":
		return Reject, notTaken + e.change.Rejected
	case wasNotTaken(e.change, e.origin):
		return Reject, reasonOf(e.origin.Verdict)
	case e.origin == nil || e.origin.Gone:
		return Create, ""
	case e.change.Number == 0 || e.origin.Digest == e.change.Digest:
		return Unchanged, ""
	}
	return Update, ""
}

// absence says in which way an entry is missing.
func (e *entry) absence(o Options) string {
	switch {
	case e.absent():
		return "gone from " + o.Source
	case e.change.Disabled:
		return "disabled in the directory, which counts as missing [L6]"
	}
	return "no longer selected from " + o.Source
}

// name is what the entry's user is called, or the entry itself.
func (e *entry) name() string {
	switch {
	case e.unit != nil && e.unit.old != nil:
		return nameOf(e.unit.old)
	case e.linked != nil:
		return nameOf(e.linked)
	}
	return e.change.Text[store.UserName]
}

func (u *unit) noted(what string) string {
	if u == nil || u.note == "" {
		return what
	}
	return what + "; " + u.note
}

func (u *unit) outcome(e *entry, source string) Action {
	first := u.carrier() == e
	switch {
	case u.old == nil && first:
		return Create
	case u.old == nil:
		return Update
	case first && !u.old.Active && u.new.Active:
		return Reactivate
	case e.isNew && u.old.Owner != source:
		return Merge
	case e.isNew, first && u.new != u.old && !silent(u.old, u.new):
		return Update
	}
	return Unchanged
}

// origin returns what is to be written of the entry, nil when the store says it already.
func (d *desk) origin(e *entry, a Action, reason string) (*store.Origin, error) {
	if e.stand == anonymous {
		if e.origin.Tombstone {
			return nil, nil
		}
		return tombstone(e.key, e.linked.ID), nil
	}
	o, err := d.newOrigin(e, a)
	if err != nil || o == nil {
		return nil, err
	}
	if o.Waiting && isSettled(a) && len(e.warnings) > 0 {
		reason = e.lacking() // what it waits for
	}
	o.Verdict = verdictText(a, reason)
	if e.origin != nil && sameOrigin(e.origin, o) {
		return nil, nil
	}
	return o, nil
}

// lacking says what was not taken over of the entry.
func (e *entry) lacking() string {
	texts := make([]string, len(e.warnings))
	for i, w := range e.warnings {
		texts[i] = w.String()
	}
	return strings.Join(texts, "; ")
}

func (d *desk) newOrigin(e *entry, a Action) (*store.Origin, error) {
	c := e.change
	if e.absent() && e.origin == nil {
		return nil, nil
	}
	o := store.Origin{Key: c.Key, Entry: c.Entry}
	if e.origin != nil {
		o = *e.origin
		if !e.absent() {
			o.Entry = c.Entry
		}
	}
	if c.Number > 0 || e.origin == nil {
		o.Digest, o.RawSequence = c.Digest, c.RawSequence
	}
	o.Waiting, o.Missed = e.waiting, e.missed
	o.Gone = o.Gone && e.absent()
	refused := a == Conflict || a == Reject
	switch {
	case refused, a == Ignore && e.stand == present:
		o.Waiting = true
	case e.stand == pending:
		o.Digest, o.Waiting = store.Digest{}, false
	case e.stand == missing, e.stand == group:
		o.Gone, o.Group = e.absent(), e.stand == group
	}
	switch {
	case e.unit != nil && !e.unit.refused:
		o.User = e.unit.id
	case d.isNobodys(e):
		o.User = ""
	}
	e.link(d, &o)
	keepsChange := e.stand == group && c.Rejected != "" && len(o.Change) > 0 || c.Number == 0 && e.origin != nil && !e.borrowed || e.stand == pending || e.stand == unreadable && len(o.Change) > 0 || e.absent() && !refused
	if keepsChange {
		return &o, e.keepLends(&o)
	}
	if len(o.Spent) > 0 {
		o.Spent = stillSpent(o.Spent, c)
	}
	stored := *c
	stored.Number, stored.Names, stored.Members = 0, nil, nil
	var err error
	o.Change, err = encodeChange(&stored)
	return &o, err
}

// isNobodys reports whether no user knows the entry after the run: the one whom it was linked to gives it up.
func (d *desk) isNobodys(e *entry) bool {
	if e.linked == nil {
		return true
	}
	u := d.unitBy(e.linked.ID)
	return u != nil && !u.refused && slices.Contains(u.lost, e)
}

// link writes into the origin what groups call the entry, and who is in it.
func (e *entry) link(d *desk, o *store.Origin) {
	c := e.change
	switch {
	case o.Gone:
		o.Names, o.Members, o.Holds, o.Default = nil, nil, "", ""
		return
	case c.Number == 0 && e.origin != nil || c.Rejected != "" || c.Absent:
	default:
		o.Names, o.Members = store.HashNames(c.Names), store.HashNames(c.Members)
		if o.Holds = ""; e.stand == group && c.KeepEmpty {
			o.Holds = e.path()
		}
		if e.stand != group {
			o.Members = d.references(c)
		}
	}
	if o.Default = ""; len(o.Names) > 0 {
		o.Default = e.defaultGroup
	}
}

// sameOrigin reports whether writing b over a would say nothing new. That an entry was created or
// updated by the run before and stays as it is now is nothing new.
func sameOrigin(a, b *store.Origin) bool {
	return a.Entry == b.Entry && a.Digest == b.Digest && a.RawSequence == b.RawSequence && a.User == b.User &&
		a.Waiting == b.Waiting && a.Missed == b.Missed && a.Group == b.Group && a.Gone == b.Gone &&
		a.Holds == b.Holds && a.Default == b.Default && slices.Equal(a.Names, b.Names) && slices.Equal(a.Spent, b.Spent) && slices.Equal(a.Members, b.Members) &&
		bytes.Equal(a.Change, b.Change) && sameVerdict(a.Verdict, b.Verdict) && (!b.Waiting || reasonOf(a.Verdict) == reasonOf(b.Verdict))
}

func sameVerdict(a, b string) bool {
	x, y := actionOf(a), actionOf(b)
	return a == b || isSettled(x) && isSettled(y) || x == y && x != Conflict && x != Reject
}

// isSettled reports whether an entry with this verdict has an active part in a user.
func isSettled(a Action) bool {
	switch a {
	case Unchanged, Create, Update, Reactivate, Merge:
		return true
	}
	return false
}
