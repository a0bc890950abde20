package mapping_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

var update = flag.Bool("update", false, "rewrite what the files in testdata expect")

// TestExamples plays every file of testdata/mapping. A file is named by the rule it shows:
//
//	-- mapping --          a mapping.Config (YAML); a property may be written short, as in rollcall.yaml
//	-- mistakes --         what Compile finds in it
//	-- record alice --     a record: "attribute: value", "attribute:" for one that is listed and empty, "attribute:: base64";
//	                       words behind the name: group, partial, disabled
//	-- change --           what the record says then, a property a line, and the warnings
//
// A mapping without a user name gets {user_name: uid}, and its records the uid of their name.
// Every change is encoded and decoded on the way.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../testdata/mapping/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	ids, err := os.ReadFile("../testdata/RULES")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		id, _, _ := strings.Cut(filepath.Base(file), "-")
		if !slices.Contains(strings.Fields(string(ids)), id) {
			t.Errorf("%s is named by no rule", file)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(txtar.Format(archive))
	e := example{t: t}
	for i := range archive.Files {
		e.play(&archive.Files[i])
	}
	got := string(txtar.Format(archive))
	if *update && !t.Failed() {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("it goes otherwise (-want +got; -update rewrites it):\n%s", diff)
	}
}

type example struct {
	t        *testing.T
	mapping  *mapping.Mapping
	mistakes error
	named    bool // the mapping says what the user name is
	change   string
}

func (e *example) play(f *txtar.File) {
	e.t.Helper()
	words := strings.Fields(f.Name)
	switch words[0] {
	case "mapping":
		e.compile(f.Data)
	case "mistakes":
		f.Data = []byte(lines(e.mistakes))
	case "record":
		if e.mistakes != nil {
			e.t.Fatalf("mapping: %v", e.mistakes)
		}
		e.apply(words[1], words[2:], string(f.Data))
	case "change":
		f.Data = []byte(e.change)
	default:
		e.t.Fatalf("section %q is not known", f.Name)
	}
}

