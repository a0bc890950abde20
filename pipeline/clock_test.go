package pipeline

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/store"
)

// ReadLogAt has a reconciler read all of LOG into a store, each message at the time that at says instead of its own.
func (c *Client) ReadLogAt(ctx context.Context, config Config, db *store.DB, at func(time.Time) time.Time) error {
	key, err := openPINKey(&config, nil)
	if err != nil {
		return err
	}
	rules, err := openRuleBook(ctx, c.bus, key)
	if err != nil {
		return err
	}
	r := &reconciler{bus: c.bus, db: db, rules: rules, config: &config, log: zerolog.Nop(), committed: func() {}, leads: func() bool { return false },
		traces: &traceBook{}, rebuilding: true}
	return c.bus.ReadAll(ctx, events.LogStream, ">", func(msg jetstream.Msg) error {
		return r.take(ctx, timedMessage{msg, at})
	})
}

type timedMessage struct {
	jetstream.Msg
	at func(time.Time) time.Time
}

func (m timedMessage) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.Msg.Metadata()
	if err == nil {
		meta.Timestamp = m.at(meta.Timestamp)
	}
	return meta, err
}
