package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// increment is the part of ingest that takes over what an incremental run tells: it looks up what was applied of the entries
// concerned, and only of those, and completes partial records. Its cost follows what is told, not what there is.
type increment struct {
	*ingest
	merge func(last, told connectors.Record) (connectors.Record, error)
	// told waits to be looked up together.
	told []connectors.Record
	// known is what was applied of the entries told of, and then what was told of them.
	known map[store.Key]*knownEntry
	// kept counts the bytes of the records in known.
	kept int
	// sighted are the entries of which nothing was told but that they are there.
	sighted map[store.Key]struct{}
	// counted are the entries that the present run read.
	counted map[store.Key]struct{}
}

// knownEntry is an entry as the run knows it so far.
type knownEntry struct {
	// digest is the zero one for an entry that was never heard of.
	digest store.Digest
	known  bool
	key    string
	kind   connectors.Kind
	name   string
	// sequence is the place in RAW of the record last applied, record the one that was told last in this run.
	sequence uint64
	record   []byte
	// run is the one that told of it last, 0 for none.
	run uint64
}

const (
	// lookUpChunk is how many records are looked up together.
	lookUpChunk = 500
	// lookUpWidth is how many records are fetched from RAW at a time.
	lookUpWidth = 16
	// keptBytes bounds the records that are kept because they may be told of again.
	keptBytes = 64 << 20
)

// errNotWhole means that a partial record cannot be completed: the one before it is not to be had any more.
var errNotWhole = errors.New("the source told a part of an entry whose last record is not to be had")

func newIncrement(in *ingest, reader connectors.Connector) *increment {
	n := &increment{ingest: in, known: map[store.Key]*knownEntry{}, sighted: map[store.Key]struct{}{}, counted: map[store.Key]struct{}{}}
	n.merge = func(last, told connectors.Record) (connectors.Record, error) {
		return connectors.Merge(last, told), nil
	}
	if merger, ok := reader.(connectors.Merger); ok {
		n.merge = merger.Merge
	}
	return n
}

// take takes one record over. Those of a chunk are looked up together.
func (n *increment) take(ctx context.Context, r *connectors.Record) error {
	if r.IsSighting() {
		n.sighted[store.KeyOf(r.Key)] = struct{}{}
		return nil
	}
	n.told = append(n.told, cloneRecord(r))
	if len(n.told) < lookUpChunk {
		return nil
	}
	return n.settle(ctx)
}

// end takes over what is left. A read that was whole after all is compared with everything that was applied.
func (n *increment) end(ctx context.Context, whole bool) error {
	if err := n.settle(ctx); err != nil || !whole {
		return err
	}
	return n.becomeWhole(ctx)
}

// settle takes the chunk over, in the order of its telling: the last word about an entry counts.
func (n *increment) settle(ctx context.Context) error {
	if err := n.lookUp(ctx); err != nil {
		return err
	}
	if err := n.fetch(ctx); err != nil {
		return err
	}
	for i := range n.told {
		r := &n.told[i]
		if err := n.settleOne(ctx, n.known[store.KeyOf(r.Key)], r); err != nil {
			return err
		}
	}
	n.told = n.told[:0]
	if n.kept > keptBytes {
		n.forgetRecords()
	}
	return nil
}

