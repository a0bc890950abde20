package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// ReplayOptions say what is proposed again.
type ReplayOptions struct {
	// Run is the number of the applied run whose records are proposed, 0 for the last one.
	Run uint64
	// Apply lets the plan through the guard; otherwise nothing is written.
	Apply bool
	// Rules are what decides: [Config.Rules] of the configuration at hand, which need not be the server's.
	Rules Rules
	Actor string
}

// Replay asks for a run that proposes what RAW recorded of a source, without reading the source, and returns the job's id. It
// fails like [Client.Sync], and with [ErrNotFound] when there is no such run.
func (c *Client) Replay(ctx context.Context, source string, o ReplayOptions) (job string, err error) {
	if o.Run != 0 {
		run, err := c.Run(ctx, source, o.Run)
		if err == nil && run.State != store.Applied {
			err = connectors.Hint(fmt.Errorf("run %d of %s was not applied: it is %s", o.Run, source, run.State), "rollcall runs "+source)
		}
		if err != nil {
			return "", err
		}
	}
	return call[string](ctx, c, "sources.replay", replayRequest{Rules: o.Rules,
		Job: Job{Source: source, Replay: true, Of: o.Run, DryRun: !o.Apply, Actor: o.Actor}})
}

type replayRequest struct {
	Job   Job
	Rules Rules
}

// replay publishes the rules that the client brought along and asks for the run.
func (s *service) replay(ctx context.Context, q replayRequest) (_ string, err error) {
	if q.Job.Config, err = s.reconciler.rules.publish(ctx, q.Rules); err != nil {
		return "", err
	}
	q.Job.Replay = true
	return s.sync(ctx, q.Job)
}

// Rules returns what the configuration decides for a source.
func (c *Config) Rules(source string) (Rules, error) {
	s, err := c.source(source)
	if err != nil {
		return Rules{}, err
	}
	return c.rules(s), nil
}

// kindReplay is a run whose records come from RAW.
const kindReplay = "replay"

// replay is one attempt to propose again what RAW recorded: the part of ingest that takes the source's place, and mapping
// besides, because a record that went through RAW once more would push older ones out of it. It calls nobody absent whom
// the store does not know as gone.
type replay struct {
	*ingest
	// wanted is the place in RAW of every entry's record that is proposed.
	wanted map[store.Key]uint64
	out    outbox
	left   int
	sealed map[string]bool
	// configs are the hashes of other rules that records were read under.
	configs map[string]bool
}

var (
	// errTrimmed means that RAW does not have every record any more.
	errTrimmed = errors.New("records are not in the stream RAW any more")
	// errNothingApplied means that there is nothing to propose again.
	errNothingApplied = errors.New("no run of the source was applied yet")
	// errOtherRules means that applying would not last.
	errOtherRules = errors.New("the running server decides by another configuration, and its next run would undo this one")
)

// rulesOf returns the hash of the rules that a job is decided by: the server's own, or those that a replay brings.
func (j *Job) rulesOf(own string) string {
	if j.Replay && j.Config != "" {
		return j.Config
	}
	return own
}

// replay proposes the recorded records again and returns what "finished" says.
func (in *ingest) replay(ctx context.Context) (*finished, error) {
	r := &replay{ingest: in, wanted: map[store.Key]uint64{}, sealed: map[string]bool{}, configs: map[string]bool{}, out: outbox{bus: in.bus, batches: map[string]*changeBatch{}}}
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	in.report.stage("reading")
	if err := r.choose(ctx); err != nil {
		return nil, err
	}
	if err := r.propose(ctx); err != nil {
		return nil, err
	}
	if err := r.out.flush(ctx); err != nil {
		return nil, err
	}
	if err := r.warnUnread(ctx); err != nil {
		return nil, err
	}
	return r.finished(), nil
}

// ready learns what was applied.
func (r *replay) ready(ctx context.Context) error {
	r.tombstone = store.TombstoneDigest()
	if !r.job.DryRun && r.config != r.own {
		return connectors.Hint(errOtherRules, "restart the server with this configuration, or leave --apply out")
	}
	if err := r.compare(ctx); err != nil {
		return err
	}
	if r.state.Applied == 0 {
		return connectors.Hint(fmt.Errorf("%s: %w", r.source.Name, errNothingApplied), "rollcall sync "+r.source.Name)
	}
	return nil
}

