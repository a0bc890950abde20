package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// relay is the last stage: it publishes the store's revisions to USERS and run results to RUNS. Every batch is guarded by
// the stream's expected last sequence, so that nobody publishes a revision twice, and only what the stream has
// acknowledged leaves the store.
type relay struct {
	bus *events.Bus
	db  *store.DB
	// current reports whether the store holds all that the log says, and this process may speak for it.
	current func(context.Context) bool
	log     zerolog.Logger
	// traces says in which trace a revision was made, nil in a relay that publishes none.
	traces *traceBook
	// diary is told what was published.
	diary diary
	wake  chan struct{}
	last  uint64 // the stream's last sequence
	runs  uint64 // the last sequence of RUNS
	// published is the last revision that the stream has; the store's position may be up to relayLead behind it.
	published uint64
	// created is when the stream was made.
	created time.Time
	// disbelieved is the last sequence that stood out as beyond belief: it is said once.
	disbelieved uint64
}

// relayLead is how many revisions are published before their leaving is committed. That commit waits for the transaction of a run that
// is being applied: after every batch, it would hold the events back behind the run and the store would swell.
const relayLead = 16 * events.MaxBatch

func newRelay(bus *events.Bus, db *store.DB, current func(context.Context) bool, log zerolog.Logger) *relay {
	return &relay{current: current, bus: bus, db: db, log: log, diary: diary{log: log}, wake: make(chan struct{}, 1)}
}

// poke tells the relay that there may be something new. It never waits.
func (r *relay) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *relay) run(ctx context.Context) error {
	r.poke()
	anchored := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		err := r.relayAll(ctx, &anchored)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			r.log.Warn().Err(err).Msg("events are not relayed; trying again in a second")
			anchored = false
			time.AfterFunc(time.Second, r.poke)
		}
	}
}

// relayAll publishes everything there is: revisions first, then the results of the runs that made them.
func (r *relay) relayAll(ctx context.Context, anchored *bool) error {
	if !*anchored {
		if err := r.anchor(ctx); err != nil {
			return err
		}
		*anchored = true
	}
	for {
		results, err := r.pendingResults()
		if err != nil {
			return err
		}
		if err := r.relayRevisions(ctx); err != nil {
			return err
		}
		if len(results) == 0 {
			return nil
		}
		if err := r.relayResults(ctx, results); err != nil {
			return err
		}
	}
}

// anchor compares the store with the end of USERS: what the stream has already is not published again.
func (r *relay) anchor(ctx context.Context) error {
	if err := r.anchorResults(ctx); err != nil {
		return err
	}
	last, err := r.lastEvent(ctx)
	if err != nil {
		return err
	}
	r.last, r.created = last.end, last.created
	position, head, chain, err := r.standing(last.revision)
	if err != nil {
		return err
	}
	r.published = max(position.Revision, last.revision)
	switch {
	case last.revision > 0 && isOther(head, chain, last):
		return r.reset(ctx, reset{After: last.revision, Chain: last.chain}, "the events that were published are not this store's: was an older store put back, and its log lost?")
	case isLost(position, last):
		return r.reset(ctx, reset{After: position.Revision, Chain: lostChain(position, last)}, "the stream of events lost its end: was its disk lost, or what a power failure found in memory?")
	case last.revision < position.Revision || last.revision == position.Revision && last.sequence == position.Sequence:
		return nil
	}
	return r.advance(last.revision, last.sequence)
}

// relayRevisions publishes the revisions after the last published one, in atomic batches, and then drops them from the store.
func (r *relay) relayRevisions(ctx context.Context) error {
	for dropped := r.published; ; {
		var revisions []store.Revision
		err := r.db.View(func(tx *store.Tx) (err error) {
			revisions, err = tx.Revisions(r.published, events.MaxBatch)
			return err
		})
		if err != nil {
			return err
		}
		if len(revisions) > 0 {
			if err := r.publish(ctx, revisions); err != nil {
				return err
			}
		}
		if r.published > dropped && (len(revisions) == 0 || r.published-dropped >= relayLead) {
			if err := r.advance(r.published, r.last); err != nil {
				return err
			}
			dropped = r.published
		}
		if len(revisions) == 0 {
			return nil
		}
	}
}

