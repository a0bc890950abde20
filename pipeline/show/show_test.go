package show

import (
	"strings"
	"testing"

	"rollcall/store"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{"": "", "Alice Nováková": "Alice Nováková", "a\x1b[2Jb": `a\u001b[2Jb`, "a\nb\tc": `a\u000ab\u0009c`,
		"\u202egnp.exe": `\u202egnp.exe`, "a\u2066b\u200dc": `a\u2066b\u200dc`} {
		if got := Plain(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

// U6: PINs are counted.
func TestPINsAreCounted(t *testing.T) {
	var u store.User
	u.List[store.PINs.List()] = []store.Value{{V: "hash-one"}, {V: "hash-two"}}
	for _, f := range User(u) {
		if strings.Contains(f.Value, "hash") || f.Name == "pins" && f.Value != "2, not shown" {
			t.Errorf("%s is shown as %q", f.Name, f.Value)
		}
	}
}
