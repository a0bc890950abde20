package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/store"
)

// anchor compares the store's position with LOG. A stream that lost its tail would give new messages old
// sequences, and they would never be read: that is silent loss. The store is the truth about what was applied, so
// it goes on at the stream's end with numbers above its own, says so loudly, and the next full run of every
// source heals what the lost messages would have said.
func (r *reconciler) anchor(ctx context.Context) error {
	stream, err := r.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	info := stream.CachedInfo()
	r.created, r.trimmed = info.Created.UTC(), max(info.State.FirstSeq, 1)-1
	var position store.Position
	if err := r.db.View(func(tx *store.Tx) error { position = tx.LogPosition(); return nil }); err != nil {
		return err
	}
	if position.Sequence == 0 {
		return nil
	}
	if info.State.FirstSeq > position.Sequence+1 && position.Created.Equal(r.created) {
		return r.skipTrimmed(ctx, info, position)
	}
	reason, err := r.strange(ctx, stream, info, position)
	if err != nil || reason == "" {
		return err
	}
	if err := r.awaitLead(ctx, reason); err != nil {
		return err
	}
	return r.reanchor(ctx, stream, info, position, reason)
}

// strange says why the stream is not the one that the position was taken in, "" when it is.
func (r *reconciler) strange(ctx context.Context, stream jetstream.Stream, info *jetstream.StreamInfo, position store.Position) (string, error) {
	switch {
	case !position.Created.Equal(info.Created.UTC()):
		return "the stream was made anew", nil
	case info.State.LastSeq < position.Sequence:
		return fmt.Sprintf("the stream lost its tail: it ends at %d", info.State.LastSeq), nil
	case info.State.FirstSeq > position.Sequence || position.Fingerprint == store.Digest{}:
		return "", nil // the message aged away, or is one that nobody can compare
	}
	msg, err := stream.GetMsg(ctx, position.Sequence)
	if err != nil {
		return "", fmt.Errorf("message %d of the log: %w", position.Sequence, err)
	}
	if store.DigestOf(msg.Subject, msg.Data) != position.Fingerprint {
		return "the stream has another message at that place", nil
	}
	return "", nil
}

const (
	// logLook is how often it is looked whether NATS was away, and then whether LOG is still the one that the store knows; and
	// that without a reason at every twentieth look.
	logLook, idleLooks = 250 * time.Millisecond, 20
)

// lookBack fails when LOG is not the one any more that is followed: its servers came back without what they had in memory, or with
// another disk. It would give new messages the numbers of those that were handled, and nobody would see them.
func (r *reconciler) lookBack(ctx context.Context) error {
	tick := time.NewTicker(logLook)
	defer tick.Stop()
	known, doubted := r.bus.Conn.Stats().Reconnects, false
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := r.bus.Conn.Stats().Reconnects
		if now == known && !doubted && n%idleLooks != 0 {
			continue
		}
		reason, err := r.estranged(ctx)
		switch {
		case err != nil: // nobody knows
		case reason == "":
			known, doubted = now, false
		case doubted:
			return fmt.Errorf("%s is not what it was: %s", events.LogStream, reason)
		default: // whoever has just begun to lead a stream may not know its end yet
			doubted = true
		}
	}
}

// estranged says why LOG is not the one that the store knows, "" when it is.
func (r *reconciler) estranged(ctx context.Context) (string, error) {
	var position store.Position
	if err := r.db.View(func(tx *store.Tx) error { position = tx.LogPosition(); return nil }); err != nil || position.Sequence == 0 {
		return "", err
	}
	stream, err := r.bus.Stream(ctx, events.LogStream) // behind the position: it only grows
	if err != nil {
		return "", err
	}
	return r.strange(ctx, stream, stream.CachedInfo(), position)
}

// skipTrimmed goes on where the log begins. What stood before is lost to this store: its runs fail as stale, and are read again.
func (r *reconciler) skipTrimmed(ctx context.Context, info *jetstream.StreamInfo, position store.Position) error {
	return r.skip(ctx, info.State.FirstSeq, fmt.Sprintf("the log begins at %d, and this store ends at %d", info.State.FirstSeq, position.Sequence))
}

func (r *reconciler) skip(ctx context.Context, next uint64, reason string) error {
	if err := r.awaitLead(ctx, reason); err != nil {
		return err
	}
	r.log.Error().Str("reason", reason).Msg("messages of the log are lost to this store, and the next run of every source reads again what they said")
	r.lost.Store(next)
	return nil
}

