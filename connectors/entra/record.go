package entra

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/connectors"
)

// mostSlots is how many different attributes the objects of one pass may have.
const mostSlots = 5000

// clockMargin is more than the clocks of Graph's machines differ.
const clockMargin = 5 * time.Second

// reader turns Graph's objects of one kind into records. Everything but an object's text is used
// again for the next one.
type reader struct {
	kind connectors.Kind
	// since is when the round before ended, by Graph's clock; zero when that is not known. Nothing that was created
	// later is known yet, so what it does not mention was never set.
	since time.Time

	slots []slot         // in the order in which they were met
	order []int          // the slots by name
	index map[string]int // by path as Graph spells it
	fold  map[string]int // by path in lower case
	known known

	// The present object.
	object  int // its number: a slot that carries it was mentioned
	path    []byte
	id      value
	removed bool
	links   []linked
	values  []value

	// The present record.
	userType   string
	guest      bool
	isNew      bool
	unclear    bool // whether it is new
	strings    []string
	attributes []connectors.Attribute
}

// slot is an attribute, with the place of its values in reader.values.
type slot struct {
	name       string
	asked      bool // the configuration asks for it: every whole record lists it
	object     int
	start, end int
}

// known are the slots that mean something to the connector, and of the two derived ones -1 where nobody asked for them.
type known struct {
	enabled, created, display, upn, userType, samName, domain int
	upnPrefix, onPremises                                     int
}

// value is a text: a part of the page, or decoded where it does not stand there as it is.
type value struct {
	from, to int
	decoded  string
}

// linked is a member or manager.
type linked struct {
	id      string
	removed bool
}

func newReader(kind connectors.Kind, attributes []string) *reader {
	r := &reader{kind: kind, index: map[string]int{}, fold: map[string]int{}}
	for _, name := range attributes {
		r.slots[r.add(name)].asked = true
	}
	r.known = known{
		enabled: r.ensure("accountEnabled"), created: r.ensure("createdDateTime"), display: r.ensure("displayName"),
		upn: r.ensure("userPrincipalName"), userType: r.ensure("userType"),
		samName: r.ensure("onPremisesSamAccountName"), domain: r.ensure("onPremisesDomainName"),
		upnPrefix: r.find(upnPrefix), onPremises: r.find(onPremisesName),
	}
	return r
}

// read reads the object before which the page's decoder stands. whole says whether what it does not mention was
// never set. The record is good until the next call.
func (r *reader) read(p *page, whole bool) (connectors.Record, error) {
	r.object++
	r.userType, r.guest, r.isNew, r.unclear = "", false, false, false
	r.path, r.values, r.links, r.id, r.removed = r.path[:0], r.values[:0], r.links[:0], value{}, false
	if err := r.members(p); err != nil {
		return connectors.Record{}, err
	}
	// All plain values of the object share one string, which lives as long as one of them.
	text := r.text(p.body)
	rec := connectors.Record{Key: text(r.id), Kind: r.kind, Deleted: r.removed}
	if rec.Key == "" {
		return rec, errors.New("an object without an id")
	}
	if r.removed {
		rec.Name = rec.Key
		return rec, nil
	}
	r.derive(text)
	r.isNew, r.unclear = r.age(text)
	whole = whole || r.isNew
	rec.Attributes, rec.Partial = r.collect(text, whole)
	upn := r.first(text, r.known.upn)
	r.userType = r.first(text, r.known.userType)
	r.guest = guest(r.userType, upn)
	rec.Disabled = r.first(text, r.known.enabled) == "false"
	rec.Name = cmp.Or(upn, r.first(text, r.known.display), rec.Key)
	return rec, nil
}

// members reads the object at r.path.
func (r *reader) members(p *page) error {
	depth := len(r.path)
	return p.members(func(quoted []byte) error {
		name := quoted[1 : len(quoted)-1]
		if !plain7(name) {
			name = []byte(unquote(quoted))
		}
		if bytes.IndexByte(name, '@') >= 0 || depth == 0 && (string(name) == "id" || string(name) == "manager") {
			return r.annotation(p, string(name), depth)
		}
		if depth > 0 {
			r.path = append(r.path, '.')
		}
		r.path = append(r.path, name...)
		err := r.value(p)
		r.path = r.path[:depth]
		return err
	})
}