// choose finds out which record of every entry is proposed. Who is gone is proposed as gone at once.
func (r *replay) choose(ctx context.Context) error {
	const chunk = 500
	keys := make([]store.Key, 0, chunk)
	for i, e := range r.baseline.entries {
		keys = append(keys, e.Key)
		if len(keys) < chunk && i < len(r.baseline.entries)-1 {
			continue
		}
		entries, err := r.client.entries(ctx, r.source.Name, keys)
		if err != nil {
			return fmt.Errorf("look entries up: %w", err)
		}
		for _, e := range entries {
			if err := r.want(&e); err != nil {
				return err
			}
		}
		keys = keys[:0]
	}
	if r.older() {
		return r.goBack(ctx)
	}
	return nil
}

// older reports whether the records are those of a run before the last one.
func (r *replay) older() bool { return r.job.Of != 0 && r.job.Of != r.state.Applied }

func (r *replay) want(e *entry) error {
	key, err := store.ParseKey(e.Hash)
	if err != nil {
		return err
	}
	switch {
	case e.Digest == r.tombstone:
		return nil
	case !e.Gone:
		r.wanted[key] = e.Sequence
		return nil
	case r.older(): // who is gone stays gone, whatever an older run said
		r.left++
		return nil
	}
	return r.tell(&mapping.Change{Key: e.Key, Entry: e.Entry, Kind: e.kind(), Absent: true, RawSequence: e.Sequence, Digest: absence(r.config)})
}

// goBack replaces what is wanted by the last records of applied runs up to the one that is replayed. Entries that came later are left as
// they are.
func (r *replay) goBack(ctx context.Context) error {
	applied, err := r.appliedRuns(ctx)
	if err != nil {
		return err
	}
	h := history{of: r.job.Of, applied: applied, entries: map[store.Key]*entryHistory{}}
	if err := r.bus.ReadAll(ctx, events.RawStream, events.RawSubjects(r.source.Name), h.read); err != nil {
		return err
	}
	limit, err := r.recordsKept(ctx)
	if err != nil {
		return err
	}
	var trimmed []store.Key
	for key, last := range r.wanted {
		e := h.entries[key]
		switch {
		case e == nil || !e.has(last) || e.sequence == 0 && e.records >= limit:
			trimmed = append(trimmed, key)
		case e.sequence == 0 || e.absent:
			r.left++
			delete(r.wanted, key)
		default:
			r.wanted[key] = e.sequence
		}
	}
	if r.left > 0 {
		r.warn(fmt.Sprintf("%d entries are gone now or came after run %d; they are left as they are", r.left, r.job.Of))
	}
	return r.refuseTrimmed(ctx, trimmed)
}

// recordsKept is how many records of one entry RAW keeps.
func (r *replay) recordsKept(ctx context.Context) (int, error) {
	stream, err := r.bus.Stream(ctx, events.RawStream)
	if err != nil {
		return 0, err
	}
	return int(stream.CachedInfo().Config.MaxMsgsPerSubject), nil
}

// appliedRuns returns the numbers of the source's applied runs.
func (r *replay) appliedRuns(ctx context.Context) (map[uint64]bool, error) {
	applied := map[uint64]bool{r.state.Applied: true, r.job.Of: true}
	numbers, err := question[[]uint64](ctx, r.client, "store.applied."+r.source.Name, sourceRequest{r.source.Name})
	for _, n := range numbers {
		applied[n] = true
	}
	return applied, err
}

// applied answers with the numbers of a source's applied runs. RUNS knows more of them than the store.
func (s *service) applied(ctx context.Context, q sourceRequest) (numbers []uint64, err error) {
	err = s.bus.ReadAll(ctx, events.RunsStream, events.RunSubject(store.Applied, q.Source), func(msg jetstream.Msg) error {
		var run store.Run
		if json.Unmarshal(msg.Data(), &run) == nil && isResult(msg, &run) {
			numbers = append(numbers, run.Number)
		}
		return nil
	})
	return numbers, err
}

