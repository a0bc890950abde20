package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// openShared opens the store of one of several reconcilers. All of them have the id that the first one had, because users' ids
// derive from it. One that has no store, or one that LOG does not reach any more, begins from the latest snapshot; while
// LOG is whole, from nothing.
func (n *Node) openShared(ctx context.Context) error {
	if err := os.MkdirAll(n.config.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(n.config.DataDir, storeFile)
	own, err := n.ownStore(path)
	if err != nil {
		return err
	}
	var id string
	err = events.Patiently(ctx, func(ctx context.Context) (err error) { id, err = n.sharedID(ctx, own); return err })
	if err != nil {
		return err
	}
	if err := n.beginFromSnapshot(ctx, own); err != nil {
		return err
	}
	if err := n.openStore(store.Options{ID: id}); err != nil {
		return err
	}
	if n.lease, err = openLease(ctx, n.bus, n.config.NATS.Replicas); err != nil {
		return err
	}
	return nil
}

// ownStore says what the store in the data directory holds, nil for none.
func (n *Node) ownStore(path string) (*store.Snapshot, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	db, err := store.Open(path, store.Options{})
	if err != nil {
		return nil, lockedHint(err, n.config.DataDir)
	}
	own := &store.Snapshot{Store: db.ID()}
	err = db.View(func(tx *store.Tx) error {
		own.Log = tx.LogPosition()
		own.Revision, own.Chain = tx.Head()
		return nil
	})
	return own, errors.Join(err, db.Close())
}

// storeID is the name of the store's id among the published rules.
const storeID = "store"

// sharedID returns the id that the store must have. The first one to ask decides it.
func (n *Node) sharedID(ctx context.Context, own *store.Snapshot) (string, error) {
	bucket, err := n.bus.KeyValue(ctx, events.ConfigBucket)
	if err != nil {
		return "", fmt.Errorf("bucket %s: %w", events.ConfigBucket, err)
	}
	id := uuid.NewString()
	if own != nil {
		id = own.Store
	}
	_, err = bucket.Create(ctx, storeID, []byte(id))
	if err == nil {
		return id, nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return "", fmt.Errorf("the store's id: %w", err)
	}
	shared, err := getPublished(ctx, bucket, storeID)
	if err != nil {
		return "", fmt.Errorf("the store's id: %w", err)
	}
	if own != nil && own.Store != string(shared.Value()) {
		return "", connectors.Hint(fmt.Errorf("%s holds store %s, and this NATS belongs to store %s", n.config.DataDir, own.Store, shared.Value()),
			"another data_dir, which may be empty, or the NATS that this store belongs to")
	}
	return string(shared.Value()), nil
}

// beginFromSnapshot puts the latest snapshot in place where LOG alone does not lead to the present state.
func (n *Node) beginFromSnapshot(ctx context.Context, own *store.Snapshot) error {
	stream, err := n.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	log := stream.CachedInfo()
	if own != nil && (reaches(own.Log, log) || isAhead(own.Log, log)) {
		return nil
	}
	kept, err := keptSnapshots(ctx, n.bus, n.log)
	if err != nil {
		return err
	}
	for _, s := range kept {
		if reaches(s.Log, log) {
			return n.beginFrom(ctx, s, own != nil)
		}
	}
	if own == nil && !reaches(store.Position{}, log) {
		return connectors.Hint(fmt.Errorf("the log begins at %d, and there is neither a store nor a snapshot that reaches it", log.State.FirstSeq),
			"rollcall store snapshot where a store is, or rollcall store restore FILE here")
	}
	return nil
}

// beginFrom puts a snapshot in place. Of the stores that it took the place of by itself the last one is kept.
func (n *Node) beginFrom(ctx context.Context, s Snapshot, force bool) error {
	r, err := restoreSnapshot(ctx, n.bus, &n.config, s, force)
	if err == nil && r.Kept != "" {
		behind := filepath.Join(n.config.DataDir, storeFile+".behind")
		err, r.Kept = os.Rename(r.Kept, behind), behind
	}
	if err != nil {
		return err
	}
	n.log.Info().Str("snapshot", s.Name).Str("kept", r.Kept).Msg("begins from a snapshot")
	return nil
}

// isAhead reports whether a store has more than LOG, which lost its end: no snapshot that LOG leads on from has what was lost.
func isAhead(p store.Position, log *jetstream.StreamInfo) bool {
	return p.Created.Equal(log.Created) && p.Sequence > log.State.LastSeq
}

// reaches reports whether what LOG has goes on where the position ends.
func reaches(p store.Position, log *jetstream.StreamInfo) bool {
	if p.Sequence > 0 && !p.Created.Equal(log.Created) {
		return false
	}
	return p.Sequence+1 >= log.State.FirstSeq && p.Sequence <= log.State.LastSeq
}
