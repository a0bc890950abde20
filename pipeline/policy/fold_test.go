package policy

import (
	gocmp "cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// TestFold plays random companies: directories that change, options that change, people who change
// users by hand. Whatever happens, the verdicts do not depend on the order of changes nor on which of them were
// taken for contested, every entry counts once, applying them collides nowhere, the same directory again writes nothing, and
// what no synchronization may do was not done.
func TestFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &company{T: t, world: newWorld(), people: map[string]map[string]person{"corp": {}, "csv": {}},
			groups: map[string]team{}, chosen: map[string]Options{}, selects: rapid.Bool().Draw(t, "select.groups")}
		c.world.addByHand("*admin", "root", "smith")
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			c.byHand()
			source := rapid.SampledFrom([]string{"corp", "csv"}).Draw(t, "source")
			c.shuffle(source)
			c.runSource(source)
		}
	})
}

// company is a random company with two directories.
type company struct {
	*rapid.T
	world  *world
	people map[string]map[string]person
	// groups are entries of corp; selects is true where only people in some of them are wanted.
	groups  map[string]team
	selects bool
	// chosen are the options of each source as it was last run: with others, all of its entries are read anew.
	chosen map[string]Options
}

// person is an entry of a directory.
type person struct {
	name, number, phone  string
	aliases, cards, pins []string
	delegates            []string
	disabled, unselected bool
	rejected             bool
}

// few names and values make many conflicts.
var (
	someNames   = rapid.SampledFrom([]string{"ann", "Ann", "bea", "cid", "dan", "smith", "root", "*admin", ""})
	someNumbers = rapid.SampledFrom([]string{"", "", "1", "2", "3"})
	someCards   = rapid.SliceOfN(rapid.SampledFrom([]string{"0001", "0002", "0003"}), 0, 2)
	someKeys    = rapid.SampledFrom([]string{"k1", "k2", "k3", "k4", "k5", "k6"})
	// a delegate is named by user name, by key, or is nobody.
	someDelegates = rapid.SampledFrom([]string{"ann", "bea", "k1", "k4", "smith", "nobody"})
	rarely        = rapid.SampledFrom([]bool{false, false, false, false, true})
)

func (c *company) shuffle(source string) {
	if source == "corp" {
		c.shuffleTeams()
	}
	for range rapid.IntRange(0, 5).Draw(c.T, "changes") {
		key := someKeys.Draw(c.T, "key")
		if rarely.Draw(c.T, "leaves") {
			delete(c.people[source], key)
			continue
		}
		c.people[source][key] = person{
			name: someNames.Draw(c.T, "name"), number: someNumbers.Draw(c.T, "number"), phone: someNumbers.Draw(c.T, "phone"),
			aliases: rapid.SliceOfN(someNames, 0, 2).Draw(c.T, "aliases"), cards: someCards.Draw(c.T, "cards"), pins: someCards.Draw(c.T, "pins"),
			delegates: rapid.SliceOfN(someDelegates, 0, 2).Draw(c.T, "delegates"),
			disabled:  rarely.Draw(c.T, "disabled"), unselected: rarely.Draw(c.T, "unselected"), rejected: rarely.Draw(c.T, "rejected"),
		}
	}
}

func (c *company) options(source string) Options {
	if _, known := c.chosen[source]; known && !rarely.Draw(c.T, "other options") {
		return c.chosen[source]
	}
	yes := rapid.Bool()
	o := usual(source)
	o.AddNewUsers = !rarely.Draw(c.T, "add_new_users off")
	o.DeactivateMissingUsers = yes.Draw(c.T, "deactivate_missing_users")
	o.AbsentFor = rapid.IntRange(1, 2).Draw(c.T, "absent_for")
	o.IgnoreSynchronizationSource = yes.Draw(c.T, "ignore_synchronization_source")
	o.Ownership = rapid.SampledFrom([]string{"take", "contribute"}).Draw(c.T, "ownership")
	o.PairByPersonalNumber = yes.Draw(c.T, "pair_by_personal_number")
	o.PairByObjectID = !rarely.Draw(c.T, "pair_by_object_id off")
	o.AdoptLocalUsers = yes.Draw(c.T, "adopt_local_users")
	o.KeepOldNameAsAlias = yes.Draw(c.T, "keep_old_name_as_alias")
	o.MultipleCards = !rarely.Draw(c.T, "multiple_cards off")
	o.DisabledAccounts = rapid.SampledFrom([]string{"deactivate", "missing", "import"}).Draw(c.T, "disabled_accounts")
	mode := rapid.SampledFrom([]string{"none", "full", "if-not-empty", "add-new", "full-own"})
	o.Merge = map[string]string{"cards": mode.Draw(c.T, "merge cards"), "aliases": mode.Draw(c.T, "merge aliases"), "phone": mode.Draw(c.T, "merge phone"), "user_name": mode.Draw(c.T, "merge user_name")}
	o.Memberships, o.SelectGroups, o.SelectNested = source == "corp", source == "corp" && c.selects, true
	o.Precedence = rapid.SampledFrom([][]string{nil, {"corp", "csv"}, {"csv", "corp"}}).Draw(c.T, "precedence")
	c.chosen[source] = o
	return o
}

