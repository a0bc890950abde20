package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// session is a connection in which a source pushes its changes. They become small runs, one behind the other, each compared with
// what the one before it will have applied.
//
// The connector puts what it receives into a short queue and waits when that is full: that is all that is kept. A run ends at
// the last mark when the queue is empty, so a burst becomes few runs and a single change is one at once; while mostUndecided runs
// wait for the reconciler, the open one grows instead, and beyond longestRun nothing more is taken from the queue.
type session struct {
	*ingest
	reader  connectors.Live
	worker  string
	queue   chan message
	decided chan *store.Run
	counter changeCounter

	// last is the run that the open one is compared with, undecided how many wait for their result.
	last      uint64
	undecided int
	// outcome is the last mark that is not part of a run yet; behind counts the records told since it, open those since the last run.
	outcome      *connectors.Outcome
	behind, open int
	saved        time.Time
	// applied is true when the session had a run that was applied.
	applied bool
}

// message is what a connector tells: a record, or a mark.
type message struct {
	record connectors.Record
	mark   *connectors.Outcome
	taken  chan<- struct{}
}

const (
	mostUndecided = 4
	longestRun    = 5000
	queueLength   = 500
	// saveEvery is how often a checkpoint is saved behind which nothing new was told.
	saveEvery = 10 * time.Minute
)

var (
	errAskedToEnd = errors.New("the session was asked to end")
	errDue        = errors.New("a whole run is due")
	errDeferred   = errors.New("absences wait for a second run")
)

// notApplied says that a run of a session was not applied: what follows was compared with it.
type notApplied struct{ run *store.Run }

func (e *notApplied) Error() string {
	return fmt.Sprintf("run %d is %s: %s", e.run.Number, e.run.State, e.run.Reason)
}

func newSession(in *ingest, reader connectors.Live, worker string) *session {
	s := &session{ingest: in, reader: reader, worker: worker, queue: make(chan message, queueLength), decided: make(chan *store.Run, mostUndecided+1),
		last: in.state.Applied, saved: time.Now()}
	in.increment = newIncrement(in, reader)
	in.begin = s.start
	return s
}

// stay keeps the session until the source or ctx ends it, and then waits for the results of its runs as long as the process lives.
// It never returns nil.
func (s *session) stay(ctx, process context.Context) error {
	first, err := lastSequence(ctx, s.bus, events.ChangesStream)
	if err != nil {
		return err
	}
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return s.counter.follow(inner, s.bus, s.source.Name, first+1) })
	group.Go(func() error { return s.receive(inner) })
	group.Go(func() error { return s.work(inner, process) })
	err = group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return errors.Join(err, s.leave(process, err))
}

