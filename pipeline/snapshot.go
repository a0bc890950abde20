package pipeline

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// Snapshots say when snapshots of the store are taken into the object store, and how many stay.
type Snapshots struct {
	// Every is the longest time between two snapshots of a store that changed, 0 for none.
	Every time.Duration
	// Keep is how many stay, 3 when zero.
	Keep int
}

// Snapshot is a snapshot in the object store.
type Snapshot struct {
	// Name begins with the sequence in LOG up to which the snapshot goes.
	Name     string         `json:"name"`
	Store    string         `json:"store"`
	Format   int            `json:"format"`
	Log      store.Position `json:"-"`
	LogEnd   uint64         `json:"log"`
	Revision uint64         `json:"revision"`
	Chain    string         `json:"chain"`
	Digest   string         `json:"digest"`
	Taken    time.Time      `json:"taken"`
	// Bytes is the size, compressed.
	Bytes uint64 `json:"bytes"`
}

// ErrNoSnapshot means that there is none.
var ErrNoSnapshot = errors.New("there is no snapshot")

// ListSnapshots returns the snapshots that are kept, the latest first. Where something else lies among them it fails, and returns them
// all the same.
func ListSnapshots(ctx context.Context, bus *events.Bus) ([]Snapshot, error) {
	all, strange, err := listSnapshots(ctx, bus)
	return all, errors.Join(err, strange)
}

// keptSnapshots returns the snapshots that are kept, the latest first. What else lies among them is told to the log.
func keptSnapshots(ctx context.Context, bus *events.Bus, log zerolog.Logger) ([]Snapshot, error) {
	all, strange, err := listSnapshots(ctx, bus)
	if strange != nil {
		log.Warn().Err(strange).Msg("passed over among the snapshots")
	}
	return all, err
}

func listSnapshots(ctx context.Context, bus *events.Bus) (all []Snapshot, strange, err error) {
	bucket, err := bus.ObjectStore(ctx, events.SnapshotsBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("snapshots: %w", err)
	}
	objects, err := bucket.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("snapshots: %w", err)
	}
	for _, o := range objects {
		if s, err := parseSnapshot(o); err == nil {
			all = append(all, s)
		} else if strange == nil {
			strange = err
		}
	}
	slices.SortFunc(all, func(a, b Snapshot) int {
		return cmp.Or(b.Taken.Compare(a.Taken), cmp.Compare(b.Name, a.Name))
	})
	return all, strange, nil
}

// OpenSnapshot returns the bytes of a snapshot as [store.Restore] takes them. A broken one fails at its end.
func OpenSnapshot(ctx context.Context, bus *events.Bus, name string) (io.ReadCloser, error) {
	bucket, err := bus.ObjectStore(ctx, events.SnapshotsBucket)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	object, err := bucket.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	return object, nil
}

// Contents returns what the snapshot holds.
func (s *Snapshot) Contents() store.Snapshot {
	c := store.Snapshot{Store: s.Store, Format: s.Format, Log: s.Log, Revision: s.Revision, Chain: s.Chain}
	if digest, err := hex.DecodeString(s.Digest); err == nil && len(digest) == len(c.Digest) {
		c.Digest = store.Digest(digest)
	}
	return c
}

// summary is what a copy of the store that lies nowhere holds.
func summary(c store.Snapshot) Snapshot {
	return Snapshot{Store: c.Store, Format: c.Format, Log: c.Log, LogEnd: c.Log.Sequence, Revision: c.Revision, Chain: c.Chain,
		Digest: hex.EncodeToString(c.Digest[:])}
}

// snapshotter takes snapshots of the store: when one was asked for, when the last one is old, and when much has changed
// since.
type snapshotter struct {
	bus      *events.Bus
	db       *store.DB
	options  Snapshots
	replicas int
	// lost returns the message up to which LOG is not whole, 0 for none; nil where nobody knows.
	lost func() uint64
	log  zerolog.Logger
}

