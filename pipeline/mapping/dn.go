package mapping

import (
	"encoding/hex"
	"strings"
)

// component is the first attribute of one level of a distinguished name.
type component struct{ attribute, value string }

// parseDN reads a distinguished name (RFC 4514) from left to right. What is no component is left out: directories
// write names that are nearly right, and a group less is better than no user.
func parseDN(s string) []component {
	var all []component
	for s != "" {
		var level string
		level, s = cutEscaped(s, ',')
		level, _ = cutEscaped(level, '+')
		attribute, value, ok := strings.Cut(level, "=")
		if ok {
			all = append(all, component{strings.TrimSpace(attribute), attributeValue(value)})
		}
	}
	return all
}

// cutEscaped cuts at the first separator that is neither escaped nor quoted.
func cutEscaped(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// attributeValue takes the escapes away: "\" with two hexadecimal digits or one character.
func attributeValue(s string) string {
	s = strings.TrimSpace(s)
	if !strings.ContainsAny(s, `\"`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		default:
			i++
			if octet, err := hex.DecodeString(s[i:min(i+2, len(s))]); err == nil && len(octet) == 1 {
				b.WriteByte(octet[0])
				i++
			} else {
				b.WriteByte(s[i])
			}
		}
	}
	return b.String()
}
