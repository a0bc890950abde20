package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/store"
)

// Lag is how far the stages are behind.
type Lag struct {
	// Records wait at the normalizers or are with one, Messages of LOG wait for the reconciler, Revisions for the relay.
	Records   uint64 `json:"records"`
	Messages  uint64 `json:"messages"`
	Revisions uint64 `json:"revisions"`
	// Unapplied is the age in seconds of the oldest record or message of LOG among them, Unrelayed of the oldest revision.
	Unapplied float64 `json:"unapplied_seconds"`
	Unrelayed float64 `json:"unrelayed_seconds"`
}

// StreamUse is how full a stream is.
type StreamUse struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	// Limit is how many bytes it may have, 0 for no limit of its own.
	Limit uint64 `json:"limit,omitempty"`
	// Oldest is when its first message was written, zero for an empty stream.
	Oldest time.Time `json:"oldest,omitzero"`
}

// Reader is somebody who will go on somewhere in a stream: a snapshot, whose store goes on in LOG behind it, or a durable subscriber of
// USERS.
type Reader struct {
	Name   string `json:"name"`
	Stream string `json:"stream"`
	// Next is the sequence to go on at, First and Last are those of the stream.
	Next  uint64 `json:"next"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// endangered reports whether what the reader wants next is in the oldest fifth of what the stream has, or gone.
func (r Reader) endangered() bool {
	return r.Next <= r.Last && float64(r.Next) < float64(r.First)+(1-alarmAt)*float64(r.Last+1-r.First)
}

// Room is what the streams and the store take, and what there is.
type Room struct {
	Streams []StreamUse `json:"streams"`
	Readers []Reader    `json:"readers,omitempty"`
	// Now is the clock that stamps messages.
	Now time.Time `json:"-"`
	// Used and Limit are the bytes of all streams and what the NATS server gives them, Limit 0 for no limit.
	Used  uint64 `json:"used"`
	Limit uint64 `json:"limit,omitempty"`
	// Store is the size of the store's file, DiskFree and DiskSize of the disk that it lies on, 0 where that is not known.
	Store    uint64 `json:"store"`
	DiskFree uint64 `json:"disk_free,omitempty"`
	DiskSize uint64 `json:"disk_size,omitempty"`
}

// alarmAt is the share of a limit at which there is an alarm.
const alarmAt = 0.8

// diskAlarmAt is the same for the disk.
const diskAlarmAt = 0.9

// Alarm says what will soon be full or lost.
type Alarm struct {
	// About is what it is about, the same as long as it lasts.
	About string `json:"about"`
	Text  string `json:"text"`
}

// Alarms returns what will soon be full or lost, nothing when all is well. keep is how long the streams keep history.
func Alarms(l Lag, r Room, keep time.Duration) (alarms []Alarm) {
	say := func(about, format string, args ...any) {
		alarms = append(alarms, Alarm{about, fmt.Sprintf(format, args...)})
	}
	for _, s := range r.Streams {
		if full(s.Bytes, s.Limit, alarmAt) {
			say("stream "+s.Name, "stream %s has %d %% of its %d bytes; beyond them its oldest messages go or no more are taken", s.Name, 100*s.Bytes/s.Limit, s.Limit)
		}
	}
	if full(r.Used, r.Limit, alarmAt) {
		say("streams", "the streams have %d %% of the %d bytes that the NATS server gives them; beyond them nothing is taken", 100*r.Used/r.Limit, r.Limit)
	}
	if full(r.DiskSize-r.DiskFree, r.DiskSize, diskAlarmAt) {
		say("disk", "the disk under the store is %d %% full, %d bytes are free", 100-100*r.DiskFree/r.DiskSize, r.DiskFree)
	}
	if oldest := time.Duration(max(l.Unapplied, l.Unrelayed) * float64(time.Second)); keep > 0 && oldest > time.Duration(alarmAt*float64(keep)) {
		say("history", "something has waited for %s, and the streams keep it for %s only", oldest.Round(time.Second), keep)
	}
	for _, reader := range r.Readers {
		if reader.endangered() && r.loses(reader, keep) {
			say("reader "+reader.Name, "%s goes on at message %d of %s, which begins at %d and loses its oldest messages", reader.Name, reader.Next, reader.Stream, reader.First)
		}
	}
	return alarms
}

// loses reports whether a reader's stream loses its oldest messages, or soon will.
func (r Room) loses(reader Reader, keep time.Duration) bool {
	for _, s := range r.Streams {
		if s.Name == reader.Stream {
			old := keep > 0 && !s.Oldest.IsZero() && r.Now.Sub(s.Oldest) > time.Duration(alarmAt*float64(keep))
			return reader.First > 1 || old || full(s.Bytes, s.Limit, alarmAt)
		}
	}
	return false
}

func full(used, limit uint64, share float64) bool {
	return limit > 0 && float64(used) >= share*float64(limit)
}

// gauge measures how the pipeline stands, where the store is.
type gauge struct {
	bus *events.Bus
	db  *store.DB
}

// measure measures lag and room.
func (g *gauge) measure(ctx context.Context) (l Lag, r Room, err error) {
	if l, err = g.lag(ctx); err == nil {
		r, err = g.room(ctx)
	}
	return l, r, err
}

// lag measures how far the stages are behind.
func (g *gauge) lag(ctx context.Context) (l Lag, err error) {
	var position store.Position
	var oldest []store.Revision
	if err := g.db.View(func(tx *store.Tx) (err error) {
		position = tx.LogPosition()
		head, _ := tx.Head()
		relayed := tx.RelayPosition().Revision
		if head > relayed {
			l.Revisions = head - relayed
		}
		oldest, err = tx.Revisions(relayed, 1)
		return err
	}); err != nil {
		return l, err
	}
	log, err := g.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return l, fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	now := log.CachedInfo().TimeStamp // the clock that stamps messages, not ours
	if end := log.CachedInfo().State.LastSeq; end > position.Sequence {
		l.Messages = end - position.Sequence
		if l.Unapplied, err = age(ctx, log, position.Sequence+1, now); err != nil {
			return l, err
		}
	}
	if len(oldest) > 0 {
		l.Unrelayed = max(0, now.Sub(oldest[0].Time).Seconds())
	}
	err = g.records(ctx, &l, now)
	return l, err
}

// records measures what waits for normalizers.
func (g *gauge) records(ctx context.Context, l *Lag, now time.Time) error {
	raw, err := g.bus.Stream(ctx, events.RawStream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", events.RawStream, err)
	}
	consumer, err := raw.Consumer(ctx, normalizerConsumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) { // no normalizer ever was
		l.Records = raw.CachedInfo().State.Msgs
		return nil
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", normalizerConsumer, err)
	}
	info := consumer.CachedInfo()
	if l.Records = info.NumPending + uint64(info.NumAckPending); l.Records == 0 {
		return nil
	}
	waits, err := age(ctx, raw, info.AckFloor.Stream+1, now)
	l.Unapplied = max(l.Unapplied, waits)
	return err
}

// age returns how many seconds ago a message was written, 0 for one that is not there.
func age(ctx context.Context, stream jetstream.Stream, sequence uint64, now time.Time) (float64, error) {
	msg, err := stream.GetMsg(ctx, sequence)
	if isMissing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return max(0, now.Sub(msg.Time).Seconds()), nil
}

// room measures what is taken of what there is.
func (g *gauge) room(ctx context.Context) (r Room, err error) {
	listed := g.bus.JetStream.ListStreams(ctx)
	for info := range listed.Info() {
		r.Now = info.TimeStamp
		use := StreamUse{Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes}
		if info.State.Msgs > 0 {
			use.Oldest = info.State.FirstTime
		}
		if info.Config.MaxBytes > 0 {
			use.Limit = uint64(info.Config.MaxBytes)
		}
		r.Streams = append(r.Streams, use)
		r.Used += use.Bytes * uint64(max(1, info.Config.Replicas))
	}
	if err := listed.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return r, fmt.Errorf("list streams: %w", err)
	}
	if r.Readers, err = g.readers(ctx); err != nil {
		return r, err
	}
	account, err := g.bus.JetStream.AccountInfo(ctx)
	if err != nil {
		return r, fmt.Errorf("the streams' limits: %w", err)
	}
	if account.Limits.MaxStore > 0 {
		r.Limit = uint64(account.Limits.MaxStore)
	}
	if info, err := os.Stat(g.db.Path()); err == nil {
		r.Store = uint64(info.Size())
	}
	r.DiskFree, r.DiskSize = diskOf(g.db.Path())
	return r, nil
}

// readers finds who will go on in LOG and USERS.
func (g *gauge) readers(ctx context.Context) (all []Reader, err error) {
	log, err := g.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", events.LogStream, err)
	}
	kept, _, err := listSnapshots(ctx, g.bus)
	if err != nil {
		return nil, err
	}
	state := log.CachedInfo().State
	snapshot := Reader{Name: "a store without a snapshot", Stream: events.LogStream, Next: 1, First: state.FirstSeq, Last: state.LastSeq}
	if i := slices.IndexFunc(kept, func(s Snapshot) bool { return s.Log.Created.Equal(log.CachedInfo().Created) }); i >= 0 {
		snapshot.Name, snapshot.Next = "the latest snapshot", kept[i].LogEnd+1
	}
	subscribers, err := g.subscribers(ctx)
	return append(subscribers, snapshot), err
}

// subscribers are those of USERS whose place NATS keeps.
func (g *gauge) subscribers(ctx context.Context) (all []Reader, err error) {
	users, err := g.bus.Stream(ctx, events.UsersStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", events.UsersStream, err)
	}
	state := users.CachedInfo().State
	if state.Consumers == 0 {
		return nil, nil
	}
	listed := users.ListConsumers(ctx)
	for info := range listed.Info() {
		if info.Config.Durable == "" || info.NumPending+uint64(info.NumAckPending) == 0 {
			continue
		}
		next, err := wants(ctx, users, info)
		if err != nil {
			return nil, fmt.Errorf("consumer %s of %s: %w", info.Name, events.UsersStream, err)
		}
		all = append(all, Reader{Name: "subscriber " + info.Name, Stream: events.UsersStream, Next: next, First: state.FirstSeq, Last: state.LastSeq})
	}
	if err := listed.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("consumers of %s: %w", events.UsersStream, err)
	}
	return all, nil
}

// wants returns the first message of a stream that a consumer has not acknowledged; of one that wants few subjects it may be far behind the last
// that it has.
func wants(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo) (uint64, error) {
	next := info.AckFloor.Stream + 1
	filters := info.Config.FilterSubjects
	if info.Config.FilterSubject != "" {
		filters = []string{info.Config.FilterSubject}
	}
	var first uint64
	for _, filter := range filters {
		msg, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(filter))
		if isMissing(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if first == 0 || msg.Sequence < first {
			first = msg.Sequence
		}
	}
	return max(first, next), nil
}
