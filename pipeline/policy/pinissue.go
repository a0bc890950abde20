package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// DrawHash draws a PIN that nobody has for a user and returns its keyed hash. The error is [ErrPINsExhausted] when there is
// none.
type DrawHash func(u *store.User) (hash string, err error)

// Issue completes a verdict that says [Verdict.DrawPIN]: the user gets a generated PIN unless he has one. old is the
// stored user, nil for a new one. Where no PIN is left, a warning says so and the rest of the verdict stands.
func Issue(v *Verdict, old *store.User, rules PINRules, at time.Time, draw DrawHash) error {
	v.DrawPIN = false
	n := *v.User
	list := n.List[store.PINs.List()]
	if v.RaisedPINs {
		list = slices.DeleteFunc(slices.Clone(list), isHouseMade)
	}
	if len(list) == 0 {
		hash, err := draw(&n)
		switch {
		case errors.Is(err, ErrPINsExhausted):
			v.Warnings = append(v.Warnings, mapping.Warning{Property: store.PINs.String(), Reason: nameOf(&n) + " gets no PIN: " + err.Error()})
			list = n.List[store.PINs.List()]
		case err != nil:
			return err
		default:
			list = []store.Value{{V: hash, Origins: []string{generated}, Expires: rules.Expiry(&n, at)}}
			n.PINsIssued++
		}
	}
	n.List[store.PINs.List()] = list
	v.issued(old, &n)
	return nil
}

// issued takes the user's new state into the verdict.
func (v *Verdict) issued(old, n *store.User) {
	v.User, v.Changed = n, difference(old, n)
	var held []store.Claim
	if old != nil {
		held = store.Claims(old)
		if sameUser(old, n) {
			v.User = nil
		}
	}
	v.Releases, v.Claims = without(held, store.Claims(n)), without(store.Claims(n), held)
	if v.Event == "" && old != nil && !silent(old, n) {
		v.Event = "updated"
	}
	if v.Action == Unchanged && v.Event != "" {
		v.Action = Update
	}
}

// isHouseMade reports whether a PIN came from no source.
func isHouseMade(v store.Value) bool {
	return !slices.ContainsFunc(v.Origins, func(o string) bool { return o != generated && o != Manual })
}

// Expiry returns when a PIN ends that is generated for a user now, the zero time for never (P7).
func (r PINRules) Expiry(u *store.User, now time.Time) time.Time {
	if r.ValidFor <= 0 || len(r.Groups) > 0 && !slices.ContainsFunc(r.Groups, func(g string) bool { return isIn(u, g) }) {
		return time.Time{}
	}
	return now.Add(r.ValidFor)
}

// isIn reports whether a user is in a group or one below it.
func isIn(u *store.User, group string) bool {
	return slices.ContainsFunc(u.List[store.Groups.List()], func(v store.Value) bool {
		return v.V == group || strings.HasPrefix(v.V, group+"|")
	})
}

// wantPIN marks the verdict of a user who gets a generated PIN (P4, P6). It is drawn when all verdicts of the run are known,
// because it must be nobody else's.
func (d *desk) wantPIN(v *verdict, u *unit) {
	rules := d.options.PINs
	if u.new == nil || u.refused || u.unwanted || u.new.Anonymized {
		return
	}
	raised := d.run.PINsRaised && u.old != nil && u.old.Active && u.new.Active && u.new.Owner == d.options.Source &&
		WantsNewPIN(u.old, rules.OnRaise)
	if !raised && !(rules.Generate && WantsPIN(u.new)) {
		return
	}
	v.DrawPIN, v.RaisedPINs = true, raised
	v.User, v.old = u.new, u.old
}

// spent reports whether one of the unit's entries still says a value that has ended.
func (u *unit) spent(value string) bool {
	return slices.ContainsFunc(u.entries, func(e *entry) bool {
		return e.origin != nil && slices.Contains(e.origin.Spent, store.KeyOf(value))
	})
}