// history is what RAW has of a source up to a run.
type history struct {
	of      uint64
	applied map[uint64]bool
	entries map[store.Key]*entryHistory
}

// entryHistory is what RAW has of one entry.
type entryHistory struct {
	records int
	places  []uint64
	// sequence is the place of the record that counts, 0 for none.
	sequence uint64
	absent   bool
}

func (e *entryHistory) has(sequence uint64) bool {
	for _, place := range e.places {
		if place == sequence {
			return true
		}
	}
	return false
}

// read takes one record in. Runs are applied in the order of their numbers.
func (h *history) read(msg jetstream.Msg) error {
	key, raw, sequence, err := parseRaw(msg)
	if err != nil || raw == nil {
		return err
	}
	e := h.entries[key]
	if e == nil {
		e = &entryHistory{}
		h.entries[key] = e
	}
	e.records++
	e.places = append(e.places, sequence)
	if raw.Run <= h.of && h.applied[raw.Run] {
		e.sequence, e.absent = sequence, raw.Absent
	}
	return nil
}

// parseRaw reads a message of RAW; raw is nil for one that is none of ours.
func parseRaw(msg jetstream.Msg) (key store.Key, raw *rawRecord, sequence uint64, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return key, nil, 0, err
	}
	raw = &rawRecord{}
	key, ok := events.ParseRawKey(msg.Subject())
	if !ok || cbor.Unmarshal(msg.Data(), raw) != nil {
		return key, nil, 0, nil
	}
	return key, raw, meta.Sequence.Stream, nil
}

// propose reads RAW and proposes what is wanted of it.
func (r *replay) propose(ctx context.Context) error {
	err := r.bus.ReadAll(ctx, events.RawStream, events.RawSubjects(r.source.Name), func(msg jetstream.Msg) error {
		key, raw, sequence, err := parseRaw(msg)
		if err != nil || raw == nil || r.wanted[key] != sequence {
			return err
		}
		delete(r.wanted, key)
		if raw.Absent { // missed, and not yet often enough to be called gone
			return nil
		}
		return r.proposeRecord(ctx, raw, sequence)
	})
	if err != nil {
		return err
	}
	missing := make([]store.Key, 0, len(r.wanted))
	for key := range r.wanted {
		missing = append(missing, key)
	}
	return r.refuseTrimmed(ctx, missing)
}

// proposeRecord maps one record by the rules of today.
func (r *replay) proposeRecord(ctx context.Context, raw *rawRecord, sequence uint64) error {
	digest := raw.Digest
	if raw.Config != r.config {
		var err error
		if digest, err = r.translate(raw); err != nil {
			return err
		}
	}
	change, err := r.rules.change(raw)
	if err != nil {
		return err
	}
	change.RawSequence, change.Digest = sequence, digest
	r.count(1)
	if change.Rejected != "" && !r.job.DryRun {
		letter := DeadLetter{Stage: "normalize", Source: r.source.Name, Run: r.run, Key: change.Key, Entry: change.Entry, Reason: change.Rejected, RawSequence: sequence}
		if err := buryLetter(ctx, r.bus, letter, fmt.Sprintf("dead-%s-%d-%d", r.source.Name, r.run, sequence)); err != nil {
			return err
		}
	}
	return r.tell(change)
}

// translate makes of a record what a read under today's rules would have recorded, and returns its digest: an attribute that
// PINs come from today is sealed, one that they came from stays sealed, and is left out.
func (r *replay) translate(raw *rawRecord) (digest store.Digest, err error) {
	var record connectors.Record
	if err := cbor.Unmarshal(raw.Record, &record); err != nil {
		return digest, fmt.Errorf("record of %s: %w", raw.Entry, err)
	}
	r.configs[raw.Config] = true
	dropped, err := r.rules.sealer.reseal(&record)
	if err != nil {
		return digest, err
	}
	for _, name := range dropped {
		if !r.sealed[name] {
			r.sealed[name] = true
			r.warn(fmt.Sprintf("attribute %s was recorded as one that PINs come from, and stays sealed: the next read of the source brings it", name))
		}
	}
	if raw.Record, err = canonical(&record); err != nil {
		return digest, err
	}
	return store.DigestOf(r.config, raw.Record), nil
}

