package mapping_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// hostile are values that directories have delivered or could.
var hostile = []string{
	"", " ", "alice", "\x00", "a\x00b", "\xff\xfe", "\u200b\ufeff", "E\u0301va", "1000AB", "123", strings.Repeat("9", 5000), "-1", "a,b|c\\d", "%a%",
	"cn=Novak\\, Alice,ou=A+l=B,dc=c", "cn=\\", "ou=\"", "*", ")(uid=*", "\u202egnp.exe", "alice@corp.example", "\\\\files\\a\\..\\b", "x\r\ny", "ﬀ", "İ",
}

// person is a record with the value in every attribute that m uses.
func person(m *mapping.Mapping, value string) *connectors.Record {
	r := &connectors.Record{Key: "k", Kind: connectors.User, Name: "entry"}
	for _, name := range m.Attributes() {
		r.Attributes = append(r.Attributes, connectors.Attribute{Name: name, Values: []string{value, "second"}})
	}
	return r
}

// everything maps the attribute a to every property, each with the options of one rule.
func everything(option mapping.Rule, groups ...mapping.GroupRule) mapping.Config {
	c := mapping.Config{Properties: map[string]mapping.Rule{}, Groups: groups, GroupsUnder: "Imported", StorageTargets: []string{"archive"}}
	for _, p := range store.Properties() {
		if p != store.PINs {
			c.Properties[p.String()] = option
		}
	}
	return c
}

// checkClean fails when a change has in it what no property may have, or does not survive its bytes.
func checkClean(t *testing.T, c *mapping.Change) {
	t.Helper()
	for _, p := range store.Properties() {
		values := []string{}
		if p.Multi() {
			values = c.List[p.List()]
			if !slices.IsSorted(values) || len(slices.Compact(slices.Clone(values))) != len(values) || slices.Contains(values, "") {
				t.Errorf("%s: %q is not sorted, with each value once", p, values)
			}
		} else {
			values = append(values, c.Text[p])
		}
		if !c.Set.Has(p) && strings.Join(values, "") != "" {
			t.Errorf("%s: %q is not in the set", p, values)
		}
		for _, value := range values {
			checkValue(t, p, value)
		}
	}
	for _, w := range c.Warnings {
		if !utf8.ValidString(w.Value) || w.Reason == "" || len(w.Value) > 1000 {
			t.Errorf("warning %q cannot be shown", w)
		}
	}
	checkBytes(t, c)
}

func checkValue(t *testing.T, p store.Property, value string) {
	t.Helper()
	control := strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsControl(r) && (p != store.Notes || !strings.ContainsRune("\r\n\t", r))
	})
	if !utf8.ValidString(value) || control || !norm.NFC.IsNormalString(value) {
		t.Errorf("%s: %q is no clean text", p, value)
	}
	if (p == store.UserName || p == store.Aliases) && utf8.RuneCountInString(value) > 255 {
		t.Errorf("%s has %d characters", p, utf8.RuneCountInString(value))
	}
	if p != store.Notes && len(value) > 5000 { // the limit, and a little for the graft point and escapes
		t.Errorf("%s has %d bytes", p, len(value))
	}
}

func checkBytes(t *testing.T, c *mapping.Change) {
	t.Helper()
	data, err := mapping.EncodeChange(c)
	if err != nil {
		t.Fatal(err)
	}
	var again mapping.Change
	if err := mapping.DecodeChange(data, &again); err != nil {
		t.Fatalf("%v in %x", err, data)
	}
	if diff := cmp.Diff(*c, again, empties); diff != "" {
		t.Errorf("decoded it is another change:\n%s", diff)
	}
}

