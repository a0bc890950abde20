package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// CardMode is how much of a card's number the public JSON shows.
type CardMode uint8

// The card modes.
const (
	// CardsFull shows numbers as they are.
	CardsFull CardMode = iota
	// CardsMasked shows the last four characters, "****3F2A", or none of a number that is shorter
	// than eight.
	CardsMasked
	// CardsNone leaves the cards out.
	CardsNone
)

// MarshalJSON returns the public JSON with full card numbers. It is on the value so that no User can
// be encoded field by field, PIN hashes included.
func (u User) MarshalJSON() ([]byte, error) { return u.AppendJSON(nil, CardsFull), nil }

// AppendJSON appends the public JSON of a user: the property names of configuration files, id,
// revision and state. Empty properties are left out, user_name and active are always there, a PIN
// shows its kind and never a value.
func (u *User) AppendJSON(dst []byte, cards CardMode) []byte {
	if dst == nil {
		dst = make([]byte, 0, 1024)
	}
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, u.ID)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendUint(dst, u.Revision, 10)
	for p, value := range &u.Text {
		if Property(p) == DefaultGroup && !u.Active {
			continue
		}
		dst = appendText(dst, Property(p), value)
	}
	for i := range u.List {
		if listBase+Property(i) == Groups && !u.Active {
			continue // U18: remembered, and none of them
		}
		dst = appendList(dst, listBase+Property(i), u.List[i], cards)
	}
	return append(u.appendState(dst), '}')
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if escaped(r, size) {
			dst = appendEscape(append(dst, s[done:i]...), r)
			done = i + size
		}
		i += size
	}
	return append(append(dst, s[done:]...), '"')
}

// UnmarshalJSON reads the public JSON into u, for Go programs that receive events. What the JSON
// leaves out is empty: origins of values other than cards and PINs, overrides, the owner, times.
// Fields that are not known are passed over.
func (u *User) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	*u = User{}
	for name, field := range fields {
		if err := u.setField(name, field); err != nil {
			return fmt.Errorf("user: %s: %w", name, err)
		}
	}
	return nil
}

func appendText(dst []byte, p Property, value string) []byte {
	if value == "" && p != UserName {
		return dst
	}
	dst = appendName(dst, propertyNames[p])
	if p == UseAuthenticationServer {
		return strconv.AppendBool(dst, value == "true")
	}
	return AppendString(dst, value)
}

func appendList(dst []byte, p Property, values []Value, cards CardMode) []byte {
	if len(values) == 0 || p == Cards && cards == CardsNone {
		return dst
	}
	dst = append(appendName(dst, propertyNames[p]), '[')
	for i := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch p {
		case Cards:
			dst = appendCard(dst, &values[i], cards)
		case PINs:
			dst = appendPIN(dst, &values[i])
		default:
			dst = AppendString(dst, values[i].V)
		}
	}
	return append(dst, ']')
}

func appendCard(dst []byte, card *Value, cards CardMode) []byte {
	dst = append(dst, `{"number":`...)
	if cards == CardsMasked {
		dst = AppendString(dst, masked(card.V))
	} else {
		dst = AppendString(dst, card.V)
	}
	return append(appendExpires(appendOrigins(dst, card), card), '}')
}

func appendPIN(dst []byte, pin *Value) []byte {
	dst = append(dst, `{"kind":"persistent"`...)
	if !pin.Expires.IsZero() {
		dst = append(dst[:len(dst)-len(`persistent"`)], `temporary"`...)
	}
	return append(appendOrigins(appendExpires(dst, pin), pin), '}')
}

func appendOrigins(dst []byte, v *Value) []byte {
	dst = append(dst, `,"origins":[`...)
	for i, origin := range v.Origins {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, origin)
	}
	return append(dst, ']')
}

func appendExpires(dst []byte, v *Value) []byte {
	if v.Expires.IsZero() {
		return dst
	}
	dst = append(dst, `,"expires":"`...)
	dst = v.Expires.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

func (u *User) appendState(dst []byte) []byte {
	dst = append(dst, `,"active":`...)
	dst = strconv.AppendBool(dst, u.Active)
	if u.InactiveReason != "" {
		dst = AppendString(append(dst, `,"inactive_reason":`...), u.InactiveReason)
	}
	if u.Label != "" {
		dst = AppendString(append(dst, `,"synchronization_source":`...), u.Label)
	}
	if u.Administrator {
		dst = append(dst, `,"administrator":true`...)
	}
	if u.Anonymized {
		dst = append(dst, `,"anonymized":true`...)
	}
	return dst
}

// appendName appends the name of a field that is not the first; it needs no escapes.
func appendName(dst []byte, name string) []byte {
	dst = append(append(dst, `,"`...), name...)
	return append(dst, `":`...)
}

// plain are the ASCII characters that stand for themselves in a JSON string.
var plain = func() (set [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()

// escaped reports whether a character that is not plain needs an escape: the line ends of JavaScript do,
// and so does what is no UTF-8.
func escaped(r rune, size int) bool {
	return r < utf8.RuneSelf || r == '\u2028' || r == '\u2029' || r == utf8.RuneError && size == 1
}

func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return appendUnicode(dst, r)
}

func appendUnicode(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

func masked(number string) string {
	const shown, enough = 4, 8
	if utf8.RuneCountInString(number) < enough {
		return "****"
	}
	cut := len(number)
	for range shown {
		_, size := utf8.DecodeLastRuneInString(number[:cut])
		cut -= size
	}
	return "****" + number[cut:]
}

func (u *User) setField(name string, field json.RawMessage) error {
	if p, ok := ParseProperty(name); ok {
		return u.setProperty(p, field)
	}
	switch name {
	case "id":
		return json.Unmarshal(field, &u.ID)
	case "revision":
		return json.Unmarshal(field, &u.Revision)
	case "active":
		return json.Unmarshal(field, &u.Active)
	case "inactive_reason":
		return json.Unmarshal(field, &u.InactiveReason)
	case "synchronization_source":
		return json.Unmarshal(field, &u.Label)
	case "administrator":
		return json.Unmarshal(field, &u.Administrator)
	case "anonymized":
		return json.Unmarshal(field, &u.Anonymized)
	}
	return nil
}

func (u *User) setProperty(p Property, field json.RawMessage) error {
	if p.Multi() {
		return u.setList(p, field)
	}
	if p != UseAuthenticationServer {
		return json.Unmarshal(field, &u.Text[p])
	}
	var use bool
	err := json.Unmarshal(field, &use)
	u.Text[p] = strconv.FormatBool(use)
	return err
}

func (u *User) setList(p Property, field json.RawMessage) error {
	if p == Cards || p == PINs {
		return u.setSecrets(p, field)
	}
	var values []string
	if err := json.Unmarshal(field, &values); err != nil {
		return err
	}
	for _, v := range values {
		u.List[p.List()] = append(u.List[p.List()], Value{V: v})
	}
	return nil
}

func (u *User) setSecrets(p Property, field json.RawMessage) error {
	var values []struct {
		Number  string
		Origins []string
		Expires time.Time
	}
	if err := json.Unmarshal(field, &values); err != nil {
		return err
	}
	for _, v := range values {
		u.List[p.List()] = append(u.List[p.List()], Value{V: v.Number, Origins: v.Origins, Expires: v.Expires})
	}
	return nil
}