func newSnapshotter(bus *events.Bus, db *store.DB, c *Config, log zerolog.Logger) *snapshotter {
	return &snapshotter{bus: bus, db: db, options: c.Snapshots, replicas: c.NATS.Replicas, log: log}
}

const (
	// snapshotLook is how often it is looked whether a snapshot is due.
	snapshotLook = 10 * time.Second
	// A snapshot is due when this many revisions were made since the last one, and a tenth of the users besides.
	snapshotRevisions = 10_000
)

// run takes snapshots until ctx is done. One that fails is tried again: the pipeline does not stand on it.
func (s *snapshotter) run(ctx context.Context) error {
	if s.options.Every <= 0 {
		return nil
	}
	tick := time.NewTicker(snapshotLook)
	defer tick.Stop()
	for {
		if err := s.takeDue(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Warn().Err(err).Msg("no snapshot of the store")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// takeDue takes a snapshot if one is due.
func (s *snapshotter) takeDue(ctx context.Context, now time.Time) error {
	kept, err := keptSnapshots(ctx, s.bus, s.log)
	if err != nil {
		return err
	}
	due, err := s.due(kept, now)
	if err == nil && !due {
		due, err = s.cutOff(ctx, kept)
	}
	if err != nil || !due {
		return err
	}
	_, err = s.take(ctx, now)
	return err
}

// due reports whether a snapshot is to be taken. Of a store that did not move none is.
func (s *snapshotter) due(kept []Snapshot, now time.Time) (due bool, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		position := tx.LogPosition()
		revision, _ := tx.Head()
		users, _ := tx.CountUsers()
		switch {
		case position.Sequence == 0:
		case len(kept) == 0:
			due = true
		case kept[0].LogEnd == position.Sequence && kept[0].Log.Created.Equal(position.Created) && kept[0].Revision == revision:
		default:
			due = now.Sub(kept[0].Taken) >= s.options.Every || revision >= kept[0].Revision+uint64(snapshotRevisions+users/10)
		}
		return nil
	})
	return due, err
}

// cutOff reports whether LOG does not lead on from the latest snapshot, and does from the store: a standby would have nothing to begin
// from.
func (s *snapshotter) cutOff(ctx context.Context, kept []Snapshot) (bool, error) {
	stream, err := s.bus.Stream(ctx, events.LogStream)
	if err != nil || len(kept) == 0 {
		return false, err
	}
	var position store.Position
	if err := s.db.View(func(tx *store.Tx) error { position = tx.LogPosition(); return nil }); err != nil {
		return false, err
	}
	if s.lost != nil && kept[0].LogEnd < s.lost() && s.lost() <= position.Sequence {
		return true, nil
	}
	return !reaches(kept[0].Log, stream.CachedInfo()) && reaches(position, stream.CachedInfo()), nil
}

// take takes a snapshot and forgets those that are not kept any more. The store is copied to a file first: sending it would
// hold the copied state in the store for longer.
func (s *snapshotter) take(ctx context.Context, now time.Time) (taken Snapshot, err error) {
	file, contents, err := s.copyToFile()
	if err != nil {
		return taken, fmt.Errorf("copy the store: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	bucket, err := s.bus.EnsureSnapshots(ctx, s.replicas)
	if err != nil {
		return taken, err
	}
	object, err := events.PutObject(ctx, bucket, describeSnapshot(contents, now), file)
	if err != nil {
		return taken, fmt.Errorf("send the snapshot: %w", err)
	}
	if taken, err = parseSnapshot(object); err != nil {
		return taken, err
	}
	s.log.Info().Uint64("log", taken.LogEnd).Uint64("revision", taken.Revision).Uint64("bytes", taken.Bytes).Msg("snapshot taken")
	return taken, s.forgetOld(ctx, bucket)
}

// snapshotPrefix begins the names of files that a dead process may have left in the data directory.
const snapshotPrefix = "snapshot-"

// copyToFile returns a copy of the store, to be read from its beginning.
func (s *snapshotter) copyToFile() (*os.File, store.Snapshot, error) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.db.Path()), snapshotPrefix+"*.tmp*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
	file, err := os.CreateTemp(filepath.Dir(s.db.Path()), snapshotPrefix+"*.tmp")
	if err != nil {
		return nil, store.Snapshot{}, err
	}
	buffered := bufio.NewWriterSize(file, 1<<20)
	contents, err := s.db.WriteSnapshot(buffered)
	if err = errors.Join(err, buffered.Flush()); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, contents, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, contents, nil
}

// forgetOld deletes what is more than is kept.
func (s *snapshotter) forgetOld(ctx context.Context, bucket jetstream.ObjectStore) error {
	kept, err := keptSnapshots(ctx, s.bus, s.log)
	if err != nil {
		return err
	}
	for _, old := range kept[min(len(kept), cmp.Or(s.options.Keep, 3)):] {
		if err := bucket.Delete(ctx, old.Name); err != nil {
			return fmt.Errorf("forget snapshot %s: %w", old.Name, err)
		}
	}
	return nil
}

// The names of what is written beside a snapshot.
const (
	snapshotStore       = "store"
	snapshotFormat      = "format"
	snapshotLog         = "log"
	snapshotCreated     = "log-created"
	snapshotFingerprint = "log-fingerprint"
	snapshotRevision    = "revision"
	snapshotChain       = "chain"
	snapshotDigest      = "digest"
	snapshotTaken       = "taken"
)

// describeSnapshot names a snapshot. The name holds the log's incarnation too: its sequences may begin anew.
func describeSnapshot(c store.Snapshot, now time.Time) jetstream.ObjectMeta {
	return jetstream.ObjectMeta{
		Name:        fmt.Sprintf("%020d-%d", c.Log.Sequence, c.Log.Created.Unix()),
		Description: "rollcall store, a bbolt file compressed by zstd",
		Metadata: map[string]string{
			snapshotStore: c.Store, snapshotFormat: strconv.Itoa(c.Format),
			snapshotLog: strconv.FormatUint(c.Log.Sequence, 10), snapshotCreated: c.Log.Created.Format(timestamp),
			snapshotFingerprint: hex.EncodeToString(c.Log.Fingerprint[:]), snapshotRevision: strconv.FormatUint(c.Revision, 10),
			snapshotChain: c.Chain, snapshotDigest: hex.EncodeToString(c.Digest[:]), snapshotTaken: now.UTC().Format(timestamp),
		},
	}
}

// parseSnapshot reads what describeSnapshot wrote.
func parseSnapshot(o *jetstream.ObjectInfo) (s Snapshot, err error) {
	m := o.Metadata
	s = Snapshot{Name: o.Name, Store: m[snapshotStore], Chain: m[snapshotChain], Digest: m[snapshotDigest], Bytes: o.Size}
	var errs [6]error
	s.Format, errs[0] = strconv.Atoi(m[snapshotFormat])
	s.Log.Sequence, errs[1] = strconv.ParseUint(m[snapshotLog], 10, 64)
	s.Log.Created, errs[2] = time.Parse(timestamp, m[snapshotCreated])
	s.Revision, errs[3] = strconv.ParseUint(m[snapshotRevision], 10, 64)
	s.Taken, errs[4] = time.Parse(timestamp, m[snapshotTaken])
	fingerprint, err := hex.DecodeString(m[snapshotFingerprint])
	if errs[5] = err; err == nil && len(fingerprint) == len(s.Log.Fingerprint) {
		s.Log.Fingerprint = store.Digest(fingerprint)
	}
	s.LogEnd = s.Log.Sequence
	if err := errors.Join(errs[:]...); err != nil {
		return s, connectors.Hint(fmt.Errorf("%s in %s is no snapshot of a store: %w", o.Name, events.SnapshotsBucket, err),
			"nats object rm "+events.SnapshotsBucket+" "+o.Name)
	}
	return s, nil
}
