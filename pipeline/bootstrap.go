package pipeline

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/store"
)

// bootstrap gives new consumers of events something to begin with: all users and groups as of one revision, as an object in
// JetStream's object store. The store is read into a file in one transaction, as fast as a disk writes; how slowly a consumer
// reads is between him and NATS.
type bootstrap struct {
	bus      *events.Bus
	db       *store.DB
	cards    store.CardMode
	suffix   string
	replicas int
	one      sync.Mutex // at work
}

func newBootstrap(bus *events.Bus, db *store.DB, c *Config) *bootstrap {
	suffix := cmp.Or(c.ByHand.EventCards, "masked")
	return &bootstrap{bus: bus, db: db, cards: store.ParseCardMode(suffix), suffix: suffix, replicas: max(1, c.NATS.Replicas)}
}

const (
	// bootstrapBucket is the object store of what new consumers begin with.
	bootstrapBucket = "rollcall_bootstrap"
	// bootstrapLife is how long an object lies there, bootstrapFresh how long it is given to others who ask.
	bootstrapLife  = time.Hour
	bootstrapFresh = 30 * time.Minute
	// bootstrapKept is how many are kept at a time.
	bootstrapKept = 3
)

// snapshot answers users.snapshot. Who asks while nothing changed gets the same object.
func (b *bootstrap) snapshot(ctx context.Context, _ struct{}) (s events.Snapshot, err error) {
	b.one.Lock()
	defer b.one.Unlock()
	bucket, err := b.bus.JetStream.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: bootstrapBucket, Replicas: b.replicas, TTL: bootstrapLife, Description: "what new consumers of events begin with"})
	if err != nil {
		return s, fmt.Errorf("object store %s: %w", bootstrapBucket, err)
	}
	if s, found := b.kept(ctx, bucket); found {
		return s, nil
	}
	file, err := b.tempFile()
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if s, err = b.write(file); err != nil {
		return s, err
	}
	about, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	_, err = events.PutObject(ctx, bucket, jetstream.ObjectMeta{Name: s.Object, Metadata: map[string]string{"about": string(about)}}, file)
	if err != nil {
		return s, fmt.Errorf("object %s: %w", s.Object, err)
	}
	return s, b.forgetOld(ctx, bucket)
}

// tempFile makes a file beside the store, and removes those that a dead process left.
func (b *bootstrap) tempFile() (*os.File, error) {
	const pattern = "bootstrap-*.tmp"
	dir := filepath.Dir(b.db.Path())
	left, _ := filepath.Glob(filepath.Join(dir, pattern))
	for _, name := range left {
		_ = os.Remove(name)
	}
	return os.CreateTemp(dir, pattern)
}

// kept returns the object of the present revision, if it lies there and stays long enough.
func (b *bootstrap) kept(ctx context.Context, bucket jetstream.ObjectStore) (s events.Snapshot, found bool) {
	var name string
	if err := b.db.View(func(tx *store.Tx) error { name = b.name(tx); return nil }); err != nil {
		return s, false
	}
	info, err := bucket.GetInfo(ctx, name)
	if err != nil || time.Since(info.ModTime) > bootstrapFresh {
		return s, false
	}
	return s, json.Unmarshal([]byte(info.Metadata["about"]), &s) == nil
}

func (b *bootstrap) name(tx *store.Tx) string {
	revision, chain := tx.Head()
	return fmt.Sprintf("users-%d-%s-%s", revision, chain, b.suffix)
}

// write writes all users and groups, a line each, as they are in one transaction.
func (b *bootstrap) write(file io.Writer) (s events.Snapshot, err error) {
	w := bufio.NewWriterSize(file, 1<<20)
	err = b.db.View(func(tx *store.Tx) error {
		s = events.Snapshot{Bucket: bootstrapBucket, Object: b.name(tx), Store: b.db.ID(), Sequence: tx.RelayPosition().Sequence + 1}
		s.Revision, _ = tx.Head()
		var line []byte
		err := tx.Users("", func(u *store.User) error {
			s.Users++
			line = u.AppendJSON(append(line[:0], `{"user":`...), b.cards)
			_, err := w.Write(append(line, "}\n"...))
			return err
		})
		if err != nil {
			return err
		}
		return tx.Groups("", func(g *store.Group) error {
			s.Groups++
			return writeGroup(tx, w, g)
		})
	})
	return s, errors.Join(err, w.Flush())
}

func writeGroup(tx *store.Tx, w io.Writer, g *store.Group) error {
	line := events.SnapshotLine{Group: &events.GroupInfo{ID: g.ID, Path: g.Path, Origins: g.Origins()}}
	if err := tx.Members(g.Path, func(id string) error { line.Members = append(line.Members, id); return nil }); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(line)
}

// forgetOld deletes all but the last few.
func (b *bootstrap) forgetOld(ctx context.Context, bucket jetstream.ObjectStore) error {
	objects, err := bucket.List(ctx)
	if err != nil {
		return fmt.Errorf("object store %s: %w", bootstrapBucket, err)
	}
	slices.SortFunc(objects, func(a, b *jetstream.ObjectInfo) int { return b.ModTime.Compare(a.ModTime) })
	for _, old := range objects[min(len(objects), bootstrapKept):] {
		if err := bucket.Delete(ctx, old.Name); err != nil {
			return fmt.Errorf("object %s: %w", old.Name, err)
		}
	}
	return nil
}
