package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamOptions are what an operator decides about the streams.
type StreamOptions struct {
	// Replicas of every stream, 3 on a cluster.
	Replicas int
	// Keep is how long events and the history behind them stay.
	Keep time.Duration
	// MaxBytes is the most that streams may have on each server, by their names; none or 0 for no bound. Beyond it the oldest messages go, as
	// they do with age.
	MaxBytes map[string]int64
}

// EnsureStreams creates the streams that are missing and brings up to date those that an operator's decision changes. One
// that is right already is not touched: every update rewrites the stream's own files.
func (b *Bus) EnsureStreams(ctx context.Context, o StreamOptions) error {
	for _, c := range streams(o) {
		if err := Patiently(ctx, func(ctx context.Context) error { return b.ensureStream(ctx, c) }); err != nil {
			return fmt.Errorf("stream %s: %w", c.Name, err)
		}
	}
	_, err := b.ensureKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: ConfigBucket, Replicas: o.Replicas, Storage: jetstream.FileStorage,
		Description: "what decides for a source, under its hash",
	})
	if err != nil {
		return err
	}
	return Patiently(ctx, func(ctx context.Context) error { return b.forbidRollup(ctx, "KV_"+ConfigBucket) })
}

// forbidRollup keeps whoever may write one value of a bucket from clearing all others away, which buckets allow by a header.
func (b *Bus) forbidRollup(ctx context.Context, stream string) error {
	s, err := b.JetStream.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	c := s.CachedInfo().Config
	if !c.AllowRollup {
		return nil
	}
	c.AllowRollup = false
	if _, err = b.JetStream.UpdateStream(ctx, c); err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	return nil
}

func (b *Bus) ensureKeyValue(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	bucket, err := patiently(ctx, func(ctx context.Context) (jetstream.KeyValue, error) {
		if bucket, err := b.JetStream.KeyValue(ctx, c.Bucket); err == nil {
			return bucket, nil
		}
		return b.JetStream.CreateOrUpdateKeyValue(ctx, c)
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", c.Bucket, err)
	}
	return patientBucket{bucket}, nil
}

// AwaitStreams waits until the streams and the bucket are there, as long as ctx allows.
func (b *Bus) AwaitStreams(ctx context.Context, names []string) error {
	for _, name := range append(names, "KV_"+ConfigBucket) {
		for {
			_, err := b.Stream(ctx, name)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("stream %s: %w", name, err)
			case <-time.After(250 * time.Millisecond):
			}
		}
	}
	return nil
}

// DropConsumers forgets all consumers of a stream.
func (b *Bus) DropConsumers(ctx context.Context, stream string) error {
	s, err := b.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if err := s.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("stream %s: consumer %s: %w", stream, name, err)
		}
	}
	return names.Err()
}

// EnsureSnapshots returns the object store of snapshots and creates it when it is missing.
func (b *Bus) EnsureSnapshots(ctx context.Context, replicas int) (jetstream.ObjectStore, error) {
	bucket, err := patiently(ctx, func(ctx context.Context) (jetstream.ObjectStore, error) {
		if bucket, err := b.JetStream.ObjectStore(ctx, SnapshotsBucket); err == nil {
			return bucket, nil
		}
		return b.JetStream.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: SnapshotsBucket, Replicas: max(1, replicas), Storage: jetstream.FileStorage, Description: "snapshots of the store",
		})
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", SnapshotsBucket, err)
	}
	return bucket, nil
}

// EnsureLeader returns the bucket in which reconcilers agree who leads, and creates it when it is missing. What is not
// renewed within ttl is gone.
func (b *Bus) EnsureLeader(ctx context.Context, replicas int, ttl time.Duration) (jetstream.KeyValue, error) {
	return b.ensureKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: LeaderBucket, Replicas: max(1, replicas), Storage: jetstream.FileStorage, TTL: ttl, Description: "which reconciler leads, and who stands by",
	})
}

func (b *Bus) ensureStream(ctx context.Context, c jetstream.StreamConfig) error {
	existing, err := b.JetStream.Stream(ctx, c.Name)
	if err == nil {
		now := existing.CachedInfo().Config
		bounds := now.MaxAge == c.MaxAge && max(now.MaxBytes, 0) == c.MaxBytes && max(now.MaxMsgsPerSubject, 0) == c.MaxMsgsPerSubject
		if bounds && now.Replicas == c.Replicas && now.AllowDirect == c.AllowDirect && now.AllowAtomicPublish == c.AllowAtomicPublish && slices.Equal(now.Subjects, c.Subjects) {
			return nil
		}
	}
	_, err = b.JetStream.CreateOrUpdateStream(ctx, c)
	return err
}

// streams lists every stream with its reason to exist (architecture.md, "Streams").
func streams(o StreamOptions) []jetstream.StreamConfig {
	all := []jetstream.StreamConfig{
		{Name: JobsStream, Subjects: []string{"rollcall.jobs.*"}, Description: "who works on what",
			Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true},
		{Name: RawStream, Subjects: []string{"rollcall.raw.*.*"}, Description: "the raw record of every entry",
			MaxMsgsPerSubject: 8, AllowAtomicPublish: true},
		{Name: ChangesStream, Subjects: []string{"rollcall.changes.*.*"}, Description: "the mapped changes of every run",
			MaxAge: o.Keep},
		{Name: LogStream, Subjects: []string{"rollcall.log.>"}, Description: "the ordered inputs of the one writer",
			MaxAge: o.Keep},
		{Name: UsersStream, Subjects: []string{"rollcall.users.*.*", "rollcall.groups.*.*"}, Description: "user-changed events: the store's revisions",
			MaxAge: o.Keep, AllowAtomicPublish: true},
		{Name: RunsStream, Subjects: []string{"rollcall.runs.*.*"}, Description: "results of runs",
			MaxAge: 365 * 24 * time.Hour},
		{Name: DeadStream, Subjects: []string{"rollcall.dead.*.*"}, Description: "what was rejected, and why"},
	}
	for i := range all {
		all[i].Storage = jetstream.FileStorage
		all[i].Replicas = o.Replicas
		all[i].AllowDirect = true
		all[i].MaxBytes = o.MaxBytes[all[i].Name]
		if o.Replicas > 1 {
			all[i].AllowDirect = false // a replica that is behind would answer
		} else if all[i].Name == ChangesStream { // they can be made again from RAW; a cluster has no such mode
			all[i].PersistMode = jetstream.AsyncPersistMode
		}
	}
	return all
}