// receive lets the connector tell.
func (s *session) receive(ctx context.Context) error {
	put := func(m message) error {
		select {
		case s.queue <- m:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	emit := func(r connectors.Record) error { return put(message{record: cloneRecord(&r)}) }
	mark := func(o connectors.Outcome) error {
		o.Next = bytes.Clone(o.Next)
		if !o.Whole {
			return put(message{mark: &o})
		}
		taken := make(chan struct{})
		if err := put(message{mark: &o, taken: taken}); err != nil {
			return err
		}
		select {
		case <-taken:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := s.reader.Stay(ctx, s.since, emit, mark); err != nil {
		return err
	}
	return fmt.Errorf("%w: the source ended the session", connectors.ErrIncomplete)
}

// work makes runs of what is told.
func (s *session) work(ctx, process context.Context) error {
	for {
		if s.ready() && s.undecided < mostUndecided {
			if err := s.finish(ctx, process); err != nil {
				return err
			}
			continue
		}
		queue := s.queue
		if s.open >= longestRun && s.ready() {
			queue = nil
		}
		select {
		case m := <-queue:
			if err := s.take(ctx, process, m); err != nil {
				return err
			}
		case run := <-s.decided:
			if err := s.learn(run); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ready reports whether a run may end here: at a mark, when nothing more waits to be taken or the run is long enough.
func (s *session) ready() bool {
	return s.outcome != nil && s.behind == 0 && (len(s.queue) == 0 || s.open >= longestRun)
}

// take takes one message over. A whole read ends its run at once.
func (s *session) take(ctx, process context.Context, m message) error {
	if m.mark == nil {
		s.behind++
		s.open++
		return s.emit(ctx, &m.record)
	}
	s.behind = 0
	if s.outcome != nil { // several marks end in one run
		m.mark.Pages += s.outcome.Pages
		m.mark.Bytes += s.outcome.Bytes
		m.mark.Wire += s.outcome.Wire
		m.mark.Warnings = append(s.outcome.Warnings, m.mark.Warnings...)
	}
	s.outcome = m.mark
	if m.taken == nil {
		return nil
	}
	defer close(m.taken)
	return s.finish(ctx, process)
}

// finish ends the open run at the last mark. Where nothing new was told there is none, unless the checkpoint is to be saved.
func (s *session) finish(ctx, process context.Context) error {
	o := *s.outcome
	s.outcome, s.open = nil, 0
	if err := s.increment.end(ctx, o.Whole); err != nil {
		return err
	}
	if o.Whole {
		if err := s.callAbsent(ctx, s.reader, o); err != nil {
			return err
		}
	}
	if s.number == 0 && !o.Whole && (bytes.Equal(o.Next, s.since) || time.Since(s.saved) < saveEvery) {
		s.reset()
		return nil
	}
	if s.run == 0 {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	if err := s.awaitMapped(ctx, s.counter.counting(s.run, s.report)); err != nil {
		return err
	}
	return s.close(ctx, process, o)
}

// close says in the log that the run is finished, and awaits its result in the background.
func (s *session) close(ctx, process context.Context, o connectors.Outcome) error {
	f := s.finished(o, s.reader)
	f.From = s.last
	watch, err := s.client.watchRun(s.source.Name, s.run)
	if err != nil {
		return err
	}
	if _, err := appendLog(ctx, s.bus, events.LogSubject(s.source.Name, logFinished), fmt.Sprintf("finished-%d", s.run), f); err != nil {
		watch.stop()
		return err
	}
	go func() {
		defer watch.stop()
		run, err := watch.wait(process)
		if err != nil {
			run = &store.Run{Number: f.Run, State: store.Failed, Reason: err.Error()}
		}
		s.decided <- run
	}()
	s.last, s.since, s.saved, s.undecided = s.run, f.Next, time.Now(), s.undecided+1
	deferred := s.deferred
	s.run, s.number = 0, 0
	s.reset()
	if deferred > 0 {
		return errDeferred
	}
	return nil
}

// start opens a run: with the first record that is new, or to save a checkpoint.
func (s *session) start(ctx context.Context) (err error) {
	s.run, err = appendLog(ctx, s.bus, events.LogSubject(s.source.Name, logStarted), "",
		started{Job: s.job, Kind: kindLive, Config: s.config, Worker: s.worker})
	s.report = newReporter(s.bus, s.source.Name, s.run)
	return err
}

// reset makes ready for the next run.
func (s *session) reset() {
	s.read, s.deferred, s.warnings, s.baseline = 0, 0, nil, nil
	s.increment.next()
}

// learn takes the result of a run.
func (s *session) learn(run *store.Run) error {
	s.undecided--
	if run.State != store.Applied {
		return &notApplied{run}
	}
	s.applied = true
	s.increment.decided(run.Number)
	return nil
}

// leave ends the session: the open run is aborted, and the results of the others are awaited, so that the next session begins behind
// them.
func (s *session) leave(process context.Context, reason error) (err error) {
	ctx, cancel := context.WithTimeout(process, 30*time.Second)
	defer cancel()
	if s.run != 0 {
		_, err = appendLog(ctx, s.bus, events.LogSubject(s.source.Name, logAborted), fmt.Sprintf("aborted-%d", s.run),
			aborted{Run: s.run, Reason: reason.Error(), Try: connectors.HintOf(reason), Again: true})
	}
	for s.undecided > 0 && ctx.Err() == nil {
		select {
		case run := <-s.decided:
			err = errors.Join(err, s.learn(run))
		case <-ctx.Done():
		}
	}
	return errors.Join(err, context.Cause(ctx))
}

// changeCounter counts the distinct changes of a session's runs in CHANGES as normalizers deliver them.
type changeCounter struct {
	mu      sync.Mutex
	run     uint64
	report  *reporter
	seen    map[uint64]*numberSet
	changed chan struct{}
}

// follow counts until ctx is done.
func (c *changeCounter) follow(ctx context.Context, bus *events.Bus, source string, from uint64) error {
	c.mu.Lock()
	c.seen = map[uint64]*numberSet{}
	c.mu.Unlock()
	all := strings.TrimSuffix(events.ChangesSubject(source, 0), "0") + "*"
	return bus.Follow(ctx, events.ChangesStream, events.FollowOptions{From: from, Subjects: []string{all}, HeadersOnly: true}, func(msg jetstream.Msg) error {
		if !events.Genuine(msg.Subject(), msg.Headers()) {
			return nil
		}
		run, err := strconv.ParseUint(msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:], 10, 64)
		if err != nil {
			return fmt.Errorf("subject %s: %w", msg.Subject(), err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.seen[run] == nil {
			c.seen[run] = &numberSet{}
		}
		if err := parseNumbers(msg.Headers().Get(numbersHeader), c.seen[run].add); err != nil {
			return err
		}
		c.tell(run)
		return nil
	})
}

// counting tells from now on of that run, and forgets those before it.
func (c *changeCounter) counting(run uint64, report *reporter) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.seen {
		if old < run {
			delete(c.seen, old)
		}
	}
	c.run, c.report, c.changed = run, report, make(chan struct{}, 1)
	c.tell(run)
	return c.changed
}

func (c *changeCounter) tell(run uint64) {
	if run != c.run || c.seen[run] == nil {
		return
	}
	c.report.mapped.Store(int64(c.seen[run].count))
	select {
	case c.changed <- struct{}{}:
	default:
	}
}
