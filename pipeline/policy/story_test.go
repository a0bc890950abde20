package policy

import (
	"bytes"
	gocmp "cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

var update = flag.Bool("update", false, "rewrite what the stories in testdata expect")

// TestStories plays every story of testdata/policy. A story is a txtar file named by its rule:
//
//	-- options corp --     the options of a source (YAML), over the usual ones of these tests
//	-- users --            users who are there before, with the entries that are linked to them
//	-- run corp --         a run of the source and its changes; words behind it say what else holds of the run
//	-- plan --             what the run is to do, a sentence a change
//	-- hand --             what people do to users: a verb (deactivate, reactivate, anonymize, card, only-card, register,
//	                       register-only, temporary-card and temporary-pin for an hour, without, expire) or properties to be
//	                       set; the plan is then what came of it
//	-- later 2h --         time passes
//	-- after --            all users then
//
// Every run is folded in several orders, must give the same verdicts in each, is applied to a store
// in memory that checks itself, and must write nothing when it comes again.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("../testdata/policy/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := txtar.Format(archive)
	s := story{t: t, world: newWorld(), options: map[string]Options{}}
	for i := range archive.Files {
		s.play(&archive.Files[i])
	}
	got := txtar.Format(archive)
	if *update && !t.Failed() {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the story goes otherwise (-want +got; -update rewrites it):\n%s", diff)
	}
}

type story struct {
	t       *testing.T
	world   *world
	options map[string]Options
	plan    string
}

func (s *story) play(f *txtar.File) {
	words := strings.Fields(f.Name)
	switch words[0] {
	case "options":
		s.setOptions(words[1], f.Data)
	case "users":
		s.setUsers(f.Data)
	case "hand":
		s.byHand(f.Data)
	case "run":
		s.runSource(words[1], words[2:], f.Data)
	case "later":
		s.world.clock = s.world.clock.Add(s.duration(words[1]))
	case "plan":
		f.Data = []byte(s.plan)
	case "after":
		f.Data = []byte(s.world.String())
	default:
		s.t.Fatalf("section %q is not known", f.Name)
	}
}

func (s *story) duration(text string) time.Duration {
	s.t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// usual are the options of a source in these tests where the story says nothing else.
func usual(source string) Options {
	return Options{
		Source: source, Label: source, AddNewUsers: true, DeactivateMissingUsers: true, AbsentFor: 1, Ownership: "take",
		PairByObjectID: true, AdoptLocalUsers: true, DisabledAccounts: "deactivate", MultipleCards: true, Guard: DefaultGuard(),
	}
}

func (s *story) setOptions(source string, data []byte) {
	o := usual(source)
	s.decode(data, &o)
	s.options[source] = o
}

func (s *story) decode(data []byte, into any) {
	s.t.Helper()
	if len(bytes.TrimSpace(data)) == 0 {
		return
	}
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		s.t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		s.t.Fatalf("%v in\n%s", err, data)
	}
}

// rows are YAML lists of property: value.
func (s *story) rows(data []byte) (rows []map[string]any) {
	s.decode(data, &rows)
	return rows
}

func (s *story) setUsers(data []byte) {
	for _, row := range s.rows(data) {
		u := &store.User{Active: true}
		u.ID = "id-" + fmt.Sprint(row["user_name"])
		for name, value := range row {
			s.setField(u, name, fmt.Sprint(value))
		}
		if u.Text[store.FullName] == "" {
			u.Text[store.FullName] = nameOf(u)
		}
		if u.Label == "" {
			u.Label = u.Owner
		}
		s.setLists(u, row)
		s.world.users[u.ID] = u
		for _, c := range store.Claims(u) {
			s.world.held[c] = u.ID
		}
	}
	s.world.check(s.t)
}

func (s *story) setField(u *store.User, name, value string) {
	switch name {
	case "owner":
		u.Owner = value
	case "label":
		u.Label = value
	case "inactive":
		u.Active, u.InactiveReason = false, value
	case "administrator":
		u.Administrator = value == "true"
	case "anonymized":
		u.Anonymized = value == "true"
	case "entries":
		for _, ref := range strings.Fields(value) {
			source, key, _ := strings.Cut(ref, "/")
			key, gone := strings.CutSuffix(key, "†")
			u.Origins = append(u.Origins, store.OriginRef{Source: source, Key: store.KeyOf(key)})
			said := &mapping.Change{Key: key, Entry: "uid=" + key, Kind: connectors.User}
			data, err := encodeChange(said)
			if err != nil {
				s.t.Fatal(err)
			}
			s.world.put(source, &store.Origin{Key: key, Entry: said.Entry, User: u.ID, Gone: gone, Verdict: string(Update), Change: data})
			s.world.runs[source] = 1
		}
		slices.SortFunc(u.Origins, compareRefs)
	default:
		p, ok := store.ParseProperty(name)
		if !ok {
			s.t.Fatalf("property %q is not known", name)
		}
		if !p.Multi() {
			u.Text[p] = value
		}
	}
}

