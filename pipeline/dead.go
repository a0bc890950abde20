package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
)

// DeadLetter is an entry that was rejected, with the reason. The record itself stays in RAW.
type DeadLetter struct {
	// ID is the letter's sequence in DEAD.
	ID          uint64    `json:"id"`
	Time        time.Time `json:"time"`
	Stage       string    `json:"stage"` // normalize or reconcile
	Source      string    `json:"source"`
	Run         uint64    `json:"run"`
	Key         string    `json:"key"`
	Entry       string    `json:"entry"`
	Reason      string    `json:"reason"`
	RawSequence uint64    `json:"raw_sequence,omitempty"`
}

// buryLetter publishes a dead letter. The same id within two minutes is one letter.
func buryLetter(ctx context.Context, bus *events.Bus, letter DeadLetter, id string) error {
	data, err := json.Marshal(letter)
	if err != nil {
		return err
	}
	_, err = bus.Publish(ctx, events.DeadSubject(letter.Stage, letter.Source), id, data)
	return err
}

// parseLetter reads a dead letter from its message.
func parseLetter(msg jetstream.Msg) (DeadLetter, error) {
	var letter DeadLetter
	if err := json.Unmarshal(msg.Data(), &letter); err != nil {
		return letter, fmt.Errorf("dead letter %s: %w", msg.Subject(), err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return letter, err
	}
	letter.ID, letter.Time = meta.Sequence.Stream, meta.Timestamp.UTC()
	return letter, nil
}
