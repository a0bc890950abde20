package ldap

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/connectors"
)

// decoder turns entries into records, one after the other, in slices that it uses again.
type decoder struct {
	key  string
	want []string // names to list in every record, spelled as asked for
	all  bool     // other attributes are recorded too
	// known are the attribute names that came so far, as the server spells them.
	known map[string]*attribute
	now   time.Time
	// clock is the attribute that tells when an entry changed, "" when it is not wanted, and newest the newest time that came.
	clock  string
	newest time.Time

	entry      int
	seen       []int // per wanted name the last entry that had it
	attributes []connectors.Attribute
	values     []string
	ranged     []rangedAttribute
	keyValue   string
	disabled   bool
}

// attribute is what the decoder knows of an attribute's name.
type attribute struct {
	name     string // as asked for
	wanted   int    // its place in want, -1 when it came unasked
	syntax   syntax
	password bool
	key      bool
	flag     func(d *decoder, value string) bool // says that the account may not be used
	hidden   bool                                // no part of the record
	clock    bool                                // tells when the entry changed
	from     int                                 // first value of a range that goes on, else 0
	entry    int                                 // the last entry that had it
}

// rangedAttribute is an attribute of which the server gave only the first values (MS-ADTS 3.1.1.3.1.3.3).
type rangedAttribute struct {
	name string
	next int
}

func newDecoder(key string, want []string, all bool, now time.Time) *decoder {
	want = slices.Clone(want)
	slices.SortFunc(want, func(a, b string) int { return cmp.Compare(a, b) })
	return &decoder{key: key, want: want, all: all, known: map[string]*attribute{}, now: now, seen: make([]int, len(want))}
}

// decode reads a SearchResultEntry. The record's slices are the decoder's.
func (d *decoder) decode(content []byte, r *connectors.Record) error {
	message := string(content) // the one copy: values are parts of it
	d.entry++
	d.attributes, d.values, d.ranged = d.attributes[:0], d.values[:0], d.ranged[:0]
	d.keyValue, d.disabled = "", false
	dn, err := parseEntry(message, d.take)
	if err != nil {
		return err
	}
	dn = strings.ToValidUTF8(dn, "\uFFFD")
	d.addUnseen(dn)
	slices.SortFunc(d.attributes, func(a, b connectors.Attribute) int { return strings.Compare(a.Name, b.Name) })
	*r = connectors.Record{Key: d.keyValue, Kind: connectors.User, Name: dn, Attributes: d.attributes, Disabled: d.disabled}
	return nil
}

// take takes one attribute over.
func (d *decoder) take(name, values string) error {
	a := d.attributeOf(name)
	if a.password {
		return nil
	}
	first := len(d.values)
	for values != "" {
		var value string
		var err error
		if value, values, err = expect(values, tagOctets); err != nil {
			return err
		}
		d.values = append(d.values, a.syntax.text(value))
	}
	list := d.values[first:len(d.values):len(d.values)]
	slices.Sort(list)
	if a.key && len(list) > 0 {
		d.keyValue = list[0] // the smallest: another order is no other entry
	}
	for _, value := range list {
		d.disabled = d.disabled || a.flag != nil && a.flag(d, value)
	}
	if a.clock && len(list) > 0 {
		if t, ok := changeTime(list[0]); ok && t.After(d.newest) {
			d.newest = t
		}
	}
	if a.hidden {
		d.values = d.values[:first]
		return nil
	}
	if len(list) == 0 {
		return nil // "member" without values stands beside "member;range=0-1499"; addUnseen lists what is empty
	}
	d.add(a, list)
	if a.from > 0 {
		d.ranged = append(d.ranged, rangedAttribute{a.name, a.from})
	}
	return nil
}

// add lists an attribute. One that comes in several pieces is one attribute.
func (d *decoder) add(a *attribute, list []string) {
	again := a.entry == d.entry
	a.entry = d.entry
	if a.wanted >= 0 {
		again = d.seen[a.wanted] == d.entry
		d.seen[a.wanted] = d.entry
	}
	if again {
		i := slices.IndexFunc(d.attributes, func(other connectors.Attribute) bool { return other.Name == a.name })
		d.attributes[i].Values = slices.Sorted(slices.Values(slices.Concat(d.attributes[i].Values, list)))
		return
	}
	d.attributes = append(d.attributes, connectors.Attribute{Name: a.name, Values: list})
}

// addUnseen lists the wanted attributes that the entry has not: they are empty, which is not the same as unknown. "dn"
// stands for the entry's own name.
func (d *decoder) addUnseen(dn string) {
	for i, name := range d.want {
		if d.seen[i] == d.entry {
			continue
		}
		var values []string
		if strings.EqualFold(name, "dn") {
			first := len(d.values)
			d.values = append(d.values, dn)
			values = d.values[first:len(d.values):len(d.values)]
		}
		d.attributes = append(d.attributes, connectors.Attribute{Name: name, Values: values})
	}
}

// attributeOf returns what is known of a name, as the server spells it.
func (d *decoder) attributeOf(name string) *attribute {
	if a := d.known[name]; a != nil {
		return a
	}
	a := d.learn(strings.Clone(name))
	if a.from == 0 && len(d.known) < 10000 {
		d.known[strings.Clone(name)] = a
	}
	return a
}

func (d *decoder) learn(name string) *attribute {
	base, from := cutRange(name)
	lower := strings.ToLower(base)
	a := &attribute{name: strings.ToValidUTF8(base, "\uFFFD"), wanted: -1, syntax: syntaxes[lower], password: isPassword(base), from: from,
		key: strings.EqualFold(base, d.key), flag: disabledFlags[lower], clock: d.clock != "" && strings.EqualFold(base, d.clock)}
	for i, wanted := range d.want {
		if strings.EqualFold(wanted, base) {
			a.name, a.wanted = wanted, i
		}
	}
	a.hidden = a.wanted < 0 && !d.all
	return a
}

// cutRange cuts ";range=0-1499" off a name and returns where the next values begin, 0 when there are no more.
func cutRange(name string) (base string, next int) {
	base, option, found := strings.Cut(name, ";range=")
	if !found {
		return name, 0
	}
	_, last, _ := strings.Cut(option, "-")
	n, err := strconv.Atoi(last)
	if err != nil || n < 0 || n > 1<<30 {
		return base, 0
	}
	return base, n + 1
}

// disabledFlags are the attributes by which directories say that an account may not be used.
var disabledFlags = map[string]func(*decoder, string) bool{
	"useraccountcontrol": func(_ *decoder, value string) bool {
		const accountDisable = 2 // MS-ADTS 2.2.16
		n, err := strconv.ParseInt(value, 10, 64)
		return err == nil && n&accountDisable != 0
	},
	"accountexpires": func(d *decoder, value string) bool {
		t, err := time.Parse(time.RFC3339Nano, value)
		return err == nil && !t.After(d.now)
	},
	"nsaccountlock": isTrue,
	"logindisabled": isTrue,
}

func isTrue(_ *decoder, value string) bool { return strings.EqualFold(value, "true") }

// keyless is the error of an entry without its key: nobody could say who it is in the next run.
func (d *decoder) keyless(dn string) error {
	return connectors.Hint(fmt.Errorf("%w: %s has no attribute %s", connectors.ErrScope, dn, d.key),
		"let the account that reads the directory see it, or name another attribute with a stable id: key: …")
}
