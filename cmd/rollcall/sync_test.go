package main

import (
	"testing"
	"time"

	"rollcall/store"
)

// Of several sources, 1 beats 3 and 3 beats 4.
func TestWorseCode(t *testing.T) {
	order := []int{exitFailed, exitUsage, exitHeld, exitChanges, exitDone}
	for i, worst := range order {
		for _, other := range order[i:] {
			if a, b := worse(worst, other), worse(other, worst); a != worst || b != worst {
				t.Errorf("of %d and %d: %d and %d", worst, other, a, b)
			}
		}
	}
}

func TestRunCode(t *testing.T) {
	for _, c := range []struct {
		name  string
		run   store.Run
		check bool
		want  int
	}{
		{"applied", store.Run{State: store.Applied, Created: 3}, false, exitDone},
		{"held", store.Run{State: store.Held}, false, exitHeld},
		{"failed", store.Run{State: store.Failed}, false, exitFailed},
		{"cancelled", store.Run{State: store.Cancelled}, false, exitFailed},
		{"dry", store.Run{State: store.Planned, Updated: 1}, false, exitDone},
		{"checked, nothing", store.Run{State: store.Planned, Unchanged: 9, Conflicts: 1}, true, exitDone},
		{"checked, a change", store.Run{State: store.Planned, Reactivated: 1}, true, exitChanges},
		{"checked, too many", store.Run{State: store.Planned, Deactivated: 99, Reason: "would deactivate 99"}, true, exitHeld},
	} {
		if got := runCode(c.run, c.check); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		run     store.Run
		seconds float64
		want    string
	}{
		{store.Run{State: store.Applied, Created: 3, Updated: 1, Unchanged: 1204}, 2.14, "people: 3 created, 1 updated, 0 deactivated, 1204 unchanged in 2.1s"},
		{store.Run{State: store.Applied, Unchanged: 1204}, 0, "people: nothing to do"},
		{store.Run{State: store.Applied, Unchanged: 9, Conflicts: 2, Warnings: 1}, 0, "people: nothing to do, 2 in conflict, 1 warning"},
		{store.Run{State: store.Applied, Reactivated: 1, Rejected: 2, Warnings: 3}, 0.041,
			"people: 0 created, 0 updated, 0 deactivated, 0 unchanged, 1 reactivated, 2 rejected, 3 warnings in 0.04s"},
		{store.Run{State: store.Applied, Created: 500000}, 133.4, "people: 500000 created, 0 updated, 0 deactivated, 0 unchanged in 2m13s"},
		{store.Run{State: store.Planned, Deactivated: 2, Reason: "too many"}, 0, "people: would be: 0 created, 0 updated, 2 deactivated, 0 unchanged; would be held: too many"},
		{store.Run{State: store.Held, Reason: "too many"}, 0, "people: held: too many; nothing was changed"},
		{store.Run{State: store.Cancelled}, 0, "people: cancelled"},
	} {
		c.run.Source = "people"
		if got := summary(c.run, time.Duration(c.seconds*float64(time.Second))); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