func (s *story) setLists(u *store.User, row map[string]any) {
	for name, value := range row {
		if p, ok := store.ParseProperty(name); ok && p.Multi() {
			u.List[p.List()] = parseList(fmt.Sprint(value), gocmp.Or(u.Owner, "manual"))
		}
	}
}

// parseList reads "0042,0043[manual+corp]".
func parseList(text, by string) (list []store.Value) {
	for _, part := range split(text) {
		v, origins, marked := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		if !marked {
			origins = by
		}
		list = append(list, store.Value{V: v, Origins: strings.Split(origins, "+")})
	}
	sortValues(list)
	return list
}

func split(text string) (parts []string) {
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// byHand does what people do to users; the plan is then what came of it.
func (s *story) byHand(data []byte) {
	s.world.number++
	s.plan = ""
	for _, row := range s.rows(data) {
		id := fmt.Sprint(row["user"])
		if held := s.world.held[store.Claim{Space: store.Names, Value: store.Fold(id)}]; held != "" {
			id = held
		}
		delete(row, "user")
		deed, err := s.deed(id, row)
		if err != nil {
			s.t.Fatal(err)
		}
		s.plan += deedText(deed)
		s.world.do(s.t, deed)
		if again, err := s.deed(id, row); err != nil || !deed.Refused() && again.User != nil && row["without"] == nil {
			s.t.Errorf("the same again writes: %s (%v)", deedText(again), err)
		}
	}
}

// deed decides what a row says: a verb, or properties to be set.
func (s *story) deed(id string, row map[string]any) (*Deed, error) {
	hand := Hand{View: s.world.view(), Time: s.world.clock, Administrators: s.world.run("").Administrators}
	for _, verb := range slices.Sorted(maps.Keys(row)) {
		value := fmt.Sprint(row[verb])
		switch verb {
		case "deactivate":
			return hand.Deactivate(id)
		case "reactivate":
			return hand.Reactivate(id)
		case "anonymize":
			return hand.Anonymize(id)
		case "card", "only-card":
			return hand.AddCard(id, Card{Number: value, Origin: Manual, Alone: verb == "only-card"})
		case "register", "register-only":
			return hand.AddCard(id, Card{Number: value, Origin: SelfRegistered, Alone: verb == "register-only"})
		case "temporary-card":
			return hand.AddCard(id, Card{Number: value, Origin: Manual, Expires: s.world.clock.Add(time.Hour)})
		case "temporary-pin":
			return hand.AddPIN(id, PIN{Hash: value, Expires: s.world.clock.Add(time.Hour)})
		case "expire":
			return hand.Expire(id)
		case "without":
			return hand.RemoveCard(id, value)
		}
	}
	var set []Assignment
	for _, name := range slices.Sorted(maps.Keys(row)) {
		a := Assignment{Property: name, Text: fmt.Sprint(row[name])}
		if p, ok := store.ParseProperty(name); ok && p.Multi() {
			a = Assignment{Property: name, List: split(fmt.Sprint(row[name]))}
		}
		set = append(set, a)
	}
	return hand.Set(id, set)
}

func deedText(d *Deed) string {
	switch {
	case d.Refused():
		return fmt.Sprintf("%s: %s\n", d.Action, d.Reason)
	case d.User == nil:
		return "nothing to do\n"
	}
	return Sentence(&d.Verdict) + "\n"
}

func (s *story) changes(data []byte) (changes []*mapping.Change) {
	for _, row := range s.rows(data) {
		changes = append(changes, s.change(row, uint64(len(changes)+1)))
	}
	return changes
}

func (s *story) change(row map[string]any, number uint64) *mapping.Change {
	text, err := json.Marshal(row)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &mapping.Change{Kind: connectors.User, Number: number, RawSequence: 1000*s.world.number + number, Digest: store.DigestOf("", text)}
	for name, v := range row {
		value := fmt.Sprint(v)
		switch name {
		case "key":
			c.Key, c.Entry = value, "uid="+value
			c.Names = append(c.Names, "key:"+value)
		case "path":
			c.Set, c.List[store.Groups.List()] = c.Set.With(store.Groups), split(value)
		case "called":
			c.Names = append(c.Names, split(value)...)
		case "members":
			for _, member := range split(value) {
				c.Members = append(c.Members, "key:"+member)
			}
		case "nested":
			c.Nested = v == true
		case "keep_empty":
			c.KeepEmpty = v == true
		case "makes_default":
			c.MakesDefault = v == true
		case "selects":
			c.Selects = v == true
		case "manager":
			c.Loan.Lender, c.Loan.Borrows = value, store.PropertySet(0).With(store.Custom2).With(store.Custom3)
			c.Set |= c.Loan.Borrows
		case "lends":
			for i, text := range split(value) {
				c.Loan.Lends = append(c.Loan.Lends, mapping.Lent{Property: store.Custom2 + store.Property(i), Value: text})
			}
		case "later_default":
			c.LaterDefault = v == true
		case "kind":
			c.Kind = connectors.Kind(value)
		case "gone":
			c.Absent = v == true
		case "disabled":
			c.Disabled = v == true
		case "unselected":
			c.Unselected = v == true
		case "rejected":
			c.Rejected = value
		case "label":
			c.SourceLabel = value
		default:
			p, ok := store.ParseProperty(name)
			if !ok {
				s.t.Fatalf("property %q is not known", name)
			}
			c.Set = c.Set.With(p)
			if p.Multi() {
				c.List[p.List()] = split(value)
			} else {
				c.Text[p] = value
			}
		}
	}
	return c
}

func (s *story) runSource(source string, words []string, data []byte) {
	o, known := s.options[source]
	if !known {
		o = usual(source)
	}
	s.world.number++
	r := s.world.run(source)
	changes := s.changes(data)
	r.Read = r.Known + len(changes)
	for _, word := range words {
		switch {
		case word == "scope-changed":
			r.ScopeChanged = true
		case word == "read-nothing":
			r.Read = 0
		case strings.HasPrefix(word, "temporary="):
			d := s.duration(strings.TrimPrefix(word, "temporary="))
			r.ValidFor = map[store.Property]time.Duration{store.Cards: d, store.PINs: d}
		case strings.HasPrefix(word, "without="):
			r.Enabled = func(source string) bool { return source != strings.TrimPrefix(word, "without=") }
		case strings.HasPrefix(word, "contributes="):
			r.Contributes = func(source string) bool { return source == strings.TrimPrefix(word, "contributes=") }
		default:
			s.t.Fatalf("word %q is not known", word)
		}
	}
	all := s.world.inputs(source, changes)
	verdicts, trips := s.foldInOrders(o, r, all)
	s.checkCounts(verdicts, all)
	s.plan = planText(verdicts, trips)
	s.world.apply(s.t, source, verdicts)
	s.again(o, r, source, changes)
}

// foldInOrders folds the changes in several orders and fails when one gives other verdicts.
func (s *story) foldInOrders(o Options, r Run, all []*mapping.Change) ([]*Verdict, []Trip) {
	first, trips, err := fold(o, s.world.view(), r, all, all)
	if err != nil {
		s.t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		noted, decided := slices.Clone(all), slices.Clone(all)
		random.Shuffle(len(noted), func(i, j int) { noted[i], noted[j] = noted[j], noted[i] })
		random.Shuffle(len(decided), func(i, j int) { decided[i], decided[j] = decided[j], decided[i] })
		verdicts, _, err := fold(o, s.world.view(), r, noted, decided)
		if err != nil {
			s.t.Fatal(err)
		}
		if diff := cmp.Diff(first, verdicts, ignoreBlank); diff != "" {
			s.t.Fatalf("another order gives other verdicts:\n%s", diff)
		}
	}
	return first, trips
}

// checkCounts fails unless every entry has exactly one verdict, and everybody whom only a change of groups concerns at most
// one, that changes something.
func (s *story) checkCounts(verdicts []*Verdict, all []*mapping.Change) {
	want, got := map[string]int{}, map[string]int{}
	for _, c := range all {
		want[c.Key] = 1
	}
	for _, v := range verdicts {
		if v.Key != "" {
			got[v.Key]++
		}
		if want[v.Key] == 0 && got[v.Key] == 1 && (v.User != nil || v.Origin != nil) {
			delete(got, v.Key)
			want[v.Key] = 0
		}
	}
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("verdicts of entries:\n%s", diff)
	}
}

