package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// ErrBusy means that a run of the source is waiting or going already.
var ErrBusy = errors.New("a run of the source is waiting or going already")

// scheduler asks for a run of every source at its times. A held source waits for its decision instead.
type scheduler struct {
	bus    *events.Bus
	db     *store.DB
	config *Config
	log    zerolog.Logger
}

func (s *scheduler) run(ctx context.Context) error {
	cron, err := gocron.NewScheduler()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer stop()
	for i := range s.config.Sources {
		source := &s.config.Sources[i]
		if source.Enabled && source.Live {
			sessions.Go(func() { s.keepLive(ctx, source) })
		}
		if !source.Enabled || source.Schedule == "" {
			continue
		}
		_, err := cron.NewJob(gocron.CronJob(source.Schedule, false), gocron.NewTask(func() { s.ask(ctx, source.Name, time.Now().Round(time.Second)) }))
		if err != nil {
			return fmt.Errorf("schedule %q of %s: %w", source.Schedule, source.Name, err)
		}
	}
	cron.Start()
	s.tick(ctx)
	return cron.Shutdown()
}

// liveEvery is how often a session is asked for where there is none.
const liveEvery = time.Second

// keepLive asks for a session again and again: it is refused while there is one, or a run. A held source gets none, and one that turned out
// to leave no checkpoint is asked again when a whole run is due.
func (s *scheduler) keepLive(ctx context.Context, source *Source) {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for asked := false; ; {
		wanted, err := s.wantsSession(source, asked)
		if err == nil && wanted {
			_, err = askForRun(ctx, s.bus, Job{Source: source.Name, Live: true, Actor: "live"}, "")
			asked = asked || err == nil
		}
		if err != nil && !errors.Is(err, ErrBusy) && ctx.Err() == nil {
			s.log.Warn().Err(err).Str("source", source.Name).Msg("no session")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// wantsSession reports whether a session should be asked for. asked is true when one was since the process started: the configuration may
// be another one than that of the last run.
func (s *scheduler) wantsSession(source *Source, asked bool) (wanted bool, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		state, err := tx.Source(source.Name)
		if err != nil || state.Held != 0 {
			return err
		}
		wanted, err = mayStay(tx, state)
		wanted = wanted || !asked || time.Since(state.Reconciled) >= source.reconcileEvery()
		return err
	})
	return wanted, err
}

// held returns the number of the source's held run, 0 for none.
func (s *scheduler) held(source string) (held uint64, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		state, err := tx.Source(source)
		if err == nil {
			held = state.Held
		}
		return err
	})
	return held, err
}

// ask asks for the run that is due at a time by this process's clock. Whoever led a moment before may have asked for it already, and
// the run may be over: JetStream takes a job that names the same time once, where clocks are less than two minutes apart.
func (s *scheduler) ask(ctx context.Context, source string, due time.Time) {
	held, err := s.held(source)
	if err == nil && held != 0 {
		s.log.Warn().Str("source", source).Uint64("run", held).Msg("not run: its last run is held for approval")
		return
	}
	if err == nil {
		_, err = askForRun(ctx, s.bus, Job{Source: source, Actor: "schedule"}, fmt.Sprintf("due-%s-%d", source, due.Unix()))
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn().Err(err).Str("source", source).Msg("not run")
	}
}

// askForRun publishes a job and returns its id. JetStream refuses it while another one of the source waits or is worked on, and takes
// what is asked for once (not empty) no second time.
func askForRun(ctx context.Context, bus *events.Bus, job Job, once string) (string, error) {
	job.ID = uuid.NewString()
	data, err := json.Marshal(job)
	if err != nil {
		return "", err
	}
	_, err = bus.Publish(ctx, events.JobSubject(job.Source), once, data)
	var apiErr *jetstream.APIError
	if errors.As(err, &apiErr) && apiErr.ErrorCode == 10077 {
		return "", connectors.Hint(fmt.Errorf("%s: %w", job.Source, ErrBusy),
			fmt.Sprintf("rollcall runs %s shows it, rollcall cancel %s stops it", job.Source, job.Source))
	}
	return job.ID, err
}