// byHand does what people do to users.
func (c *company) byHand() {
	for _, u := range c.world.sorted() {
		hand := Hand{View: c.world.view(), Time: c.world.clock, Administrators: c.world.run("").Administrators}
		deed, err := c.draw(hand, u.ID)
		if err != nil {
			c.Fatal(err)
		}
		if deed != nil {
			c.Logf("by hand: %s", deedText(deed))
			c.world.do(c.T, deed)
			c.spared(u, deed)
		}
	}
	if rapid.IntRange(0, 15).Draw(c.T, "retire") == 0 {
		c.retire(rapid.SampledFrom([]string{"corp", "csv"}).Draw(c.T, "retired"))
	}
}

// draw decides one of the things that people do to a user, nil for nothing.
func (c *company) draw(hand Hand, id string) (*Deed, error) {
	card := Card{Number: rapid.SampledFrom([]string{"0001", "0002", "0003"}).Draw(c.T, "card"), Origin: Manual}
	switch rapid.IntRange(0, 24).Draw(c.T, "by hand") {
	case 0:
		return hand.Deactivate(id)
	case 1:
		return hand.Set(id, []Assignment{{Property: "groups", List: []string{"Chess"}}})
	case 2:
		return hand.Set(id, []Assignment{{Property: "phone", Text: someNumbers.Draw(c.T, "phone by hand")}})
	case 3:
		return hand.Set(id, []Assignment{{Property: Administrator, Text: rapid.SampledFrom([]string{"true", "false"}).Draw(c.T, "administrator")}})
	case 4:
		return hand.Reactivate(id)
	case 5:
		return hand.Set(id, []Assignment{{Property: "user_name", Text: someNames.Draw(c.T, "name by hand")}})
	case 6:
		return hand.Set(id, []Assignment{{Property: "aliases", List: rapid.SliceOfN(someNames, 0, 2).Draw(c.T, "aliases by hand")}})
	case 7:
		return hand.AddCard(id, card)
	case 8:
		return hand.AddCard(id, Card{Number: card.Number, Origin: SelfRegistered, Alone: true})
	case 9:
		return hand.RemoveCard(id, card.Number)
	case 10:
		return hand.Anonymize(id)
	}
	return nil, nil
}

// spared fails when people did what nobody may do.
func (c *company) spared(old *store.User, d *Deed) {
	u := c.world.users[old.ID]
	switch {
	case d.Refused() && u != old:
		c.Errorf("a refusal changed %s: %s", nameOf(old), d.Reason)
	case old.Anonymized && u != old:
		c.Errorf("U22: anonymous %s was changed", nameOf(old))
	case strings.HasPrefix(nameOf(old), "*") && (nameOf(u) != nameOf(old) || old.Active && !u.Active):
		c.Errorf("U2: %s is %s", nameOf(old), nameOf(u))
	case !strings.HasPrefix(nameOf(old), "*") && strings.HasPrefix(nameOf(u), "*"):
		c.Errorf("U2: %s became built-in", nameOf(old))
	case old.Active && old.Administrator && c.world.run("").Administrators == 0:
		c.Errorf("U19: no administrator is left")
	}
}

// retire takes a source out as the reconciler does, entry by entry.
func (c *company) retire(source string) {
	r := Retirement{Source: source, Deactivate: rapid.Bool().Draw(c.T, "deactivate"), Heirs: []Heir{{Source: "corp", Label: "corp"}, {Source: "csv", Label: "csv"}}}
	r.Heirs = slices.DeleteFunc(r.Heirs, func(h Heir) bool { return h.Source == source })
	c.Logf("retire %s", source)
	keys := slices.SortedFunc(maps.Keys(c.world.origins[source]), func(a, b store.Key) int { return strings.Compare(string(a[:]), string(b[:])) })
	admins := c.world.run("").Administrators
	for _, key := range keys {
		id := c.world.origins[source][key].User
		delete(c.world.origins[source], key)
		if id == "" || !slices.ContainsFunc(c.world.users[id].Origins, func(ref store.OriginRef) bool { return ref.Source == source }) {
			continue
		}
		hand := Hand{View: c.world.view(), Time: c.world.clock, Administrators: c.world.run("").Administrators}
		deed, err := hand.Retire(id, r)
		if err != nil {
			c.Fatal(err)
		}
		c.Logf("  %s", Sentence(&deed.Verdict))
		c.world.write(c.T, deed)
		for _, list := range c.world.users[id].List {
			if slices.ContainsFunc(list, func(v store.Value) bool { return slices.Contains(v.Origins, source) }) {
				c.Errorf("S6: %s has %v of %s, which is retired", nameOf(deed.User), list, source)
			}
		}
	}
	c.world.runs[source] = 0
	c.world.check(c.T)
	if admins > 0 && c.world.run("").Administrators == 0 {
		c.Errorf("U19: no administrator is left")
	}
}

