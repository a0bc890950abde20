package ldap_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/ldap/ldaptest"
)

// behindProxies is a village that is read through bad networks, the first of which is tried first.
func behindProxies(t *testing.T, n int) (*village, []*ldaptest.Proxy) {
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap")
	v.config.Servers, v.config.Changes, v.config.IdleTimeout = nil, "syncrepl", 500*time.Millisecond
	var proxies []*ldaptest.Proxy
	for range n {
		p := ldaptest.StartProxy(t, v.URL)
		proxies, v.config.Servers = append(proxies, p), append(v.config.Servers, p.URL)
	}
	return v, proxies
}

// A connection that is reset behind any amount of bytes, or a network that forwards no more, ends an incremental pass with an error; it counts for
// nothing, and the next one tells everything.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	v, proxies := behindProxies(t, 1)
	b := &books{t: t, config: v.config}
	b.begin()
	failed := 0
	for i, bytes := range []int{1, 60, 300, 700, 1500, 3000, 6000, 12000} {
		for n := range 20 {
			v.born(fmt.Sprintf("p%02d%02d", i, n), "a")
		}
		if i > 0 {
			v.del(v.dn(fmt.Sprintf("p%02d00", i-1), "a"))
		}
		proxies[0].ResetEvery(bytes)
		_, err := b.follow()
		if err != nil && !errors.Is(err, connectors.ErrIncomplete) {
			t.Errorf("reset after %d bytes: %v", bytes, err)
		}
		if err != nil {
			failed++
		}
		proxies[0].ResetEvery(0)
		if _, err := b.follow(); err != nil {
			t.Errorf("after a reset: %v", err)
		}
		b.compare()
	}
	if failed < 4 {
		t.Errorf("%d passes failed: is anything reset?", failed)
	}
	v.set(v.dn("p0101", "a"), "telephoneNumber", "+420 1")
	proxies[0].Stall()
	if _, err := b.follow(); !errors.Is(err, connectors.ErrIncomplete) {
		t.Errorf("a network that forwards no more: %v", err)
	}
	proxies[0].Resume()
	if told, err := b.follow(); err != nil || told != 1 {
		t.Errorf("afterwards: told of %d, %v", told, err)
	}
	b.compare()
}

// Sessions end with a bad network and begin again, and whoever follows them knows everything in the end.
func TestLiveOnABadNetwork(t *testing.T) {
	t.Parallel()
	v, proxies := behindProxies(t, 1)
	d := newDiary(t, v, "syncrepl")
	for i, bytes := range []int{4000, 8000, 16000} {
		proxies[0].ResetEvery(bytes)
		for n := range 20 {
			v.born(fmt.Sprintf("p%02d%02d", i, n), "a")
		}
		time.Sleep(300 * time.Millisecond)
		proxies[0].ResetEvery(0)
		d.follows(fmt.Sprint("resets every ", bytes))
	}
	proxies[0].Stall()
	v.set(v.dn("p0101", "a"), "telephoneNumber", "+420 1")
	v.del(v.dn("p0102", "a"))
	if err := <-d.ended; err == nil || errors.Is(err, connectors.ErrCheckpointExpired) {
		t.Errorf("the session ended with %v", err)
	}
	proxies[0].Resume()
	d.stay()
	d.follows("a stall")
	_ = d.leave()
}

// Where the first server is away, an incremental pass goes on at the second, from the same cookie.
func TestFailoverBetweenChanges(t *testing.T) {
	t.Parallel()
	v, proxies := behindProxies(t, 2)
	b := &books{t: t, config: v.config}
	v.born("adam", "a")
	b.begin()
	v.born("berta", "a")
	v.del(v.dn("adam", "a"))
	proxies[0].ResetEvery(300)
	if _, err := b.follow(); !errors.Is(err, connectors.ErrIncomplete) {
		t.Errorf("a pass that broke in the middle: %v", err)
	}
	proxies[0].Away()
	reader := open(t, b.config)
	o, err := reader.Read(t.Context(), b.next, func(connectors.Record) error { return nil })
	if err != nil || o.Server != proxies[1].URL {
		t.Errorf("server %s, %v", o.Server, err)
	}
	if told, err := b.follow(); err != nil || told != 2 {
		t.Errorf("told of %d, %v", told, err)
	}
	b.compare()
}

// A server that lets nobody in any more although it is there is not waited for longer than its silence may last: the next one is read.
func TestFailoverFromAStalledServer(t *testing.T) {
	t.Parallel()
	v, proxies := behindProxies(t, 2)
	proxies[0].Stall()
	if _, o, err := read(t, v.config); err != nil || !o.Whole || o.Server != proxies[1].URL {
		t.Errorf("server %s, %v", o.Server, err)
	}
}
