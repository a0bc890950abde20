package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/store"
)

// Status is how a pipeline stands.
type Status struct {
	// Store is the store's id; Users counts all users, Active those who are active.
	Store  string `json:"store"`
	Users  int    `json:"users"`
	Active int    `json:"active"`
	// Revision is the store's last one, Relayed the last one that was published.
	Revision uint64 `json:"revision"`
	Relayed  uint64 `json:"relayed"`
	// Log is the sequence of the last message of LOG that was handled, LogEnd of the last one there is.
	Log         uint64         `json:"log"`
	LogEnd      uint64         `json:"log_end"`
	DeadLetters uint64         `json:"dead_letters"`
	Sources     []SourceStatus `json:"sources"`
	Lag         Lag            `json:"lag"`
	Room        Room           `json:"room"`
	// Alarms say what will soon be full or lost.
	Alarms []Alarm `json:"alarms,omitempty"`
	// Reconcilers are the leader and its standbys, none beside an embedded server.
	Reconcilers []Reconciler `json:"reconcilers,omitempty"`
	// Processes are those that told lately that they are there, whatever their roles.
	Processes []Process `json:"processes"`
	// Letters counts generated PINs that wait to be mailed, Unmailed are the first of those that will not be (P5).
	Letters  int        `json:"letters,omitempty"`
	Unmailed []Unmailed `json:"unmailed,omitempty"`
}

// SourceStatus is how a source stands.
type SourceStatus struct {
	Name string `json:"name"`
	// Configured is false for a source that only the store knows: nobody touches its users.
	Configured bool   `json:"configured"`
	Enabled    bool   `json:"enabled"`
	Schedule   string `json:"schedule,omitempty"`
	// Live is true for a source that is to stay connected, Session while a worker keeps a session.
	Live    bool `json:"live,omitempty"`
	Session bool `json:"session,omitempty"`
	// NoSession says why a live source cannot stay connected, "" for one that can.
	NoSession string `json:"no_session,omitempty"`
	Entries   int    `json:"entries"`
	Active    int    `json:"active"`
	// Applied is the last applied run, Held the one that waits for a decision, 0 for none.
	Applied uint64 `json:"applied"`
	Held    uint64 `json:"held,omitempty"`
	// AppliedAt is when the last applied run ended.
	AppliedAt time.Time `json:"applied_at,omitzero"`
	// Last is the last run of any result, nil for none.
	Last *store.Run `json:"last,omitempty"`
}

// Status says how the pipeline stands. It asks three times: a question that is on its way while the reconciler moves to another process
// gets lost.
func (c *Client) Status(ctx context.Context) (status Status, err error) {
	for range 3 {
		one, cancel := context.WithTimeout(ctx, answerWait)
		status, err = call[Status](one, c, "status", struct{}{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			break
		}
	}
	return status, err
}

func (s *service) status(ctx context.Context, _ struct{}) (status Status, err error) {
	status.Store = s.db.ID()
	err = s.db.View(func(tx *store.Tx) error {
		status.Users, status.Active = tx.CountUsers()
		status.Revision, _ = tx.Head()
		status.Relayed = tx.RelayPosition().Revision
		status.Log = tx.LogPosition().Sequence
		for _, source := range s.config.Sources {
			one, err := sourceStatus(tx, source.Name)
			if err != nil {
				return err
			}
			one.Configured, one.Enabled, one.Schedule, one.Live = true, source.Enabled, source.Schedule, source.Live
			if !source.Live {
				one.NoSession = ""
			}
			status.Sources = append(status.Sources, one)
		}
		for _, name := range tx.SourceNames() {
			if _, err := s.config.source(name); err == nil {
				continue
			}
			one, err := sourceStatus(tx, name)
			if err != nil {
				return err
			}
			status.Sources = append(status.Sources, one)
		}
		return nil
	})
	if err != nil {
		return status, err
	}
	if err := s.sessions(ctx, status.Sources); err != nil {
		return status, err
	}
	if status.Letters, status.Unmailed, err = unmailed(s.db); err != nil {
		return status, err
	}
	if s.lease != nil {
		if status.Reconcilers, err = s.lease.reconcilers(ctx); err != nil {
			return status, err
		}
	}
	status.Processes = s.there.list(time.Now())
	if status.LogEnd, err = lastSequence(ctx, s.bus, events.LogStream); err != nil {
		return status, err
	}
	if status.Lag, status.Room, err = (&gauge{bus: s.bus, db: s.db}).measure(ctx); err != nil {
		return status, err
	}
	status.Alarms = Alarms(status.Lag, status.Room, s.config.EventsKeep)
	stream, err := s.bus.Stream(ctx, events.DeadStream)
	if err == nil {
		status.DeadLetters = stream.CachedInfo().State.Msgs
	}
	return status, err
}

func sourceStatus(tx *store.Tx, name string) (SourceStatus, error) {
	one := SourceStatus{Name: name}
	source, err := tx.Source(name)
	if err != nil {
		return one, err
	}
	if good, err := tx.Run(name, source.Applied); err == nil && good != nil {
		one.AppliedAt = good.Finished
	}
	one.Entries, one.Active, one.Applied, one.Held = source.Entries, source.Active, source.Applied, source.Held
	if stays, err := mayStay(tx, source); err != nil {
		return one, err
	} else if !stays {
		one.NoSession = errNoSession.Error()
	}
	return one, tx.Runs(name, 0, func(run *store.Run) error { one.Last = run; return store.ErrStop })
}

func lastSequence(ctx context.Context, bus *events.Bus, stream string) (uint64, error) {
	s, err := bus.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

// isMissing reports whether NATS says that there is no such thing.
func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrMsgNotFound)
}