func (e *example) compile(data []byte) {
	e.t.Helper()
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		e.t.Fatal(err)
	}
	var c struct {
		mapping.Config
		Properties map[string]rule `json:"properties"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		e.t.Fatal(err)
	}
	c.Config.Properties = map[string]mapping.Rule{}
	for name, r := range c.Properties {
		c.Config.Properties[name] = mapping.Rule(r)
	}
	if _, e.named = c.Properties["user_name"]; !e.named {
		c.Config.Properties["user_name"] = mapping.Rule{From: []string{"uid"}}
	}
	e.mapping, e.mistakes = mapping.Compile(c.Config)
}

// rule reads the short forms "attribute", "%template%" and [first, second].
type rule mapping.Rule

func (r *rule) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		if r.Template = text; !strings.Contains(text, "%") {
			r.Template, r.From = "", []string{text}
		}
		return nil
	case '[':
		return json.Unmarshal(data, &r.From)
	}
	long := struct {
		*mapping.Rule
		From words `json:"from"`
	}{Rule: (*mapping.Rule)(r)}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&long)
	r.From = long.From
	return err
}

// words is a list that may be a single word.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		*w = words{""}
		return json.Unmarshal(data, &(*w)[0])
	}
	return json.Unmarshal(data, (*[]string)(w))
}

func (e *example) apply(name string, words []string, data string) {
	e.t.Helper()
	r := e.record(name, words, data)
	c, err := e.mapping.Apply(r)
	if err != nil {
		e.change = "rejected: " + lines(err)
		return
	}
	e.change = describe(e.t, &c)
	if r.Kind == connectors.User && !e.named && c.Text[store.UserName] == name {
		e.change = strings.Replace(e.change, "user_name = "+name+"\n", "", 1)
	}
}

func (e *example) record(name string, words []string, data string) *connectors.Record {
	e.t.Helper()
	values := map[string][]string{}
	if !e.named {
		values["uid"] = []string{name}
	}
	for line := range strings.Lines(data) {
		attribute, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			e.t.Fatalf("record %s: %q is no line of a record", name, line)
		}
		if coded, ok := strings.CutPrefix(value, ": "); ok {
			octets, err := base64.StdEncoding.DecodeString(coded)
			if err != nil {
				e.t.Fatal(err)
			}
			value = " " + string(octets)
		}
		list := values[attribute]
		if value, ok := strings.CutPrefix(value, " "); ok {
			list = append(list, value)
		}
		values[attribute] = list
	}
	r := &connectors.Record{Key: name, Kind: connectors.User, Name: name}
	for attribute, list := range values {
		r.Attributes = append(r.Attributes, connectors.Attribute{Name: attribute, Values: list})
	}
	slices.SortFunc(r.Attributes, func(a, b connectors.Attribute) int { return strings.Compare(a.Name, b.Name) })
	r.Partial, r.Disabled = slices.Contains(words, "partial"), slices.Contains(words, "disabled")
	if slices.Contains(words, "group") {
		r.Kind = connectors.Group
	}
	return r
}

// lines writes the errors that are joined in err, each with its hint.
func lines(err error) string {
	var b strings.Builder
	for _, one := range single(err) {
		fmt.Fprintf(&b, "%v", one)
		if hint := connectors.HintOf(one); hint != "" {
			fmt.Fprintf(&b, "; try %s", hint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func single(err error) (all []error) {
	switch many, ok := err.(interface{ Unwrap() []error }); {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	default:
		for _, one := range many.Unwrap() {
			all = append(all, single(one)...)
		}
		return all
	}
}

// describe writes a change after a way through its bytes.
func describe(t *testing.T, c *mapping.Change) string {
	t.Helper()
	data, err := mapping.EncodeChange(c)
	if err != nil {
		t.Fatal(err)
	}
	got := mapping.Change{Entry: "of another change", Members: []string{"of another change"}, Rejected: "of another change"}
	if err := mapping.DecodeChange(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*c, got, empties); diff != "" {
		t.Errorf("a change that was encoded and decoded is another one:\n%s", diff)
	}
	return sentences(&got)
}

// empties holds a list without values equal to none.
var empties = cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())

func sentences(c *mapping.Change) string {
	var b strings.Builder
	for _, p := range store.Properties() {
		switch {
		case !c.Set.Has(p):
		case p.Multi() && len(c.List[p.List()]) > 0:
			for _, value := range c.List[p.List()] {
				fmt.Fprintf(&b, "%s = %s\n", p, readable(value))
			}
		case p.Multi():
			fmt.Fprintf(&b, "%s is empty\n", p)
		case c.Text[p] == "":
			fmt.Fprintf(&b, "%s is empty\n", p)
		default:
			fmt.Fprintf(&b, "%s = %s\n", p, readable(c.Text[p]))
		}
	}
	for _, member := range c.Members {
		fmt.Fprintf(&b, "member %s\n", readable(member))
	}
	for _, name := range c.Names {
		fmt.Fprintf(&b, "called %s\n", readable(name))
	}
	for _, p := range store.Properties() {
		if c.Loan.Borrows.Has(p) {
			fmt.Fprintf(&b, "%s is borrowed from %q\n", p, c.Loan.Lender)
		}
	}
	for _, lent := range c.Loan.Lends {
		fmt.Fprintf(&b, "lends %s = %s\n", lent.Property, readable(lent.Value))
	}
	for _, flag := range []struct {
		is   bool
		text string
	}{{c.Nested, "nested"}, {c.KeepEmpty, "kept when empty"}, {c.MakesDefault, "makes default"}, {c.Selects, "selects"}, {c.LaterDefault, "a later default"}} {
		if flag.is {
			fmt.Fprintln(&b, flag.text)
		}
	}
	if c.SourceLabel != "" {
		fmt.Fprintf(&b, "label %s\n", c.SourceLabel)
	}
	if c.Disabled {
		b.WriteString("disabled\n")
	}
	if c.Unselected {
		b.WriteString("unselected\n")
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "warning: %s %s: %s\n", w.Property, strconv.Quote(w.Value), w.Reason)
	}
	return b.String()
}

func readable(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return strconv.Quote(s)
	}
	return s
}