// warnUnread names the attributes that the mapping of today asks for and the records' own did not: they were never read.
func (r *replay) warnUnread(ctx context.Context) error {
	read := map[string]bool{}
	for config := range r.configs {
		rules, err := r.book.load(ctx, config)
		if err != nil {
			return err
		}
		for _, name := range rules.mapping.Attributes() {
			read[strings.ToLower(name)] = true
		}
	}
	for _, name := range r.rules.mapping.Attributes() {
		if len(read) > 0 && !read[strings.ToLower(name)] {
			r.warn(fmt.Sprintf("the attribute %s was not read when the records were made, so nothing is said about what is mapped from it: only a run that reads the source can", name))
		}
	}
	return nil
}

// tell puts a change on its way.
func (r *replay) tell(c *mapping.Change) error {
	r.number++
	c.Number = r.number
	data, err := mapping.EncodeChange(c)
	if err != nil {
		return err
	}
	r.report.mapped.Store(int64(r.number))
	return r.out.add(events.ChangesSubject(r.source.Name, r.run), r.number, data, nil)
}

// refuseTrimmed says whose records are lost.
func (r *replay) refuseTrimmed(ctx context.Context, keys []store.Key) error {
	if len(keys) == 0 {
		return nil
	}
	example := ""
	for _, key := range keys { // the same one every time
		if text := key.String(); example == "" || text < example {
			example = text
		}
	}
	key, err := store.ParseKey(example)
	if err != nil {
		return err
	}
	if entries, err := r.client.entries(ctx, r.source.Name, []store.Key{key}); err == nil && len(entries) == 1 {
		example = entries[0].Entry
	}
	what := "the last run"
	if r.older() {
		what = fmt.Sprintf("run %d", r.job.Of)
	}
	return connectors.Hint(fmt.Errorf("%w: those of %s are lost for %d of %d entries, for example %s", errTrimmed, what, len(keys), len(r.baseline.entries), example),
		fmt.Sprintf("a later run (rollcall runs %s), or rollcall sync %s --full --dry-run, which reads the source", r.source.Name, r.source.Name))
}

// finished ends the run. Under the rules that were applied last, the source's checkpoint stays; otherwise the next run reads
// everything, because these rules may ask for what was never recorded. What is read stays what it was.
func (r *replay) finished() *finished {
	of, next := r.state.Applied, r.state.Checkpoint
	if r.older() {
		of = r.job.Of
	}
	if r.older() || r.config != r.state.Config {
		next = nil
	}
	return &finished{
		Run: r.run, From: r.state.Applied, Changes: int(r.number), Read: r.read, Next: next, Scope: r.state.Scope, Server: r.state.Server,
		Evidence: fmt.Sprintf("the records of run %d in RAW", of), Warnings: r.warnings,
	}
}

// reseal brings the secrets of a recorded record into line with what is secret now. It returns the attributes that it leaves out:
// those that are sealed and of which nobody may know any more what they say.
func (s *sealer) reseal(r *connectors.Record) (dropped []string, err error) {
	kept := r.Attributes[:0]
	for _, a := range r.Attributes {
		closed := isSealed(a.Values)
		switch {
		case closed && !s.has(a.Name):
			dropped = append(dropped, a.Name)
			continue
		case !closed && s.has(a.Name):
			one := connectors.Record{Key: r.Key, Attributes: []connectors.Attribute{a}}
			if err := s.seal(&one); err != nil {
				return nil, err
			}
			a = one.Attributes[0]
		}
		kept = append(kept, a)
	}
	r.Attributes = kept
	return dropped, nil
}

// isSealed reports whether values are sealed; what is empty is neither.
func isSealed(values []string) bool {
	for _, v := range values {
		if strings.HasPrefix(v, sealed) {
			return true
		}
	}
	return false
}
