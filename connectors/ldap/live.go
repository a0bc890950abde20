package ldap

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
)

// Stay makes a pass whenever the server says that something changed under a base (RFC 4533, refreshAndPersist), and a pass every
// idle_timeout in case it does not. Sources whose changes are found in another way are looked at every poll_every; where a look reads everybody's
// key, the server has nine times as long to rest as the look took.
func (s *source) Stay(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error, mark func(connectors.Outcome) error) error {
	at, err := s.decodeCheckpoint(since)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	se, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer se.close()
	l := &live{source: s, session: se, at: at, last: since, emit: emit, mark: mark, every: s.config.pollEvery(), bell: make(chan struct{}, 1)}
	if at.Way == "syncrepl" {
		l.every = s.config.idleTimeout()
		for _, base := range s.watched() {
			group.Go(func() error { return l.watch(ctx, base) })
		}
	}
	group.Go(func() error { return l.follow(ctx) })
	return group.Wait()
}

// live is a stay at one server.
type live struct {
	*source
	session *session
	at      *checkpoint
	last    connectors.Checkpoint // at, encoded
	emit    func(connectors.Record) error
	mark    func(connectors.Outcome) error
	every   time.Duration // the longest time between two passes
	bell    chan struct{} // holds one ring: whatever changes during a pass makes one more
	pages   int           // since the last mark
	roll    roll          // who is there, where looks say so
	next    *checkpoint   // where passes begin when it has settled, nil for none
	nextAt  time.Time     // when next was the moment's
}

// follow makes one pass after the other.
func (l *live) follow(ctx context.Context) error {
	for first := true; ; first = false {
		if err := l.look(ctx, first); err != nil {
			return err
		}
		select {
		case <-l.bell:
		case <-time.After(l.pause()):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pause is the time to the next pass when nothing rings.
func (l *live) pause() time.Duration {
	if l.next != nil {
		return settleTime
	}
	return l.every
}

// look makes a pass, and a mark when it brought something.
func (l *live) look(ctx context.Context, first bool) error {
	told, begun, scans := false, time.Now(), l.at.scans()
	l.roll.begin()
	p := l.pass(l.session, func(r connectors.Record) error {
		if news := !scans || l.roll.note(&r); !news && !first {
			return nil
		}
		told = true
		return l.emit(r)
	})
	p.hurried = true
	o, err := p.over(ctx, l.at)
	if err != nil {
		return err
	}
	if p.next == nil {
		return errExpired("%s gave no mark to go on from", l.session.server)
	}
	if o.Whole && !first {
		if !scans {
			return fmt.Errorf("%w: %s tells who is there and not who is gone: the session begins anew", connectors.ErrIncomplete, l.session.server)
		}
		gone, err := l.roll.call(p, l.emit)
		if err != nil {
			return err
		}
		o.Whole, told = false, told || gone > 0
	}
	if scans {
		l.roll.end()
		l.every = max(l.config.pollEvery(), 9*time.Since(begun))
	}
	l.pages += o.Pages
	moved, err := l.settle(p.next, begun)
	if err != nil || !first && !told && !moved {
		return err
	}
	o.Next, o.Pages, l.pages = l.last, l.pages, 0
	if err := l.mark(o); err != nil {
		return err
	}
	l.session.tap.bytes.Store(0)
	l.session.tap.wait.Store(0)
	return nil
}

// settle moves to the checkpoint that has had the time to settle before this pass began, which was at begun. Until then passes begin where they began
// before and tell some things twice; a change is told at once. Only OpenLDAP needs that.
func (l *live) settle(next *checkpoint, begun time.Time) (moved bool, err error) {
	if l.at.Way != "syncrepl" || l.at.Vendor != "openldap" {
		last := l.last
		l.at = next
		l.last, err = next.encode()
		return !bytes.Equal(last, l.last), err
	}
	if l.next != nil && begun.Sub(l.nextAt) < settleTime {
		return false, nil
	}
	if l.next != nil {
		l.at = l.next
	}
	last := l.last
	if l.last, err = l.at.encode(); err != nil {
		return false, err
	}
	l.next, l.nextAt = nil, begun
	if encoded, err := next.encode(); err != nil || !bytes.Equal(encoded, l.last) {
		l.next = next
	}
	return !bytes.Equal(last, l.last), nil
}

// watched are the bases of people and groups that are not below another.
func (s *source) watched() []string {
	all := s.config.bases()
	if groups := s.ofGroups(); groups != nil {
		all = append(slices.Clone(all), groups.config.bases()...)
	}
	slices.SortFunc(all, func(a, b string) int { return len(normalDN(a)) - len(normalDN(b)) })
	return topmost(slices.CompactFunc(all, func(a, b string) bool { return normalDN(a) == normalDN(b) }))
}

// watch keeps a connection on which the server tells what changes under a base, and rings for each. What changed is read by the next
// pass, which knows groups, several bases and renamed containers: this connection asks for no attributes, and never waits for the pipeline.
func (l *live) watch(ctx context.Context, base string) error {
	se, err := l.connectTo(ctx, l.session.server)
	if err != nil {
		return err
	}
	defer se.close()
	p := l.pass(se, nil)
	cookie, err := p.probe(base)
	if err != nil {
		return err
	}
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"1.1"},
		[]ldap.Control{ldap.NewControlSyncRequest(ldap.SyncRequestModeRefreshAndPersist, []byte(cookie), false)})
	_, err = p.search(request, &sink{reference: p.reference,
		stated: func(_, _ []byte) error { l.ring(); return nil },
		intermediate: func(content []byte) error {
			info, ok, err := parseSyncInfo(content)
			se.tap.listen(false) // from now on silence means that nothing changes
			if ok && info.kind != infoNewCookie {
				l.ring()
			}
			return err
		}})
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s stopped telling what changes under %s", connectors.ErrIncomplete, se.server, base)
}

func (l *live) ring() {
	select {
	case l.bell <- struct{}{}:
	default: // it has rung, and nobody has looked yet
	}
}
