package mapping

import (
	"errors"
	"fmt"
	"strings"

	"rollcall/connectors"
	"rollcall/store"
)

// Loan is what an entry takes from the entry of its manager, and what it has for those whose manager it is. A value that
// is lent went through the rule of the property that takes it.
type Loan struct {
	// Lender is the key of the entry that lends, "" for none; Borrows are the properties that come from it.
	Lender  string            `cbor:"1,keyasint,omitempty"`
	Borrows store.PropertySet `cbor:"2,keyasint,omitempty"`
	// Lends are the entry's own values for whoever borrows from it, in the order of the properties. There are none without a value.
	Lends []Lent `cbor:"3,keyasint,omitempty"`
}

// Lent is a property's value for whoever borrows it.
type Lent struct {
	_        struct{} `cbor:",toarray"`
	Property store.Property
	Value    string
}

// isNone reports whether nothing is borrowed or lent.
func (l *Loan) isNone() bool { return l.Lender == "" && l.Borrows == 0 && len(l.Lends) == 0 }

// borrowed returns the rule that makes of the lender's own attributes what a property takes, and whether it takes anything: only
// a property with one value does, that identifies nobody, and from the lender alone.
func (c *Config) borrowed(p store.Property, given Rule) (Rule, bool) {
	if c.Lender == "" || p.Multi() || p == store.UserName || p == store.PersonalNumber {
		return given, false
	}
	from, lent, own := make([]string, 0, len(given.From)), 0, 0
	take := func(name string) string {
		name, ok := c.lent(name)
		if ok {
			lent++
		} else {
			own++
		}
		return name
	}
	for _, text := range given.From {
		for name := range strings.SplitSeq(text, ";") {
			from = append(from, take(name))
		}
	}
	pieces := strings.Split(given.Template, "%")
	for i := 1; i < len(pieces); i += 2 {
		if pieces[i] != "" { // else it is a percent sign
			pieces[i] = take(pieces[i])
		}
	}
	if lent == 0 || own > 0 {
		return given, false
	}
	given.From, given.Template = from, strings.Join(pieces, "%")
	return given, true
}

// lent returns the name of a lender's own attribute. Its key is what the entry itself says of it.
func (c *Config) lent(name string) (own string, ok bool) {
	name = strings.TrimSpace(name)
	if n := len(c.Lender) + 1; c.isLenders(name) && !strings.EqualFold(name[n:], "id") {
		return name[n:], true
	}
	return name, false
}

// isLenders reports whether a name is written as that of a lender's attribute.
func (c *Config) isLenders(name string) bool {
	n := len(c.Lender) + 1
	return c.Lender != "" && len(name) > n && strings.EqualFold(name[:n], c.Lender+".")
}

// compileLoans gives the lender its number, and refuses its attributes where they mean nothing.
func (m *Mapping) compileLoans(c Config) error {
	m.lender = -1
	var all []error
	for i := range m.rules {
		r := &m.rules[i]
		if r.borrows {
			m.lender = m.names.slot(c.Lender)
		}
		if r.borrows && r.fallback != "" {
			all = append(all, fmt.Errorf("%s: default: what a %s does not have stays empty", r.property, c.Lender))
		}
	}
	for _, name := range m.names.spelling {
		if c.isLenders(name) {
			all = append(all, connectors.Hint(fmt.Errorf("%s: a %s's attributes are for properties with one value, neither user_name nor personal_number, and not beside the entry's own", name, c.Lender),
				"custom_1: "+c.Lender+".displayName"))
		}
	}
	return errors.Join(all...)
}

// lend takes over from whom the record borrows, and what it has for others. A value that cannot be lent is not there.
func (m *Mapping) lend(v view, c *Change) {
	if m.lender < 0 {
		return
	}
	isTold := v[m.lender] != nil
	if isTold {
		c.Loan.Lender = v.first(m.lender)
	}
	var own Change
	for i := range m.rules {
		r := &m.rules[i]
		if !r.borrows {
			continue
		}
		if isTold {
			c.Set, c.Loan.Borrows = c.Set.With(r.property), c.Loan.Borrows.With(r.property)
		}
		r.apply(v, &own)
		if value := own.Text[r.property]; value != "" {
			c.Loan.Lends = append(c.Loan.Lends, Lent{Property: r.property, Value: value})
		}
	}
}
