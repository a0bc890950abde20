package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/time/rate"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline/mapping"
)

// normalizer maps raw records to changes: the second stage of a record's way. Any number of normalizers share one
// consumer; a batch whose normalizer dies is delivered again, and the changes that it had published already are
// recognized by their numbers.
type normalizer struct {
	bus   *events.Bus
	rules *ruleBook
	log   zerolog.Logger
	// pace is nil when there is no limit.
	pace *rate.Limiter
}

func newNormalizer(bus *events.Bus, rules *ruleBook, c *Config, log zerolog.Logger) *normalizer {
	n := &normalizer{bus: bus, rules: rules, log: log}
	if c.NormalizeRate > 0 {
		n.pace = rate.NewLimiter(rate.Limit(c.NormalizeRate), normalizeBatch)
	}
	return n
}

const normalizerConsumer = "normalizers"

// normalizeBatch is how many records one step takes.
const normalizeBatch = 500

func (n *normalizer) run(ctx context.Context) error {
	consumer, err := n.bus.Consumer(ctx, events.RawStream, jetstream.ConsumerConfig{
		Durable: normalizerConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1,
		MaxAckPending: 20 * normalizeBatch,
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take records: %w", err)
	}
	messages, err := events.Messages(consumer, jetstream.PullMaxMessagesWithBytesLimit(4*normalizeBatch, events.ReadAhead))
	if err != nil {
		return fmt.Errorf("take records: %w", err)
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		batch, err := gather(messages)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take records: %w", err)
		}
		if err := n.step(ctx, batch); err != nil && ctx.Err() == nil {
			n.log.Error().Err(err).Msg("records go back")
			for _, msg := range batch {
				_ = msg.NakWithDelay(time.Second)
			}
		}
	}
}

// gather waits for one message and takes what else is there, up to a batch.
func gather(messages jetstream.MessagesContext) ([]jetstream.Msg, error) {
	first, err := messages.Next()
	if err != nil {
		return nil, err
	}
	batch := append(make([]jetstream.Msg, 0, normalizeBatch), first)
	for len(batch) < normalizeBatch {
		msg, err := messages.Next(jetstream.NextMaxWait(2 * time.Millisecond))
		if err != nil {
			break
		}
		batch = append(batch, msg)
	}
	return batch, nil
}

// step maps a batch, publishes the changes of each run in it, and acknowledges the records when CHANGES has them.
func (n *normalizer) step(ctx context.Context, batch []jetstream.Msg) (err error) {
	_, end := span(events.TraceOf(ctx, batch[0].Headers()), "normalize", attribute.Int("records", len(batch)))
	defer func() { end(err) }()
	if n.pace != nil {
		if err := n.pace.WaitN(ctx, len(batch)); err != nil {
			return err
		}
	}
	out := outbox{bus: n.bus, batches: map[string]*changeBatch{}}
	var done, back []jetstream.Msg
	var failure error
	for _, msg := range batch {
		change, err := n.normalize(ctx, msg)
		if err != nil {
			back, failure = append(back, msg), err
			continue
		}
		if change != nil {
			if err := out.add(change.subject, change.number, change.data, msg.Headers()); err != nil {
				return err
			}
		}
		done = append(done, msg)
	}
	if err := out.flush(ctx); err != nil {
		return err
	}
	for _, msg := range done {
		if err := msg.Ack(); err != nil {
			return err
		}
	}
	if len(back) > 0 && ctx.Err() == nil {
		n.log.Error().Err(failure).Int("records", len(back)).Msg("records go back, for a normalizer that can map them")
		for _, msg := range back {
			_ = msg.NakWithDelay(backFor) // otherwise they come again when they are not acknowledged
		}
	}
	return nil
}

// backFor is how long records rest that this process cannot map: for want of their rules, which a newer version may have written, or of the
// key of their PINs.
const backFor = 5 * time.Second

// normalized is a record's change, ready to be published.
type normalized struct {
	subject string
	number  uint64
	data    []byte
}

