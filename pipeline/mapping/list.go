package mapping

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// split cuts s at every separator that no "\" stands before (V3) and appends the parts with their escapes.
func split(into []string, s, separator string) []string {
	if !strings.Contains(s, separator) {
		return append(into, s)
	}
	start := 0
	for i := 0; i < len(s); {
		switch {
		case s[i] == '\\':
			i += 2
		case strings.HasPrefix(s[i:], separator):
			into = append(into, s[start:i])
			i += len(separator)
			start = i
		default:
			i++
		}
	}
	return append(into, s[start:])
}

// Unescape returns the name that a path of one level stands for.
func Unescape(path string) string {
	if IsReference(path) {
		return path
	}
	return unescape(path, "")
}

// unescape takes the "\" away before the separator and before ",", "|" and "\". Before anything else it
// is a character of its own, as in CORP\alice.
func unescape(s, separator string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (special(s[i+1]) || separator != "" && s[i+1] == separator[0]) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func special(b byte) bool { return b == ',' || b == '|' || b == '\\' }

// Escape makes of a name one level of a group path, whatever is in it (G7).
func Escape(name string) string {
	if !strings.ContainsAny(name, `,|\`) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if special(name[i]) {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// maxName is how many characters a user name and a group's name may have (U1).
const maxName = 255

// groupPath reads a path of group names ("Staff|IT", with escapes) and returns it in its one spelling:
// every level clean and escaped, empty ones left out.
func groupPath(s string) (string, error) {
	if !strings.ContainsAny(s, `,|\`) && isPrintable(s) && len(s) <= maxName {
		return trim(s), nil
	}
	var room [8]string
	levels := room[:0]
	for _, level := range split(room[:0], s, "|") {
		level, err := clean(unescape(level, ""), "space")
		if err != nil {
			return "", err
		}
		if err := fits(level); err != nil {
			return "", err
		}
		if level != "" {
			levels = append(levels, Escape(level))
		}
	}
	return strings.Join(levels, "|"), nil
}

var errName = errors.New("a name has 1 to 255 characters; left out")

func fits(name string) error {
	if len(name) > maxName && utf8.RuneCountInString(name) > maxName {
		return fmt.Errorf("%w [U1]", errName)
	}
	return nil
}
