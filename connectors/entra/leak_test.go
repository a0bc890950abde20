package entra

import (
	"strings"
	"testing"
)

// nothingLeaked looks for tokens, secrets and the queries of links in all that was logged.
func (tn *tenant) nothingLeaked(t *testing.T, said ...string) {
	t.Helper()
	all := tn.log.String() + strings.Join(said, "\n")
	for _, s := range append(tn.Tokens(), secret, "skiptoken", "deltatoken", "eyJ", "client_assertion") {
		if at := strings.Index(all, s); at >= 0 {
			t.Errorf("%.12s… is said: …%.60s…", s, all[max(0, at-40):])
		}
	}
}