// normalize maps one record, to nothing where it is none of ours. A record that cannot be mapped goes to the dead letters and on as a
// bare sighting: a bad entry is not a missing user.
func (n *normalizer) normalize(ctx context.Context, msg jetstream.Msg) (*normalized, error) {
	if !events.GenuineRecord(msg.Headers()) {
		n.log.Error().Str("subject", msg.Subject()).Msg("record was not published under this subject and is dropped")
		return nil, nil
	}
	var raw rawRecord
	if err := cbor.Unmarshal(msg.Data(), &raw); err != nil {
		n.log.Error().Err(err).Str("subject", msg.Subject()).Msg("record cannot be read and is dropped")
		return nil, nil // no run waits for it: it is not one of ours
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	rules, err := n.rules.load(ctx, raw.Config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Source, err)
	}
	if source := events.ParseRawSubject(msg.Subject()); source != raw.Source || source != rules.Options.Source {
		n.log.Error().Str("subject", msg.Subject()).Str("source", raw.Source).Msg("record of another source than its subject and rules say is dropped")
		return nil, nil
	}
	change, err := rules.change(&raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Source, err)
	}
	change.Number, change.RawSequence, change.Digest = raw.Number, meta.Sequence.Stream, raw.Digest
	if change.Rejected != "" {
		if err := n.bury(ctx, &raw, change); err != nil {
			return nil, err
		}
	}
	data, err := mapping.EncodeChange(change)
	if err != nil {
		return nil, err
	}
	return &normalized{events.ChangesSubject(raw.Source, raw.Run), raw.Number, data}, nil
}

// change maps a raw record under the rules that it was read with.
func (r *ruleSet) change(raw *rawRecord) (*mapping.Change, error) {
	var record connectors.Record
	if err := cbor.Unmarshal(raw.Record, &record); err != nil {
		return nil, fmt.Errorf("record of %s: %w", raw.Entry, err)
	}
	record.Name = raw.Entry
	bare := &mapping.Change{Key: record.Key, Entry: raw.Entry, Kind: record.Kind, Absent: raw.Absent}
	if raw.Absent {
		return bare, nil
	}
	if bare.Rejected = record.Problem; bare.Rejected != "" {
		return bare, nil
	}
	warnings, err := r.sealer.open(&record)
	if err != nil {
		return nil, err
	}
	change, err := r.mapping.Apply(&record)
	if err != nil {
		bare.Rejected = err.Error()
		return bare, nil
	}
	change.Warnings = append(change.Warnings, warnings...)
	r.sealer.hashPINs(&change, r.Options.PINs.MinimumLength)
	return &change, nil
}

// bury publishes a record that could not be mapped to the dead letters, once, however often it is delivered.
func (n *normalizer) bury(ctx context.Context, raw *rawRecord, c *mapping.Change) error {
	letter := DeadLetter{Stage: "normalize", Source: raw.Source, Run: raw.Run, Key: c.Key, Entry: c.Entry, Reason: c.Rejected, RawSequence: c.RawSequence}
	return buryLetter(ctx, n.bus, letter, "dead-"+raw.Source+"-"+strconv.FormatUint(c.RawSequence, 10))
}

// outbox collects the changes of a batch of records by run and publishes them side by side.
type outbox struct {
	bus     *events.Bus
	batches map[string]*changeBatch
	waiting []jetstream.PubAckFuture
}

// add adds the change of a record, whose header says in which trace its run is.
func (o *outbox) add(subject string, number uint64, change []byte, record nats.Header) error {
	b := o.batches[subject]
	if b == nil {
		b = &changeBatch{trace: record}
		o.batches[subject] = b
	}
	b.add(number, change)
	if !b.full() {
		return nil
	}
	return o.send(subject)
}

func (o *outbox) send(subject string) error {
	b := o.batches[subject]
	delete(o.batches, subject)
	msg := &nats.Msg{Subject: subject, Data: b.data, Header: nats.Header{numbersHeader: {formatNumbers(b.numbers)}, events.SubjectHeader: {subject}}}
	events.Trace(events.TraceOf(context.Background(), b.trace), msg.Header)
	future, err := o.bus.JetStream.PublishMsgAsync(msg, jetstream.WithStallWait(10*time.Second))
	if err != nil {
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	o.waiting = append(o.waiting, future)
	return nil
}

// flush publishes the rest and waits until CHANGES has everything.
func (o *outbox) flush(ctx context.Context) error {
	for subject := range o.batches {
		if err := o.send(subject); err != nil {
			return err
		}
	}
	timeout := time.After(10 * time.Second)
	for _, future := range o.waiting {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return err
		case <-timeout:
			return errors.New("publish changes: no answer from NATS for 10 s")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
