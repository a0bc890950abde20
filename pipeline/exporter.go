package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/store"
)

// exporter writes a source's users to its file after every run that was applied (S7), also one that was held before. Which
// results it has seen JetStream remembers; runs that follow each other faster than a file is written share one.
type exporter struct {
	bus      *events.Bus
	client   *Client
	source   Source
	log      zerolog.Logger
	consumer jetstream.Consumer
}

// exportConsumer is the consumer of a source: a worker may be kept to its own.
func exportConsumer(source string) string { return "exports-" + source }

// open lets the exporter begin at the next result, or, where it may, forgets its place when the source is not exported.
func (e *exporter) open(ctx context.Context, mayForget bool) (err error) {
	if e.source.Export == "" {
		if mayForget {
			err = e.bus.JetStream.DeleteConsumer(ctx, events.RunsStream, exportConsumer(e.source.Name))
		}
		if isMissing(err) {
			err = nil
		}
		return err
	}
	e.consumer, err = e.bus.Consumer(ctx, events.RunsStream, jetstream.ConsumerConfig{
		Durable: exportConsumer(e.source.Name), FilterSubject: events.RunSubject(string(store.Applied), e.source.Name), DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 10 * time.Minute, MaxDeliver: -1,
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func (e *exporter) run(ctx context.Context) error {
	messages, err := events.Messages(e.consumer)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		results, err := gather(messages)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		e.take(ctx, results)
	}
}

// take writes the file once for all results. A run stands whatever becomes of its export.
func (e *exporter) take(ctx context.Context, results []jetstream.Msg) {
	log := e.log.With().Str("source", e.source.Name).Str("path", e.source.Export).Logger()
	users, err := e.client.ExportFile(ctx, e.source.Export, ExportOptions{Query: UserQuery{Source: e.source.Name}, own: true})
	if ctx.Err() != nil {
		return // the next start writes it
	}
	if err != nil {
		log.Error().Err(err).Msg("the export failed; the run was applied")
	} else {
		log.Info().Int("users", users).Msg("exported")
	}
	for _, msg := range results {
		_ = msg.Ack()
	}
}

// settle waits until the results there are have had their files, no longer than ctx.
func (e *exporter) settle(ctx context.Context) { settle(ctx, e.consumer) }

// settle waits until a consumer has seen what there is, no longer than ctx.
func settle(ctx context.Context, consumer jetstream.Consumer) {
	for ctx.Err() == nil {
		info, err := consumer.Info(ctx)
		if err != nil || info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
