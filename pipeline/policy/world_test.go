package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// world is a small store in memory that applies verdicts as the reconciler does, and complains.
type world struct {
	users   map[string]*store.User
	origins map[string]map[store.Key]*store.Origin
	held    map[store.Claim]string
	clock   time.Time
	runs    map[string]uint64
	number  uint64
}

// complainer is a test.
type complainer interface {
	Helper()
	Errorf(format string, args ...any)
}

func newWorld() *world {
	return &world{
		users: map[string]*store.User{}, origins: map[string]map[store.Key]*store.Origin{}, held: map[store.Claim]string{},
		clock: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), runs: map[string]uint64{},
	}
}

func (w *world) clone() *world {
	c := *w
	c.users, c.held, c.runs = maps.Clone(w.users), maps.Clone(w.held), maps.Clone(w.runs)
	c.origins = map[string]map[store.Key]*store.Origin{}
	for source, origins := range w.origins {
		c.origins[source] = maps.Clone(origins)
	}
	return &c
}

func (w *world) view() View {
	return View{
		Origin: func(source string, key store.Key) (*store.Origin, error) { return w.origins[source][key], nil },
		User:   func(id string) (*store.User, error) { return w.users[id], nil },
		Holder: func(c store.Claim) (string, error) { return w.held[store.FoldClaim(c)], nil },
		Group:  func(path string) (bool, error) { return w.hasGroup(path), nil },
		Named:  w.index(func(o *store.Origin) []store.Key { return o.Names }),
		Joined: w.index(func(o *store.Origin) []store.Key { return o.Members }),
	}
}

func (w *world) hasGroup(path string) bool {
	for _, u := range w.users {
		for _, v := range store.Memberships(u) {
			if v.V == path || strings.HasPrefix(v.V, path+"|") {
				return true
			}
		}
	}
	return false
}

// index finds the entries of a source by hashes that they have, as long as the world stays as it is.
func (w *world) index(of func(*store.Origin) []store.Key) func(string, store.Key) ([]store.Key, error) {
	indexes := map[string]map[store.Key][]store.Key{}
	return func(source string, name store.Key) ([]store.Key, error) {
		if indexes[source] == nil {
			index := map[store.Key][]store.Key{}
			for key, o := range w.origins[source] {
				for _, h := range of(o) {
					index[h] = append(index[h], key)
				}
			}
			for _, keys := range index {
				slices.SortFunc(keys, compareKeys)
			}
			indexes[source] = index
		}
		return indexes[source][name], nil
	}
}

// inputs are a run's changes and what waits of its source, as the reconciler folds them.
func (w *world) inputs(source string, changes []*mapping.Change) (all []*mapping.Change) {
	inRun := map[store.Key]bool{}
	for _, c := range changes {
		inRun[store.KeyOf(c.Key)] = true
	}
	again := map[store.Key]bool{}
	for key, o := range w.origins[source] {
		if o.Waiting {
			again[key] = true
		}
	}
	for key := range again {
		c, err := decodeChange(w.origins[source][key].Change)
		if err != nil {
			panic(err)
		}
		c.Number = 0
		all = append(all, c)
	}
	return append(all, changes...)
}

// unpublished leaves out the changes whose record ingest would not publish again.
func (w *world) unpublished(source string, changes []*mapping.Change) (rest []*mapping.Change) {
	for _, c := range changes {
		if o := w.origins[source][store.KeyOf(c.Key)]; o == nil || o.Digest != c.Digest {
			rest = append(rest, c)
		}
	}
	return rest
}

func (w *world) run(source string) Run {
	r := Run{Number: w.number, Time: w.clock, Whole: true, First: w.runs[source] == 0, NewID: func(key string) string { return "id-" + source + "-" + key }}
	for _, o := range w.origins[source] {
		if !o.Gone {
			r.Known++
		}
	}
	for _, u := range w.users {
		if u.Active && u.Owner == source {
			r.ActiveOwned++
		}
		if u.Active && slices.ContainsFunc(u.Origins, func(ref store.OriginRef) bool { return ref.Source == source }) {
			r.ActiveLinked++
		}
		if u.Active && u.Administrator {
			r.Administrators++
		}
	}
	return r
}