func (w *world) addByHand(names ...string) {
	for _, name := range names {
		u := &store.User{ID: "id-" + name, Active: true, Administrator: name == "root"}
		u.Text[store.UserName], u.Text[store.FullName] = name, name
		w.users[u.ID] = u
		w.held[store.Claim{Space: store.Names, Value: name}] = u.ID
	}
}

func (w *world) sorted() []*store.User {
	var users []*store.User
	for _, u := range w.users {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b *store.User) int { return strings.Compare(a.ID, b.ID) })
	return users
}

// read is a whole run's changes: what differs from what was applied, or was read under other options, and who is absent.
func (c *company) read(source string) (changes []*mapping.Change) {
	rules := fmt.Sprint(c.chosen[source])
	add := func(change *mapping.Change, text string) {
		digest := store.DigestOf(rules, []byte(text))
		if o := c.world.origins[source][store.KeyOf(change.Key)]; o != nil && (o.Digest == digest || o.Tombstone) {
			return
		}
		change.Kind, change.Entry, change.Digest = gocmp.Or(change.Kind, connectors.User), "uid="+change.Key, digest
		change.Number = uint64(len(changes) + 1)
		changes = append(changes, change)
	}
	if source == "corp" {
		c.readTeams(add)
	}
	for i := 1; i <= 6; i++ {
		key := fmt.Sprintf("k%d", i)
		p, there := c.people[source][key]
		switch o := c.world.origins[source][store.KeyOf(key)]; {
		case there:
			add(p.change(key), fmt.Sprint(p))
		case o != nil:
			add(&mapping.Change{Key: key, Absent: true}, "absent")
		}
	}
	return changes
}

func (p person) change(key string) *mapping.Change {
	c := &mapping.Change{Key: key, Disabled: p.disabled, Unselected: p.unselected, Names: []string{key}}
	if p.rejected {
		c.Rejected, c.Names = "no good", nil
		return c
	}
	c.Set = c.Set.With(store.UserName).With(store.PersonalNumber).With(store.Phone).With(store.Aliases).With(store.Cards).With(store.PINs).With(store.Delegates)
	c.Text[store.UserName], c.Text[store.PersonalNumber], c.Text[store.Phone] = p.name, p.number, p.phone
	c.List[store.Aliases.List()], c.List[store.Cards.List()], c.List[store.PINs.List()] = p.aliases, p.cards, p.pins
	c.List[store.Delegates.List()] = p.delegates
	return c
}

func (c *company) runSource(source string) {
	o := c.options(source)
	c.world.number++
	before := c.world.clone()
	r := c.world.run(source)
	all := c.world.inputs(source, c.read(source))
	verdicts := c.foldInOrders(o, r, all)
	c.world.apply(c.T, source, verdicts)
	c.unharmed(before, o)
	if source == "corp" {
		c.inTeams()
	}
	for _, v := range verdicts {
		c.Logf("%d %s: %s", c.world.number, v.Key, Sentence(v))
	}
	c.Logf("%s", c.world)
	if !o.PairByObjectID {
		return // a user who lost an entry may be called now what another entry waits for
	}
	for _, origin := range c.world.origins[source] {
		if origin.Missed > 0 && origin.Digest == (store.Digest{}) {
			return // the next run counts one more miss
		}
	}
	c.again(o, source)
}

// again runs the source once more: nothing may be written. Only where several logins are one person by their number, an
// entry that waited may find in the second run who its person is since the first; the third one writes nothing then.
func (c *company) again(o Options, source string) {
	verdicts := c.second(o, source)
	waited := func(v *Verdict) bool {
		stored := c.world.origins[source][store.KeyOf(v.Key)]
		return stored != nil && stored.Waiting && v.Origin != nil
	}
	if o.PairByPersonalNumber && slices.ContainsFunc(verdicts, waited) {
		c.world.apply(c.T, source, verdicts)
		verdicts = c.second(o, source)
	}
	for _, v := range verdicts {
		if v.User != nil || v.Origin != nil && !c.otherWords(source, v.Origin) {
			c.Errorf("the same directory again writes: %s\n%+v\nwas %+v", Sentence(v), v.Origin, c.world.origins[source][store.KeyOf(v.Key)])
		}
	}
}

