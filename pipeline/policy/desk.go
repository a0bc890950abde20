package policy

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// desk decides entries together: one that has to do with no other, or all contested ones.
type desk struct {
	*Fold
	entries []*entry // by key
	units   []*unit
	// byUser and byKey find what is on a desk with several entries.
	byUser map[string]*unit
	byKey  map[store.Key]*entry
	// hopes are aliases that users get if nobody else has them.
	hopes wishes
	// byNumber are the known users who bring a personal number in this run (O5).
	byNumber map[string]*unit
	// firstEntry, firstUnit and said serve a desk with a single entry, which is used again and again.
	firstEntry entry
	firstUnit  unit
	said       [1]saying
}

// entry is a change beside what the store knows of it.
type entry struct {
	change *mapping.Change
	key    store.Key
	origin *store.Origin
	// linked is the user whom the origin belongs to, nil for none.
	linked *store.User
	stand  stand
	missed int
	// dealtWith is true when an earlier run did what is done about a missing entry.
	dealtWith bool
	unit      *unit
	// isNew is true when the entry gets its user in this run, relinked when the user was another entry's.
	isNew, relinked bool
	// action and reason say why the entry is nobody's, "" while it is somebody's.
	action Action
	reason string
	// intruder is the entry that came too near to another one's user, its rival (M3): the reason is
	// written when it is known who that user's entries are.
	intruder *entry
	rival    *store.User
	// note is what an operator should know although nothing was refused.
	note string
	// waiting is true when a value was not taken over, borrowed when one that it borrows is another than its change says.
	waiting  bool
	borrowed bool
	warnings []mapping.Warning
	// unselected is true when the entry is in none of the selected groups; defaultGroup is the one that it gives its user.
	unselected   bool
	defaultGroup string
}

// stand is how an entry stands in its directory.
type stand uint8

const (
	present stand = iota
	missing       // gone, or to be treated so
	pending       // missing, and not for the last time that is needed
	disabled
	unselected // and nobody's
	unreadable // it was seen, and that is all
	anonymous  // its user was made anonymous
	group      // no person
)

// unit is a user with everything that concerns him in this run.
type unit struct {
	id       string
	old, new *store.User
	entries  []*entry // of the run, by key
	lost     []*entry // of the run, that now lead elsewhere
	drafted  int      // the [desk.parts] of the last draft
	kept     []peer   // of the source, not in the run
	peers    []peer   // of other sources
	// held are old's claims, wanted new's, gain those that are new.
	held, wanted, gain []store.Claim
	waiters            []*unit // refused when this one is
	// names are what the entries say in the properties that name others, where it must be found out who is meant.
	names [len(referring)][]string
	// unwanted is true when the user would have to be created and must not be (O1).
	unwanted bool
	intruder *entry
	refused  bool
	action   Action
	reason   string
	// note is what an operator should know although nothing was refused.
	note string
}

// peer is an entry that is not in the run; change is nil when it says nothing.
type peer struct {
	ref    store.OriginRef
	origin *store.Origin
	alive  bool
	change *mapping.Change
}

// clear makes the desk ready for the next single entry.
func (d *desk) clear(f *Fold) {
	*d = desk{Fold: f, entries: d.entries[:0], units: d.units[:0], firstUnit: unit{entries: d.firstUnit.entries[:0]}}
}

// decideOne decides an entry that has to do with no other.
func (d *desk) decideOne(c *mapping.Change, key store.Key, yield func(*verdict) error) error {
	d.firstEntry.change, d.firstEntry.key = c, key
	if err := d.load(&d.firstEntry); err != nil {
		return fmt.Errorf("decide %s: %w", c.Entry, err)
	}
	return d.settle(yield)
}

// decide decides entries together; changes are sorted by key.
func (d *desk) decide(changes []*mapping.Change, yield func(*verdict) error) error {
	for _, c := range changes {
		if err := d.load(&entry{change: c, key: store.KeyOf(c.Key)}); err != nil {
			return fmt.Errorf("decide %s: %w", c.Entry, err)
		}
	}
	return d.settle(yield)
}

func (d *desk) settle(yield func(*verdict) error) error {
	if err := d.match(); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	d.keepAdministrators()
	if err := d.contest(); err != nil {
		return fmt.Errorf("settle conflicts: %w", err)
	}
	if err := d.skip(); err != nil {
		return fmt.Errorf("settle cards: %w", err)
	}
	if d.referees.wanted != nil {
		if err := d.announceAll(); err != nil || yield == nil {
			return err
		}
	}
	if err := d.resolve(); err != nil {
		return fmt.Errorf("find who is named: %w", err)
	}
	return d.verdicts(yield)
}