// publish publishes revisions as one batch.
func (r *relay) publish(ctx context.Context, revisions []store.Revision) (err error) {
	_, end := span(r.traces.of(ctx, revisions[0].Number), "relay", attribute.Int("revisions", len(revisions)))
	defer func() { end(err) }()
	batch := make([]events.Message, len(revisions))
	for i, revision := range revisions {
		revision.Body = withChain(revision)
		batch[i] = events.RevisionMessage(r.db.ID(), revision)
		events.Trace(r.traces.of(ctx, revision.Number), batch[i].Header)
	}
	last, err := r.bus.PublishBatch(ctx, batch, &r.last)
	if errors.Is(err, events.ErrMoved) {
		return errors.Join(err, r.anchor(ctx)) // our own batch whose answer was lost, or another leader's
	}
	if err != nil {
		return err
	}
	r.last, r.published = last, revisions[len(revisions)-1].Number
	r.diary.revisions(revisions)
	return nil
}

// advance moves the relay's position and drops what was published from the store.
func (r *relay) advance(revision, sequence uint64) error {
	return r.db.Update(func(tx *store.Tx) error {
		position := tx.RelayPosition()
		if revision < position.Revision { // at a takeover, standing by and leading may overlap
			return nil
		}
		position.Revision, position.Sequence, position.Created = revision, sequence, r.created
		if err := tx.SetRelayPosition(position); err != nil {
			return err
		}
		return tx.DropRevisions(revision, 2*relayLead)
	})
}

// withChain puts the chain hash into a revision's body.
func withChain(r store.Revision) []byte {
	body := make([]byte, 0, len(r.Body)+len(r.Chain)+12)
	body = append(body, `{"chain":"`...)
	body = append(append(body, r.Chain...), `",`...)
	return append(body, r.Body[1:]...)
}

// settle waits until there is nothing to relay, no longer than ctx.
func (r *relay) settle(ctx context.Context) {
	for ctx.Err() == nil {
		if results, err := r.pendingResults(); err != nil || len(results) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *relay) pendingResults() (results []store.Result, err error) {
	err = r.db.View(func(tx *store.Tx) (err error) { results, err = tx.Results(0, 100); return err })
	return results, err
}

// resultHeader holds the number of a run's result in the store: who publishes next sees which ones RUNS has.
const resultHeader = "Rollcall-Result"

// relayResults publishes results of runs, each once.
func (r *relay) relayResults(ctx context.Context, results []store.Result) error {
	for _, result := range results {
		m := events.Message{Subject: events.RunSubject(result.Kind, result.Source), Data: result.Body, Header: nats.Header{
			resultHeader: {strconv.FormatUint(result.Number, 10)},
		}}
		last, err := r.bus.PublishAfter(ctx, m, r.runs)
		if err != nil {
			return err // after [events.ErrMoved], anchoring sees whether it was our own whose answer was lost
		}
		r.runs = last
		r.diary.result(result)
		if err := r.db.Update(func(tx *store.Tx) error { return tx.DropResult(result.Number) }); err != nil {
			return err
		}
	}
	return nil
}

// anchorResults drops the results that RUNS has already.
func (r *relay) anchorResults(ctx context.Context) error {
	stream, err := r.bus.Stream(ctx, events.RunsStream)
	if err != nil {
		return err
	}
	r.runs = stream.CachedInfo().State.LastSeq
	told, err := lastResult(ctx, stream)
	if err != nil || told == 0 {
		return err
	}
	for {
		results, err := r.pendingResults()
		if err != nil || len(results) == 0 || results[0].Number > told {
			return err
		}
		if err := r.dropResults(results, told); err != nil {
			return err
		}
	}
}

// lastResult returns the number of the last result in RUNS, past what was copied into it behind, 0 for none.
func lastResult(ctx context.Context, stream jetstream.Stream) (told uint64, err error) {
	_, err = lastMessage(ctx, stream, func(msg *jetstream.RawStreamMsg) bool {
		var run store.Run
		if json.Unmarshal(msg.Data, &run) != nil || !events.GenuineResult(msg.Subject, msg.Header, run.State, run.Source) {
			return false
		}
		told, err = strconv.ParseUint(msg.Header.Get(resultHeader), 10, 64)
		return err == nil
	})
	return told, err
}

// isResult reports whether what a consumer of RUNS got is the result of that run.
func isResult(msg jetstream.Msg, run *store.Run) bool {
	return events.GenuineResult(msg.Subject(), msg.Headers(), run.State, run.Source)
}

// lastMessage returns the last message of a stream that counts, nil for none.
func lastMessage(ctx context.Context, stream jetstream.Stream, counts func(*jetstream.RawStreamMsg) bool) (*jetstream.RawStreamMsg, error) {
	info := stream.CachedInfo()
	if info.State.Msgs == 0 {
		return nil, nil
	}
	for sequence := info.State.LastSeq; sequence >= info.State.FirstSeq; sequence-- {
		msg, err := stream.GetMsg(ctx, sequence)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: message %d: %w", info.Config.Name, sequence, err)
		}
		if msg.Header = events.Fetched(msg.Header, info.Config.AllowDirect); counts(msg) {
			return msg, nil
		}
	}
	return nil, nil
}

