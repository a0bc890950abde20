package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// draftAll drafts every unit whose entries are not those of its last draft.
func (d *desk) draftAll() error {
	for _, u := range d.units {
		parts := d.parts(u)
		if u.drafted == parts {
			continue
		}
		if err := d.draft(u); err != nil {
			return fmt.Errorf("decide user %s: %w", u.id, err)
		}
		u.drafted = parts
	}
	return nil
}

// parts counts what makes another draft necessary when it changes: entries that are the unit's, that it lost, and those of its user
// that were refused.
func (d *desk) parts(u *unit) int {
	n := len(u.entries) + len(u.lost)
	if u.old == nil {
		return n
	}
	for _, ref := range u.old.Origins {
		if e := d.entryBy(ref.Key); e != nil && ref.Source == d.options.Source && e.action != "" {
			n++
		}
	}
	return n
}

// draft writes what the unit's user would become if nobody else were concerned.
func (d *desk) draft(u *unit) error {
	u.new, u.note, u.names = u.old, "", [len(referring)][]string{}
	for _, e := range u.entries {
		e.warnings = nil
	}
	if err := d.gather(u); err != nil {
		return err
	}
	if u.refused || !u.concerned() {
		return nil
	}
	if u.old != nil && strings.HasPrefix(u.old.Text[store.UserName], "*") {
		u.refuse(Reject, fmt.Sprintf("%s is a built-in user, whom no synchronization changes [U2]", nameOf(u.old)))
		return nil
	}
	logins, err := d.logins(u)
	if err != nil {
		return err
	}
	d.begin(u)
	if len(logins) > 0 {
		d.apply(u, logins)
	} else {
		d.depart(u)
	}
	if u.old != nil && sameUser(u.old, u.new) {
		u.new = u.old
	}
	return nil
}

// concerned reports whether anything in the run may change the user.
func (u *unit) concerned() bool {
	return len(u.lost) > 0 || slices.ContainsFunc(u.entries, func(e *entry) bool {
		return e.stand == present || e.stand == missing || e.stand == disabled
	})
}

// logins returns what the source's entries say of the person, by key.
func (d *desk) logins(u *unit) (logins []saying, err error) {
	logins = d.said[:0]
	relinked := slices.ContainsFunc(u.entries, func(e *entry) bool { return e.relinked })
	for _, e := range u.entries {
		c := e.change
		switch {
		case e.stand == present:
			s, err := d.belong(d.serverOf(e, sayingOf(c)), e.names(), c.LaterDefault)
			if err != nil {
				return nil, err
			}
			e.defaultGroup = s.text[store.DefaultGroup]
			logins = append(logins, s)
			continue
		case (e.stand == pending && !relinked || e.stand == unreadable) && len(e.origin.Change) > 0:
			if c, err = decodeChange(e.origin.Change); err != nil {
				return nil, err
			}
			s, err := d.belong(sayingOf(c), e.names(), c.LaterDefault)
			if err != nil {
				return nil, err
			}
			e.defaultGroup = s.text[store.DefaultGroup]
			logins = append(logins, s)
		}
	}
	for _, k := range u.kept {
		if k.alive && !relinked {
			s, err := d.belong(k.saying(u.old), k.origin.Names, k.change != nil && k.change.LaterDefault)
			if err != nil {
				return nil, err
			}
			logins = append(logins, s)
		}
	}
	slices.SortFunc(logins, func(a, b saying) int { return strings.Compare(a.key, b.key) })
	return logins, nil
}

// saying is what an entry says that is not in the run: at least that its user is called as he is.
func (p peer) saying(user *store.User) (s saying) {
	if p.change != nil {
		s = sayingOf(p.change)
	}
	if s.text[store.UserName] == "" {
		s.text[store.UserName] = nameOf(user)
	}
	s.key = p.origin.Key
	return s
}

// serverOf settles who authenticates the person (U13, O8): what the record names beats the source's
// option, and it must be known.
func (d *desk) serverOf(e *entry, s saying) saying {
	named := s.text[store.AuthenticationServer]
	use := s.set.Has(store.UseAuthenticationServer) && s.text[store.UseAuthenticationServer] != ""
	if named == "" && d.options.UseAuthenticationServer != "" {
		named = d.options.UseAuthenticationServer
		if named == "true" {
			named = d.options.Source
		}
	}
	if named == "" {
		return s
	}
	if named != d.options.Source && !slices.Contains(d.options.AuthenticationServers, named) {
		e.warn(store.AuthenticationServer, named, "no such authentication server is configured; left as it was [U13]")
		s.set &^= store.PropertySet(0).With(store.AuthenticationServer).With(store.UseAuthenticationServer)
		return s
	}
	s.set = s.set.With(store.AuthenticationServer).With(store.UseAuthenticationServer)
	s.text[store.AuthenticationServer] = named
	if !use {
		s.text[store.UseAuthenticationServer] = "true"
	}
	return s
}

