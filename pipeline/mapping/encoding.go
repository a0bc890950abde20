package mapping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"rollcall/connectors"
	"rollcall/store"
)

// A Change is a CBOR map (RFC 8949) with the numbers of its fields as keys, ascending, in the shortest forms.
// A field without a value is not there. Texts are a map from the property to its value, lists from its place in
// [store.Lists]. The fields:
const (
	fieldKey = 1 + iota
	fieldEntry
	fieldKind
	fieldNumber
	fieldRawSequence
	fieldDigest
	fieldAbsent
	fieldRejected
	fieldDisabled
	fieldUnselected
	fieldSet
	fieldText
	fieldList
	fieldSourceLabel
	fieldMembers
	fieldWarnings
	fieldNames
	fieldNested
	fieldKeepEmpty
	fieldMakesDefault
	fieldSelects
	fieldLaterDefault
	fieldLoan
	fieldShortPINs
)

// EncodeChange returns a change's bytes; equal changes have equal bytes.
func EncodeChange(c *Change) ([]byte, error) { return c.MarshalCBOR() }

// DecodeChange reads what [EncodeChange] wrote. It sets every field of c, and keeps nothing of data.
func DecodeChange(data []byte, c *Change) error { return c.UnmarshalCBOR(data) }

// MarshalCBOR returns the bytes of [EncodeChange].
func (c *Change) MarshalCBOR() ([]byte, error) {
	e := encoder{b: make([]byte, 1, c.size())} // the map's head, written last
	e.textField(fieldKey, c.Key)
	e.textField(fieldEntry, c.Entry)
	e.textField(fieldKind, string(c.Kind))
	e.numberField(fieldNumber, c.Number)
	e.numberField(fieldRawSequence, c.RawSequence)
	if c.Digest != (store.Digest{}) {
		e.field(fieldDigest)
		e.head(majorBytes, uint64(len(c.Digest)))
		e.b = append(e.b, c.Digest[:]...)
	}
	e.truthField(fieldAbsent, c.Absent)
	e.textField(fieldRejected, c.Rejected)
	e.truthField(fieldDisabled, c.Disabled)
	e.truthField(fieldUnselected, c.Unselected)
	e.numberField(fieldSet, uint64(c.Set))
	e.texts(c)
	e.lists(c)
	e.textField(fieldSourceLabel, c.SourceLabel)
	if len(c.Members) > 0 {
		e.field(fieldMembers)
		e.textList(c.Members)
	}
	e.warnings(c.Warnings)
	if len(c.Names) > 0 {
		e.field(fieldNames)
		e.textList(c.Names)
	}
	e.truthField(fieldNested, c.Nested)
	e.truthField(fieldKeepEmpty, c.KeepEmpty)
	e.truthField(fieldMakesDefault, c.MakesDefault)
	e.truthField(fieldSelects, c.Selects)
	e.truthField(fieldLaterDefault, c.LaterDefault)
	e.loan(&c.Loan)
	if len(c.ShortPINs) > 0 {
		e.field(fieldShortPINs)
		e.textList(c.ShortPINs)
	}
	return e.finish(), nil
}

// size is at least what the texts of a usual change take.
func (c *Change) size() int {
	n := 128 + len(c.Key) + len(c.Entry) + len(c.Rejected)
	for i := range c.Text {
		n += len(c.Text[i]) + 4
	}
	for i := range c.List {
		for _, value := range c.List[i] {
			n += len(value) + 3
		}
	}
	return n
}

// The major types of RFC 8949, 3.1, and the two truths.
const (
	majorNumber = 0
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	truth       = 0xf5
)

type encoder struct {
	b      []byte
	fields byte
}

// head writes a major type and its argument in the shortest form.
func (e *encoder) head(major byte, n uint64) {
	major <<= 5
	switch {
	case n < 24:
		e.b = append(e.b, major|byte(n))
	case n < 1<<8:
		e.b = append(e.b, major|24, byte(n))
	case n < 1<<16:
		e.b = binary.BigEndian.AppendUint16(append(e.b, major|25), uint16(n))
	case n < 1<<32:
		e.b = binary.BigEndian.AppendUint32(append(e.b, major|26), uint32(n))
	default:
		e.b = binary.BigEndian.AppendUint64(append(e.b, major|27), n)
	}
}

// finish writes the map's head, for which there is room where it has one byte.
func (e *encoder) finish() []byte {
	const short = 24
	if e.fields >= short {
		e.b[0] = majorMap<<5 | short
		return slices.Insert(e.b, 1, e.fields)
	}
	e.b[0] = majorMap<<5 | e.fields
	return e.b
}