// noGap fails unless next is the message after last, or what lies between them is lost and this process leads: LOG may be trimmed
// while a standby is behind.
func (r *reconciler) noGap(ctx context.Context, last, next uint64) error {
	if next == last+1 {
		return nil
	}
	strange := fmt.Errorf("%s: message %d came after message %d", events.LogStream, next, last)
	if next <= last {
		return strange
	}
	stream, err := r.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	_, err = stream.GetMsg(ctx, last+1)
	switch {
	case err == nil:
		return strange
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return r.skip(ctx, next, fmt.Sprintf("the log goes on at %d, and this store ends at %d", next, last))
	}
	return fmt.Errorf("message %d of the log: %w", last+1, err)
}

// ErrBehind means that LOG does not go on any more where the store of a standby ends, and that a snapshot bridges the gap: started
// again, the process begins from it.
var ErrBehind = errors.New("the log does not go on where this store ends, and a snapshot is kept that it follows")

// bridgeLook is at which of the looks for the lead it is also looked for a snapshot.
const bridgeLook = 6

// awaitLead waits until this process leads. Only the leader goes on with a log that is not the one its store knows: a standby that
// did would end with another store than the leader's. A standby goes on when the leader has moved the log's end to where its store
// ends too. It fails with [ErrBehind] as soon as there is a snapshot to begin from.
func (r *reconciler) awaitLead(ctx context.Context, reason string) error {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for n := 0; !r.leads(); n++ {
		if n%bridgeLook == 0 {
			if moved, err := r.bridged(ctx); moved || err != nil {
				return err
			}
		}
		if n == 0 {
			r.log.Error().Str("reason", reason).Str("try", "stop it, rollcall store restore --latest --force, then start it again").Msg("cannot stand by: the log does not go on where this store ends, and no snapshot is kept that it follows; it waits for one, or to lead")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// bridged fails with ErrBehind when a snapshot leads on where the store does not. moved is true when the log begins right behind the store.
func (r *reconciler) bridged(ctx context.Context) (moved bool, err error) {
	stream, err := r.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	var position store.Position
	if err := r.db.View(func(tx *store.Tx) error { position = tx.LogPosition(); return nil }); err != nil {
		return false, err
	}
	log := stream.CachedInfo()
	if reaches(position, log) || isAhead(position, log) {
		return log.State.FirstSeq == position.Sequence+1, nil
	}
	kept, err := keptSnapshots(ctx, r.bus, r.log)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(kept, func(s Snapshot) bool { return reaches(s.Log, log) }) {
		return false, ErrBehind
	}
	return false, nil
}

func (r *reconciler) reanchor(ctx context.Context, stream jetstream.Stream, info *jetstream.StreamInfo, position store.Position, reason string) error {
	end := max(info.State.LastSeq, position.Sequence)
	r.log.Error().Str("reason", reason).Uint64("position", position.Sequence).Uint64("going_on_at", end+1).
		Msg("the log is not the one that the store knows; what it said after the store's position is lost, and the next run of every source reads it again")
	if info.State.LastSeq < end && r.leads() { // new messages must have numbers above every run that the store knows
		if err := r.moveEnd(ctx, stream, info.State.LastSeq, end); err != nil {
			return fmt.Errorf("move the log's end: %w", err)
		}
	}
	r.lost.Store(end)
	return r.db.Update(func(tx *store.Tx) error {
		for _, name := range tx.SourceNames() {
			if err := r.closeOpen(tx, logMessage{source: name, time: position.Created}, "", "the log that it was written in is lost"); err != nil {
				return err
			}
		}
		return tx.SetLogPosition(store.Position{Sequence: end, Created: r.created})
	})
}

// moveEnd lets the next message of LOG have the number behind to. It fails with [events.ErrMoved] unless LOG ends at from: the servers
// agree upon the message that says so, while what they told of the end may be old by now. What stands before is purged.
func (r *reconciler) moveEnd(ctx context.Context, log jetstream.Stream, from, to uint64) error {
	end := events.Message{Subject: events.CommandSubject(commandEnd), Data: []byte("{}")}
	if _, err := r.bus.PublishAfter(ctx, end, from); err != nil {
		return err
	}
	return log.Purge(ctx, jetstream.WithPurgeSequence(to+1))
}