// begin makes the copy that is written on.
func (d *desk) begin(u *unit) {
	n := store.User{ID: u.id, Active: true, Created: d.run.Time}
	if u.old != nil {
		n = *u.old
	}
	n.Updated = d.run.Time
	n.Origins = slices.Clone(n.Origins)
	for _, e := range u.lost {
		n.Origins = slices.DeleteFunc(n.Origins, func(ref store.OriginRef) bool { return ref == d.ref(e) })
	}
	for _, e := range u.entries {
		if ref := d.ref(e); !slices.Contains(n.Origins, ref) {
			n.Origins = append(n.Origins, ref)
		}
	}
	slices.SortFunc(n.Origins, compareRefs)
	u.new = &n
}

func (d *desk) ref(e *entry) store.OriginRef {
	return store.OriginRef{Source: d.options.Source, Key: e.key}
}

// apply takes over what the source says.
func (d *desk) apply(u *unit, logins []saying) {
	n := u.new
	s := combine(logins, n.Text[store.UserName])
	if len(u.entries)+len(u.kept)+len(u.lost) > 1 {
		s.set = s.set.With(store.Aliases) // a login that went away takes its alias along (O5)
	}
	d.own(u, s)
	d.activate(u)
	d.applyTexts(n, u, s)
	d.applyLists(n, u, s)
}

// own makes the source the owner of a user whom nobody owns, or whose label the record carries (O3, O9).
func (d *desk) own(u *unit, s saying) {
	n := u.new
	takesOver := d.options.TrustSourceColumn && s.label != "" && s.label == n.Label &&
		slices.ContainsFunc(u.entries, func(e *entry) bool { return e.isNew })
	if d.options.Ownership != "contribute" && (n.Owner == "" || takesOver) {
		n.Owner = d.options.Source
	}
	if n.Owner == d.options.Source {
		n.Label = d.label(s.label)
	}
}

// activate brings back a user whom the source had deactivated (M2, U18).
func (d *desk) activate(u *unit) {
	n := u.new
	if n.Active {
		return
	}
	by, bySource := strings.CutPrefix(n.InactiveReason, "source:")
	if bySource && (by == d.options.Source || d.options.Ownership != "contribute" && u.wasAway()) {
		n.Active, n.InactiveReason = true, ""
		return
	}
	u.note = fmt.Sprintf("%s stays deactivated: that was decided by %s, not by %s [M2]", nameOf(n), n.InactiveReason, d.options.Source)
}

// wasAway reports whether the user comes back with an entry of his own that had gone: another source that
// deactivated him meanwhile did so because no source was left.
func (u *unit) wasAway() bool {
	return slices.ContainsFunc(u.entries, func(e *entry) bool {
		return e.stand == present && !e.isNew && e.origin != nil && (e.origin.Gone || actionOf(e.origin.Verdict) == Disable)
	})
}

func (d *desk) applyTexts(n *store.User, u *unit, s saying) {
	owner := n.Owner == d.options.Source
	for p := range store.TextCount {
		_, overridden := n.Overrides[p]
		switch {
		case overridden && !owner:
			continue // it lasts until the owner's next run (U15)
		case s.set.Has(p):
			n.Text[p] = d.mergeText(u, p, s.text[p])
		case overridden:
			n.Text[p] = u.restored(p)
		default:
			continue
		}
		if overridden {
			n.Overrides = maps.Clone(n.Overrides)
			delete(n.Overrides, p)
		}
	}
	if n.Text[store.FullName] == "" || u.isNamesake() && n.Text[store.FullName] == u.old.Text[store.FullName] {
		n.Text[store.FullName] = n.Text[store.UserName] // U3
	}
	if len(n.Overrides) == 0 {
		n.Overrides = nil
	}
}

// isNamesake reports whether the user's full name is his user name for want of one that a source says (U3).
func (u *unit) isNamesake() bool {
	if u.old == nil || u.old.Text[store.FullName] != nameOf(u.old) {
		return false
	}
	says := func(c *mapping.Change) bool { return c != nil && c.Text[store.FullName] != "" }
	return !slices.ContainsFunc(u.entries, func(e *entry) bool { return says(e.change) }) &&
		!slices.ContainsFunc(u.kept, func(p peer) bool { return says(p.change) }) &&
		!slices.ContainsFunc(u.peers, func(p peer) bool { return says(p.change) })
}

