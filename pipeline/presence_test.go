package pipeline

import (
	"fmt"
	"testing"
	"time"
)

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
