package pipeline

import (
	"context"
	"encoding/json"
	"time"

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
