package mapping

import (
	"fmt"
	"strings"

	"rollcall/connectors"
	"rollcall/store"
)

// Step is a value after one part of a rule.
type Step struct {
	// Name is the part: value, split, trim, regex, a command of the chain, default, domain, case or form.
	Name string
	// Value is the value then, masked where it may be a PIN.
	Value string
	// Note says why the value ends here, "" when it goes on.
	Note string
}

// Trace sends one value through the rule of a property and returns what becomes of it, a step for each part that the rule
// has. A value of a list is followed alone. The last step's Value is what a user would have.
func (m *Mapping) Trace(p store.Property, value string) ([]Step, error) {
	for i := range m.rules {
		if r := &m.rules[i]; r.property == p {
			t := tracer{rule: r}
			t.walk(m, value)
			return t.steps, nil
		}
	}
	return nil, connectors.Hint(fmt.Errorf("%s is not mapped", p), "mapping: {"+p.String()+": attribute}")
}

type tracer struct {
	rule  *rule
	steps []Step
	value string
	ended bool
}

func (t *tracer) walk(m *Mapping, value string) {
	r := t.rule
	t.value = value
	t.note("value", nil)
	if r.split != "" {
		t.step("split", func(s string) (string, error) { return r.part(s), nil })
	}
	t.step("trim", func(s string) (string, error) {
		if len(s) > r.form.limit() {
			return "", r.form.tooLong()
		}
		return clean(s, r.form.breaks())
	})
	if r.regex != nil {
		t.step("regex "+r.regex.String(), func(s string) (string, error) { return match(r.regex, s) })
	}
	for _, c := range r.chain {
		t.step(c.name, func(s string) (string, error) { return transform([]command{c}, s) })
	}
	t.step("form", r.form.check)
	if t.value == "" && r.fallback != "" {
		t.value, t.ended = r.fallback, false
		t.note("default", nil)
	}
	if r.property == store.UserName {
		t.name(m)
	}
}

// part is what the rule's split, skip and take leave of a value.
func (r *rule) part(value string) string {
	parts := r.cut([]string{value})
	parts = parts[min(r.skip, len(parts)):]
	if r.take > 0 {
		parts = parts[:min(r.take, len(parts))]
	}
	return strings.Join(parts, r.split)
}

// step does one part unless the value has ended.
func (t *tracer) step(name string, do func(string) (string, error)) {
	if t.ended {
		return
	}
	value, err := do(t.value)
	if err != nil {
		value, t.ended = "", true
	}
	t.value = value
	t.note(name, err)
	t.ended = t.ended || value == ""
}

func (t *tracer) note(name string, err error) {
	s := Step{Name: name, Value: t.rule.show(shorten(t.value))}
	if err != nil {
		s.Note = err.Error()
	}
	t.steps = append(t.steps, s)
}

// name shows what becomes of a user name at the end (O7).
func (t *tracer) name(m *Mapping) {
	if m.domain != "" {
		t.step("domain", func(s string) (string, error) { return m.withDomain(s), nil })
	}
	if m.lowercase {
		t.step("case", func(s string) (string, error) { return lower(s), nil })
	}
	t.step("user name", func(s string) (string, error) { return s, fits(s) })
}