// second is the same run once more.
func (c *company) second(o Options, source string) []*Verdict {
	r := c.world.run(source)
	r.Number++
	all := c.world.inputs(source, c.read(source))
	verdicts, _, err := fold(o, c.world.view(), r, all, all)
	if err != nil {
		c.Fatal(err)
	}
	return verdicts
}

// otherWords reports whether an origin differs from the stored one in the wording of its refusal only: it
// may name somebody whom the run itself renamed.
func (c *company) otherWords(source string, o *store.Origin) bool {
	stored := *c.world.origins[source][store.KeyOf(o.Key)]
	same := actionOf(stored.Verdict) == actionOf(o.Verdict)
	stored.Verdict = o.Verdict
	return same && sameOrigin(&stored, o)
}

func (c *company) foldInOrders(o Options, r Run, all []*mapping.Change) []*Verdict {
	first, trips, err := fold(o, c.world.view(), r, all, all)
	if err != nil {
		c.Fatal(err)
	}
	for range 2 {
		verdicts, otherTrips, err := fold(o, c.world.view(), r, rapid.Permutation(all).Draw(c.T, "noted"), rapid.Permutation(all).Draw(c.T, "decided"))
		if err != nil {
			c.Fatal(err)
		}
		if diff := cmp.Diff(first, verdicts, ignoreBlank) + cmp.Diff(trips, otherTrips); diff != "" {
			c.Fatalf("another order gives other verdicts:\n%s", diff)
		}
	}
	if diff := cmp.Diff(first, c.foldTogether(o, r, all), ignoreBlank); diff != "" {
		c.Fatalf("deciding all together gives other verdicts:\n%s", diff)
	}
	counted := map[string]int{}
	for _, v := range first {
		counted[v.Key]++
	}
	for _, change := range all {
		if counted[change.Key] != 1 {
			c.Errorf("%d verdicts of %s", counted[change.Key], change.Key)
		}
	}
	return first
}

// foldTogether folds as if all hashes collided.
func (c *company) foldTogether(o Options, r Run, all []*mapping.Change) (verdicts []*Verdict) {
	f := NewFold(o, c.world.view(), r)
	for _, change := range all {
		if err := f.Note(change); err != nil {
			c.Fatal(err)
		}
	}
	if err := f.Settle(); err != nil {
		c.Fatal(err)
	}
	for i := range f.seen {
		f.seen[i].state |= contested
	}
	yield := func(v *Verdict) error { verdicts = append(verdicts, v); return nil }
	for _, change := range all {
		if err := f.Decide(change, yield); err != nil {
			c.Fatal(err)
		}
	}
	if err := f.Rest(yield); err != nil {
		c.Fatal(err)
	}
	slices.SortFunc(verdicts, func(a, b *Verdict) int { return strings.Compare(a.Key+"\x00"+idOf(a), b.Key+"\x00"+idOf(b)) })
	return verdicts
}

// unharmed fails when a run did what no run may do.
func (c *company) unharmed(before *world, o Options) {
	administrators := 0
	for _, old := range before.sorted() {
		u := c.world.users[old.ID]
		if u.Active && u.Administrator {
			administrators++
		}
		switch {
		case strings.HasPrefix(nameOf(old), "*") && !cmp.Equal(old, u, ignoreBlank):
			c.Errorf("U2: %s was changed", nameOf(old))
		case old.InactiveReason == "manual" && u.Active:
			c.Errorf("U18: %s was reactivated", nameOf(old))
		case old.Active && !u.Active && old.Owner != o.Source:
			c.Errorf("O3: %s of %q was deactivated by %s", nameOf(old), old.Owner, o.Source)
		case old.Active && u.InactiveReason == "manual":
			c.Errorf("U18: %s was deactivated as if by hand", nameOf(old))
		}
		for i, list := range old.List {
			for _, v := range list {
				if slices.Contains(v.Origins, "manual") && o.Merge["cards"] != "full" && i == store.Groups.List() && !hasValue(u.List[i], v.V) {
					c.Errorf("U20: %s lost %s", nameOf(old), v.V)
				}
			}
		}
	}
	if before.run("").Administrators > 0 && administrators == 0 {
		c.Errorf("U19: no administrator is left")
	}
	for id, u := range c.world.users {
		if before.users[id] == nil && (!o.AddNewUsers || strings.HasPrefix(nameOf(u), "*")) {
			c.Errorf("O1, U2: %s was created", nameOf(u))
		}
	}
}