// lookUp asks the store for the entries of the chunk that are not known yet.
func (n *increment) lookUp(ctx context.Context) error {
	var keys []store.Key
	for i := range n.told {
		key := store.KeyOf(n.told[i].Key)
		if n.known[key] == nil {
			n.known[key] = &knownEntry{}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	entries, err := n.client.entries(ctx, n.source.Name, keys)
	if err != nil {
		return fmt.Errorf("look entries up: %w", err)
	}
	for _, e := range entries {
		key, err := store.ParseKey(e.Hash)
		if err != nil {
			return err
		}
		*n.known[key] = knownEntry{digest: e.Digest, known: true, key: e.Key, kind: e.kind(), name: e.Entry, sequence: e.Sequence}
	}
	return nil
}

// fetch fetches the last records of those entries of the chunk that are told in part.
func (n *increment) fetch(ctx context.Context) error {
	wanted := map[store.Key]*knownEntry{}
	for i := range n.told {
		r := &n.told[i]
		key := store.KeyOf(r.Key)
		k := n.known[key]
		if r.Partial && k.record == nil && k.sequence > 0 && k.digest != absence(n.config) && k.digest != n.tombstone {
			wanted[key] = k
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	stream, err := n.bus.Stream(ctx, events.RawStream)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookUpWidth)
	for key, k := range wanted {
		group.Go(func() error { return n.fetchOne(ctx, stream, key, k) })
	}
	err = group.Wait()
	for _, k := range wanted {
		n.kept += len(k.record)
	}
	return err
}

// fetchOne fetches the record last applied of an entry, if RAW still has it.
func (n *increment) fetchOne(ctx context.Context, stream jetstream.Stream, key store.Key, k *knownEntry) error {
	msg, err := stream.GetMsg(ctx, k.sequence)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetch the last record of %s: %w", k.name, err)
	}
	var raw rawRecord
	if msg.Subject != events.RawSubject(n.source.Name, key) || cbor.Unmarshal(msg.Data, &raw) != nil || raw.Absent {
		return nil
	}
	k.record = raw.Record
	return nil
}

func (n *increment) settleOne(ctx context.Context, k *knownEntry, r *connectors.Record) error {
	if k.digest == n.tombstone && k.known {
		return nil
	}
	if r.Deleted {
		return n.settleDeleted(ctx, k, r)
	}
	if r.Partial {
		if err := n.complete(k, r); err != nil {
			return err
		}
	}
	n.see(r)
	data, err := canonical(r)
	if err != nil {
		return err
	}
	digest := store.DigestOf(n.config, data)
	if digest == k.digest {
		return nil
	}
	if err := n.publishRecord(ctx, r, digest, data); err != nil {
		return err
	}
	n.kept += len(data) - len(k.record)
	k.digest, k.known, k.key, k.kind, k.name, k.record, k.run = digest, true, r.Key, r.Kind, r.Name, data, n.run
	return nil
}

// see counts an entry once.
func (n *increment) see(r *connectors.Record) {
	key := store.KeyOf(r.Key)
	if _, again := n.counted[key]; !again {
		n.counted[key] = struct{}{}
		n.count(1)
	}
}

func (n *increment) settleDeleted(ctx context.Context, k *knownEntry, r *connectors.Record) error {
	if key := store.KeyOf(r.Key); n.wasCounted(key) {
		delete(n.counted, key)
		n.count(-1)
	}
	gone := absence(n.config)
	if !k.known || k.digest == gone {
		return nil
	}
	if k.name != "" {
		r.Name = k.name // more telling than what a tombstone is called
	}
	if err := n.publishAbsent(ctx, r.Key, k.kind, r.Name); err != nil { // the source may not know what it was
		return err
	}
	n.kept -= len(k.record)
	k.digest, k.record, k.sequence, k.run = gone, nil, 0, n.run
	return nil
}

func (n *increment) wasCounted(key store.Key) bool {
	_, was := n.counted[key]
	return was
}

// complete lays a partial record over the entry's last one.
func (n *increment) complete(k *knownEntry, r *connectors.Record) error {
	var last connectors.Record
	if k.record == nil || cbor.Unmarshal(k.record, &last) != nil || last.Key != r.Key || last.Problem != "" || last.Deleted {
		return fmt.Errorf("%w: %s", errNotWhole, r.Name)
	}
	last.Name = k.name
	merged, err := n.merge(last, *r)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errNotWhole, r.Name, err)
	}
	if merged.Name == "" {
		merged.Name = k.name
	}
	*r = merged
	return nil
}

// forgetRecords makes room. Whoever is told of in part once more is then not completed, and the run becomes a full one.
func (n *increment) forgetRecords() {
	for _, k := range n.known {
		k.record = nil
		if k.run != 0 {
			k.sequence = 0 // what was applied is not the last word any more
		}
	}
	n.kept = 0
}

// next makes ready for the next run of a session, which is compared with what this one told.
func (n *increment) next() { clear(n.sighted); clear(n.counted) }

// decided forgets what the store knows by now: everything up to that run.
func (n *increment) decided(run uint64) {
	for key, k := range n.known {
		if k.run <= run {
			n.kept -= len(k.record)
			delete(n.known, key)
		}
	}
}

// becomeWhole fetches the baseline and marks in it who was told of or sighted: the others are called absent like in any
// whole read.
func (n *increment) becomeWhole(ctx context.Context) error {
	b, err := fetchBaseline(ctx, n.client, n.source.Name)
	if err != nil {
		return fmt.Errorf("fetch the baseline: %w", err)
	}
	if b.source.Applied != n.state.Applied {
		return errMovedOn
	}
	for key, k := range n.known {
		if k.known {
			b.say(key, k.digest)
		}
	}
	for key := range n.sighted {
		if k := n.known[key]; k != nil && k.known && k.digest != absence(n.config) {
			continue
		}
		switch b.sight(key) {
		case store.Digest{}, absence(n.config):
			return fmt.Errorf("%w: an entry that was not known is said to be there and unchanged", errNotWhole)
		}
		n.count(1)
	}
	n.baseline = b
	return nil
}

// cloneRecord copies what belongs to the connector.
func cloneRecord(r *connectors.Record) connectors.Record {
	c := *r
	c.Attributes = slices.Clone(r.Attributes)
	for i := range c.Attributes {
		c.Attributes[i].Values = slices.Clone(c.Attributes[i].Values)
	}
	slices.SortFunc(c.Attributes, func(a, b connectors.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return c
}