// restored returns the value of an overridden property that the owner says nothing about: what another source says, else
// what was there.
func (u *unit) restored(p store.Property) string {
	for _, other := range u.peers {
		if other.change != nil && other.change.Set.Has(p) {
			return other.change.Text[p]
		}
	}
	return u.old.Overrides[p]
}

func (d *desk) applyLists(n *store.User, u *unit, s saying) {
	for i := range n.List {
		p := store.Aliases + store.Property(i)
		if !s.set.Has(p) {
			continue
		}
		want := s.list[i]
		switch p {
		case store.Aliases:
			want = d.aliases(u, want)
		case store.Cards:
			n.List[i] = d.limited(u, p, n.List[i], d.applyCards(u, n.List[i], want))
			continue
		case store.PINs:
			want = d.keptPINs(u, n.List[i], s.short, want)
			n.List[i] = d.limited(u, p, n.List[i], mergePINs(n.List[i], want, d.options.Source, d.merge.list[i]))
			continue
		case store.Delegates, store.ManagedGroups:
			if at := slices.Index(referring[:], p); slices.ContainsFunc(want, func(v string) bool { return mustResolve(p, v) }) {
				u.names[at] = want
				continue
			}
		}
		n.List[i] = mergeList(n.List[i], want, d.options.Source, d.merge.list[i])
	}
	d.keepOldName(n, u)
	own := store.Fold(n.Text[store.UserName])
	aliases := &n.List[store.Aliases.List()]
	isOwn := func(v store.Value) bool { return store.Fold(v.V) == own }
	if slices.ContainsFunc(*aliases, isOwn) {
		*aliases = slices.DeleteFunc(slices.Clone(*aliases), isOwn) // U4
	}
}

// applyCards replaces the old cards by a new one where a user has but one (K6).
func (d *desk) applyCards(u *unit, have []store.Value, want []string) []store.Value {
	m := d.merge.list[store.Cards.List()]
	if d.options.MultipleCards || len(want) == 0 || m == none {
		return mergeList(have, want, d.options.Source, m)
	}
	if hasValue(have, want[0]) || len(have) > 0 && u.saidBefore(store.Cards, want[0]) {
		return have // no new card: what took the place of this one since stays
	}
	return mergeList(nil, want[:1], d.options.Source, full)
}

// saidBefore reports whether the user's entries had a value when they were last taken over. Of an entry that waits for one of p nobody knows
// that: it may be what it waits for; one that is new to the user never was.
func (u *unit) saidBefore(p store.Property, value string) bool {
	waits := func(e *entry) bool {
		return e.isNew || e.origin != nil && lacks(e.origin, p)
	}
	says := func(c *mapping.Change) bool { return slices.Contains(c.List[p.List()], value) }
	kept := func(k peer) bool { return k.change != nil && !lacks(k.origin, p) && says(k.change) }
	return !slices.ContainsFunc(u.entries, waits) && slices.ContainsFunc(u.formerly(), says) || slices.ContainsFunc(u.kept, kept)
}

// generated is the origin of what Rollcall made itself (U20).
const generated = "generated"

// keepOldName makes an alias of the name that a user had before, and keeps those of earlier names
// whatever the source's own aliases do (O6).
func (d *desk) keepOldName(n *store.User, u *unit) {
	if u.old == nil || !d.options.KeepOldNameAsAlias {
		return
	}
	var kept []string
	for _, v := range u.old.List[store.Aliases.List()] {
		if slices.Contains(v.Origins, generated) {
			kept = append(kept, v.V)
		}
	}
	if before := nameOf(u.old); store.Fold(before) != store.Fold(nameOf(n)) {
		kept = append(kept, before)
	}
	aliases := &n.List[store.Aliases.List()]
	*aliases = mergeList(*aliases, kept, generated, addNew)
}

// aliases returns what may be aliases of the unit's user: each once and not the own name (U4), and no
// name of a built-in user (U2).
func (d *desk) aliases(u *unit, want []string) (kept []string) {
	if len(want) == 0 {
		return nil
	}
	seen := make([]string, 0, len(want)+2)
	seen = append(seen, "", store.Fold(nameOf(u.new)))
	for _, a := range want {
		folded := store.Fold(a)
		if slices.Contains(seen, folded) {
			continue
		}
		seen = append(seen, folded)
		if reason := unfitName(a); reason != "" {
			u.warn(store.Aliases, fmt.Sprintf("%.80s", a), reason)
			continue
		}
		kept = append(kept, a)
	}
	return kept
}

