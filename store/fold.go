package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns what two spellings of a name have in common: NFC, case-folded, without invisible
// characters at its ends. Folding twice changes nothing. Of a text that is not UTF-8 only ASCII is
// folded, so that broken texts stay different from each other.
func Fold(s string) string {
	ascii := isASCII(s)
	if ascii || !utf8.ValidString(s) {
		return foldASCII(s)
	}
	fold := cases.Fold()
	for range 4 {
		folded := norm.NFC.String(fold.String(norm.NFC.String(trim(s))))
		if folded == s {
			break
		}
		s = folded
	}
	return s
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func foldASCII(s string) string {
	for len(s) > 0 && invisibleASCII(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && invisibleASCII(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return lowerASCII(s)
		}
	}
	return s
}

// lowerASCII leaves bytes beyond ASCII alone, where strings.ToLower would replace invalid ones.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

func invisibleASCII(c byte) bool { return c <= ' ' || c == 0x7f }

func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
}
