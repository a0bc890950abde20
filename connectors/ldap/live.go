package ldap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
)

// livePoll is how often a live source asks a server that does not push.
const livePoll = 5 * time.Second

// errNotLive means that the source's way of finding changes does not suit a session.
var errNotLive = errors.New("live needs changes by syncrepl, dirsync or usn")

// Stay reads what changed, and again whenever the server says that something did: a persistent search (RFC 4533, refreshAndPersist) on a
// connection of its own is the bell, and a refresh from the last cookie the answer to it, so that what happens at once is read at
// once, a container's move included. A server that does not push is asked every five seconds.
func (s *source) Stay(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error, mark func(connectors.Outcome) error) error {
	begin, err := s.decodeCheckpoint(since)
	if err != nil {
		return err
	}
	if begin == nil || begin.Way == "poll" || begin.Way == "full" {
		return connectors.Hint(fmt.Errorf("%w: %w", connectors.ErrScope, errNotLive), "live: false, and rollcall check says why there is no better way")
	}
	group, ctx := errgroup.WithContext(ctx)
	se, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer se.close()
	l := &live{source: s, session: se, emit: emit, mark: mark, bell: make(chan struct{}, 1)}
	if begin.Way == "syncrepl" {
		for _, base := range s.watched() {
			group.Go(func() error { return l.listen(ctx, base, begin) })
		}
	}
	group.Go(func() error { return l.follow(ctx, begin) })
	return group.Wait()
}

// live is a session: one connection that reads, and one for every base that rings.
type live struct {
	*source
	session *session
	emit    func(connectors.Record) error
	mark    func(connectors.Outcome) error
	bell    chan struct{}
}

// follow reads from one checkpoint to the next.
func (l *live) follow(ctx context.Context, at *checkpoint) error {
	var interval <-chan time.Time
	if at.Way != "syncrepl" {
		ticker := time.NewTicker(livePoll)
		defer ticker.Stop()
		interval = ticker.C
	}
	for first := true; ; first = false {
		next, err := l.readOn(at, first)
		if err != nil {
			return err
		}
		at = next
		select {
		case <-l.bell:
		case <-interval:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readOn reads what changed since at, and marks where it ends.
func (l *live) readOn(at *checkpoint, first bool) (*checkpoint, error) {
	bytes, wire := l.session.tap.bytes.Load(), l.session.tap.wait.Load()
	p := l.pass(l.session, l.emit)
	o, err := p.read(at)
	var emitted *emitError
	switch {
	case errors.As(err, &emitted):
		return nil, emitted.error
	case err != nil:
		return nil, err
	case o.Whole && !first:
		return nil, connectors.Hint(fmt.Errorf("%w: %s forgot who is gone, and tells who is there: the session begins anew", connectors.ErrIncomplete, l.session.server),
			"give the server a longer session log (syncprov-sessionlog)")
	}
	if o.Next, err = p.next.encode(); err != nil {
		return nil, err
	}
	o.Bytes, o.Wire = o.Bytes-bytes, o.Wire-time.Duration(wire)
	l.server = l.session.server
	if err := l.mark(o); err != nil {
		return nil, err
	}
	return p.next, nil
}

// watched are the bases of the people and of the groups.
func (s *source) watched() []string {
	c := *s.config
	c.BaseDNs = append(append([]string{}, s.config.BaseDNs...), s.config.GroupBaseDNs...)
	return c.bases()
}

// listen rings the bell whenever an entry under the base changes. It never returns nil.
func (l *live) listen(ctx context.Context, base string, at *checkpoint) error {
	se, err := l.connectTo(ctx, l.session.server)
	if err != nil {
		return err
	}
	defer se.close()
	se.tap.patient()
	ring := func() error {
		select {
		case l.bell <- struct{}{}:
		default:
		}
		return nil
	}
	p := l.pass(se, nil)
	cookie := at.Cookies[base]
	if at.Vendor == "389ds" {
		cookie = nil // it may be that of other bases, and what it began with is read anyway
	}
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"1.1"},
		[]ldap.Control{ldap.NewControlSyncRequest(ldap.SyncRequestModeRefreshAndPersist, cookie, false)})
	_, err = p.search(request, &sink{stated: func([]byte, []byte) error { return ring() }, intermediate: func([]byte) error { return ring() }, reference: p.reference})
	if err == nil {
		err = fmt.Errorf("%w: %s ended the persistent search under %s", connectors.ErrIncomplete, se.server, base)
	}
	return err
}