// annotation reads what is no plain attribute: the id, the removal, links and what OData says of itself.
func (r *reader) annotation(p *page, name string, depth int) error {
	switch {
	case depth > 0:
	case name == "id":
		v, err := p.decoder.ReadValue()
		if err == nil && v.Kind() != '"' {
			err = errors.New("an id that is not a text")
		}
		r.id = stringValue(p, v)
		return err
	case name == "@removed":
		r.removed = true
	case name == "members@delta":
		return r.readLinks(p)
	case name == "manager@delta":
		err := r.readLinks(p)
		r.manager()
		return err
	case name == "manager": // expanded: the object itself, or null
		err := r.readLink(p)
		r.manager()
		return err
	}
	return p.decoder.SkipValue()
}

func (r *reader) readLinks(p *page) error {
	r.links = r.links[:0]
	return p.elements(func() error { return r.readLink(p) })
}

func (r *reader) readLink(p *page) error {
	if p.decoder.PeekKind() == 'n' {
		return p.decoder.SkipValue()
	}
	var l linked
	err := p.members(func(name []byte) (err error) {
		switch string(name) {
		case `"id"`:
			l.id, err = p.text()
			return err
		case `"@removed"`:
			l.removed = true
		}
		return p.decoder.SkipValue()
	})
	r.links = append(r.links, l)
	return err
}

// manager makes an attribute of manager@delta: the manager that was not removed.
func (r *reader) manager() {
	s := r.mention("manager")
	for _, l := range r.links {
		if !l.removed {
			s.start, s.end = len(r.values), len(r.values)+1
			r.values = append(r.values, value{decoded: l.id})
		}
	}
}

// value reads the value of the attribute at r.path.
func (r *reader) value(p *page) error {
	if len(r.slots) > mostSlots {
		return errors.New("too many different attributes")
	}
	switch p.decoder.PeekKind() {
	case '{':
		r.below()
		return r.members(p)
	case 'n':
		if !r.below() {
			r.mentionPath()
		}
		return p.decoder.SkipValue()
	case '[':
		i := r.mentionPath()
		err := p.elements(func() error { return r.scalar(p) })
		r.slots[i].end = len(r.values)
		return err
	}
	i := r.mentionPath()
	err := r.scalar(p)
	r.slots[i].end = len(r.values)
	return err
}

// scalar appends a value; an object or array within an array stays JSON.
func (r *reader) scalar(p *page) error {
	v, err := p.decoder.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case 'n':
	case '"':
		r.values = append(r.values, stringValue(p, v))
	case '{', '[':
		compact := jsontext.Value(slices.Clone(v))
		_ = compact.Canonicalize() // two spellings of one thing are no change
		r.values = append(r.values, value{decoded: strings.ToValidUTF8(string(compact), "\uFFFD")})
	default:
		end := int(p.decoder.InputOffset())
		r.values = append(r.values, value{from: end - len(v), to: end})
	}
	return nil
}

// stringValue is a JSON string that was just read.
func stringValue(p *page, v jsontext.Value) value {
	end := int(p.decoder.InputOffset())
	if len(v) >= 2 && bytes.IndexByte(v, '\\') < 0 && utf8.Valid(v) {
		return value{from: end - len(v) + 1, to: end - 1}
	}
	return value{decoded: unquote(v)}
}

// below mentions what was asked for below r.path, empty, and says whether there is any: a complex property is
// always told as a whole.
func (r *reader) below() bool {
	found := false
	for i := range r.slots {
		s := &r.slots[i]
		if s.asked && len(s.name) > len(r.path) && s.name[len(r.path)] == '.' && strings.EqualFold(s.name[:len(r.path)], string(r.path)) {
			s.object, s.start, s.end = r.object, 0, 0
			found = true
		}
	}
	return found
}

// mentionPath says that the object mentions r.path, whose values follow.
func (r *reader) mentionPath() int {
	i, ok := r.index[string(r.path)]
	if !ok {
		path := strings.ToValidUTF8(string(r.path), "\uFFFD")
		if i, ok = r.fold[strings.ToLower(path)]; !ok {
			i = r.add(path)
		}
		r.index[string(r.path)] = i
	}
	s := &r.slots[i]
	s.object, s.start, s.end = r.object, len(r.values), len(r.values)
	return i
}

