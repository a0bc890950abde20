package entra

import (
	"slices"
	"testing"

	"rollcall/connectors/entra/graphtest"
)

func TestFullReadTellsEveryUserOnce(t *testing.T) {
	for _, n := range []int{0, 1, 199, 200, 201, 999, 1000} {
		tn := newTenant(t, graphtest.Options{})
		ids := fill(tn.Directory, n)
		m := memory{}
		o := tn.read(tn.open("mail", "department", "upnPrefix", "jobTitle"), nil, m)
		if !o.Whole || o.Next == nil || o.Evidence == "" || o.Server == "" {
			t.Errorf("%d users: outcome %+v", n, o)
		}
		if len(m) != n {
			t.Fatalf("%d users: %d records", n, len(m))
		}
		slices.Sort(ids)
		for _, id := range ids {
			r := m[id]
			if values(r, "department") != "Sales & <Support>" || values(r, "jobTitle") != "empty" || values(r, "upnPrefix")+"@example.org" != r.Name {
				t.Fatalf("record %+v", r)
			}
		}
	}
}
