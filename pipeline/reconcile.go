package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"rollcall/events"
	"rollcall/store"
)

// reconciler is the one writer: it applies the messages of LOG in their order and nothing else. What it decides depends
// on LOG, CHANGES and the store only, never on arrival order, clock or chance.
type reconciler struct {
	bus     *events.Bus
	db      *store.DB
	rules   *ruleBook
	config  *Config
	log     zerolog.Logger
	created time.Time // of the LOG stream: its incarnation
	trimmed uint64    // the last message that LOG has not any more
	// leads reports whether this is the one that writes and answers; a standby follows the same log into a store of its own.
	leads func() bool
	// committed is told after every commit that may have left something to relay.
	committed func()
	waiters   waiters
	traces    *traceBook
	// lost is the message up to which LOG is not whole, 0 for none.
	lost atomic.Uint64
	// rebuilding is true where the log is read into a store of its own: nothing is written to any stream.
	rebuilding bool
	// hear is told of its progress then.
	hear func(Progress)
}

// run resumes what a crash interrupted and then follows LOG.
func (r *reconciler) run(ctx context.Context) error {
	r.waiters.forget()
	err := r.anchor(ctx)
	if err == nil {
		err = r.resume(ctx)
	}
	if err == nil {
		err = r.follow(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (r *reconciler) follow(ctx context.Context) error {
	var position store.Position
	if err := r.db.View(func(tx *store.Tx) error { position = tx.LogPosition(); return nil }); err != nil {
		return err
	}
	last := max(position.Sequence, r.trimmed)
	r.waiters.done(last)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.lookBack(ctx) })
	group.Go(func() error {
		return r.bus.Follow(ctx, events.LogStream, events.FollowOptions{From: position.Sequence + 1}, func(msg jetstream.Msg) error {
			meta, err := msg.Metadata()
			if err == nil {
				err = r.noGap(ctx, last, meta.Sequence.Stream)
			}
			if err != nil {
				return err
			}
			last = meta.Sequence.Stream
			return r.take(ctx, msg)
		})
	})
	return group.Wait()
}

// take handles one message of LOG. The position moves in the same transaction as the message's effect.
func (r *reconciler) take(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	source, what, _ := events.ParseLogSubject(msg.Subject())
	m := logMessage{sequence: meta.Sequence.Stream, time: meta.Timestamp.UTC(), data: msg.Data(), source: source,
		position: store.Position{Sequence: meta.Sequence.Stream, Created: r.created, Fingerprint: store.DigestOf(msg.Subject(), msg.Data())}}
	defer r.waiters.done(m.sequence)
	ctx = withTrace(ctx, msg.Headers(), false)
	if err := r.traces.begin(ctx, r.db); err != nil {
		return err
	}
	if events.Genuine(msg.Subject(), msg.Headers()) {
		err = r.handle(ctx, what, m)
	} else {
		err = &badMessage{errors.New("it was not published under this subject")}
	}
	var bad *badMessage
	if errors.As(err, &bad) {
		r.log.Error().Err(err).Uint64("sequence", m.sequence).Str("subject", msg.Subject()).Msg("message of the log is skipped")
		err = r.update(m, func(*store.Tx) error { return nil })
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("message %d of the log (%s): %w", m.sequence, msg.Subject(), err)
	}
	return err
}

// logMessage is a message of LOG with what stands around it.
type logMessage struct {
	sequence uint64
	time     time.Time
	source   string
	data     []byte
	position store.Position
	// cause is what events say of whatever the message does to groups.
	cause cause
}

// badMessage is a message that says nothing we understand; it is skipped, loudly.
type badMessage struct{ error }

func (m logMessage) decode(into any) error {
	if err := json.Unmarshal(m.data, into); err != nil {
		return &badMessage{err}
	}
	return nil
}

func (r *reconciler) handle(ctx context.Context, what string, m logMessage) error {
	if m.source == "command" {
		return r.command(ctx, what, m)
	}
	switch what {
	case logStarted:
		return r.started(m)
	case logFinished:
		return r.finished(ctx, m)
	case logAborted:
		return r.aborted(m)
	case logFailed:
		return r.update(m, func(*store.Tx) error { return nil }) // our own words: the run was failed when they were written
	}
	return &badMessage{fmt.Errorf("unknown kind %q", what)}
}

// update commits fn's writes together with the position behind the message.
func (r *reconciler) update(m logMessage, fn func(*store.Tx) error) error {
	err := r.db.Update(func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if err := regroupAll(tx, m.time, m.cause); err != nil {
			return err
		}
		return tx.SetLogPosition(m.position)
	})
	if err == nil {
		r.committed()
	}
	return err
}

// started opens a run. A run of the same source that is still open lost its worker.
func (r *reconciler) started(m logMessage) error {
	var s started
	if err := m.decode(&s); err != nil {
		return err
	}
	return r.update(m, func(tx *store.Tx) error {
		if err := r.closeOpen(tx, m, s.Job.ID, "its worker was lost and another one took over"); err != nil {
			return err
		}
		return tx.PutRun(&store.Run{Source: m.source, Number: m.sequence, Kind: s.Kind, State: store.Running, Started: m.time,
			Job: s.Job.ID, Config: s.Config, DryRun: s.Job.DryRun, RequireApproval: s.Job.RequireApproval})
	})
}

