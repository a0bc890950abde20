package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// ingest is one attempt of a connector worker at one run: it reads the source and publishes to RAW what
// differs from what the store says was applied.
type ingest struct {
	bus    *events.Bus
	client *Client
	source *Source
	rules  *ruleSet
	book   *ruleBook
	job    Job
	config string
	own    string // this worker's configuration, which a replay may leave out
	run    uint64
	log    zerolog.Logger
	// state is what had been applied of the source when the run began, since where it begins to read, nil for a full run.
	state store.Source
	since connectors.Checkpoint
	// begin opens the run with its first record, where it is not open yet.
	begin func(context.Context) error

	baseline  *baseline
	increment *increment
	// tombstone is the digest of entries whose user was made anonymous: their records do not travel (U22).
	tombstone store.Digest
	batches   chan []events.Message
	batch     []events.Message
	bytes     int
	number    uint64
	read      int
	deferred  int
	warnings  []string
	report    *reporter
}

// Bounds of one atomic batch of RAW.
const (
	maxRawBatch = 1000
	maxRawBytes = 4 << 20
)

// stallLimit is how long ingest waits for the next change in CHANGES before it gives the run up.
const stallLimit = 2 * time.Minute

// errEntryMoved means that an entry which the read missed is there after all.
var errEntryMoved = errors.New("an entry moved while the source was read")

