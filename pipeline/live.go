package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// How long a worker waits before it begins a session that ended anew: longer each time, until one had a run applied.
const (
	shortestPause = 500 * time.Millisecond
	longestPause  = time.Minute
)

// live keeps a live source in session until somebody asks it to end, because a run was asked for, or until a run of it is held. The job
// is what keeps others from the source meanwhile.
func (w *worker) live(ctx context.Context, job Job) error {
	source, err := w.config.source(job.Source)
	if err != nil || !source.Live || !source.Enabled {
		return err
	}
	process := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	asked, err := w.bus.Conn.Subscribe(events.SessionSubject(job.Source), func(*nats.Msg) { cancel(errAskedToEnd) })
	if err != nil {
		return err
	}
	defer func() { _ = asked.Unsubscribe() }()
	l := &liveJob{worker: w, process: process, job: job, pause: shortestPause}
	for {
		err := l.once(ctx)
		var other *notApplied
		switch {
		case errors.Is(context.Cause(ctx), errAskedToEnd):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &other) && other.run.State == store.Held:
			w.log.Warn().Str("source", job.Source).Uint64("run", other.run.Number).Msg("no session until the held run is decided")
			return nil
		case errors.Is(err, errNoSession):
			w.log.Warn().Err(err).Str("source", job.Source).Str("try", connectors.HintOf(err)).Msg("no session")
			return nil
		}
		l.rest(ctx, err)
	}
}

// liveJob is a live source's job from session to session.
type liveJob struct {
	*worker
	process context.Context
	job     Job
	pause   time.Duration
	// whole is true when the next thing to do is a whole run.
	whole bool
}

// once makes a whole run where one is needed, or else keeps one session.
func (l *liveJob) once(ctx context.Context) error {
	job := l.job
	job.Full = l.whole
	in, err := l.prepare(ctx, job)
	if err != nil {
		return err
	}
	if in.since == nil {
		return l.readWhole(in.state.Applied)
	}
	return l.session(ctx, in)
}

// readWhole makes a whole run, like any other. It is not broken off when somebody asks for one: it is what he asks for.
func (l *liveJob) readWhole(before uint64) error {
	job := Job{ID: uuid.NewString(), Source: l.job.Source, Full: true, Actor: l.job.Actor}
	if err := l.attempts(l.process, job); err != nil {
		return err
	}
	state, err := l.client.source(l.process, job.Source)
	switch {
	case err != nil:
		return err
	case state.Held != 0:
		return &notApplied{&store.Run{Number: state.Held, State: store.Held}}
	case state.Applied == before:
		return errors.New("the whole run was not applied")
	case len(state.Checkpoint) == 0:
		return l.withoutCheckpoint(state.Applied)
	}
	l.whole, l.pause = false, shortestPause
	return nil
}

// errNoSession means that a source cannot stay connected: every run of it reads everything.
var errNoSession = errors.New("its runs leave no checkpoint that a session could begin at")

// withoutCheckpoint says why a whole run left none: absences wait for a second one, or the source never gives any.
func (l *liveJob) withoutCheckpoint(number uint64) error {
	run, err := l.client.Run(l.process, l.job.Source, number)
	if err != nil {
		return err
	}
	if run.Deferred > 0 {
		return errDeferred
	}
	return connectors.Hint(errNoSession, "rollcall check "+l.job.Source+" says why; its schedule runs it, or live: false")
}

// mayStay reports whether a session of the source can begin somewhere, or nobody knows yet.
func mayStay(tx *store.Tx, source *store.Source) (bool, error) {
	if source.Applied == 0 || len(source.Checkpoint) > 0 {
		return true, nil
	}
	run, err := tx.Run(source.Name, source.Applied)
	return run == nil || run.Deferred > 0, err
}

// session keeps one session until it ends or a whole run is due.
func (l *liveJob) session(ctx context.Context, in *ingest) error {
	opened, err := in.openReader()
	if err != nil {
		return err
	}
	reader, ok := opened.(connectors.Live)
	if !ok {
		return connectors.Hint(fmt.Errorf("a source of kind %s cannot stay connected", in.source.Reader.Kind()), "live: false and a schedule")
	}
	now, err := logTime(ctx, l.bus)
	if err != nil {
		return err
	}
	until, cancel := context.WithTimeoutCause(ctx, in.source.reconcileEvery()-now.Sub(in.state.Reconciled), errDue)
	defer cancel()
	in.report = newReporter(l.bus, in.source.Name, 0)
	l.log.Info().Str("source", in.source.Name).Msg("session begins")
	s := newSession(in, reader, l.name)
	err = s.stay(until, l.process)
	if s.applied {
		l.pause = shortestPause
	}
	l.whole = errors.Is(err, errDue) || errors.Is(err, errDeferred) || in.maySucceed(err)
	return err
}

// rest waits before the next session. After what asks for a whole run nobody waits, unless that fails too.
func (l *liveJob) rest(ctx context.Context, err error) {
	switch {
	case err == nil:
		return
	case errors.Is(err, errDue), errors.Is(err, errDeferred), l.whole && l.pause == shortestPause:
		l.log.Info().Err(err).Str("source", l.job.Source).Msg("session ends, the source is read whole")
	default:
		l.log.Warn().Err(err).Str("source", l.job.Source).Str("try", connectors.HintOf(err)).Dur("again_in", l.pause).Msg("session ends")
	}
	select {
	case <-time.After(l.pause):
	case <-ctx.Done():
	}
	l.pause = min(2*l.pause, longestPause)
}

// sessionPatience is how long a run waits for a session to end.
const sessionPatience = 20 * time.Second

// askSession asks the source's session to end and then for the run. The session comes back by itself.
func (s *service) askSession(ctx context.Context, job Job, busy error) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sessionPatience, busy)
	defer cancel()
	for {
		live, err := sessionOf(ctx, s.bus, job.Source)
		if err != nil || !live {
			return "", errors.Join(err, busy)
		}
		if err := s.bus.Conn.Publish(events.SessionSubject(job.Source), nil); err != nil {
			return "", err
		}
		for range 20 {
			id, err := askForRun(ctx, s.bus, job, "")
			if !errors.Is(err, ErrBusy) {
				return id, err
			}
			select {
			case <-ctx.Done():
				return "", context.Cause(ctx)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

// sessionOf reports whether what a source is busy with is a session.
func sessionOf(ctx context.Context, bus *events.Bus, source string) (bool, error) {
	stream, err := bus.Stream(ctx, events.JobsStream)
	if err != nil {
		return false, err
	}
	msg, err := stream.GetLastMsgForSubject(ctx, events.JobSubject(source))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil // it is just over
	}
	if err != nil {
		return false, err
	}
	var job Job
	err = json.Unmarshal(msg.Data, &job)
	return job.Live, err
}

// sessions marks the sources that are in session.
func (s *service) sessions(ctx context.Context, sources []SourceStatus) error {
	for i := range sources {
		if !sources[i].Live {
			continue
		}
		stream, err := s.bus.Stream(ctx, events.JobsStream)
		if err != nil {
			return err
		}
		msg, err := stream.GetLastMsgForSubject(ctx, events.JobSubject(sources[i].Name))
		var job Job
		sources[i].Session = err == nil && json.Unmarshal(msg.Data, &job) == nil && job.Live
	}
	return nil
}
