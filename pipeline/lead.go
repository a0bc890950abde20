package pipeline

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// leadership is what only one reconciler does: it publishes, answers, asks for runs and mails.
type leadership struct {
	relay   *relay
	postman *postman
	// parting is what Stop waits for, a moment at most.
	parting []func(context.Context)
}

// leads reports whether this process is the one reconciler that writes and answers. Beside an embedded server there is no other.
func (n *Node) leads() bool { return n.lease == nil || n.lease.leads() }

// committed is told after every commit that may have left something to relay or to mail.
func (n *Node) committed() {
	if l := n.leading.Load(); l != nil {
		l.relay.poke()
		l.postman.poke()
	}
}

// startReconciler starts to follow LOG, and leads at once or, on a NATS that others may use, when it has the lease.
func (n *Node) startReconciler(ctx context.Context) error {
	r := &reconciler{bus: n.bus, db: n.db, rules: n.rules, config: &n.config, log: n.log, traces: &n.traces, leads: n.leads, committed: n.committed}
	if n.lease == nil {
		n.group.Go(func() error { return r.run(ctx) })
		return n.lead(ctx, n.group, r)
	}
	n.group.Go(func() error { return n.insist(ctx, "reconcile", r.run) })
	n.group.Go(func() error { return n.tellStanding(ctx) })
	decided := make(chan error, 1)
	n.group.Go(func() error { return n.campaign(ctx, r, decided) })
	select {
	case err := <-decided:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startAgain is how long a stage that failed waits. NATS may be away, or choose a leader.
const startAgain = time.Second

// insist runs a stage until ctx is done. Where NATS is somebody else's, a stage that fails starts again, and who leads lets another
// one try.
func (n *Node) insist(ctx context.Context, name string, stage func(context.Context) error) error {
	for {
		err := stage(ctx)
		if ctx.Err() != nil || n.broker != nil || errors.Is(err, errStale) || errors.Is(err, ErrBehind) {
			return err
		}
		n.log.Warn().Err(err).Str("stage", name).Msg("a stage failed and starts again")
		if n.lease != nil {
			n.lease.release()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(startAgain):
		}
	}
}

// vacancy is how long the lease must be free before a standby takes it that has not caught up with LOG: others go first.
const vacancy = 5 * time.Second

// campaign takes the lease whenever it is free, and leads as long as it keeps it. decided is told when this process leads for the
// first time, or somebody else does.
func (n *Node) campaign(ctx context.Context, r *reconciler, decided chan<- error) error {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	free := time.Now()
	for {
		taken, err := false, error(nil)
		if r.caughtUp(ctx) || time.Since(free) > vacancy {
			taken, err = n.lease.take(ctx)
		} else if held, looking := n.lease.held(ctx); looking == nil && held {
			free = time.Now()
			offer(decided, nil)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			n.log.Warn().Err(err).Msg("no word on who leads")
		case taken:
			n.log.Info().Msg("leads")
			err := n.leadWhile(ctx, r, decided)
			if ctx.Err() == nil {
				n.log.Warn().Err(err).Msg("leads no more, and stands by")
			}
			free = time.Now()
		case err == nil && r.caughtUp(ctx):
			free = time.Now()
			offer(decided, nil)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func offer(c chan<- error, err error) {
	select {
	case c <- err:
	default:
	}
}

// leadWhile leads until the lease is lost, a stage fails, or ctx is done.
func (n *Node) leadWhile(ctx context.Context, r *reconciler, decided chan<- error) error {
	defer n.lease.release()
	ctx, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stop()
		n.lease.keep(ctx)
		return nil
	})
	err := n.lead(ctx, group, r)
	if err != nil {
		stop()
	} else {
		offer(decided, nil)
	}
	return errors.Join(err, group.Wait())
}

// lead starts what only the leader does, when the store has caught up with LOG: an answer out of an old store would mislead, and
// revisions that were published already are not to be published again.
func (n *Node) lead(ctx context.Context, group *errgroup.Group, r *reconciler) error {
	snapshots := newSnapshotter(n.bus, n.db, &n.config, n.log)
	snapshots.lost = r.lost.Load
	service := &service{bus: n.bus, db: n.db, config: &n.config, reconciler: r, snapshots: snapshots, bootstrap: newBootstrap(n.bus, n.db, &n.config), lease: n.lease, key: n.key, log: n.log}
	if err := service.catchUp(ctx); err != nil {
		return err
	}
	l := &leadership{relay: newRelay(n.bus, n.db, r.current, n.log), postman: newPostman(n.bus, n.db, n.key, n.config.Mail, n.log)}
	l.relay.traces, l.relay.diary.attended = &n.traces, n.config.Attended
	watcher := &watcher{measure: (&gauge{bus: n.bus, db: n.db}).measure, keep: n.config.EventsKeep, log: n.log}
	stopService, err := service.start(ctx)
	if err != nil {
		return err
	}
	notifier := &notifier{bus: n.bus, server: n.config.Mail, notify: n.config.Notify, log: n.log}
	if err := events.Patiently(ctx, notifier.open); err != nil {
		return errors.Join(err, stopService())
	}
	l.parting = append(l.parting, l.relay.settle)
	if n.config.Mail.Host != "" {
		l.parting = append(l.parting, notifier.settle, l.postman.settle)
	}
	n.leading.Store(l)
	schedule := &scheduler{bus: n.bus, db: n.db, config: &n.config, log: n.log}
	if err := service.renameSources(ctx); err != nil {
		return errors.Join(err, stopService())
	}
	group.Go(func() error { return l.relay.run(ctx) })
	group.Go(func() error { return schedule.run(ctx) })
	group.Go(func() error { return notifier.run(ctx) })
	group.Go(func() error { return l.postman.run(ctx) })
	group.Go(func() error { return snapshots.run(ctx) })
	group.Go(func() error { return watcher.run(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		n.leading.CompareAndSwap(l, nil)
		return stopService()
	})
	return nil
}

// tellStanding tells others how far this process is, and lets a standby's store forget what the leader has published.
func (n *Node) tellStanding(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer n.lease.leave()
	standing := newRelay(n.bus, n.db, nil, n.log)
	for {
		var log, revision uint64
		err := n.db.View(func(tx *store.Tx) error {
			log = tx.LogPosition().Sequence
			revision, _ = tx.Head()
			return nil
		})
		if err == nil {
			err = n.lease.tell(ctx, log, revision)
		}
		if err == nil && !n.leads() {
			asking, cancel := context.WithTimeout(ctx, leaseTTL/2) // what this process has told of itself must not run out meanwhile
			err = standing.forgetPublished(asking)
			cancel()
		}
		if errors.Is(err, errStale) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			n.log.Debug().Err(err).Msg("standing by, and could not say so")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// held reports whether somebody has the lease.
func (l *lease) held(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTrust/2)
	defer cancel()
	_, err := l.bucket.Get(ctx, leaseKey)
	if isNoKey(err) {
		return false, nil
	}
	return err == nil, err
}

// caughtUp reports whether everything in LOG was handled, as far as one can know now.
func (r *reconciler) caughtUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	end, err := lastSequence(ctx, r.bus, events.LogStream)
	return err == nil && r.waiters.reached(end)
}

// current reports whether this process leads with a store that holds all that the log says.
func (r *reconciler) current(ctx context.Context) bool {
	return r.intact(ctx) == nil && r.caughtUp(ctx) && r.leads()
}

// errLogLost means that LOG does not have what was handled: it lost its end, and what is said before that is dealt with would be lost too.
var errLogLost = errors.New("the log lost its end")

// intact fails while LOG does not have all that was handled.
func (r *reconciler) intact(ctx context.Context) error {
	handled := r.waiters.last() // before the end, which only grows
	end, err := lastSequence(ctx, r.bus, events.LogStream)
	if err == nil && end < handled {
		err = connectors.Hint(errLogLost, "again in a few seconds")
	}
	return err
}

// reached reports whether the message of that sequence was handled.
func (w *waiters) reached(sequence uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.handled >= sequence
}

// audience is who hears how far runs are: nobody of a standby, which does what the leader did or does.
func (r *reconciler) audience() *events.Bus {
	if !r.leads() {
		return nil
	}
	return r.bus
}

// errStale means that a standby's store is not what the log gives.
var errStale = errors.New("the store is not what the log gives")
