package pipeline

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A process is there from its first word until its last one, or until it has said nothing for a while.
func TestAttendance(t *testing.T) {
	var a attendance
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, one := range []Process{{ID: "1", Roles: []string{"normalizer"}}, {ID: "2", Roles: []string{"connector"}, Sources: []string{"people"}}, {ID: "3", Roles: []string{"connector"}, Sources: []string{"corp"}}} {
		a.hear(one, noon)
	}
	want := func(at time.Time, ids ...string) {
		t.Helper()
		var there []string
		for _, p := range a.list(at) {
			there = append(there, p.ID)
		}
		if !slices.Equal(there, ids) {
			t.Errorf("%q are there, want %q", there, ids)
		}
	}
	want(noon.Add(presenceTrust), "3", "2", "1")
	a.hear(Process{ID: "2", Roles: []string{"connector"}, Gone: true}, noon.Add(presenceEvery))
	want(noon.Add(presenceEvery), "3", "1")
	a.hear(Process{ID: "1", Roles: []string{"normalizer"}}, noon.Add(presenceTrust))
	want(noon.Add(presenceTrust+1), "1")
	if a.hear(Process{ID: "1"}, noon.Add(presenceTrust+1)); len(a.there) != 1 {
		t.Errorf("%d are remembered, want those who are there", len(a.there))
	}
}

// Whoever may tell that he is there may tell it under any number of names: so many are remembered and no more, and those who were there before
// stay.
func TestAttendanceIsBounded(t *testing.T) {
	var there attendance
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	there.hear(Process{ID: "first", Name: "first"}, now)
	for i := range 3 * mostThere {
		there.hear(Process{ID: fmt.Sprint(i), Name: "x"}, now)
	}
	now = now.Add(presenceEvery)
	there.hear(Process{ID: "first", Name: "first"}, now)
	if all := there.list(now); len(all) != mostThere || all[0].ID != "first" {
		t.Errorf("%d processes are there, the first is %+v; want %d", len(all), all[0], mostThere)
	}
	now = now.Add(presenceTrust + time.Second)
	there.hear(Process{ID: "late", Name: "late"}, now)
	if all := there.list(now); len(all) != 1 || all[0].ID != "late" {
		t.Errorf("later there are %+v", all)
	}
	there.hear(Process{ID: "late", Gone: true}, now)
	if all := there.list(now); len(all) != 0 {
		t.Errorf("whoever has gone is there: %+v", all)
	}
}
