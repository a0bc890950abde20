package mapping_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

func compile(t testing.TB, c mapping.Config) *mapping.Mapping {
	t.Helper()
	m, err := mapping.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAttributesAndSecrets(t *testing.T) {
	m := compile(t, mapping.Config{
		Properties: map[string]mapping.Rule{
			"user_name": {From: []string{"uid; sAMAccountName"}}, "full_name": {From: []string{"CN", "cn"}},
			"custom_1": {Template: "%company%/%l%"}, "pins": {From: []string{"pinA", "pinB"}},
		},
		Groups: []mapping.GroupRule{{By: "template", Value: "%department%"}, {By: "ou", Index: 1}, {By: "membership"}, {By: "attribute", Value: "GROUPS"}},
		Where:  []string{"(&(title=x)(!(Mail=*)))"},
	})
	want := []string{"CN", "GROUPS", "Mail", "company", "department", "dn", "l", "memberOf", "pinA", "pinB", "sAMAccountName", "title", "uid"}
	if got := m.Attributes(); !slices.Equal(got, want) {
		t.Errorf("attributes %q, want %q", got, want)
	}
	if got := m.Secrets(); !slices.Equal(got, []string{"pinA", "pinB"}) {
		t.Errorf("secrets %q", got)
	}
}

// A change of another record must not shine through, and nothing of the bytes may be kept.
func TestDecodeChangeResetsAndCopies(t *testing.T) {
	m, r := typical(t)
	c, err := m.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	c.Number, c.RawSequence, c.Digest = 1<<40, 300, store.Digest{1, 2, 3}
	c.Absent, c.Disabled, c.Unselected, c.Rejected, c.SourceLabel = true, true, true, "why", "label"
	c.Members = []string{"a", "b"}
	c.Warnings = []mapping.Warning{{Property: "cards", Value: "x\xff", Reason: "why"}}
	data, err := mapping.EncodeChange(&c)
	if err != nil {
		t.Fatal(err)
	}
	var got mapping.Change
	if err := mapping.DecodeChange(data, &got); err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = 'x'
	}
	if diff := cmp.Diff(c, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	empty, err := mapping.EncodeChange(&mapping.Change{})
	if err != nil {
		t.Fatal(err)
	}
	if err := mapping.DecodeChange(empty, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mapping.Change{}, got); diff != "" {
		t.Errorf("a change before shines through:\n%s", diff)
	}
}

// What EncodeChange writes is deterministic CBOR that the usual library reads and writes too.
func TestChangeIsCBOR(t *testing.T) {
	m, r := typical(t)
	c, err := m.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := mapping.EncodeChange(&c)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[uint64]any
	if err := cbor.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	if fields[1] != c.Key {
		t.Errorf("field 1 is %v, want the key", fields[1])
	}
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := mode.Marshal(fields); err != nil || !bytes.Equal(again, data) {
		t.Errorf("deterministic encoding (%v):\n%x\n%x", err, data, again)
	}
	if whole, err := mode.Marshal(&c); err != nil || !bytes.Equal(whole, data) {
		t.Errorf("the library encodes a change otherwise (%v)", err)
	}
}

func TestDecodeChangeRefusesDamage(t *testing.T) {
	m, r := typical(t)
	c, err := m.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := mapping.EncodeChange(&c)
	var into mapping.Change
	for n := range len(data) {
		if err := mapping.DecodeChange(data[:n], &into); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a change", n, len(data))
		}
	}
	if err := mapping.DecodeChange(append(data, 0), &into); err == nil {
		t.Error("a byte too many is taken for a part of the change")
	}
}

// Equal records give equal bytes, whatever the order of their values and the spelling of their attributes.
func TestApplyIsDeterministic(t *testing.T) {
	m, r := typical(t)
	first, err := m.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := mapping.EncodeChange(&first)
	for i := range r.Attributes {
		a := &r.Attributes[i]
		a.Name = strings.ToUpper(a.Name)
		a.Values = slices.Clone(a.Values)
		slices.Reverse(a.Values)
	}
	slices.Reverse(r.Attributes)
	second, err := m.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := mapping.EncodeChange(&second); !bytes.Equal(want, got) {
		t.Errorf("%x\n%x", want, got)
	}
}