func (r *reader) mention(name string) *slot {
	r.path = append(r.path[:0], name...)
	i := r.mentionPath()
	r.path = r.path[:0]
	return &r.slots[i]
}

// find returns the slot of a name, -1 when there is none.
func (r *reader) find(name string) int {
	if i, ok := r.fold[strings.ToLower(name)]; ok {
		return i
	}
	return -1
}

func (r *reader) ensure(name string) int {
	if i := r.find(name); i >= 0 {
		return i
	}
	return r.add(name)
}

// add makes a slot.
func (r *reader) add(name string) int {
	i := len(r.slots)
	r.slots = append(r.slots, slot{name: name})
	r.fold[strings.ToLower(name)] = i
	at, _ := slices.BinarySearchFunc(r.order, name, func(j int, n string) int { return strings.Compare(r.slots[j].name, n) })
	r.order = slices.Insert(r.order, at, i)
	return i
}

// text returns what makes strings of the object's values.
func (r *reader) text(body []byte) func(value) string {
	low, high := r.id.from, r.id.to
	for _, v := range r.values {
		if v.to > 0 {
			low, high = min(low, v.from), max(high, v.to)
		}
	}
	shared := string(body[low:high])
	return func(v value) string {
		if v.to == 0 {
			return v.decoded
		}
		return shared[v.from-low : v.to-low]
	}
}

// derive fills the attributes that are made of others.
func (r *reader) derive(text func(value) string) {
	k := r.known
	if k.upnPrefix >= 0 && r.mentioned(k.upn) {
		prefix, _, _ := strings.Cut(r.first(text, k.upn), "@")
		r.set(k.upnPrefix, prefix)
	}
	if k.onPremises >= 0 && (r.mentioned(k.samName) || r.mentioned(k.domain)) {
		user, domain := r.first(text, k.samName), r.first(text, k.domain)
		if user == "" || domain == "" {
			r.set(k.onPremises, "")
		} else {
			r.set(k.onPremises, user+"@"+domain)
		}
	}
}

// age says whether the object was created after the round before, or so near its end that nobody can tell.
func (r *reader) age(text func(value) string) (isNew, unclear bool) {
	if r.since.IsZero() {
		return false, false
	}
	created, err := time.Parse(time.RFC3339, r.first(text, r.known.created))
	if err != nil {
		return false, false
	}
	after := created.Sub(r.since)
	return after > clockMargin, after.Abs() <= clockMargin
}

func (r *reader) set(i int, v string) {
	s := &r.slots[i]
	s.object, s.start, s.end = r.object, len(r.values), len(r.values)
	if v != "" {
		r.values = append(r.values, value{decoded: v})
		s.end++
	}
}

func (r *reader) mentioned(i int) bool { return r.slots[i].object == r.object }

// first returns a slot's first value, "" when there is none.
func (r *reader) first(text func(value) string, i int) string {
	if s := r.slots[i]; s.object == r.object && s.end > s.start {
		return text(r.values[s.start])
	}
	return ""
}

// collect lists the attributes, and says whether any that was asked for was left out.
func (r *reader) collect(text func(value) string, whole bool) ([]connectors.Attribute, bool) {
	r.attributes, r.strings = r.attributes[:0], slices.Grow(r.strings[:0], len(r.values))
	partial := false
	for _, i := range r.order {
		s := r.slots[i]
		if s.object != r.object {
			if whole && s.asked {
				r.attributes = append(r.attributes, connectors.Attribute{Name: s.name})
			}
			partial = partial || s.asked
			continue
		}
		begin := len(r.strings)
		for _, v := range r.values[s.start:s.end] {
			r.strings = append(r.strings, text(v))
		}
		values := r.strings[begin:len(r.strings):len(r.strings)]
		slices.Sort(values)
		if len(values) == 0 {
			values = nil
		}
		r.attributes = append(r.attributes, connectors.Attribute{Name: s.name, Values: values})
	}
	return r.attributes, partial && !whole
}

// plain7 says whether the inside of a JSON string stands for itself and is ASCII.
func plain7(s []byte) bool {
	for _, c := range s {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}
