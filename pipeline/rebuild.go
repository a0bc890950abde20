package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// RebuildOptions say what becomes of a rebuild.
type RebuildOptions struct {
	// Into is the file that is made. It must not be there.
	Into string
	// Progress is told how far it is, four times a second and from another goroutine; nil for nobody.
	Progress func(Progress)
	// Difference is told whatever is not as in the live store; nil for nobody.
	Difference func(Difference) error
	Log        zerolog.Logger
}

// Rebuilt says what a rebuild came to.
type Rebuilt struct {
	Store string `json:"store"`
	// From is where in the log it began: behind a snapshot, 0 for an empty store. To is where the live store stood.
	From     uint64 `json:"from"`
	To       uint64 `json:"to"`
	Revision uint64 `json:"revision"`
	Users    int    `json:"users"`
	// Digest and Live are those of the states: equal ones are equal.
	Digest      string  `json:"digest"`
	Live        string  `json:"live"`
	Equal       bool    `json:"equal"`
	Differences int     `json:"differences"`
	Seconds     float64 `json:"seconds"`
}

// ErrHistoryTrimmed means that the streams do not reach back far enough.
var ErrHistoryTrimmed = errors.New("history is not kept far enough back")

// Rebuild builds a store in a file of its own by reading the log anew, from the beginning while everything is kept and
// otherwise behind the oldest snapshot, and compares it with the live one. It writes to no stream and to no store but that one.
// What is left out of the comparison: positions, and what waits to be told or mailed.
func (c *Client) Rebuild(ctx context.Context, config Config, o RebuildOptions) (done Rebuilt, err error) {
	if _, err := os.Stat(o.Into); err == nil {
		return done, connectors.Hint(fmt.Errorf("%s: %w", o.Into, store.ErrExists), "another name, or remove it")
	}
	b := &rebuild{client: c, bus: c.bus, config: &config, options: o}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.copyLive(ctx); err != nil {
		return done, err
	}
	if err := b.begin(ctx); err != nil {
		return done, err
	}
	begun := time.Now()
	if err := b.readLog(ctx); err != nil {
		return done, err
	}
	done.Seconds = time.Since(begun).Seconds()
	if err := b.settle(); err != nil {
		return done, err
	}
	return b.compare(done)
}

// rebuild is one rebuild.
type rebuild struct {
	client  *Client
	bus     *events.Bus
	config  *Config
	options RebuildOptions
	// live is a copy of the live store, fresh the one that is built.
	live, fresh *store.DB
	from, to    uint64
	created     time.Time
}

// copyLive fetches the live store as it is now. A run that is half applied is no state to compare with.
func (b *rebuild) copyLive(ctx context.Context) error {
	kept, err := b.client.Snapshots(ctx) // before there is one more, which the oldest makes room for
	if err != nil {
		return err
	}
	taken, err := b.client.TakeSnapshot(ctx)
	if err != nil {
		return err
	}
	if taken, err = b.find(ctx, taken.Name); err != nil {
		return err
	}
	if b.live, err = b.unpack(ctx, taken, b.options.Into+".live"); err != nil {
		return err
	}
	b.to, b.created = taken.LogEnd, taken.Log.Created
	return errors.Join(b.refuseHalf(), b.base(ctx, kept, taken))
}