// again runs the same changes once more: nothing may be written, but a miss that is counted, and what the last miss means for others.
func (s *story) again(o Options, r Run, source string, changes []*mapping.Change) {
	r.Number++
	r.Administrators = s.world.run(source).Administrators
	all := s.world.inputs(source, s.world.unpublished(source, changes))
	verdicts, _, err := fold(o, s.world.view(), r, all, all)
	if err != nil {
		s.t.Fatal(err)
	}
	inRun := func(key string) bool {
		return slices.ContainsFunc(all, func(c *mapping.Change) bool { return c.Key == key })
	}
	for _, v := range verdicts {
		if o.AbsentFor > 1 && !inRun(v.Key) {
			continue
		}
		counted := v.User == nil && v.Origin != nil && v.Origin.Digest == store.Digest{}
		if (v.Origin != nil || v.User != nil) && !counted && !(v.Origin != nil && v.Origin.Missed > 1) {
			s.t.Errorf("the same run again writes: %s\n%+v", Sentence(v), v.Origin)
		}
	}
}

func planText(verdicts []*Verdict, trips []Trip) string {
	var b strings.Builder
	counts := map[Action]int{}
	for _, v := range verdicts {
		fmt.Fprintln(&b, Sentence(v))
		counts[v.Action]++
	}
	for _, t := range trips {
		fmt.Fprintf(&b, "held: %s\n", t.Text)
	}
	return b.String()
}