// closeOpen fails the source's runs that are still open. Those of the job given are tried again.
func (r *reconciler) closeOpen(tx *store.Tx, m logMessage, job, reason string) error {
	open, err := openRuns(tx, m.source)
	if err != nil {
		return err
	}
	for _, run := range open {
		run.State, run.Reason, run.Again = store.Failed, reason, job != "" && run.Job == job
		if err := closeRun(tx, m, run); err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciler) aborted(m logMessage) error {
	var a aborted
	if err := m.decode(&a); err != nil {
		return err
	}
	return r.update(m, func(tx *store.Tx) error {
		run, err := openRun(tx, m.source, a.Run)
		if err != nil || run == nil {
			return err
		}
		run.State, run.Reason, run.Try, run.Again = store.Failed, a.Reason, a.Try, a.Again
		return closeRun(tx, m, run)
	})
}

// finished plans the run and, unless it is held, applies it.
func (r *reconciler) finished(ctx context.Context, m logMessage) error {
	var f finished
	if err := m.decode(&f); err != nil {
		return err
	}
	run, state, err := r.open(m.source, f.Run)
	if err != nil {
		return err
	}
	if run == nil { // cancelled, overtaken, or finished twice: its end changes nothing any more
		return r.update(m, func(*store.Tx) error { return nil })
	}
	copyFinished(run, &f)
	if f.From != state.Applied {
		return r.fail(m, run, fmt.Sprintf("stale: it was compared with run %d, but run %d was applied meanwhile", f.From, state.Applied))
	}
	outcome, err := r.planUnlessFailed(ctx, m, func() (planned, error) {
		fresh := *run
		p := &planner{reconciler: r, message: m, run: &fresh, finished: &f, source: state}
		outcome, err := p.plan(ctx)
		*run = fresh
		return outcome, err
	})
	if err != nil {
		return err
	}
	return r.decide(ctx, m, run, outcome)
}

// decide says what becomes of a planned run.
func (r *reconciler) decide(ctx context.Context, m logMessage, run *store.Run, o planned) error {
	switch {
	case o.missing != "":
		if err := r.sayFailed(ctx, m, run, o); err != nil {
			return err
		}
		return r.fail(m, run, o.missing)
	case run.DryRun: // its reason says what the guard would hold a real run for
		run.State, run.Reason = store.Planned, tripText(o.trips)
		return r.conclude(m, run)
	case len(o.trips) > 0 || run.RequireApproval:
		return r.hold(m, run, o)
	}
	return r.apply(ctx, m, run)
}

// approvalAskedFor is the reason of a held run that the guard would have let pass.
const approvalAskedFor = "approval was asked for"

// hold keeps the plan for a person to decide on.
func (r *reconciler) hold(m logMessage, run *store.Run, o planned) error {
	run.State, run.Reason = store.Held, approvalAskedFor
	if len(o.trips) > 0 {
		run.Reason = tripText(o.trips)
	}
	run.Try = fmt.Sprintf("rollcall plan %s, then rollcall approve %s %s or rollcall reject %s %s", run.Source, run.Source, run.Plan[:8], run.Source, run.Plan[:8])
	return r.update(m, func(tx *store.Tx) error {
		source, err := tx.Source(run.Source)
		if err != nil {
			return err
		}
		if err := supersedeHeld(tx, m, source); err != nil {
			return err
		}
		source.Held = run.Number
		if err := tx.PutSource(source); err != nil {
			return err
		}
		return closeRun(tx, m, run)
	})
}

// supersedeHeld closes the source's held run: a later one took its place.
func supersedeHeld(tx *store.Tx, m logMessage, source *store.Source) error {
	if source.Held == 0 {
		return nil
	}
	held, err := tx.Run(source.Name, source.Held)
	if err != nil {
		return err
	}
	source.Held = 0
	if held == nil || held.State != store.Held {
		return nil
	}
	held.State, held.Reason, held.Try = store.Cancelled, "a later run took its place", ""
	return closeRun(tx, m, held)
}

func (r *reconciler) fail(m logMessage, run *store.Run, reason string) error {
	run.State, run.Reason = store.Failed, reason
	return r.conclude(m, run)
}

func (r *reconciler) conclude(m logMessage, run *store.Run) error {
	return r.update(m, func(tx *store.Tx) error { return closeRun(tx, m, run) })
}

// open returns a source's run if it is still open, and what was applied of the source.
func (r *reconciler) open(source string, number uint64) (run *store.Run, state *store.Source, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		if run, err = openRun(tx, source, number); err != nil {
			return err
		}
		state, err = tx.Source(source)
		return err
	})
	return run, state, err
}

func openRun(tx *store.Tx, source string, number uint64) (*store.Run, error) {
	run, err := tx.Run(source, number)
	if err != nil || run == nil || run.State != store.Running {
		return nil, err
	}
	return run, nil
}

// openRuns returns the source's open runs; only its newest ones can be.
func openRuns(tx *store.Tx, source string) ([]*store.Run, error) {
	var open []*store.Run
	err := tx.Runs(source, 0, func(run *store.Run) error {
		if run.State != store.Running {
			return store.ErrStop
		}
		open = append(open, run)
		return nil
	})
	return open, err
}

// closeRun writes a run's result and puts it into the outbox of the relay.
func closeRun(tx *store.Tx, m logMessage, run *store.Run) error {
	run.Finished = m.time
	run.Seconds = max(0, m.time.Sub(run.Started).Seconds())
	if err := tx.PutRun(run); err != nil {
		return err
	}
	body, err := json.Marshal(run)
	if err != nil {
		return err
	}
	return tx.AppendResult(run.State, run.Source, body)
}

func copyFinished(run *store.Run, f *finished) {
	run.From, run.Read, run.Records, run.Next, run.Scope = f.From, f.Read, f.Changes, f.Next, f.Scope
	run.Server, run.Evidence, run.Pages, run.Bytes, run.Wire = f.Server, f.Evidence, f.Pages, f.Bytes, f.Wire
	run.Whole, run.Since, run.Until, run.Deferred = f.Whole, f.Since, f.Until, f.Deferred
	run.Messages = f.Warnings
	run.Warnings = len(f.Warnings)
}