// announceAll tells those who name somebody what becomes of the desk's entries.
func (d *desk) announceAll() error {
	for _, u := range d.units { // before the entries: any of them may lead to him
		if u.new != nil && u.new != u.old {
			d.referees.users[u.id] = calledOf(u.new)
		}
	}
	for _, e := range d.entries {
		v, err := d.verdict(e)
		if err == nil {
			err = d.announce(e, v)
		}
		if err != nil {
			return fmt.Errorf("decide %s: %w", e.change.Entry, err)
		}
	}
	for _, u := range d.units {
		if u.new == nil || u.refused || len(u.entries) > 0 && u.new == u.old {
			continue
		}
		var v verdict
		v.carry(u)
		if err := d.announce(nil, &v); err != nil {
			return err
		}
	}
	return nil
}

// load puts a change on the desk. An entry that is present and must be paired by what it says
// has no unit yet.
func (d *desk) load(e *entry) (err error) {
	d.addEntry(e)
	if e.origin, err = d.view.Origin(d.options.Source, e.key); err != nil {
		return err
	}
	if isGroup(e.change, e.origin) {
		e.stand = group
		return nil
	}
	if err := d.borrow(e); err != nil {
		return err
	}
	if e.unselected, err = d.isUnselected(e); err != nil {
		return err
	}
	e.unselected = e.unselected || e.change.Unselected
	if e.origin != nil && e.origin.User != "" {
		if e.linked, err = d.view.User(e.origin.User); err != nil {
			return err
		}
	}
	if e.linked != nil && !slices.Contains(e.linked.Origins, store.OriginRef{Source: d.options.Source, Key: e.key}) {
		e.linked = nil
	}
	d.place(e)
	if e.linked == nil || e.stand == anonymous || e.stand == present && !d.options.PairByObjectID {
		return nil
	}
	if leaves, err := d.leaves(e); err != nil || leaves {
		return err
	}
	e.unit = d.unitOf(e.linked)
	e.unit.entries = append(e.unit.entries, e)
	return nil
}

// leaves reports whether an entry that is another login of its user (O5) has got another personal number: it was never his, or is not
// any more. The login that he is called after stays.
func (d *desk) leaves(e *entry) (bool, error) {
	number := d.number(e)
	if e.stand != present || number == "" || number == store.Fold(e.linked.Text[store.PersonalNumber]) || len(e.origin.Change) == 0 {
		return false, nil
	}
	isOther := func(ref store.OriginRef) bool { return ref.Source == d.options.Source && ref.Key != e.key }
	if !slices.ContainsFunc(e.linked.Origins, isOther) {
		return false, nil
	}
	before, err := decodeChange(e.origin.Change)
	if err != nil {
		return false, err
	}
	return store.Fold(before.Text[store.UserName]) != store.Fold(e.linked.Text[store.UserName]), nil
}

// notTaken is how the reason of an entry begins whose record says nothing that can be used: it is
// decided again when its record changes, not before.
const notTaken = "not taken: "

// wasNotTaken reports whether what waits is an entry that was seen when it was last read, and that is all.
func wasNotTaken(c *mapping.Change, origin *store.Origin) bool {
	return c.Number == 0 && origin != nil && strings.HasPrefix(origin.Verdict, string(Reject)+": "+notTaken)
}

// isUnreadable reports whether nothing that a change says counts.
func isUnreadable(c *mapping.Change, origin *store.Origin) bool {
	return c.Rejected != "" || wasNotTaken(c, origin)
}

func (d *desk) place(e *entry) {
	c := e.change
	switch {
	case e.linked != nil && e.linked.Anonymized:
		e.stand = anonymous
	case wasNotTaken(c, e.origin):
		e.stand, e.reason = unreadable, reasonOf(e.origin.Verdict)
	case c.Rejected != "":
		e.stand, e.reason = unreadable, notTaken+c.Rejected
	case e.absent() || c.Number == 0 && e.linked != nil && e.origin.Digest == store.Digest{}:
		d.miss(e)
	case c.Disabled && d.options.DisabledAccounts == "missing":
		d.miss(e)
	case c.Disabled && d.options.DisabledAccounts != "import":
		e.stand = disabled
	case e.unselected && e.linked == nil:
		e.stand = unselected
	case e.unselected:
		d.miss(e)
	case c.Set.Has(store.UserName) || e.linked == nil:
		if reason := unfitName(c.Text[store.UserName]); reason != "" {
			e.stand, e.reason = unreadable, notTaken+reason
		}
	}
}

// absent reports whether the entry is gone: what it said before that is no news.
func (e *entry) absent() bool {
	return e.change.Absent || e.change.Number == 0 && e.origin != nil && e.origin.Gone
}

