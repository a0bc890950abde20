package pipeline

import (
	"context"
	"encoding/json"
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
	config   *Config
	log      zerolog.Logger
	consumer jetstream.Consumer
}

const exportConsumer = "exports"

// open lets the exporter begin at the next result, or forgets its place where no source is exported.
func (e *exporter) open(ctx context.Context) (err error) {
	var subjects []string
	for _, s := range e.config.Sources {
		if s.Export != "" {
			subjects = append(subjects, events.RunSubject(string(store.Applied), s.Name))
		}
	}
	if len(subjects) == 0 {
		if err = e.bus.JetStream.DeleteConsumer(ctx, events.RunsStream, exportConsumer); isMissing(err) {
			err = nil
		}
		return err
	}
	e.consumer, err = e.bus.JetStream.CreateOrUpdateConsumer(ctx, events.RunsStream, jetstream.ConsumerConfig{
		Durable: exportConsumer, FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 10 * time.Minute, MaxDeliver: -1,
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func (e *exporter) run(ctx context.Context) error {
	messages, err := e.consumer.Messages()
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

// take writes the file of every source among the results once. A run stands whatever becomes of its export.
func (e *exporter) take(ctx context.Context, results []jetstream.Msg) {
	written := map[string]bool{}
	for _, msg := range results {
		var run store.Run
		err := json.Unmarshal(msg.Data(), &run)
		if err == nil && !written[run.Source] {
			err = e.export(ctx, run.Source)
			written[run.Source] = true
		}
		if ctx.Err() != nil {
			return // the next start writes it
		}
		if err != nil {
			e.log.Error().Err(err).Str("source", run.Source).Msg("the export failed; the run was applied")
		}
		_ = msg.Ack()
	}
}

func (e *exporter) export(ctx context.Context, name string) error {
	source, err := e.config.source(name)
	if err != nil {
		return err
	}
	users, err := e.client.ExportFile(ctx, source.Export, ExportOptions{Query: UserQuery{Source: name}})
	if err == nil {
		e.log.Info().Str("source", name).Int("users", users).Str("path", source.Export).Msg("exported")
	}
	return err
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
