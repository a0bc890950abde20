package mapping

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"rollcall/connectors"
	"rollcall/store"
)

// filter is a search filter of RFC 4515 over the attributes of a record. Values compare case-folded, with
// ">=" and "<=" as numbers where both are. An attribute that the record has not matches nothing, so that its
// negation is true (RFC 4511, 4.5.1.7).
type filter struct {
	// op is one of & | ! for filters with parts, else = > < ~ * (substrings), ? (presence),
	// a and o (Active Directory's bit rules).
	op    byte
	parts []filter
	slot  int
	// value is folded; pieces are the folded texts between the "*", empty first or last ones where the text
	// begins or ends with "*".
	value  string
	pieces []string
	bits   int64
}

func compileFilter(text string, n *names) (filter, error) {
	p := filterParser{rest: strings.TrimSpace(text), names: n}
	if !strings.HasPrefix(p.rest, "(") {
		p.rest = "(" + p.rest + ")"
	}
	f, err := p.filter(0)
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("%q is left over behind the filter", shorten(p.rest))
	}
	if err != nil {
		return filter{}, connectors.Hint(fmt.Errorf("filter %q: %w", shorten(text), err), "(&(department=Sales)(!(title=Guest*)))")
	}
	return f, nil
}

// slots appends the attributes that the filter looks at.
func (f *filter) slots(into []int) []int {
	if strings.IndexByte("&|!", f.op) < 0 {
		return append(into, f.slot)
	}
	for i := range f.parts {
		into = f.parts[i].slots(into)
	}
	return into
}

// matches evaluates the filter.
func (f *filter) matches(v view) bool {
	switch f.op {
	case '&':
		return !slices.ContainsFunc(f.parts, func(p filter) bool { return !p.matches(v) })
	case '|':
		return slices.ContainsFunc(f.parts, func(p filter) bool { return p.matches(v) })
	case '!':
		return !f.parts[0].matches(v)
	case '?':
		return len(v.values(f.slot)) > 0
	}
	return slices.ContainsFunc(v.values(f.slot), f.compare)
}

func (f *filter) compare(value string) bool {
	switch f.op {
	case '*':
		return f.contains(store.Fold(value))
	case 'a', 'o':
		bits, err := strconv.ParseInt(trim(value), 10, 64)
		return err == nil && (f.op == 'a' && bits&f.bits == f.bits || f.op == 'o' && bits&f.bits != 0)
	case '>':
		return order(store.Fold(value), f.value) >= 0
	case '<':
		return order(store.Fold(value), f.value) <= 0
	}
	return store.Fold(value) == f.value
}

// contains looks for the pieces from left to right; the first and the last are bound to the ends.
func (f *filter) contains(s string) bool {
	s, found := strings.CutPrefix(s, f.pieces[0])
	last := len(f.pieces) - 1
	for _, piece := range f.pieces[1:last] {
		if found {
			_, s, found = strings.Cut(s, piece)
		}
	}
	return found && strings.HasSuffix(s, f.pieces[last])
}

