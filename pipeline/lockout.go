package pipeline

import (
	"slices"
	"sync"
	"time"
)

// Lockout remembers wrong PINs, or other wrong secrets, by caller. It is this process's own: it decides nothing about users. The zero
// Lockout is ready.
type Lockout struct {
	mu       sync.Mutex
	failures map[string][]time.Time
}

const (
	lockAfter   = 5
	lockFor     = 15 * time.Minute
	maxLockouts = 10_000
)

// Until returns when a caller may ask again, the zero time for now. A right one between wrong ones does not help.
func (l *Lockout) Until(caller string, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	recent := l.recent(caller, now)
	if len(recent) < lockAfter {
		return time.Time{}
	}
	return recent[len(recent)-1].Add(lockFor)
}

// Fail notes a wrong one.
func (l *Lockout) Fail(caller string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures == nil || len(l.failures) >= maxLockouts {
		l.sweep(now)
	}
	l.failures[caller] = append(l.recent(caller, now), now)
}

// recent returns a caller's failures of the last 15 minutes.
func (l *Lockout) recent(caller string, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(l.failures[caller]), func(at time.Time) bool { return now.Sub(at) >= lockFor })
}

// sweep forgets callers whose failures are old. Callers name themselves: where so many names fail at once, nothing is
// lost in forgetting them all.
func (l *Lockout) sweep(now time.Time) {
	left := map[string][]time.Time{}
	for caller := range l.failures {
		if recent := l.recent(caller, now); len(recent) > 0 {
			left[caller] = recent
		}
	}
	if len(left) >= maxLockouts {
		left = map[string][]time.Time{}
	}
	l.failures = left
}