// do reads the source and returns what "finished" says. Every error ends the attempt: nothing comes of it.
func (in *ingest) do(ctx context.Context) (done *finished, err error) {
	ctx, end := span(ctx, "ingest", attribute.String("source", in.source.Name), attribute.Int64("run", int64(in.run)))
	defer func() { end(err) }()
	if err := in.compare(ctx); err != nil {
		return nil, err
	}
	reader, err := in.openReader()
	if err != nil {
		return nil, err
	}
	if in.since != nil {
		in.increment = newIncrement(in, reader)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	counted := in.countChanges(ctx, cancel)
	outcome, err := in.pump(ctx, reader)
	if err != nil {
		return nil, err
	}
	if err := in.awaitMapped(ctx, counted); err != nil {
		return nil, err
	}
	return in.finished(outcome, reader), nil
}

// openReader opens the source.
func (in *ingest) openReader() (connectors.Connector, error) {
	in.tombstone = store.TombstoneDigest()
	return in.source.Reader.Open(connectors.Env{Source: in.source.Name, Attributes: in.rules.mapping.Attributes(), Log: in.log,
		Waiting: func(d time.Duration) func() { return in.report.waiting(d) }})
}

// compare learns what a full run is compared with.
func (in *ingest) compare(ctx context.Context) (err error) {
	if in.since != nil {
		return nil
	}
	if in.baseline, err = fetchBaseline(ctx, in.client, in.source.Name); err != nil {
		return fmt.Errorf("fetch the baseline: %w", err)
	}
	in.state = in.baseline.source
	return nil
}

// pump reads and publishes side by side.
func (in *ingest) pump(ctx context.Context, reader connectors.Connector) (outcome connectors.Outcome, err error) {
	group, ctx := errgroup.WithContext(ctx)
	in.batches = make(chan []events.Message, 2)
	group.Go(func() error { return in.publish(ctx) })
	group.Go(func() error {
		defer close(in.batches)
		var err error
		outcome, err = in.readAll(ctx, reader)
		return err
	})
	return outcome, group.Wait()
}

// readAll makes the pass and, after its proven end, calls the roll of those who were not seen.
func (in *ingest) readAll(ctx context.Context, reader connectors.Connector) (connectors.Outcome, error) {
	in.report.stage("reading")
	outcome, err := reader.Read(ctx, in.since, func(r connectors.Record) error { return in.emit(ctx, &r) })
	if err != nil {
		return outcome, err
	}
	if ctx.Err() != nil {
		return outcome, context.Cause(ctx)
	}
	if in.increment != nil {
		if err := in.increment.end(ctx, outcome.Whole); err != nil {
			return outcome, err
		}
	}
	switch {
	case outcome.Whole:
		err = in.callAbsent(ctx, reader, outcome)
	case in.since == nil:
		err = fmt.Errorf("%w: the connector saw no end marker", connectors.ErrIncomplete)
	}
	if err != nil {
		return outcome, err
	}
	return outcome, in.flush(ctx)
}

// emit takes one record over: what the store has already is only counted.
func (in *ingest) emit(ctx context.Context, r *connectors.Record) error {
	if err := in.rules.sealer.seal(r); err != nil {
		return err
	}
	switch {
	case in.increment != nil:
		return in.increment.take(ctx, r)
	case r.Deleted:
		return in.emitDeleted(ctx, r)
	case r.Partial:
		return fmt.Errorf("%s: a partial record in a whole read", r.Name)
	}
	data, err := canonical(r)
	if err != nil {
		return err
	}
	key, digest := store.KeyOf(r.Key), store.DigestOf(in.config, data)
	before := in.baseline.say(key, digest)
	if before.first || before.digest == absence(in.config) {
		in.count(1)
	}
	if before.digest == digest || before.digest == in.tombstone {
		return nil
	}
	return in.publishRecord(ctx, r, digest, data)
}

// emitDeleted takes over that an entry is gone although the same read told of it, or would have: the last word counts.
func (in *ingest) emitDeleted(ctx context.Context, r *connectors.Record) error {
	gone := absence(in.config)
	before := in.baseline.say(store.KeyOf(r.Key), gone)
	if !before.first && before.digest != gone {
		in.count(-1)
	}
	if !before.known || before.digest == gone || before.digest == in.tombstone {
		return nil
	}
	return in.publishAbsent(ctx, r.Key, r.Kind, r.Name)
}

// count counts an entry that was seen.
func (in *ingest) count(n int) {
	in.read += n
	in.report.read.Store(int64(in.read))
}

// publishRecord puts a whole record on its way.
func (in *ingest) publishRecord(ctx context.Context, r *connectors.Record, digest store.Digest, data []byte) (err error) {
	raw := rawRecord{Digest: digest, Entry: r.Name, Record: data}
	if limit := int(in.bus.Conn.MaxPayload()) - 4096; len(data) > limit {
		raw.Record, err = canonical(&connectors.Record{Key: r.Key, Kind: r.Kind,
			Problem: fmt.Sprintf("the record has %d bytes, more than the %d that a message may have", len(data), limit)})
		if err != nil {
			return err
		}
	}
	return in.add(ctx, store.KeyOf(r.Key), &raw)
}

// publishAbsent puts on its way that an entry is gone.
func (in *ingest) publishAbsent(ctx context.Context, key string, kind connectors.Kind, name string) error {
	record, err := canonical(&connectors.Record{Key: key, Kind: kind, Deleted: true})
	if err != nil {
		return err
	}
	return in.add(ctx, store.KeyOf(key), &rawRecord{Digest: absence(in.config), Absent: true, Entry: name, Record: record})
}

// callAbsent publishes a delete for every entry that was applied and not seen, unless the source still has it.
func (in *ingest) callAbsent(ctx context.Context, reader connectors.Connector, outcome connectors.Outcome) error {
	gone := absence(in.config)
	var keys []store.Key
	in.baseline.unseen(func(e store.BaselineEntry) {
		if e.Digest != gone && e.Digest != in.tombstone {
			keys = append(keys, e.Key)
		}
	})
	if before := in.baseline.source.Server; before != "" && before != outcome.Server && in.rules.ScopeHash() == in.baseline.source.Scope && len(keys) > 0 {
		in.deferred = len(keys)
		in.warn(fmt.Sprintf("%d entries are not on %s; the last run read %s, so they wait for a second run", len(keys), outcome.Server, before))
		return nil
	}
	const chunk = 500
	for len(keys) > 0 {
		n := min(chunk, len(keys))
		if err := in.callChunk(ctx, reader, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (in *ingest) callChunk(ctx context.Context, reader connectors.Connector, keys []store.Key) error {
	entries, err := in.client.entries(ctx, in.source.Name, keys)
	if err != nil {
		return err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.Key
	}
	present, err := reader.Present(ctx, ids)
	if err != nil {
		return fmt.Errorf("look absent entries up again: %w", err)
	}
	for _, e := range entries {
		there, answered := present[e.Key]
		if there || !answered {
			return fmt.Errorf("%w: %s was not read, but it is there", errEntryMoved, e.Entry)
		}
		if err := in.publishAbsent(ctx, e.Key, e.kind(), e.Entry); err != nil {
			return err
		}
	}
	return nil
}

// add puts a record into the batch, stamped with run and number.
func (in *ingest) add(ctx context.Context, key store.Key, raw *rawRecord) error {
	if in.run == 0 {
		if err := in.begin(ctx); err != nil {
			return err
		}
	}
	in.number++
	raw.Source, raw.Run, raw.Number, raw.Config = in.source.Name, in.run, in.number, in.config
	data, err := encoding.Marshal(raw)
	if err != nil {
		return fmt.Errorf("encode the record of %s: %w", raw.Entry, err)
	}
	in.batch = append(in.batch, events.Message{Subject: events.RawSubject(in.source.Name, key), Data: data})
	in.bytes += len(data)
	if len(in.batch) < maxRawBatch && in.bytes < maxRawBytes {
		return nil
	}
	return in.flush(ctx)
}

func (in *ingest) flush(ctx context.Context) error {
	if len(in.batch) == 0 {
		return nil
	}
	if in.batches == nil {
		return in.publishNow(ctx)
	}
	select {
	case in.batches <- in.batch:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	in.batch, in.bytes = make([]events.Message, 0, maxRawBatch), 0
	return nil
}

// publishNow writes what there is: in a session nothing is read meanwhile.
func (in *ingest) publishNow(ctx context.Context) (err error) {
	if len(in.batch) == 1 {
		_, err = in.bus.Publish(ctx, in.batch[0].Subject, "", in.batch[0].Data)
	} else {
		_, err = in.bus.PublishBatch(ctx, in.batch, nil)
	}
	in.batch, in.bytes = nil, 0
	return err
}

// publish writes batches while the next ones are read.
func (in *ingest) publish(ctx context.Context) error {
	for batch := range in.batches {
		if _, err := in.bus.PublishBatch(ctx, batch, nil); err != nil {
			return err
		}
		in.report.published.Add(int64(len(batch)))
	}
	return nil
}

// countChanges counts the distinct changes of the run in CHANGES as normalizers deliver them, and signals each step.
func (in *ingest) countChanges(ctx context.Context, cancel context.CancelCauseFunc) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		var seen numberSet
		subject := events.ChangesSubject(in.source.Name, in.run)
		err := in.bus.Follow(ctx, events.ChangesStream, events.FollowOptions{Subjects: []string{subject}, HeadersOnly: true},
			func(msg jetstream.Msg) error {
				if !events.Genuine(msg.Subject(), msg.Headers()) {
					return nil
				}
				if err := parseNumbers(msg.Headers().Get(numbersHeader), seen.add); err != nil {
					return err
				}
				in.report.mapped.Store(int64(seen.count))
				select {
				case changed <- struct{}{}:
				default:
				}
				return nil
			})
		cancel(err)
	}()
	return changed
}

// awaitMapped waits until every record that was published has its change in CHANGES.
func (in *ingest) awaitMapped(ctx context.Context, counted <-chan struct{}) error {
	in.report.stage("mapping")
	for in.report.mapped.Load() < int64(in.number) {
		select {
		case <-counted:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(stallLimit):
			return connectors.Hint(
				fmt.Errorf("%d of %d records were mapped and no further one for %s", in.report.mapped.Load(), in.number, stallLimit),
				"start a normalizer (rollcall serve --roles normalizer), then run the source again")
		}
	}
	return nil
}

// warn keeps the first warnings of each kind for the run's result.
func (in *ingest) warn(text string) {
	for _, w := range in.warnings {
		if w == text {
			return
		}
	}
	if len(in.warnings) < 100 {
		in.warnings = append(in.warnings, text)
	}
}

func (in *ingest) finished(o connectors.Outcome, reader connectors.Connector) *finished {
	if in.deferred > 0 { // an incremental run would not see those who wait
		o.Next = nil
	}
	return &finished{
		Since: tellOf(reader, in.since), Until: tellOf(reader, o.Next),
		Run: in.run, From: in.state.Applied, Changes: int(in.number), Read: in.read, Whole: o.Whole, Deferred: in.deferred,
		Next: o.Next, Scope: in.rules.ScopeHash(), Server: o.Server, Evidence: o.Evidence, Pages: o.Pages, Bytes: o.Bytes,
		Wire: o.Wire.Seconds(), Warnings: append(o.Warnings, in.warnings...),
	}
}
