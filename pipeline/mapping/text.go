package mapping

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// What a value must not have in it.
var (
	errNotText = errors.New("it is no valid UTF-8 text; left out [U1]")
	errControl = errors.New("it has a control character; left out [U1]")
)

// trim cuts white space and invisible characters (zero width, byte order mark, directional marks) at both ends.
func trim(s string) string {
	if s == "" || plain(s[0]) && plain(s[len(s)-1]) {
		return s
	}
	return strings.TrimFunc(s, invisible)
}

func plain(b byte) bool { return b > ' ' && b < 0x7f }

func invisible(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// clean returns s trimmed and in NFC. breaks says what becomes of line breaks and tabs inside: they stay
// ("keep"), become a space ("space"), or are control characters like others ("").
func clean(s, breaks string) (string, error) {
	s = trim(s)
	if isPrintable(s) {
		return s, nil
	}
	if !utf8.ValidString(s) {
		return "", errNotText
	}
	if breaks == "space" && strings.ContainsAny(s, "\t\r\n") {
		s = strings.Join(strings.FieldsFunc(s, isBreak), " ")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && (breaks != "keep" || !isBreak(r)) }) {
		return "", errControl
	}
	return norm.NFC.String(s), nil
}

func isBreak(r rune) bool { return r == '\t' || r == '\r' || r == '\n' }

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// shorten cuts a value for a message.
func shorten(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// MaskSecret returns what is shown in place of a secret. It does not tell its length.
func MaskSecret(value string) string {
	if value == "" {
		return ""
	}
	return "****"
}
