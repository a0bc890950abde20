package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"rollcall/connectors"
	"rollcall/events"
)

// The kinds of runs.
const (
	kindFull        = "full"
	kindIncremental = "incremental"
	kindLive        = "live"
)

// reconcileEvery is how often an incremental source is read whole unless its configuration says otherwise.
const reconcileEvery = 24 * time.Hour

// choose decides where the run begins to read: at the checkpoint of the last applied run, or at the source's beginning when
// a full run was asked for or is due, when there is no checkpoint, or when what decides for the source changed, because
// then everybody is to be proposed again.
func (in *ingest) choose(ctx context.Context) (err error) {
	if in.state, err = in.client.source(ctx, in.source.Name); err != nil {
		return err
	}
	s := &in.state
	if in.job.Full || in.job.Replay || len(s.Checkpoint) == 0 || s.Config != in.config || s.Scope != in.rules.ScopeHash() {
		return nil
	}
	now, err := logTime(ctx, in.bus)
	if err != nil {
		return err
	}
	if now.Sub(s.Reconciled) < in.source.reconcileEvery() {
		in.since = s.Checkpoint
	}
	return nil
}

func (in *ingest) kind() string {
	if in.job.Replay {
		return kindReplay
	}
	if in.since == nil {
		return kindFull
	}
	return kindIncremental
}

// maySucceed reports whether another attempt, a full one, may bring what this one could not.
func (in *ingest) maySucceed(err error) bool {
	if errors.Is(err, errEntryMoved) {
		return true
	}
	return in.since != nil && (errors.Is(err, connectors.ErrCheckpointExpired) || errors.Is(err, errNotWhole))
}

func (s *Source) reconcileEvery() time.Duration {
	if s.ReconcileEvery > 0 {
		return s.ReconcileEvery
	}
	return reconcileEvery
}

// logTime is what the clock says that stamps the messages of LOG.
func logTime(ctx context.Context, bus *events.Bus) (time.Time, error) {
	stream, err := bus.Stream(ctx, events.LogStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	return stream.CachedInfo().TimeStamp, nil
}

// tellOf says which checkpoint it is: in the connector's words, or by a short hash, because a checkpoint may hold what is not to be
// shown.
func tellOf(reader connectors.Connector, c connectors.Checkpoint) string {
	if len(c) == 0 {
		return ""
	}
	if teller, ok := reader.(connectors.Teller); ok {
		return teller.Tell(c)
	}
	sum := sha256.Sum256(c)
	return hex.EncodeToString(sum[:4])
}