// runFuzz maps the value under a configuration that may be a bad one.
func runFuzz(t *testing.T, c mapping.Config, value string) {
	t.Helper()
	m, err := mapping.Compile(c)
	if err != nil {
		return
	}
	one, err := m.Apply(person(m, value))
	if err != nil {
		return
	}
	checkClean(t, &one)
	for _, p := range store.Properties() {
		if _, mapped := c.Properties[p.String()]; !mapped {
			continue
		}
		if steps, err := m.Trace(p, value); err != nil || len(steps) < 2 {
			t.Errorf("trace of %s: %d steps, %v", p, len(steps), err)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, value := range hostile {
		f.Add("%a%|%b%", value)
		f.Add(value, "%a%")
		f.Add("%a%"+value, value)
	}
	f.Fuzz(func(t *testing.T, template, value string) {
		group := mapping.GroupRule{By: "template", Value: template, MakeDefault: true}
		if template == "" {
			return
		}
		runFuzz(t, everything(mapping.Rule{Template: template}, group), value)
	})
}

func FuzzChain(f *testing.F) {
	for _, value := range hostile {
		for _, command := range []string{"ltrim(1)", "mid(1,2)", "lpad(10,0)", "hex2dec()", "dec2bin()", "bin2hex()", "reverse()", "nibble_reverse()", "prepend(x)", value} {
			f.Add(command, "left(3)", value)
		}
	}
	f.Fuzz(func(t *testing.T, first, second, value string) {
		runFuzz(t, everything(mapping.Rule{From: []string{"a"}, Transform: []string{first, second}}), value)
	})
}

func FuzzRegex(f *testing.F) {
	for _, value := range hostile {
		f.Add(`^E(\d+)$`, ",", value)
		f.Add(value, "", value)
		f.Add(`(x)?(.*)`, "|", value)
	}
	f.Fuzz(func(t *testing.T, regex, separator, value string) {
		if len(regex) > 200 {
			return
		}
		runFuzz(t, everything(mapping.Rule{From: []string{"a"}, Regex: regex, Split: separator}), value)
	})
}

func FuzzFilter(f *testing.F) {
	for _, value := range hostile {
		f.Add("(&(a=*)(!(b=x*y)))", value)
		f.Add("("+value+")", value)
		f.Add("(|(a>=5)(a<=x)(a:1.2.840.113556.1.4.803:=2)(a=\\2a))", value)
	}
	f.Fuzz(func(t *testing.T, filter, value string) {
		c := mapping.Config{Properties: map[string]mapping.Rule{"user_name": {From: []string{"uid"}}}, Where: []string{filter}}
		m, err := mapping.Compile(c)
		if err != nil {
			return
		}
		r := person(m, value)
		r.Attributes = slices.DeleteFunc(r.Attributes, func(a connectors.Attribute) bool { return a.Name == "uid" })
		r.Partial = true // no user name is needed
		one, err := m.Apply(r)
		if err != nil {
			t.Fatal(err)
		}
		c.Where = []string{"(!" + parenthesized(filter) + ")"}
		opposite, err := mapping.Compile(c)
		if err != nil {
			return // one level too deep
		}
		other, err := opposite.Apply(r)
		if err != nil {
			t.Fatal(err)
		}
		if one.Unselected == other.Unselected {
			t.Errorf("filter %q and its negation both say %v of %q", filter, one.Unselected, value)
		}
	})
}

func parenthesized(filter string) string {
	if filter = strings.TrimSpace(filter); strings.HasPrefix(filter, "(") {
		return filter
	}
	return "(" + filter + ")"
}

func FuzzDN(f *testing.F) {
	for _, value := range hostile {
		f.Add(value, 1, 1)
	}
	f.Fuzz(func(t *testing.T, dn string, left, right int) {
		c := mapping.Config{Properties: map[string]mapping.Rule{"user_name": {Value: new("alice")}}, Groups: []mapping.GroupRule{
			{By: "dn-tree", StripLeft: left, StripRight: right, MakeDefault: true}, {By: "ou", Index: max(1, left)}, {By: "attribute", Value: "dn"}}}
		runFuzz(t, c, dn)
	})
}

func FuzzDecodeChange(f *testing.F) {
	m, r := typical(f)
	c, err := m.Apply(r)
	if err != nil {
		f.Fatal(err)
	}
	c.Warnings = []mapping.Warning{{Property: "cards", Value: "x", Reason: "y"}}
	c.Members, c.Number, c.Digest = []string{"a"}, 70000, store.Digest{1}
	data, _ := mapping.EncodeChange(&c)
	f.Add(data)
	f.Add([]byte{0xa1, 12, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var c mapping.Change
		if mapping.DecodeChange(data, &c) != nil {
			return
		}
		again, err := mapping.EncodeChange(&c)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > len(data) && !bytes.Equal(again, data) {
			t.Errorf("%x became longer: %x", data, again)
		}
		checkBytes(t, &c)
	})
}