// find returns a snapshot with all that stands beside it.
func (b *rebuild) find(ctx context.Context, name string) (Snapshot, error) {
	kept, err := b.client.Snapshots(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	for _, s := range kept {
		if s.Name == name {
			return s, nil
		}
	}
	return Snapshot{}, fmt.Errorf("%s: %w: it was taken just now", name, ErrNoSnapshot)
}

func (b *rebuild) refuseHalf() error {
	return b.live.View(func(tx *store.Tx) error {
		place, err := tx.Applying()
		if err == nil && place != nil {
			err = connectors.Hint(fmt.Errorf("run %d of %s is being applied", place.Run, place.Source), "again when it is over")
		}
		return err
	})
}

// base opens what the log is read into: an empty store while the log is whole, or the oldest snapshot that it follows.
func (b *rebuild) base(ctx context.Context, kept []Snapshot, live Snapshot) (err error) {
	stream, err := b.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	first := stream.CachedInfo().State.FirstSeq
	if first <= 1 {
		b.fresh, err = store.Open(b.options.Into, store.Options{ID: live.Store, NoSync: true})
		return err
	}
	for i := len(kept) - 1; i >= 0; i-- {
		s := kept[i]
		if s.Store == live.Store && s.LogEnd+1 >= first && s.LogEnd <= live.LogEnd && s.Log.Created.Equal(live.Log.Created) {
			b.from = s.LogEnd
			b.fresh, err = b.unpack(ctx, s, b.options.Into)
			return err
		}
	}
	return connectors.Hint(fmt.Errorf("%w: the log begins at %d, and no snapshot reaches that far", ErrHistoryTrimmed, first),
		"rollcall store snapshot from now on, and events.keep longer than the oldest of them")
}

// unpack puts a snapshot into a file and opens it. Nothing is lost when that file is, so nobody waits for the disk.
func (b *rebuild) unpack(ctx context.Context, s Snapshot, path string) (*store.DB, error) {
	object, err := OpenSnapshot(ctx, b.bus, s.Name)
	if err != nil {
		return nil, err
	}
	want := s.Contents()
	_, _, err = store.Restore(object, path, store.RestoreOptions{Want: &want})
	if err = errors.Join(err, object.Close()); err != nil {
		return nil, err
	}
	return store.Open(path, store.Options{NoSync: true})
}

// begin makes ready to read.
func (b *rebuild) begin(ctx context.Context) error {
	stream, err := b.bus.Stream(ctx, events.LogStream)
	if err == nil && !stream.CachedInfo().Created.UTC().Equal(b.created) && b.to > 0 {
		err = fmt.Errorf("%w: the log was made anew", ErrHistoryTrimmed)
	}
	return err
}

// readLog has a reconciler read the log up to where the live store stands.
func (b *rebuild) readLog(ctx context.Context) error {
	key, err := openPINKey(b.config, nil)
	if err != nil {
		return err
	}
	rules, err := openRuleBook(ctx, b.bus, key)
	if err != nil {
		return err
	}
	r := &reconciler{bus: b.bus, db: b.fresh, rules: rules, config: b.config, log: b.options.Log, created: b.created, committed: func() {},
		leads: func() bool { return false }, traces: &traceBook{}, rebuilding: true,
		hear: func(p Progress) {
			if b.options.Progress != nil {
				b.options.Progress(p)
			}
		}}
	if b.from >= b.to {
		return nil
	}
	last := b.from
	return b.bus.Follow(ctx, events.LogStream, events.FollowOptions{From: b.from + 1}, func(msg jetstream.Msg) error {
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		at := meta.Sequence.Stream
		if at > b.to {
			return events.ErrStop
		}
		if at != last+1 {
			return fmt.Errorf("%w: message %d of the log came after message %d", ErrHistoryTrimmed, at, last)
		}
		last = at
		if err := r.take(ctx, msg); err != nil {
			return err
		}
		if at == b.to || meta.NumPending == 0 {
			return events.ErrStop
		}
		return nil
	})
}

// settle takes out of the rebuilt store what the live one has told and mailed already, so that it could take its place.
func (b *rebuild) settle() error {
	var relayed store.RelayPosition
	waiting := map[string]bool{}
	err := b.live.View(func(tx *store.Tx) error {
		relayed = tx.RelayPosition()
		letters, err := tx.Letters("", 1<<30)
		for _, l := range letters {
			waiting[l.User] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		err = b.fresh.Update(func(tx *store.Tx) (err error) { more, err = settleSome(tx, relayed.Revision, waiting); return err })
	}
	if err != nil {
		return err
	}
	if err := b.fresh.Update(func(tx *store.Tx) error { return tx.SetRelayPosition(relayed) }); err != nil {
		return err
	}
	return b.fresh.Sync()
}

// settleBatch is how much of an outbox one transaction drops.
const settleBatch = 10_000

func settleSome(tx *store.Tx, relayed uint64, waiting map[string]bool) (more bool, err error) {
	if err := tx.DropRevisions(relayed, settleBatch); err != nil {
		return false, err
	}
	rest, err := tx.Revisions(0, 1)
	if err != nil {
		return false, err
	}
	more = len(rest) > 0 && rest[0].Number <= relayed
	results, err := tx.Results(0, settleBatch)
	for _, result := range results {
		more = true
		err = errors.Join(err, tx.DropResult(result.Number))
	}
	letters, failed := tx.Letters("", 1<<30)
	for _, l := range letters {
		if !waiting[l.User] {
			failed = errors.Join(failed, tx.DropLetter(&l))
		}
	}
	return more, errors.Join(err, failed)
}

// compare says whether both stores are in the same state, and what is not.
func (b *rebuild) compare(done Rebuilt) (Rebuilt, error) {
	live, err := b.live.Snapshot()
	if err != nil {
		return done, err
	}
	fresh, err := b.fresh.Snapshot()
	if err != nil {
		return done, err
	}
	done.Store, done.From, done.To, done.Revision = fresh.Store, b.from, b.to, fresh.Revision
	done.Digest, done.Live = summary(fresh).Digest, summary(live).Digest
	done.Equal = fresh.Digest == live.Digest
	if err := b.fresh.View(func(tx *store.Tx) error { done.Users, _ = tx.CountUsers(); return nil }); err != nil || done.Equal {
		return done, err
	}
	err = differences(b.live, b.fresh, func(d Difference) error {
		done.Differences++
		if b.options.Difference == nil {
			return nil
		}
		return b.options.Difference(d)
	})
	return done, err
}

func (b *rebuild) close() (err error) {
	if b.fresh != nil {
		err = b.fresh.Close()
	}
	if b.live != nil {
		err = errors.Join(err, b.live.Close(), os.Remove(b.options.Into+".live"))
	}
	return err
}
