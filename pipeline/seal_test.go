package pipeline

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

func newTestSealer(t testing.TB, secret byte) sealer {
	key, err := newPINKey(bytes.Repeat([]byte{secret}, pinKeySize))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.Compile(mapping.Config{Properties: map[string]mapping.Rule{"user_name": {From: []string{"uid"}}, "pins": {From: []string{"Pin"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return newSealer(key, m)
}

func recordOf(key string, values ...string) *connectors.Record {
	return &connectors.Record{Key: key, Attributes: []connectors.Attribute{{Name: "PIN", Values: values}, {Name: "uid", Values: []string{"alice"}}}}
}

// What is sealed comes back, only to the same entry and under the same key, and looks the same every time.
func TestU6Seal(t *testing.T) {
	s := newTestSealer(t, 1)
	given := []string{"1357", "", "rollcall-sealed-1:AAAA", " \x00\xff"}
	r, again, other := recordOf("a", given...), recordOf("a", given...), recordOf("b", given...)
	if err := errors.Join(s.seal(r), s.seal(again), s.seal(other)); err != nil {
		t.Fatal(err)
	}
	for i, value := range r.Attributes[0].Values {
		switch {
		case given[i] == "" && value != "" || given[i] != "" && (!strings.HasPrefix(value, sealed) || strings.Contains(value, given[i])):
			t.Errorf("%q is sealed as %q", given[i], value)
		case value != again.Attributes[0].Values[i]:
			t.Errorf("%q is sealed differently the second time", given[i])
		case value != "" && value == other.Attributes[0].Values[i]:
			t.Errorf("%q of two entries looks the same", given[i])
		}
	}
	if given[0] != "1357" || r.Attributes[1].Values[0] != "alice" {
		t.Error("the connector's own values or another attribute were changed")
	}
	moved, stranger := recordOf("b", r.Attributes[0].Values...), newTestSealer(t, 2)
	foreign := recordOf("a", r.Attributes[0].Values...)
	for name, fn := range map[string]func() ([]mapping.Warning, error){
		"another entry": func() ([]mapping.Warning, error) { return s.open(moved) },
		"another key":   func() ([]mapping.Warning, error) { return stranger.open(foreign) },
	} {
		if warnings, err := fn(); err != nil || len(warnings) != 3 {
			t.Errorf("%s: %v, %v", name, warnings, err)
		}
	}
	if warnings, err := s.open(r); err != nil || len(warnings) != 0 || strings.Join(r.Attributes[0].Values, "|") != strings.Join(given, "|") {
		t.Errorf("opened: %q, %v, %v", r.Attributes[0].Values, warnings, err)
	}
}

// A process without a key neither passes PINs on nor takes them for something else.
func TestU6SealWithoutKey(t *testing.T) {
	s := newTestSealer(t, 1)
	s.key = nil
	if err := s.seal(recordOf("a", "1357")); !errors.Is(err, errNoPINKey) {
		t.Errorf("sealed: %v", err)
	}
	if err := s.seal(recordOf("a", "")); err != nil {
		t.Errorf("there is nothing to seal: %v", err)
	}
}

// FuzzOpen opens what nobody sealed: nothing of it becomes a PIN, and no warning shows it.
func FuzzOpen(f *testing.F) {
	f.Add("7391746202")
	f.Add(sealed)
	f.Add(sealed + "AAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add(sealed + "\xff=")
	f.Fuzz(func(t *testing.T, value string) {
		s := newTestSealer(t, 1)
		r := recordOf("a", value)
		warnings, err := s.open(r)
		if err != nil || r.Attributes[0].Values[0] != "" || value != "" && len(warnings) != 1 {
			t.Errorf("%q: %q, %v, %v", value, r.Attributes[0].Values, warnings, err)
		}
		c := mapping.Change{}
		c.List[store.PINs.List()] = []string{value}
		s.hashPINs(&c, 4)
		for _, hash := range c.List[store.PINs.List()] {
			if len(hash) != 32 || hash == value {
				t.Errorf("%q rests as %q", value, hash)
			}
		}
	})
}
