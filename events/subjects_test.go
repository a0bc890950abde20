package events

import (
	"strings"
	"testing"

	"rollcall/store"
)

// FuzzRawSubject wants a subject of four tokens of every key, however hostile, that leads back to its source and key.
func FuzzRawSubject(f *testing.F) {
	for _, key := range []string{"", "ext:p-1001", "name:a.b.>", "*", "CORP\\user 1\x00", "\xff", strings.Repeat("k", 1000)} {
		f.Add("people", key)
	}
	f.Fuzz(func(t *testing.T, source, key string) {
		if source == "" || strings.ContainsAny(source, ".*> \t\r\n") {
			return // no configuration has it
		}
		subject := RawSubject(source, store.KeyOf(key))
		tokens := strings.Split(subject, ".")
		if len(tokens) != 4 || strings.ContainsAny(tokens[3], "*> \t\r\n\x00") {
			t.Fatalf("subject %q", subject)
		}
		if back, ok := ParseRawKey(subject); !ok || back != store.KeyOf(key) {
			t.Errorf("key of %q: %s, %t", subject, back, ok)
		}
		if back := ParseRawSubject(subject); back != source {
			t.Errorf("source of %q: %q", subject, back)
		}
	})
}