// stillSpent returns what of an entry's ended values its change says again.
func stillSpent(spent []store.Key, c *mapping.Change) []store.Key {
	says := func(k store.Key) bool {
		is := func(v string) bool { return store.KeyOf(v) == k }
		return slices.ContainsFunc(c.List[store.Cards.List()], is) || slices.ContainsFunc(c.List[store.PINs.List()], is)
	}
	if !slices.ContainsFunc(spent, func(k store.Key) bool { return !says(k) }) {
		return spent
	}
	return slices.DeleteFunc(slices.Clone(spent), func(k store.Key) bool { return !says(k) })
}

// keptPINs adds to the PINs that the source wants those below the minimum that the user has from it: raising the minimum takes
// nobody's PIN where that is the rule, and one that is said again is not measured anew (P6). Others are left out with a warning.
func (d *desk) keptPINs(u *unit, have []store.Value, short, want []string) []string {
	rules, refused := d.options.PINs, false
	for _, pin := range short {
		isHeld := slices.ContainsFunc(have, func(v store.Value) bool { return v.V == pin && slices.Contains(v.Origins, d.options.Source) })
		if isHeld && (rules.OnRaise == "" || rules.OnRaise == "keep") {
			want = append(slices.Clip(want), pin)
			continue
		}
		refused = true
	}
	if refused {
		u.warn(store.PINs, secret, fmt.Sprintf("PIN has fewer digits than the %d that are needed [P1]; left out", rules.MinimumLength))
	}
	return want
}

// mergePINs is mergeList for PINs: what a source says empties no generated PIN by saying nothing (V6).
func mergePINs(have []store.Value, want []string, source string, m mode) []store.Value {
	if m == full && len(want) == 0 {
		m = fullOwn
		kept := slices.DeleteFunc(slices.Clone(have), func(v store.Value) bool { return !slices.Contains(v.Origins, generated) })
		if len(kept) == len(have) {
			return mergeList(have, want, source, m)
		}
		have = kept
	}
	return mergeList(have, want, source, m)
}

// PIN is a PIN that a user gets: the keyed hash of one that was given to him, or of one that was drawn.
type PIN struct {
	Hash string `json:"hash,omitempty"`
	// Length is how many digits are drawn, 0 for a PIN that was given.
	Length int `json:"length,omitempty"`
	// Expires is when a temporary PIN ends, zero for never (P7).
	Expires time.Time `json:"expires,omitzero"`
	// Mail has the user told by mail (P5).
	Mail bool `json:"mail,omitempty"`
	// All stands for every PIN, where PINs are removed.
	All bool `json:"all,omitempty"`
}

// AddPIN gives a user a PIN. One that another user has is refused (C2). A persistent PIN that was drawn takes the place of
// those drawn before.
func (h Hand) AddPIN(id string, pin PIN) (*Deed, error) {
	return h.edit(id, func(e *edit) {
		if pin.Hash == "" {
			e.refuse(Reject, fmt.Sprintf("%s with %d digits [P4]", ErrPINsExhausted, pin.Length), "pins: {minimum_length: …} with more digits")
			return
		}
		if !e.old.Active {
			e.refuse(Reject, nameOf(e.old)+" is not active", "rollcall users reactivate "+nameOf(e.old))
			return
		}
		e.lasting = e.lasting.With(store.PINs)
		origin := Manual
		if pin.Length > 0 {
			origin = generated
			e.new.PINsIssued++
		}
		value := store.Value{V: pin.Hash}
		var list []store.Value
		for _, v := range e.old.List[store.PINs.List()] {
			if v.V == pin.Hash {
				value = v
				continue
			}
			if origin == generated && pin.Expires.IsZero() {
				if v = withoutOrigin(v, generated); len(v.Origins) == 0 {
					continue
				}
			}
			list = append(list, v)
		}
		list = append(list, held(value, origin, pin.Expires))
		sortValues(list)
		e.new.List[store.PINs.List()] = list
	})
}

