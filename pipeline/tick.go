package pipeline

import (
	"context"
	"fmt"
	"time"

	"rollcall/events"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// tick says that something may have ended. What has, is decided by the message's time in the log (P7, K6).
type tick struct {
	// EventCards is how events show cards.
	EventCards string `json:"event_cards,omitempty"`
}

const (
	// tickEvery is how often is looked whether something has ended.
	tickEvery = time.Second
	// tickAgain is how long the log may take to get to a tick before another is sent.
	tickAgain = 10 * time.Second
	// tickBatch is how many users one tick changes.
	tickBatch = 1000
)

// tick puts a tick into the log whenever something has ended, until ctx is done. Of a log whose clock is behind the next one
// gets it.
func (s *scheduler) tick(ctx context.Context) {
	every := time.NewTicker(tickEvery)
	defer every.Stop()
	for {
		if err := s.tickOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Warn().Err(err).Msg("temporary cards and PINs could not be looked through")
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (s *scheduler) tickOnce(ctx context.Context, now time.Time) error {
	var next time.Time
	var read uint64
	err := s.db.View(func(tx *store.Tx) (err error) {
		next, err = tx.NextExpiry()
		read = tx.LogPosition().Sequence
		return err
	})
	if err != nil || next.IsZero() || next.After(now) {
		return err
	}
	stream, err := s.bus.Stream(ctx, events.LogStream)
	if err != nil || stream.CachedInfo().State.LastSeq > read { // what is still to be read may have a tick
		return err
	}
	id := fmt.Sprintf("tick-%d-%d-%d", next.UnixNano(), read, now.UnixNano()/int64(tickAgain))
	_, err = appendLog(ctx, s.bus, events.CommandSubject(commandTick), id, tick{EventCards: s.config.ByHand.EventCards})
	return err
}

// tick takes what has ended from its users, each with a revision.
func (r *reconciler) tick(m logMessage) error {
	var t tick
	if err := m.decode(&t); err != nil {
		return err
	}
	m.cause = cause{Reason: "expired"}
	return r.update(m, func(tx *store.Tx) error {
		ids, err := tx.Expired(m.time, tickBatch)
		if err != nil {
			return err
		}
		for _, id := range ids {
			deed, err := handOf(tx, m).Expire(id)
			if err != nil {
				return err
			}
			if err := putDeed(tx, m, deed, m.cause, store.ParseCardMode(t.EventCards)); err != nil {
				return err
			}
			r.log.Info().Str("user", id).Str("what", policy.Sentence(&deed.Verdict)).Msg("expired")
		}
		return nil
	})
}
