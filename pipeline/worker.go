package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
	"rollcall/events"
)

// worker takes jobs and reads sources: the first stage of a record's way. Any number of workers share the jobs; a
// job whose worker falls silent goes to another.
type worker struct {
	bus    *events.Bus
	client *Client
	config *Config
	rules  *ruleBook
	name   string
	log    zerolog.Logger
}

// maxAttempts is how often a job is begun before it is given up.
const maxAttempts = 3

// jobsConsumer is the consumer that all workers share who serve a source. Each source has one, so that a worker can be kept to its own.
func jobsConsumer(source string) string { return "connector-" + source }

func newWorker(bus *events.Bus, client *Client, config *Config, rules *ruleBook, log zerolog.Logger) *worker {
	return &worker{bus: bus, client: client, config: config, rules: rules, name: processName(), log: log}
}

// run takes the jobs of the sources that this process serves until ctx is done.
func (w *worker) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, source := range w.config.served() {
		group.Go(func() error { return w.serve(ctx, source.Name) })
	}
	return group.Wait()
}

// serve takes a source's jobs, each in a goroutine of its own: a run that waits to be decided does not hold the next one.
func (w *worker) serve(ctx context.Context, source string) error {
	consumer, err := w.bus.Consumer(ctx, events.JobsStream, jetstream.ConsumerConfig{
		Durable: jobsConsumer(source), FilterSubject: events.JobSubject(source),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: w.config.jobLease(), MaxDeliver: -1,
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take jobs: %w", err)
	}
	messages, err := events.Messages(consumer, jetstream.PullMaxMessages(1))
	if err != nil {
		return fmt.Errorf("take jobs: %w", err)
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	var jobs sync.WaitGroup
	defer jobs.Wait()
	for {
		msg, err := messages.Next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take jobs: %w", err)
		}
		jobs.Go(func() { w.take(ctx, msg) })
	}
}

// take works on one job to its end and acknowledges it when the run's result is in the store.
func (w *worker) take(ctx context.Context, msg jetstream.Msg) {
	var job Job
	if err := json.Unmarshal(msg.Data(), &job); err != nil {
		w.log.Error().Err(err).Str("subject", msg.Subject()).Msg("job cannot be read and is dropped")
		_ = msg.TermWithReason("cannot be read")
		return
	}
	ctx, cancel := context.WithCancel(withTrace(ctx, msg.Headers(), true))
	defer cancel()
	go w.keepAlive(ctx, msg)
	work := w.attempts
	if job.Live {
		work = w.live
	}
	if err := work(ctx, job); err != nil {
		if ctx.Err() != nil {
			return // the process stops: the job goes to another worker, or to the next start
		}
		if errors.Is(err, ErrUnknownSource) {
			w.log.Error().Err(err).Str("source", job.Source).Msg("job is dropped")
			_ = msg.TermWithReason(err.Error())
			return
		}
		w.log.Error().Err(err).Str("source", job.Source).Msg("job goes back")
		_ = msg.NakWithDelay(time.Second)
		return
	}
	acking, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := msg.DoubleAck(acking); err != nil {
		w.log.Warn().Err(err).Str("source", job.Source).Msg("job was done but not acknowledged")
	}
}

// keepAlive keeps the job's lease while this worker lives.
func (w *worker) keepAlive(ctx context.Context, msg jetstream.Msg) {
	tick := time.NewTicker(w.config.jobLease() / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = msg.InProgress()
		}
	}
}

// attempts makes attempts until one has a result that stands. An error means that the result could not be had.
func (w *worker) attempts(ctx context.Context, job Job) error {
	lost, err := w.client.attemptsOf(ctx, job.Source, job.ID)
	if err != nil {
		return err
	}
	if lost.done {
		return nil // delivered again although its result is in the store
	}
	for attempt := lost.count + 1; ; attempt++ {
		again, err := w.attempt(ctx, job, attempt)
		if err != nil || !again {
			return err
		}
		job.Full = true
	}
}

// attempt makes one attempt and waits for its result. again is true when the source moved under the read, or could not
// say what changed, and another attempt may see it whole.
func (w *worker) attempt(ctx context.Context, job Job, attempt int) (again bool, err error) {
	ctx, end := span(ctx, "run", attribute.String("source", job.Source), attribute.Int("attempt", attempt))
	defer func() { end(err) }()
	in, err := w.begin(ctx, job)
	if err != nil {
		return false, err
	}
	run, log := in.run, in.log
	result, err := w.client.watchRun(job.Source, run)
	if err != nil {
		return false, err
	}
	defer result.stop()
	if attempt > maxAttempts {
		lost := connectors.Hint(errors.New("worker lost three times"), "look in the workers' logs for what ended them, then run the source again")
		return false, w.abort(ctx, job.Source, run, lost, false, result)
	}
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)
	go func() { // a run that was cancelled or overtaken needs no reading any more
		if r, err := result.wait(reading); err == nil {
			stopReading(fmt.Errorf("run is %s: %s", r.State, r.Reason))
		}
	}()
	done, err := w.read(reading, in)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case in.maySucceed(err) && attempt < maxAttempts:
		log.Info().Err(err).Msg("reading again")
		return true, w.abort(ctx, job.Source, run, err, true, result)
	case err != nil:
		return false, w.abort(ctx, job.Source, run, err, false, result)
	}
	if _, err := appendLog(ctx, w.bus, events.LogSubject(job.Source, logFinished), fmt.Sprintf("finished-%d", run), done); err != nil {
		return false, err
	}
	_, err = result.wait(ctx)
	return false, err
}

// begin publishes the source's rules and opens the run. The sequence of "started" is the run's number, so that no two
// attempts ever share one.
func (w *worker) begin(ctx context.Context, job Job) (*ingest, error) {
	in, err := w.prepare(ctx, job)
	if err != nil {
		return nil, err
	}
	in.run, err = appendLog(ctx, w.bus, events.LogSubject(job.Source, logStarted), "",
		started{Job: job, Kind: in.kind(), Config: in.config, Worker: w.name})
	in.log = w.log.With().Str("source", job.Source).Uint64("run", in.run).Logger()
	return in, err
}

// prepare publishes the source's rules and decides where to begin.
func (w *worker) prepare(ctx context.Context, job Job) (*ingest, error) {
	source, err := w.config.source(job.Source)
	if err != nil {
		return nil, err
	}
	in := &ingest{bus: w.bus, client: w.client, source: source, book: w.rules, job: job, log: w.log.With().Str("source", job.Source).Logger()}
	if in.own, err = w.rules.publish(ctx, w.config.rules(source)); err != nil {
		return nil, err
	}
	in.config = job.rulesOf(in.own)
	if in.rules, err = w.rules.load(ctx, in.config); err != nil {
		return nil, err
	}
	err = in.choose(ctx)
	return in, err
}

func (w *worker) read(ctx context.Context, in *ingest) (*finished, error) {
	in.report = newReporter(w.bus, in.source.Name, in.run)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go in.report.loop(ctx)
	if in.job.Replay {
		return in.replay(ctx)
	}
	return in.do(ctx)
}

// abort says that nothing comes of the run, and waits until the store knows it.
func (w *worker) abort(ctx context.Context, source string, run uint64, reason error, again bool, result *runWatch) error {
	_, err := appendLog(ctx, w.bus, events.LogSubject(source, logAborted), fmt.Sprintf("aborted-%d", run),
		aborted{Run: run, Reason: reason.Error(), Try: connectors.HintOf(reason), Again: again})
	if err != nil {
		return err
	}
	_, err = result.wait(ctx)
	return err
}