func order(a, b string) int {
	x, notA := strconv.ParseInt(a, 10, 64)
	y, notB := strconv.ParseInt(b, 10, 64)
	if notA == nil && notB == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

type filterParser struct {
	rest  string
	names *names
}

// maxDepth bounds how deep filters stand in each other.
const maxDepth = 64

func (p *filterParser) filter(depth int) (filter, error) {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	inside, open := strings.CutPrefix(p.rest, "(")
	switch {
	case !open:
		return filter{}, errors.New("a ( is missing")
	case depth > maxDepth:
		return filter{}, fmt.Errorf("it is more than %d levels deep", maxDepth)
	case inside == "":
		return filter{}, errors.New("a ) is missing")
	}
	p.rest = inside
	if strings.IndexByte("&|!", inside[0]) < 0 {
		return p.item()
	}
	f := filter{op: inside[0]}
	p.rest = strings.TrimLeft(inside[1:], " \t\r\n")
	for strings.HasPrefix(p.rest, "(") {
		part, err := p.filter(depth + 1)
		if err != nil {
			return f, err
		}
		f.parts = append(f.parts, part)
		p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	}
	if f.op == '!' && len(f.parts) != 1 {
		return f, errors.New("a ! stands before exactly one filter")
	}
	return f, p.close()
}

func (p *filterParser) close() (err error) {
	rest, closed := strings.CutPrefix(p.rest, ")")
	if !closed {
		return errors.New("a ) is missing")
	}
	p.rest = rest
	return nil
}

// item reads "attribute=value" up to its ")".
func (p *filterParser) item() (filter, error) {
	end := strings.IndexAny(p.rest, "()")
	if end < 0 {
		return filter{}, errors.New("a ) is missing")
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	if err := p.close(); err != nil {
		return filter{}, fmt.Errorf(`%q: a ( in a value is written \28`, text)
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return filter{}, fmt.Errorf("%q is not attribute=value", text)
	}
	f := filter{op: '='}
	if strings.HasSuffix(name, ":") {
		return p.extended(name, value)
	}
	if last := name[len(name)-1]; strings.IndexByte("><~", last) >= 0 {
		f.op, name = last, name[:len(name)-1]
	}
	err := errors.Join(f.named(p.names, name), f.valued(value))
	return f, err
}

func (f *filter) named(n *names, name string) error {
	slots, err := n.list([]string{name})
	if err == nil && len(slots) != 1 {
		err = fmt.Errorf("%q is not one attribute", name)
	}
	if err == nil {
		f.slot = slots[0]
	}
	return err
}

func (f *filter) valued(value string) error {
	if f.op == '=' && value == "*" {
		f.op = '?'
		return nil
	}
	for _, piece := range strings.Split(value, "*") {
		text, err := filterValue(piece)
		if err != nil {
			return err
		}
		f.pieces = append(f.pieces, text)
	}
	if len(f.pieces) == 1 {
		f.value = store.Fold(f.pieces[0])
		return nil
	}
	if f.op != '=' {
		return fmt.Errorf(`%q: a * is for = only, and written \2a in a value`, value)
	}
	f.op = '*'
	for i, piece := range f.pieces {
		// Folding trims, and a space beside a "*" counts.
		f.pieces[i] = strings.TrimSuffix(strings.TrimPrefix(store.Fold("."+piece+"."), "."), ".")
	}
	return nil
}

// filterValue reads the escapes of RFC 4515: "\" and two hexadecimal digits.
func filterValue(s string) (string, error) {
	head, rest, escaped := strings.Cut(s, `\`)
	if !escaped {
		return s, nil
	}
	var b strings.Builder
	for b.WriteString(head); escaped; b.WriteString(head) {
		if len(rest) < 2 {
			return "", fmt.Errorf(`%q: a \ stands before two hexadecimal digits`, s)
		}
		octet, err := hex.DecodeString(rest[:2])
		if err != nil {
			return "", fmt.Errorf(`%q: a \ stands before two hexadecimal digits`, s)
		}
		b.Write(octet)
		head, rest, escaped = strings.Cut(rest[2:], `\`)
	}
	if !utf8.ValidString(b.String()) {
		return "", fmt.Errorf("%q is no valid UTF-8 text", s)
	}
	return b.String(), nil
}

// extended reads Active Directory's two bit rules (MS-ADTS 3.1.1.3.4.4).
func (p *filterParser) extended(name, value string) (filter, error) {
	name, rule, _ := strings.Cut(strings.TrimSuffix(name, ":"), ":")
	f := filter{op: map[string]byte{"1.2.840.113556.1.4.803": 'a', "1.2.840.113556.1.4.804": 'o'}[rule]}
	if f.op == 0 {
		return f, fmt.Errorf("matching rule %q is not known here", rule)
	}
	var err error
	if f.bits, err = strconv.ParseInt(value, 10, 64); err != nil {
		return f, fmt.Errorf("%q is no number", value)
	}
	err = f.named(p.names, name)
	return f, err
}
