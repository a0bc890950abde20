package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/store"
)

// failed says that a run could not be planned when a message of LOG was handled. It is looked up before that message is handled
// again, by a standby or after a restore: whether changes are in the stream is no question of time.
type failed struct {
	Run uint64 `json:"run"`
	// At is the message that was handled.
	At     uint64 `json:"at"`
	Reason string `json:"reason"`
}

// planUnlessFailed plans a run, unless LOG says that it failed at this message. A standby that misses changes waits: for what the
// leader says, or until it leads itself.
func (r *reconciler) planUnlessFailed(ctx context.Context, m logMessage, plan func() (planned, error)) (o planned, err error) {
	for {
		reason, err := r.failedAt(ctx, m)
		if err != nil {
			return o, err
		}
		if reason != "" {
			return planned{missing: reason, said: true}, nil
		}
		leads := r.leads()
		if o, err = plan(); err != nil || o.missing == "" || leads {
			return o, err
		}
		if r.rebuilding {
			return o, fmt.Errorf("message %d of the log: %w: %s", m.sequence, ErrHistoryTrimmed, o.missing)
		}
		r.log.Warn().Str("reason", o.missing).Uint64("message", m.sequence).Msg("standing by, and waiting for what the leader makes of it")
		select {
		case <-ctx.Done():
			return o, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// failedAt returns why a run failed at the message, "" when it did not as far as LOG knows.
func (r *reconciler) failedAt(ctx context.Context, m logMessage) (reason string, err error) {
	stream, err := r.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return "", err
	}
	subject := events.LogSubject(m.source, logFailed)
	last, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && last.Sequence <= m.sequence {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up whether the run failed: %w", err)
	}
	err = r.bus.Follow(ctx, events.LogStream, events.FollowOptions{From: m.sequence + 1, Subjects: []string{subject}}, func(msg jetstream.Msg) error {
		var f failed
		if json.Unmarshal(msg.Data(), &f) == nil && f.At == m.sequence {
			reason = f.Reason
			return events.ErrStop
		}
		if meta, err := msg.Metadata(); err != nil || meta.Sequence.Stream >= last.Sequence {
			return errors.Join(err, events.ErrStop)
		}
		return nil
	})
	return reason, err
}

// sayFailed puts into LOG that a run could not be planned, so that whoever reads the log again knows.
func (r *reconciler) sayFailed(ctx context.Context, m logMessage, run *store.Run, o planned) error {
	if o.said {
		return nil
	}
	if !r.leads() { // the next leader may have found the changes
		return errNotLeader
	}
	id := fmt.Sprintf("failed-%d-%d", run.Number, m.sequence)
	_, err := appendLog(ctx, r.bus, events.LogSubject(run.Source, logFailed), id, failed{Run: run.Number, At: m.sequence, Reason: o.missing})
	return err
}
