package connectorstest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
)

// pass is one Read, with everything it emitted.
type pass struct {
	outcome connectors.Outcome
	records []connectors.Record // kept as a consumer keeps them: own slices, the connector's strings
	copies  []connectors.Record // own slices, own strings
}

// read makes a pass; each is called within every emit, with the number of the record from 0.
func read(ctx context.Context, c connectors.Connector, since connectors.Checkpoint, each func(i int) error) (pass, error) {
	var p pass
	var err error
	p.outcome, err = c.Read(ctx, since, func(r connectors.Record) error {
		p.records = append(p.records, keep(r, func(s string) string { return s }))
		p.copies = append(p.copies, keep(r, strings.Clone))
		if each == nil {
			return nil
		}
		return each(len(p.records) - 1)
	})
	return p, err
}

func keep(r connectors.Record, text func(string) string) connectors.Record {
	r.Key, r.Name = text(r.Key), text(r.Name)
	list := make([]connectors.Attribute, len(r.Attributes))
	for i, a := range r.Attributes {
		list[i].Name = text(a.Name)
		for _, v := range a.Values {
			list[i].Values = append(list[i].Values, text(v))
		}
	}
	r.Attributes = list
	return r
}

// readWhole makes a full pass that must be a good one.
func readWhole(ctx context.Context, c connectors.Connector) (pass, error) {
	p, err := read(ctx, c, nil, nil)
	switch {
	case err != nil:
		return p, fmt.Errorf("full pass: %w", err)
	case !p.outcome.Whole:
		return p, fmt.Errorf("full pass without an error has Whole = false, want true")
	case p.outcome.Evidence == "" || p.outcome.Server == "":
		return p, fmt.Errorf("whole pass has evidence %q and server %q, want both", p.outcome.Evidence, p.outcome.Server)
	}
	return p, p.wellFormed()
}

func (p pass) wellFormed() error {
	var all []error
	seen := map[string]string{}
	for i, r := range p.copies {
		if !reflect.DeepEqual(r, p.records[i]) {
			all = append(all, fmt.Errorf("record %d: strings changed after emit returned: %+v, was %+v", i, p.records[i], r))
		}
		if first, again := seen[r.Key]; again {
			all = append(all, fmt.Errorf("key %q is emitted twice, as %q and %q", r.Key, first, r.Name))
		}
		seen[r.Key] = r.Name
		all = append(all, recordWellFormed(r))
	}
	return errors.Join(all...)
}

func recordWellFormed(r connectors.Record) error {
	var all []error
	complain := func(format string, args ...any) {
		all = append(all, fmt.Errorf("record %q (%q): "+format, append([]any{r.Key, r.Name}, args...)...))
	}
	if r.Key == "" || r.Name == "" || !utf8.ValidString(r.Key) || !utf8.ValidString(r.Name) {
		complain("key and name must be there and valid UTF-8")
	}
	if r.Kind != connectors.User && r.Kind != connectors.Group {
		complain("kind is %q", r.Kind)
	}
	if r.Partial || r.Deleted {
		complain("partial or deleted in a full pass")
	}
	for i, a := range r.Attributes {
		if i > 0 && r.Attributes[i-1].Name >= a.Name {
			complain("attribute %q after %q, want sorted names, each once", a.Name, r.Attributes[i-1].Name)
		}
		if !utf8.ValidString(a.Name) || slices.ContainsFunc(a.Values, func(v string) bool { return !utf8.ValidString(v) }) {
			complain("attribute %q is not valid UTF-8", a.Name)
		}
		if isPassword(a.Name) {
			complain("attribute %q is a password", a.Name)
		}
	}
	return errors.Join(all...)
}

// isPassword knows the family of rule U21.
func isPassword(attribute string) bool {
	bare, _, _ := strings.Cut(strings.ToLower(attribute), ";")
	return slices.Contains([]string{
		"userpassword", "unicodepwd", "sambantpassword", "sambalmpassword", "sambapasswordhistory",
		"krbprincipalkey", "dbcspwd", "ntpwdhistory", "lmpwdhistory", "supplementalcredentials", "pwdhistory",
		"passwordhistory", "authpassword", "orclpassword", "passwordprofile", "pwd", "password",
	}, bare)
}

// users returns the emitted users by key.
func (p pass) users() map[string]connectors.Record {
	m := map[string]connectors.Record{}
	for _, r := range p.copies {
		if r.Kind == connectors.User {
			m[r.Key] = r
		}
	}
	return m
}

// holds compares the emitted users with the people who are in the source.
func (p pass) holds(keys []string, list []people.Person, want func(people.Person) map[string][]string) error {
	var all []error
	users := p.users()
	if len(users) != len(keys) {
		all = append(all, fmt.Errorf("%d users emitted, the source has %d", len(users), len(keys)))
	}
	for i, key := range keys {
		r, ok := users[key]
		if !ok {
			all = append(all, fmt.Errorf("%s (key %q) was not emitted", list[i].UID, key))
			continue
		}
		all = append(all, hasAttributes(r, want(list[i])))
	}
	return errors.Join(all...)
}

func hasAttributes(r connectors.Record, want map[string][]string) error {
	var all []error
	for name, values := range want {
		i := slices.IndexFunc(r.Attributes, func(a connectors.Attribute) bool { return a.Name == name })
		if i < 0 {
			all = append(all, fmt.Errorf("record %q (%q): attribute %q is not listed, want %q", r.Key, r.Name, name, values))
			continue
		}
		if got := r.Attributes[i].Values; !slices.Equal(sorted(got), sorted(values)) {
			all = append(all, fmt.Errorf("record %q (%q): attribute %q is %q, want %q", r.Key, r.Name, name, got, values))
		}
	}
	return errors.Join(all...)
}

func sorted(values []string) []string { return slices.Sorted(slices.Values(values)) }

// same says how two passes over unchanged entries differ; a record's Name may.
func same(a, b pass) error {
	var all []error
	left, right := a.byKey(), b.byKey()
	for key, r := range left {
		other, ok := right[key]
		if !ok {
			all = append(all, fmt.Errorf("key %q (%q) is not in the second pass", key, r.Name))
			continue
		}
		other.Name = r.Name
		if !reflect.DeepEqual(r, other) {
			all = append(all, fmt.Errorf("record differs between two passes: %+v, then %+v", r, other))
		}
	}
	for key, r := range right {
		if _, ok := left[key]; !ok {
			all = append(all, fmt.Errorf("key %q (%q) is new in the second pass", key, r.Name))
		}
	}
	return errors.Join(all...)
}

func (p pass) byKey() map[string]connectors.Record {
	m := map[string]connectors.Record{}
	for _, r := range p.copies {
		m[r.Key] = r
	}
	return m
}

// failed says why a pass that had to fail did not fail as the contract has it.
func (p pass) failed(err, want error) error {
	switch {
	case err == nil:
		return fmt.Errorf("no error after %d records (evidence %q), want one", len(p.records), p.outcome.Evidence)
	case want != nil && !errors.Is(err, want):
		return fmt.Errorf("error is %w, want it to wrap %w", err, want)
	case !reflect.DeepEqual(p.outcome, connectors.Outcome{}):
		return fmt.Errorf("outcome beside the error %w is %+v, want the zero value", err, p.outcome)
	}
	return nil
}
