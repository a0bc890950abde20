package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// diary is what somebody knows who stays connected and applies what was told at every mark.
type diary struct {
	books
	mu     sync.Mutex
	told   []connectors.Record // since the last mark
	marks  int
	ended  chan error
	cancel context.CancelFunc
	slow   func()
}

// stay begins a session.
func (d *diary) stay() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	live, ok := open(d.t, d.config).(connectors.Live)
	if !ok {
		d.t.Fatal("the connector cannot stay connected")
	}
	d.ended, d.cancel, d.told, d.marks = make(chan error, 1), cancel, nil, 0
	since := d.next
	go func() { d.ended <- live.Stay(ctx, since, d.note, d.mark) }()
}

func (d *diary) note(r connectors.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slow != nil {
		d.slow()
	}
	d.told = append(d.told, copyOf(r))
	return nil
}

func (d *diary) mark(o connectors.Outcome) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.marks++; o.Whole && d.marks > 1 {
		return errors.New("a whole mark that is not the first")
	}
	now, mentioned := maps.Clone(d.known), map[string]bool{}
	for _, r := range d.told {
		mentioned[r.Key] = true
		switch {
		case r.IsSighting():
		case r.Deleted:
			delete(now, r.Key)
		case r.Partial:
			now[r.Key] = copyOf(connectors.Merge(now[r.Key], r))
		default:
			now[r.Key] = r
		}
	}
	if o.Whole {
		maps.DeleteFunc(now, func(key string, _ connectors.Record) bool { return !mentioned[key] })
	}
	d.known, d.next, d.told = now, o.Next, nil
	return nil
}

// follows waits until the diary agrees with the directory. A session that ended begins again from its last mark, or with a full pass where the
// checkpoint expired.
func (d *diary) follows(what string) {
	d.t.Helper()
	fresh := map[string]connectors.Record{}
	c := *d.config
	c.Changes, c.Live = "full", false
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-d.ended:
			if errors.Is(err, connectors.ErrCheckpointExpired) {
				d.begin()
			}
			d.stay()
		default:
		}
		clear(fresh)
		if _, err := open(d.t, &c).Read(d.t.Context(), nil, func(r connectors.Record) error { fresh[r.Key] = copyOf(r); return nil }); err != nil {
			continue
		}
		d.mu.Lock()
		same := reflect.DeepEqual(fresh, d.known)
		d.mu.Unlock()
		if same {
			return
		}
	}
	d.t.Fatalf("after %s: known are %d, and there are %d", what, len(d.known), len(fresh))
}

// leave ends the session.
func (d *diary) leave() error {
	d.t.Helper()
	d.cancel()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(10 * time.Second):
		d.t.Fatal("the session does not end")
		return nil
	}
}

func newDiary(t *testing.T, v *village, changes string) *diary {
	t.Helper()
	c := *v.config
	c.Changes, c.Live, c.PollEvery = changes, true, 50*time.Millisecond
	d := &diary{books: books{t: t, config: &c}}
	d.begin()
	d.stay()
	return d
}

// playLive plays the history to somebody who stays connected: he knows after every step what a fresh reading of the directory says.
func playLive(t *testing.T, v *village, changes string) {
	v.t = t
	v.reset()
	d := newDiary(t, v, changes)
	for _, s := range history() {
		s.do(v)
		d.follows(s.name)
	}
	if err := d.leave(); !errors.Is(err, context.Canceled) && !errors.Is(err, connectors.ErrIncomplete) { // a present list may have ended it
		t.Errorf("a session that was cancelled: %v", err)
	}
}

// Whoever stays connected to an OpenLDAP server learns of everything, whatever the server remembers of deletions: as much as it is told to, nothing,
// what an accesslog holds; and also by polling.
func TestLiveOpenLDAP(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, changes string
		options       ldaptest.SlapdOptions
	}{
		{"session log", "syncrepl", ldaptest.SlapdOptions{}},
		{"no session log", "syncrepl", ldaptest.SlapdOptions{SessionLog: -1}},
		{"accesslog", "syncrepl", ldaptest.SlapdOptions{AccessLog: true}},
		{"polling", "poll", ldaptest.SlapdOptions{NoSync: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			playLive(t, newVillage(t, ldaptest.StartSlapd(t, test.options), "openldap"), test.changes)
		})
	}
}

// A server that is killed, restarted or silent ends the session with an error, and the next one goes on where the last mark was.
func TestLiveThroughRestarts(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap")
	v.config.IdleTimeout = 500 * time.Millisecond
	d := newDiary(t, v, "syncrepl")
	v.born("adam", "a")
	d.follows("a birth")
	for i, end := range []func(){v.Kill, v.Stop, v.Freeze} {
		end()
		select {
		case err := <-d.ended:
			if err == nil || errors.Is(err, connectors.ErrCheckpointExpired) {
				t.Errorf("server %d: the session ended with %v", i, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("server %d: the session goes on without a server", i)
		}
		if i == 2 {
			v.Thaw()
		} else {
			v.Restart()
		}
		v.conn = v.Conn()
		d.stay()
		v.born(fmt.Sprint("next", i), "a")
		v.del(v.dn(map[bool]string{true: "adam", false: fmt.Sprint("next", i-1)}[i == 0], "a"))
		d.follows("a restart")
	}
	_ = d.leave()
}

// A receiver that takes its time holds the source back, and nothing is lost.
func TestLiveSlowReceiver(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap")
	d := newDiary(t, v, "syncrepl")
	over := make(chan struct{})
	d.mu.Lock()
	d.slow = func() { <-over }
	d.mu.Unlock()
	for i := range 200 {
		v.born(fmt.Sprintf("p%03d", i), "a")
	}
	close(over)
	d.follows("a burst")
	d.mu.Lock()
	marks := d.marks
	d.mu.Unlock()
	if marks > 100 {
		t.Errorf("%d marks for 200 changes: nothing is put together", marks)
	}
	_ = d.leave()
}

// Between a change and its mark lies no poll.
func TestLiveIsPrompt(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap")
	d := newDiary(t, v, "syncrepl")
	d.follows("nothing")
	begun := time.Now()
	v.born("adam", "a")
	d.follows("a birth")
	if took := time.Since(begun); took > v.config.IdleTimeout/2 {
		t.Errorf("it took %s", took)
	}
	_ = d.leave()
}

// What cannot tell changes cannot stay connected; what is polled can.
func TestLiveNeedsChanges(t *testing.T) {
	c := ldap.Config{Type: "openldap", Servers: []string{"ldap://127.0.0.1"}, BaseDNs: []string{"dc=example"}, Live: true}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Changes = "poll"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Changes = "full"
	if err := c.Validate(); err == nil {
		t.Error("changes: full and live: true go together")
	}
}