// fold decides the changes in the given orders.
func fold(o Options, v View, r Run, noted, decided []*mapping.Change) ([]*Verdict, []Trip, error) {
	f := NewFold(o, v, r)
	for _, c := range noted {
		if err := f.Note(c); err != nil {
			return nil, nil, err
		}
	}
	if err := f.Settle(); err != nil {
		return nil, nil, err
	}
	var verdicts []*Verdict
	yield := func(v *Verdict) error { verdicts = append(verdicts, v); return nil }
	for _, c := range decided {
		if err := f.Decide(c, yield); err != nil {
			return nil, nil, err
		}
	}
	if err := f.Rest(yield); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(verdicts, func(a, b *Verdict) int {
		return strings.Compare(a.Key+"\x00"+idOf(a), b.Key+"\x00"+idOf(b))
	})
	return verdicts, f.Trips(), nil
}

func idOf(v *Verdict) string {
	if v.User == nil {
		return ""
	}
	return v.User.ID
}

// apply writes verdicts: the releases of all, then every user and origin. Violations are the test's failures.
func (w *world) apply(t complainer, source string, verdicts []*Verdict) {
	t.Helper()
	for _, v := range verdicts {
		for _, c := range v.Releases {
			if w.held[c] != v.User.ID {
				t.Errorf("%s releases %v, which %q holds", v.User.ID, c, w.held[c])
			}
			delete(w.held, c)
		}
	}
	for _, v := range verdicts {
		for _, c := range v.Claims {
			if holder := w.held[c]; holder != "" {
				t.Errorf("%s claims %v, which %s holds", v.User.ID, c, holder)
			}
			w.held[c] = v.User.ID
		}
		if v.User != nil {
			w.users[v.User.ID] = v.User
		}
		if v.Origin != nil {
			w.put(source, v.Origin)
		}
	}
	w.runs[source] = w.number
	w.check(t)
}

// do writes a deed as the reconciler does.
func (w *world) do(t complainer, d *Deed) {
	t.Helper()
	w.write(t, d)
	w.check(t)
}

func (w *world) write(t complainer, d *Deed) {
	t.Helper()
	for _, c := range d.Releases {
		if w.held[c] != d.User.ID {
			t.Errorf("%s releases %v, which %q holds", d.User.ID, c, w.held[c])
		}
		delete(w.held, c)
	}
	for _, c := range d.Claims {
		if holder := w.held[c]; holder != "" {
			t.Errorf("%s claims %v, which %s holds", d.User.ID, c, holder)
		}
		w.held[c] = d.User.ID
	}
	if d.User != nil {
		w.users[d.User.ID] = d.User
	}
	for _, e := range d.Entries {
		w.put(e.Source, e.Origin)
	}
}

func (w *world) put(source string, o *store.Origin) {
	if w.origins[source] == nil {
		w.origins[source] = map[store.Key]*store.Origin{}
	}
	w.origins[source][o.Hash()] = o
}

// check verifies what the store verifies of itself.
func (w *world) check(t complainer) {
	t.Helper()
	claims := 0
	for _, u := range w.users {
		w.checkUser(t, u)
		for _, c := range store.Claims(u) {
			claims++
			if w.held[c] != u.ID {
				t.Errorf("user %s: %v is held by %q", u.ID, c, w.held[c])
			}
		}
	}
	if claims != len(w.held) {
		t.Errorf("%d claims are held, users have %d", len(w.held), claims)
	}
	for source, origins := range w.origins {
		for key, o := range origins {
			if o.User == "" {
				continue
			}
			u := w.users[o.User]
			if u == nil || !slices.Contains(u.Origins, store.OriginRef{Source: source, Key: key}) {
				t.Errorf("origin %s of %s: user %s does not know it", o.Key, source, o.User)
			}
		}
	}
}