func (r *relay) dropResults(results []store.Result, told uint64) error {
	return r.db.Update(func(tx *store.Tx) error {
		for _, result := range results {
			if result.Number > told {
				return nil
			}
			if err := tx.DropResult(result.Number); err != nil {
				return err
			}
		}
		return nil
	})
}

// forgetPublished drops from a store that stands by what the leader has published. It fails with errStale when the leader's
// events are others than this store's.
func (r *relay) forgetPublished(ctx context.Context) error {
	if err := r.anchorResults(ctx); err != nil {
		return err
	}
	last, err := r.lastEvent(ctx)
	if err != nil || last.revision == 0 {
		return err
	}
	r.created = last.created
	position, head, chain, err := r.standing(last.revision)
	if err != nil {
		return err
	}
	if chain != "" && chain != last.chain {
		return connectors.Hint(fmt.Errorf("%w: revision %d has the chain %s, the one that was published %s", errStale, last.revision, chain, last.chain),
			"rollcall store restore --latest --force, then start again")
	}
	switch {
	case last.revision <= head && last.revision > position.Revision:
		return r.advance(last.revision, last.sequence)
	case last.revision > head && head > position.Revision:
		return r.advance(head, 0) // where it stands is not known
	}
	return nil
}

// standing returns what the store knows of what was published, and the chain that it has itself at a revision.
func (r *relay) standing(revision uint64) (position store.RelayPosition, head uint64, chain string, err error) {
	err = r.db.View(func(tx *store.Tx) (err error) {
		head, _ = tx.Head()
		position = tx.RelayPosition()
		chain, err = chainAt(tx, revision)
		return err
	})
	return position, head, chain, err
}

// chainAt returns the chain of a revision, "" where the store does not have it (yet, or any more).
func chainAt(tx *store.Tx, revision uint64) (string, error) {
	if head, chain := tx.Head(); head == revision {
		return chain, nil
	}
	found, err := tx.Revisions(revision-1, 1)
	if err != nil || len(found) == 0 || found[0].Number != revision {
		return "", err
	}
	return found[0].Chain, nil
}

// publishedEvent is what the last event of USERS says.
type publishedEvent struct {
	revision, sequence uint64
	chain              string
	// end is the stream's last sequence, created when it was made.
	end     uint64
	created time.Time
}

// mostAhead is how far events may be ahead of a store that went back. No store makes so many revisions between two snapshots; a
// number beyond it would use up those that are left.
const mostAhead = 1 << 32

// lastEvent returns the last event there is, revision 0 for none.
func (r *relay) lastEvent(ctx context.Context) (last publishedEvent, err error) {
	stream, err := r.bus.Stream(ctx, events.UsersStream)
	if err != nil {
		return last, err
	}
	last.end, last.created = stream.CachedInfo().State.LastSeq, stream.CachedInfo().Created
	var head uint64
	if err := r.db.View(func(tx *store.Tx) error { head, _ = tx.Head(); return nil }); err != nil {
		return last, err
	}
	msg, err := lastMessage(ctx, stream, func(msg *jetstream.RawStreamMsg) bool {
		return events.GenuineEvent(msg.Subject, msg.Header) && r.believes(msg, head)
	})
	if err != nil || msg == nil {
		return last, err
	}
	var body struct {
		Chain string `json:"chain"`
	}
	if err := json.Unmarshal(msg.Data, &body); err != nil {
		return last, fmt.Errorf("last event: %w", err)
	}
	last.revision, last.sequence, last.chain = events.RevisionOf(msg.Header), msg.Sequence, body.Chain
	return last, nil
}

// believes reports whether an event has a number that this store, or a later one that it was put back for, can have given.
func (r *relay) believes(msg *jetstream.RawStreamMsg, head uint64) bool {
	revision := events.RevisionOf(msg.Header)
	if revision > 0 && (revision <= head || revision-head <= mostAhead) {
		return true
	}
	if r.disbelieved != msg.Sequence {
		r.log.Error().Uint64("sequence", msg.Sequence).Uint64("revision", revision).Uint64("store", head).
			Msg("an event has a revision beyond belief and is passed over: who may write " + events.UsersStream + " besides the reconciler?")
	}
	r.disbelieved = msg.Sequence
	return false
}