// depart decides what becomes of a user who has no entry of the source any more.
func (d *desk) depart(u *unit) {
	if u.old == nil {
		return
	}
	if u.new.Owner != d.options.Source {
		d.withdraw(u)
		return
	}
	now := slices.ContainsFunc(u.entries, func(e *entry) bool { return e.stand == disabled })
	if !now && !d.options.DeactivateMissingUsers {
		u.note = "stays as it is: deactivate_missing_users is off [O2]"
		if !d.owns(u.new) {
			u.new.Owner, u.new.Label = "", ""
		}
		return
	}
	if heir := d.heir(u); heir != "" {
		u.new.Owner, u.new.Label = heir, d.run.label(heir)
		u.note = fmt.Sprintf("%s has the person too and owns the user now [O3]", heir)
		d.withdraw(u)
		return
	}
	if u.new.Active {
		u.new.Active, u.new.InactiveReason = false, "source:"+d.options.Source
	}
	if !d.owns(u.new) {
		u.new.Owner, u.new.Label = "", ""
	}
}

// owns reports whether the user's owner still has an entry of him.
func (d *desk) owns(n *store.User) bool {
	return slices.ContainsFunc(n.Origins, func(ref store.OriginRef) bool { return ref.Source == n.Owner })
}

// heir returns the source that becomes the owner of a user whom his owner lost, "" for none.
func (d *desk) heir(u *unit) (best string) {
	for _, p := range u.peers {
		if p.alive && d.run.canOwn(p.ref.Source) && (best == "" || d.before("", p.ref.Source, best)) {
			best = p.ref.Source
		}
	}
	return best
}

// withdraw takes back what the source put on a user: values of lists by their origin, single values
// where another source has one (O3). What the user is known by stays.
func (d *desk) withdraw(u *unit) {
	n := u.new
	for i := range n.List {
		n.List[i] = withdraw(n.List[i], d.options.Source)
	}
	for _, said := range u.formerly() {
		for p := store.FullName; p < store.TextCount; p++ {
			if p == store.PersonalNumber || !said.Set.Has(p) || said.Text[p] == "" || n.Text[p] != said.Text[p] {
				continue
			}
			if other := d.fallback(u, p); other != nil {
				n.Text[p] = other.change.Text[p]
			}
		}
	}
}

// formerly returns what the unit's departed entries said last.
func (u *unit) formerly() (said []*mapping.Change) {
	for _, e := range slices.Concat(u.entries, u.lost) {
		if e.origin == nil || len(e.origin.Change) == 0 {
			continue
		}
		if c, err := decodeChange(e.origin.Change); err == nil {
			said = append(said, c)
		}
	}
	return said
}

// keepAdministrators refuses to deactivate the last active administrator (U19).
func (d *desk) keepAdministrators() {
	left := d.run.Administrators
	for _, u := range d.units {
		if u.old == nil || u.new == u.old || !u.old.Administrator || !u.old.Active || u.new.Active {
			continue
		}
		if left <= 1 {
			u.refuse(Reject, fmt.Sprintf("%s is the last active administrator and is not deactivated [U19]", nameOf(u.old)))
			u.new = u.old
			continue
		}
		left--
	}
}

// unfitName says why nobody can be called so, "" when the name will do (U1, U2).
func unfitName(name string) string {
	switch n := utf8.RuneCountInString(name); {
	case name == "":
		return "the entry has no user name [U1]"
	case strings.HasPrefix(name, "*"):
		return fmt.Sprintf("user name %q is that of a built-in user, whom no synchronization creates or changes [U2]", name)
	case n > 255:
		return fmt.Sprintf("user name %.40q… has %d characters, 255 are allowed [U1]", name, n)
	case !utf8.ValidString(name) || !norm.NFC.IsNormalString(name) || strings.TrimSpace(name) != name:
		return fmt.Sprintf("user name %.80q is no clean text [U1]", name)
	}
	return ""
}

// warn warns with the unit's first present entry.
func (u *unit) warn(p store.Property, value, reason string) {
	if at := slices.IndexFunc(u.entries, func(e *entry) bool { return e.stand == present }); at >= 0 {
		u.entries[at].warn(p, value, reason)
	}
}

func (e *entry) warn(p store.Property, value, reason string) {
	e.warnings = append(e.warnings, mapping.Warning{Property: p.String(), Value: value, Reason: reason})
}