func (w *world) checkUser(t complainer, u *store.User) {
	t.Helper()
	if u.Active == (u.InactiveReason != "") {
		t.Errorf("user %s: active %t with reason %q", u.ID, u.Active, u.InactiveReason)
	}
	if reason := unfitName(u.Text[store.UserName]); reason != "" && !strings.HasPrefix(u.Text[store.UserName], "*") {
		t.Errorf("user %s: %s", u.ID, reason)
	}
	owned := u.Owner == ""
	for _, ref := range u.Origins {
		owned = owned || ref.Source == u.Owner
		if o := w.origins[ref.Source][ref.Key]; o == nil || o.User != u.ID {
			t.Errorf("user %s: origin %s of %s is not linked back", u.ID, ref.Key, ref.Source)
		}
	}
	if !owned {
		t.Errorf("user %s: owned by %s without an origin there", u.ID, u.Owner)
	}
	for i, list := range u.List {
		for j, v := range list {
			if v.V == "" || len(v.Origins) == 0 || j > 0 && list[j-1].V >= v.V {
				t.Errorf("user %s: list %d is not in order: %v", u.ID, i, list)
			}
		}
	}
}

// reachable is the text of a world for people: users by name, then entries that wait.
func (w *world) String() string {
	var b strings.Builder
	users := slices.SortedFunc(maps.Values(w.users), func(a, b *store.User) int {
		return strings.Compare(nameOf(a)+"\x00"+a.ID, nameOf(b)+"\x00"+b.ID)
	})
	for _, u := range users {
		fmt.Fprintf(&b, "%s:%s\n", nameOf(u), w.describe(u))
	}
	for _, source := range slices.Sorted(maps.Keys(w.origins)) {
		origins := slices.SortedFunc(maps.Values(w.origins[source]), func(a, b *store.Origin) int { return strings.Compare(a.Key, b.Key) })
		for _, o := range origins {
			if o.Group && !o.Waiting {
				fmt.Fprintf(&b, "entry %s/%s: group%s, %s\n", source, o.Key, heldText(o), o.Verdict)
				continue
			}
			if o.Waiting || o.User == "" || o.Missed > 0 && !o.Gone {
				fmt.Fprintf(&b, "entry %s/%s:%s %s\n", source, o.Key, waitingText(o), o.Verdict)
			}
		}
	}
	return b.String()
}

func heldText(o *store.Origin) string {
	if o.Holds == "" {
		return ""
	}
	return " that keeps " + o.Holds
}

func waitingText(o *store.Origin) string {
	switch {
	case o.Waiting:
		return " waiting,"
	case o.Missed > 0:
		return fmt.Sprintf(" missed %d,", o.Missed)
	}
	return ""
}

func (w *world) describe(u *store.User) string {
	var b strings.Builder
	say := func(name, value string) { fmt.Fprintf(&b, " %s=%s", name, quoted(value)) }
	for _, p := range store.Properties() {
		if p == store.UserName || p == store.FullName && u.Text[p] == nameOf(u) {
			continue
		}
		if p.Multi() {
			if list := u.List[p.List()]; len(list) > 0 {
				say(p.String(), listText(list, u.Owner))
			}
		} else if u.Text[p] != "" {
			say(p.String(), u.Text[p])
		}
	}
	if u.Administrator {
		b.WriteString(" administrator")
	}
	if !u.Active {
		say("inactive", u.InactiveReason)
	}
	if u.Owner != "" {
		say("owner", u.Owner)
	}
	if u.Label != u.Owner {
		say("label", u.Label)
	}
	for _, p := range slices.Sorted(maps.Keys(u.Overrides)) {
		say("override of "+p.String(), u.Overrides[p])
	}
	var refs []string
	for _, ref := range u.Origins {
		o := w.origins[ref.Source][ref.Key]
		text := ref.Source + "/?"
		if o != nil {
			text = ref.Source + "/" + o.Key
			if o.Gone {
				text += "†"
			}
		}
		refs = append(refs, text)
	}
	if len(refs) > 0 {
		slices.Sort(refs)
		say("entries", strings.Join(refs, " "))
	}
	return b.String()
}

func listText(list []store.Value, owner string) string {
	var parts []string
	for _, v := range list {
		text := v.V
		if by := strings.Join(v.Origins, "+"); by != owner {
			text += "[" + by + "]"
		}
		if !v.Expires.IsZero() {
			text += v.Expires.Format("(until 2T15:04)")
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ",")
}

func quoted(s string) string {
	if strings.ContainsAny(s, " \"") || s == "" {
		return fmt.Sprintf("%q", s)
	}
	return s
}