// RemovePIN takes a PIN, or all of them, from a user. One that a source says the user has comes back with the source's
// next run (U15).
func (h Hand) RemovePIN(id string, pin PIN) (*Deed, error) {
	return h.edit(id, func(e *edit) {
		list := &e.new.List[store.PINs.List()]
		kept := slices.DeleteFunc(slices.Clone(*list), func(v store.Value) bool { return pin.All || v.V == pin.Hash })
		if len(kept) == len(*list) {
			e.refuse(Reject, nameOf(e.old)+" has no such PIN [U6]", "rollcall users show "+nameOf(e.old))
		}
		*list = kept
	})
}

// Expire takes the temporary cards and PINs from a user that have ended by the command's time (P7, K6).
func (h Hand) Expire(id string) (*Deed, error) {
	old, err := h.View.User(id)
	if err != nil || old == nil {
		return &Deed{Verdict: Verdict{Action: Unchanged}}, err
	}
	left := WithoutExpired(old, h.Time)
	d := &Deed{Verdict: Verdict{Action: Unchanged, Name: nameOf(old)}}
	if left == nil {
		return d, nil
	}
	d.issued(old, left)
	if err := h.spend(d, old, left); err != nil {
		return nil, err
	}
	return d, h.awaitPIN(d, old, left)
}

// awaitPIN has the owner's entries decided again by the next run when their user is without a PIN from now on: where PINs are
// generated, that run gives him one (P4).
func (h Hand) awaitPIN(d *Deed, old, n *store.User) error {
	if WantsPIN(old) || !WantsPIN(n) {
		return nil
	}
	for _, ref := range n.Origins {
		if ref.Source != n.Owner {
			continue
		}
		at := slices.IndexFunc(d.Entries, func(e SourceOrigin) bool { return e.Source == ref.Source && e.Origin.Hash() == ref.Key })
		o, err := h.View.Origin(ref.Source, ref.Key)
		if at >= 0 {
			o = d.Entries[at].Origin
		}
		if err != nil || o == nil || o.Gone || o.Waiting || len(o.Change) == 0 {
			if err != nil {
				return err
			}
			continue
		}
		waits := *o
		waits.Waiting = true
		if isSettled(actionOf(o.Verdict)) {
			waits.Verdict = verdictText(Update, lacksPINReason)
		}
		if at >= 0 {
			d.Entries[at].Origin = &waits
			continue
		}
		d.Entries = append(d.Entries, SourceOrigin{ref.Source, &waits})
	}
	return nil
}

// lacksPINReason is why an entry waits whose user lost his PIN, or got an address that one could be mailed to.
const lacksPINReason = "the user has no PIN, and gets one with the next run where PINs are generated [P4]"

// spend notes with the entries that say an ended value that it has ended.
func (h Hand) spend(d *Deed, old, left *store.User) error {
	var ended []string
	for _, p := range [...]store.Property{store.Cards, store.PINs} {
		for _, v := range old.List[p.List()] {
			if !hasValue(left.List[p.List()], v.V) {
				ended = append(ended, v.V)
			}
		}
	}
	for _, ref := range old.Origins {
		o, err := h.View.Origin(ref.Source, ref.Key)
		if err != nil || o == nil || len(o.Change) == 0 {
			if err != nil {
				return err
			}
			continue
		}
		c, err := decodeChange(o.Change)
		if err != nil {
			return fmt.Errorf("entry %s of %s: %w", o.Entry, ref.Source, err)
		}
		spent := stillSpent(store.HashNames(ended), c)
		if len(spent) == 0 {
			continue
		}
		noted := *o
		noted.Spent = slices.Concat(o.Spent, spent)
		d.Entries = append(d.Entries, SourceOrigin{ref.Source, &noted})
	}
	return nil
}
