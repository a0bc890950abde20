package policy

import (
	"slices"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// referees are whom the run's delegates and managed groups name (G6). Whoever names somebody is decided when everybody else is,
// because those whom he names may come, go or be renamed in the same run; nobody's verdict depends on it.
type referees struct {
	wanted map[store.Key]bool
	// found says what a name leads to after the run, "" for nobody; users are called otherwise after it.
	found map[store.Key]string
	users map[string]string
}

// The kinds of names beside those of entries.
const (
	byUserName = "name:"
	byPath     = "path:"
)

// hashesOf returns what a value of delegates or managed groups may stand for: values are written as paths are.
func (f *Fold) hashesOf(value string) []store.Key {
	name := mapping.Unescape(value)
	names := mapping.NamesOf(name)
	if !mapping.IsReference(value) {
		names = append(names, byUserName+store.Fold(name))
		for _, path := range f.pathsOf(value) {
			names = append(names, byPath+path)
		}
	}
	hashes := make([]store.Key, len(names))
	for i, name := range names {
		hashes[i] = store.KeyOf(name)
	}
	return hashes
}

// pathsOf returns the groups that a text may be the path of: with the graft point, and as it stands.
func (f *Fold) pathsOf(text string) []string {
	if f.options.GroupsUnder == "" {
		return []string{text}
	}
	return []string{f.options.GroupsUnder + "|" + text, text}
}

// refer notes whom a change names, and reports whether it names anybody.
func (f *Fold) refer(c *mapping.Change) (names bool) {
	for _, p := range referring {
		for _, value := range c.List[p.List()] {
			if !mustResolve(p, value) {
				continue
			}
			if names = true; f.referees.wanted == nil {
				f.referees = referees{map[store.Key]bool{}, map[store.Key]string{}, map[string]string{}}
			}
			for _, h := range f.hashesOf(value) {
				f.referees.wanted[h] = true
			}
		}
	}
	return names
}

// move notes a user who goes or is called otherwise.
func (f *Fold) move(c *mapping.Change, origin *store.Origin, u *store.User) {
	if u == nil || !c.Absent && (isUnreadable(c, origin) || !c.Set.Has(store.UserName) || c.Text[store.UserName] == nameOf(u)) {
		return
	}
	f.moved = append(append(f.moved, store.KeyOf(mapping.NamesOf(c.Key)[0]), store.KeyOf(byUserName+store.Fold(nameOf(u)))), origin.Names...)
}

// referrers adds the entries that name somebody who moved.
func (f *Fold) referrers(people map[store.Key]bool) error {
	if f.view.Joined == nil {
		return nil
	}
	for _, name := range f.moved {
		keys, err := f.view.Joined(f.options.Source, name)
		if err != nil {
			return err
		}
		for _, key := range keys {
			origin, err := f.view.Origin(f.options.Source, key)
			if err != nil {
				return err
			}
			if origin != nil && origin.User != "" {
				people[key] = true
			}
		}
	}
	f.moved = nil
	return nil
}

// references returns what a person's entry names, and whom it borrows from, as a group's names its members: so that it can be found by
// those names.
func (f *Fold) references(c *mapping.Change) (hashes []store.Key) {
	for _, p := range referring {
		for _, value := range c.List[p.List()] {
			if mustResolve(p, value) {
				hashes = append(hashes, f.hashesOf(value)...)
			}
		}
	}
	if c.Loan.Lender != "" && c.Loan.Borrows != 0 {
		hashes = append(hashes, byManager(c.Loan.Lender))
	}
	slices.SortFunc(hashes, compareKeys)
	return slices.Compact(hashes)
}

// referring are the properties that name others.
var referring = [...]store.Property{store.Delegates, store.ManagedGroups}

// mustResolve reports whether a value may be a name for something else: a managed group is a path unless it is a DN.
func mustResolve(p store.Property, value string) bool {
	return p == store.Delegates || mapping.IsReference(value)
}

// known returns what the user or group is called that the store finds by a value, "" for nobody. Names in nobody lead nowhere after
// the run.
func (f *Fold) known(p store.Property, value string, nobody map[store.Key]bool) (string, error) {
	said := mapping.Unescape(value)
	if p == store.Delegates && !mapping.IsReference(value) && !nobody[store.KeyOf(byUserName+store.Fold(said))] {
		id, err := f.view.Holder(store.FoldClaim(store.Claim{Space: store.Names, Value: said}))
		if err != nil || id != "" {
			return f.userCalled(id, err)
		}
	}
	var keys []store.Key
	if !mapping.IsReference(value) && !nobody[store.KeyOf(mapping.NamesOf(said)[0])] {
		keys = append(keys, store.KeyOf(said))
	}
	for _, name := range mapping.NamesOf(said) {
		if f.view.Named == nil || nobody[store.KeyOf(name)] {
			continue
		}
		named, err := f.view.Named(f.options.Source, store.KeyOf(name))
		if err != nil {
			return "", err
		}
		keys = append(keys, named...)
	}
	for _, key := range keys {
		if who, err := f.entryCalled(p, key); err != nil || who != "" {
			return who, err
		}
	}
	return f.knownPath(p, value)
}

func (f *Fold) knownPath(p store.Property, value string) (string, error) {
	if p != store.Delegates || mapping.IsReference(value) || f.view.Group == nil {
		return "", nil
	}
	for _, path := range f.pathsOf(value) {
		if f.belonging != nil && f.belonging.left[path] {
			continue
		}
		if there, err := f.view.Group(path); err != nil || there {
			return path, err
		}
	}
	return "", nil
}

// entryCalled returns what the user or group of an entry is called, "" for nobody.
func (f *Fold) entryCalled(p store.Property, key store.Key) (string, error) {
	origin, err := f.view.Origin(f.options.Source, key)
	if err != nil || origin == nil || origin.Gone {
		return "", err
	}
	if origin.Group && len(origin.Change) > 0 {
		c, err := decodeChange(origin.Change)
		if err != nil {
			return "", err
		}
		return pathOf(c), nil
	}
	if p != store.Delegates {
		return "", nil
	}
	return f.userCalled(origin.User, nil)
}

// userCalled returns what a user is called after the run.
func (f *Fold) userCalled(id string, err error) (string, error) {
	if err != nil || id == "" {
		return "", err
	}
	if name, renamed := f.referees.users[id]; renamed {
		return name, nil
	}
	u, err := f.view.User(id)
	if err != nil || u == nil {
		return "", err
	}
	return calledOf(u), nil
}

// calledOf returns what a user is called where others name him: like the path of a group of that name.
func calledOf(u *store.User) string { return mapping.Escape(nameOf(u)) }

// announce remembers what becomes of an entry and its user, for those who name them.
func (d *desk) announce(e *entry, v *verdict) error {
	r := &d.referees
	if u := v.User; u != nil {
		for _, c := range v.Releases {
			h := store.KeyOf(byUserName + c.Value)
			if _, taken := r.found[h]; !taken && r.wanted[h] && c.Space == store.Names {
				r.found[h] = ""
			}
		}
		for _, c := range store.Claims(u) {
			if h := store.KeyOf(byUserName + c.Value); r.wanted[h] && c.Space == store.Names {
				r.found[h] = calledOf(u)
			}
		}
		for _, g := range store.Memberships(u) {
			r.announcePath(g.V)
		}
	}
	if e == nil || v.Origin == nil {
		return nil
	}
	r.announcePath(v.Origin.Holds)
	who, err := "", error(nil)
	if !v.Origin.Gone {
		if who, err = d.userCalled(v.Origin.User, nil); err != nil {
			return err
		}
	}
	if v.Origin.Group {
		who = e.path()
	}
	if e.origin != nil {
		for _, h := range e.origin.Names {
			if _, taken := r.found[h]; !taken && r.wanted[h] {
				r.found[h] = ""
			}
		}
	}
	for _, h := range append(slices.Clone(v.Origin.Names), store.KeyOf(mapping.NamesOf(e.change.Key)[0])) {
		if r.wanted[h] {
			r.found[h] = who
		}
	}
	return nil
}

// announcePath remembers a group and those above it.
func (r *referees) announcePath(path string) {
	for ; path != ""; path = store.ParentOf(path) {
		if h := store.KeyOf(byPath + path); r.wanted[h] {
			r.found[h] = path
		}
	}
}

// resolve writes into the desk's users whom they name, by what those are called after the run. Nobody is left out without a
// warning, and asked for again in the next run (G6).
func (d *desk) resolve() error {
	for _, u := range d.units {
		if u.refused || u.new == nil {
			continue
		}
		for i, p := range referring {
			if u.names[i] == nil {
				continue
			}
			if err := d.resolveProperty(u, p, u.names[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *desk) resolveProperty(u *unit, p store.Property, values []string) error {
	kept := make([]string, 0, len(values))
	for _, value := range values {
		who := value
		if mustResolve(p, value) {
			var err error
			if who, err = d.named(p, value); err != nil {
				return err
			}
		}
		if who != "" {
			kept = append(kept, who)
			continue
		}
		u.unresolved(p, value)
	}
	i := p.List()
	list := mergeList(u.new.List[i], kept, d.options.Source, d.merge.list[i])
	if len(list) == 0 {
		list = nil
	}
	if sameValues(list, u.new.List[i]) {
		return nil
	}
	n := *u.new
	n.List[i], n.Updated = list, d.run.Time
	if u.new = &n; u.old != nil && sameUser(u.old, u.new) {
		u.new = u.old
	}
	return nil
}

// unresolved warns of a value that names nobody, with the entries that say it.
func (u *unit) unresolved(p store.Property, value string) {
	for _, e := range u.entries {
		if e.stand == present && slices.Contains(e.change.List[p.List()], value) {
			e.waiting = true
			e.warn(p, mapping.Unescape(value), "nobody who is known; left out [G6]")
		}
	}
}

// named returns what the user or group that a value names is called after the run, "" for nobody. A name that leads nowhere may
// still be another kind of name.
func (d *desk) named(p store.Property, value string) (string, error) {
	nobody := map[store.Key]bool{}
	for _, h := range d.hashesOf(value) {
		who, said := d.referees.found[h]
		if who != "" {
			return who, nil
		}
		nobody[h] = said
	}
	return d.known(p, value, nobody)
}