// A record's slices are overwritten after emit: a change keeps none of them.
func TestChangeKeepsNoSlicesOfTheRecord(t *testing.T) {
	m := compile(t, mapping.Config{Properties: map[string]mapping.Rule{"user_name": {From: []string{"uid"}}, "cards": {From: []string{"card"}}}})
	for _, r := range []*connectors.Record{
		{Key: "k", Kind: connectors.User, Attributes: []connectors.Attribute{{Name: "card", Values: []string{"1", "2"}}, {Name: "uid", Values: []string{"alice"}}}},
		{Key: "k", Kind: connectors.Group, Attributes: []connectors.Attribute{{Name: "cn", Values: []string{"staff"}}, {Name: "member", Values: []string{"1", "2"}}}},
	} {
		c, err := m.Apply(r)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := mapping.EncodeChange(&c)
		for _, a := range r.Attributes {
			for i := range a.Values {
				a.Values[i] = "overwritten"
			}
		}
		if after, _ := mapping.EncodeChange(&c); !bytes.Equal(before, after) {
			t.Errorf("the change of a %s changed with its record", r.Kind)
		}
	}
}

func TestOneRecordHasFewWarnings(t *testing.T) {
	m := compile(t, mapping.Config{Properties: map[string]mapping.Rule{"user_name": {From: []string{"uid"}}, "cards": {From: []string{"card"}, Transform: []string{"hex2dec()"}}}})
	cards := connectors.Attribute{Name: "card"}
	for i := range 1000 {
		cards.Values = append(cards.Values, fmt.Sprintf("bad %d", i))
	}
	c, err := m.Apply(&connectors.Record{Kind: connectors.User, Attributes: []connectors.Attribute{cards, {Name: "uid", Values: []string{"alice"}}}})
	if err != nil || len(c.Warnings) != 50 {
		t.Errorf("%d warnings, want 50; %v", len(c.Warnings), err)
	}
}

func TestTrace(t *testing.T) {
	m := compile(t, mapping.Config{AppendDomain: true, Domain: "corp.example", Lowercase: true, Properties: map[string]mapping.Rule{
		"user_name": {From: []string{"uid"}, Split: ",", Take: 1}, "cards": {From: []string{"pager"}, Regex: `K(.+)`, Transform: []string{"hex2dec()"}},
		"pins": {From: []string{"pin"}, Transform: []string{"ltrim(1)"}}, "department": {From: []string{"ou"}, Default: "Unknown"}}})
	for _, c := range []struct {
		property store.Property
		value    string
		want     string
	}{
		{store.UserName, " Alice,al", "value= Alice,al split= Alice trim=Alice form=Alice domain=Alice@corp.example case=alice@corp.example user name=alice@corp.example"},
		{store.Cards, "K1000ab", "value=K1000ab trim=K1000ab regex K(.+)=1000ab hex2dec()=1048747 form=1048747"},
		{store.Cards, "1000ab", "value=1000ab trim=1000ab regex K(.+)=(the regular expression matches no value; there is none [K4])"},
		{store.Cards, "Kx", "value=Kx trim=Kx regex K(.+)=x hex2dec()=(hex2dec() takes hexadecimal digits only; left out [K3])"},
		{store.PINs, "x7391", "value=**** trim=**** ltrim(1)=**** form=****"},
		{store.Department, " ", "value=  trim= default=Unknown"},
	} {
		steps, err := m.Trace(c.property, c.value)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range steps {
			if s.Note != "" {
				s.Note = "(" + s.Note + ")"
			}
			got = append(got, s.Name+"="+s.Value+s.Note)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %q:\n%s, want\n%s", c.property, c.value, strings.Join(got, " "), c.want)
		}
	}
	if _, err := m.Trace(store.Phone, "1"); err == nil || connectors.HintOf(err) == "" {
		t.Errorf("a property without a rule: %v", err)
	}
}
