package pipeline

import (
	"fmt"
	"testing"
	"time"
)

// M4: a lock ends 15 minutes after the fifth wrong PIN; wrong PINs that are older do not count; many callers do not fill
// the memory.
func TestLockout(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	var l Lockout
	for range 4 {
		l.Fail("a", now)
	}
	now = now.Add(10 * time.Minute)
	if until := l.Until("a", now); !until.IsZero() {
		t.Errorf("locked after four: %s", until)
	}
	l.Fail("a", now)
	if until := l.Until("a", now); !until.Equal(now.Add(15 * time.Minute)) {
		t.Errorf("locked until %s", until)
	}
	if until := l.Until("a", now.Add(15*time.Minute)); !until.IsZero() {
		t.Errorf("still locked: %s", until)
	}
	for n := range 3 * maxLockouts {
		l.Fail(fmt.Sprint(n), now)
	}
	if len(l.failures) > maxLockouts {
		t.Errorf("%d callers are remembered", len(l.failures))
	}
}
