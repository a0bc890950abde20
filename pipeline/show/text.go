package show

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Plain escapes what would do something to whoever shows it: control characters, and those that turn letters around.
func Plain(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Thousands writes 12345 as "12,345".
func Thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Clock writes a time by this machine's clock, "-" for none.
func Clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// Seconds writes how long something took.
func Seconds(s float64) string {
	if s >= 100 {
		return time.Duration(s * float64(time.Second)).Round(time.Second).String()
	}
	if s < 1 {
		return fmt.Sprintf("%.2fs", s)
	}
	return fmt.Sprintf("%.1fs", s)
}