// field writes a field's number.
func (e *encoder) field(number uint64) {
	e.head(majorNumber, number)
	e.fields++
}

func (e *encoder) text(s string) {
	e.head(majorText, uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) textList(list []string) {
	e.head(majorArray, uint64(len(list)))
	for _, s := range list {
		e.text(s)
	}
}

func (e *encoder) textField(number uint64, s string) {
	if s != "" {
		e.field(number)
		e.text(s)
	}
}

func (e *encoder) numberField(number, n uint64) {
	if n != 0 {
		e.field(number)
		e.head(majorNumber, n)
	}
}

func (e *encoder) truthField(number uint64, is bool) {
	if is {
		e.field(number)
		e.b = append(e.b, truth)
	}
}

func (e *encoder) texts(c *Change) {
	n := 0
	for i := range c.Text {
		if c.Text[i] != "" {
			n++
		}
	}
	if n == 0 {
		return
	}
	e.field(fieldText)
	e.head(majorMap, uint64(n))
	for i := range c.Text {
		if c.Text[i] != "" {
			e.head(majorNumber, uint64(i))
			e.text(c.Text[i])
		}
	}
}

func (e *encoder) lists(c *Change) {
	n := 0
	for i := range c.List {
		if len(c.List[i]) > 0 {
			n++
		}
	}
	if n == 0 {
		return
	}
	e.field(fieldList)
	e.head(majorMap, uint64(n))
	for i := range c.List {
		if len(c.List[i]) > 0 {
			e.head(majorNumber, uint64(i))
			e.textList(c.List[i])
		}
	}
}

func (e *encoder) warnings(warnings []Warning) {
	if len(warnings) == 0 {
		return
	}
	e.field(fieldWarnings)
	e.head(majorArray, uint64(len(warnings)))
	for i := range warnings {
		e.head(majorArray, 3)
		e.text(warnings[i].Property)
		e.text(warnings[i].Value)
		e.text(warnings[i].Reason)
	}
}

// loan writes a map of its own within the change's.
func (e *encoder) loan(l *Loan) {
	if l.isNone() {
		return
	}
	e.field(fieldLoan)
	inner := encoder{b: append(e.b, 0)}
	at := len(e.b)
	inner.textField(1, l.Lender)
	inner.numberField(2, uint64(l.Borrows))
	if len(l.Lends) > 0 {
		inner.field(3)
		inner.head(majorArray, uint64(len(l.Lends)))
	}
	for _, lent := range l.Lends {
		inner.head(majorArray, 2)
		inner.head(majorNumber, uint64(lent.Property))
		inner.text(lent.Value)
	}
	inner.b[at] = majorMap<<5 | inner.fields
	e.b = inner.b
}

// UnmarshalCBOR reads the bytes of [Change.MarshalCBOR].
func (c *Change) UnmarshalCBOR(data []byte) error {
	*c = Change{}
	d := decoder{data: data, kept: string(data)}
	fields := d.head(majorMap)
	for last := uint64(0); fields > 0 && d.err == nil; fields-- {
		number := d.head(majorNumber)
		if number <= last {
			d.fail("fields are not in order")
			break
		}
		last = number
		d.field(c, number)
	}
	if d.err == nil && d.at < len(data) {
		d.fail("bytes are left over")
	}
	if d.err != nil {
		return fmt.Errorf("decode change: %w", d.err)
	}
	return nil
}

// decoder walks over a change's bytes. All texts are parts of one copy of them.
type decoder struct {
	data []byte
	kept string
	at   int
	err  error
}

func (d *decoder) field(c *Change, number uint64) {
	switch number {
	case fieldKey:
		c.Key = d.text()
	case fieldEntry:
		c.Entry = d.text()
	case fieldKind:
		c.Kind = d.kind()
	case fieldNumber:
		c.Number = d.head(majorNumber)
	case fieldRawSequence:
		c.RawSequence = d.head(majorNumber)
	case fieldDigest:
		d.digest(&c.Digest)
	case fieldAbsent:
		c.Absent = d.truth()
	case fieldRejected:
		c.Rejected = d.text()
	case fieldDisabled:
		c.Disabled = d.truth()
	case fieldUnselected:
		c.Unselected = d.truth()
	case fieldSet:
		c.Set = store.PropertySet(d.head(majorNumber))
	case fieldText:
		d.texts(c)
	case fieldList:
		d.lists(c)
	case fieldSourceLabel:
		c.SourceLabel = d.text()
	case fieldMembers:
		c.Members = d.textList()
	case fieldWarnings:
		c.Warnings = d.warnings()
	case fieldNames:
		c.Names = d.textList()
	case fieldNested:
		c.Nested = d.truth()
	case fieldKeepEmpty:
		c.KeepEmpty = d.truth()
	case fieldMakesDefault:
		c.MakesDefault = d.truth()
	case fieldSelects:
		c.Selects = d.truth()
	case fieldLaterDefault:
		c.LaterDefault = d.truth()
	case fieldLoan:
		d.loan(&c.Loan)
	case fieldShortPINs:
		c.ShortPINs = d.textList()
	default:
		d.fail(fmt.Sprintf("field %d is not known", number))
	}
}

func (d *decoder) fail(reason string) {
	if d.err == nil {
		d.err = errors.New(reason)
	}
}

// head reads a major type and returns its argument. Counts and lengths are no larger than what is left.
func (d *decoder) head(major byte) uint64 {
	if d.err != nil || d.at >= len(d.data) || d.data[d.at]>>5 != major {
		d.fail("another type is expected, or more bytes")
		return 0
	}
	short := d.data[d.at] & 31
	d.at++
	if short < 24 {
		return d.bounded(major, uint64(short))
	}
	width := 1 << (short - 24)
	if short > 27 || len(d.data)-d.at < width {
		d.fail("a number is cut off")
		return 0
	}
	var n uint64
	for _, b := range d.data[d.at : d.at+width] {
		n = n<<8 | uint64(b)
	}
	d.at += width
	return d.bounded(major, n)
}

func (d *decoder) bounded(major byte, n uint64) uint64 {
	if major != majorNumber && n > uint64(len(d.data)-d.at) {
		d.fail("a length is beyond the end")
		return 0
	}
	return n
}

func (d *decoder) text() string {
	n := int(d.head(majorText))
	s := d.kept[d.at : d.at+n]
	d.at += n
	return s
}

func (d *decoder) textList() []string {
	n := d.head(majorArray)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

// kind keeps no bytes for the two kinds that there are.
func (d *decoder) kind() connectors.Kind {
	switch s := connectors.Kind(d.text()); s {
	case connectors.User:
		return connectors.User
	case connectors.Group:
		return connectors.Group
	default:
		return s
	}
}

func (d *decoder) digest(into *store.Digest) {
	n := int(d.head(majorBytes))
	if d.err == nil && n != len(into) {
		d.fail("a digest has another length")
		return
	}
	copy(into[:], d.data[d.at:d.at+n])
	d.at += n
}

func (d *decoder) truth() bool {
	if d.err != nil || d.at >= len(d.data) || d.data[d.at] != truth {
		d.fail("true is expected")
		return false
	}
	d.at++
	return true
}

func (d *decoder) texts(c *Change) {
	for n := d.head(majorMap); n > 0 && d.err == nil; n-- {
		p := d.head(majorNumber)
		if p >= uint64(len(c.Text)) {
			d.fail(fmt.Sprintf("property %d is not known", p))
			return
		}
		c.Text[p] = d.text()
	}
}

func (d *decoder) lists(c *Change) {
	for n := d.head(majorMap); n > 0 && d.err == nil; n-- {
		p := d.head(majorNumber)
		if p >= uint64(len(c.List)) {
			d.fail(fmt.Sprintf("list %d is not known", p))
			return
		}
		c.List[p] = d.textList()
	}
}

func (d *decoder) loan(l *Loan) {
	for n := d.head(majorMap); n > 0 && d.err == nil; n-- {
		switch number := d.head(majorNumber); number {
		case 1:
			l.Lender = d.text()
		case 2:
			l.Borrows = store.PropertySet(d.head(majorNumber))
		case 3:
			l.Lends = d.lends()
		default:
			d.fail(fmt.Sprintf("field %d of a loan is not known", number))
		}
	}
}

func (d *decoder) lends() (all []Lent) {
	for n := d.head(majorArray); n > 0 && d.err == nil; n-- {
		if d.head(majorArray) != 2 {
			d.fail("what is lent has two parts")
		}
		p := d.head(majorNumber)
		if p >= uint64(store.TextCount) {
			d.fail(fmt.Sprintf("property %d cannot be lent", p))
			return nil
		}
		all = append(all, Lent{Property: store.Property(p), Value: d.text()})
	}
	return all
}

func (d *decoder) warnings() []Warning {
	n := d.head(majorArray)
	if n == 0 || d.err != nil {
		return nil
	}
	all := make([]Warning, 0, min(n, maxWarnings))
	for ; n > 0 && d.err == nil; n-- {
		if d.head(majorArray) != 3 {
			d.fail("a warning has three parts")
		}
		all = append(all, Warning{Property: d.text(), Value: d.text(), Reason: d.text()})
	}
	return all
}
