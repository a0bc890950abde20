package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/ldap/ldaptest"
)

// A live session tells of every step of a history as it happens; what the books say at the mark behind it equals a fresh read.
func TestLiveSession(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	v := newVillage(t, s, "openldap")
	c := *v.config
	c.Changes, c.Live = "syncrepl", true
	b := &books{t: t, config: &c}
	b.begin()
	ctx, cancel := context.WithCancel(t.Context())
	marks, ended := make(chan connectors.Outcome, 1000), make(chan error, 1)
	reader := open(t, &c).(connectors.Live)
	known := map[string]connectors.Record{}
	go func() {
		ended <- reader.Stay(ctx, b.next, func(r connectors.Record) error {
			if r.Deleted {
				delete(known, r.Key)
			} else {
				known[r.Key] = copyOf(r)
			}
			return nil
		}, func(o connectors.Outcome) error { marks <- o; return nil })
	}()
	first := <-marks
	if first.Next == nil || first.Whole {
		t.Fatalf("first mark %+v", first)
	}
	var taken []time.Duration
	for i := range 20 {
		begun := time.Now()
		v.born(fmt.Sprintf("p%03d", i), "a")
		<-marks
		taken = append(taken, time.Since(begun))
		for len(marks) > 0 {
			<-marks
		}
	}
	for i := range 5 {
		v.del(v.dn(fmt.Sprintf("p%03d", i), "a"))
	}
	v.set(v.dn("p010", "a"), "telephoneNumber", "+420 1")
	v.move(v.at("a"), "ou=c", "")
	quiet(marks)
	slices.Sort(taken)
	t.Logf("from change to mark: %v in the middle", taken[len(taken)/2])
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the session ended with %v", err)
	}
	b.known = known
	b.compare()
	if len(known) != 15 {
		t.Errorf("%d people are known", len(known))
	}
}

// quiet waits until no mark came for a while.
func quiet(marks <-chan connectors.Outcome) {
	for {
		select {
		case <-marks:
		case <-time.After(500 * time.Millisecond):
			return
		}
	}
}

// A server that is killed ends the session with an error, and the next session goes on where the last mark was.
func TestLiveSessionIsCut(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	v := newVillage(t, s, "openldap")
	c := *v.config
	c.Changes, c.Live = "syncrepl", true
	b := &books{t: t, config: &c}
	b.begin()
	reader := open(t, &c).(connectors.Live)
	marked := make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- reader.Stay(t.Context(), b.next, func(connectors.Record) error { return nil }, func(connectors.Outcome) error { marked <- struct{}{}; return nil })
	}()
	<-marked
	s.Kill()
	select {
	case err := <-ended:
		if !errors.Is(err, connectors.ErrIncomplete) {
			t.Errorf("the session ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody noticed that the server is gone")
	}
	s.Restart()
	v.conn = v.Conn()
	v.born("adam", "a")
	if told, err := b.follow(); err != nil || told != 1 {
		t.Errorf("told of %d, %v", told, err)
	}
	b.compare()
}