// miss counts a miss: a change that waits from an earlier run was counted then.
func (d *desk) miss(e *entry) {
	e.stand = missing
	if e.origin == nil {
		return
	}
	e.missed = e.origin.Missed
	e.dealtWith = e.origin.Gone || actionOf(e.origin.Verdict) == Delete
	if e.change.Number > 0 && !e.dealtWith {
		e.missed++
	}
	if e.change.Number > 0 || e.linked != nil {
		e.missed = max(e.missed, 1)
	}
	if e.linked != nil && !e.dealtWith && e.missed < d.options.AbsentFor {
		e.stand = pending
	}
}

// unitOf returns the unit of a user.
func (d *desk) unitOf(user *store.User) *unit {
	u := d.unitBy(user.ID)
	if u == nil {
		u = d.newUnit(user.ID)
		u.old = user
		d.addUnit(u)
	}
	return u
}

func (d *desk) newUnit(id string) *unit {
	if len(d.units) > 0 {
		return &unit{id: id}
	}
	d.firstUnit = unit{id: id, entries: d.firstUnit.entries}
	return &d.firstUnit
}

// few is up to how many units or entries are looked through one by one.
const few = 4

func (d *desk) addUnit(u *unit) {
	d.units = append(d.units, u)
	if len(d.units) <= few {
		return
	}
	if d.byUser == nil {
		d.byUser = map[string]*unit{}
		for _, known := range d.units {
			d.byUser[known.id] = known
		}
	}
	d.byUser[u.id] = u
}

// unitBy returns the unit of a user, nil when he is not on the desk.
func (d *desk) unitBy(id string) *unit {
	if d.byUser != nil {
		return d.byUser[id]
	}
	for _, u := range d.units {
		if u.id == id {
			return u
		}
	}
	return nil
}

func (d *desk) addEntry(e *entry) {
	d.entries = append(d.entries, e)
	if len(d.entries) <= few {
		return
	}
	if d.byKey == nil {
		d.byKey = map[store.Key]*entry{}
		for _, known := range d.entries {
			d.byKey[known.key] = known
		}
	}
	d.byKey[e.key] = e
}

// entryBy returns the entry with that key, nil when it is not on the desk.
func (d *desk) entryBy(key store.Key) *entry {
	if d.byKey != nil {
		return d.byKey[key]
	}
	for _, e := range d.entries {
		if e.key == key {
			return e
		}
	}
	return nil
}

// gather loads what is linked to the unit's user and not in the run.
func (d *desk) gather(u *unit) error {
	u.kept, u.peers = nil, nil
	if u.old == nil {
		return nil
	}
	for _, ref := range u.old.Origins {
		inRun := func(e *entry) bool { return e.key == ref.Key }
		if ref.Source == d.options.Source && (slices.ContainsFunc(u.entries, inRun) || slices.ContainsFunc(u.lost, inRun)) {
			continue
		}
		p, err := d.peer(ref)
		if e := d.entryBy(ref.Key); e != nil && ref.Source == d.options.Source && e.action != "" {
			p.alive, p.change = true, nil // it is there, and what it says is refused
		}
		switch {
		case err != nil:
			return err
		case ref.Source == d.options.Source:
			u.kept = append(u.kept, p)
		default:
			p.withDefault()
			u.peers = append(u.peers, p)
		}
	}
	return nil
}

func (d *desk) peer(ref store.OriginRef) (p peer, err error) {
	p.ref = ref
	p.origin, err = d.view.Origin(ref.Source, ref.Key)
	if err != nil || p.origin == nil {
		return p, err
	}
	said := actionOf(p.origin.Verdict)
	p.alive = !p.origin.Gone && said != Disable && said != Delete && said != Ignore
	if !p.alive || said == Conflict || len(p.origin.Change) == 0 {
		return p, nil
	}
	p.change, err = decodeChange(p.origin.Change)
	return p, err
}

// withDefault lets an entry of another source say the default group that it gave, where a group's entry was the reason.
func (p *peer) withDefault() {
	if p.change == nil || p.origin.Default == "" {
		return
	}
	p.change.Set = p.change.Set.With(store.DefaultGroup)
	p.change.Text[store.DefaultGroup] = p.origin.Default
}

// verdictText is what an origin keeps of a verdict: the action and the reason, if there is one.
func verdictText(a Action, reason string) string {
	if reason == "" {
		return string(a)
	}
	return string(a) + ": " + reason
}

// actionOf returns the action of a verdict's text.
func actionOf(verdict string) Action {
	action, _, _ := strings.Cut(verdict, ": ")
	return Action(action)
}

// reasonOf returns the reason of a verdict's text.
func reasonOf(verdict string) string {
	_, reason, _ := strings.Cut(verdict, ": ")
	return reason
}
