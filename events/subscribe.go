package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SubscribeOptions say which events a subscriber wants.
type SubscribeOptions struct {
	// Durable names a consumer that NATS keeps: the subscriber goes on where it stopped, and several
	// processes of one name share the events. Empty: a reader of its own that keeps its position itself.
	Durable string
	// After is the last revision that was handled: the first event is the next one there is.
	After uint64
	// Since starts at a time instead.
	Since time.Time
	// Kinds are the kinds of events wanted ("created", "updated", …), none for all.
	Kinds []string
}

// Subscribe calls handle for every user-changed event until ctx is done or, without a durable name, handle
// fails. With one, a failed event is delivered again after a second. Delivery is at least once and, per user,
// in order; compare UserChanged.Revision with the last one handled. Revisions of groups are left out: see [SubscribeGroups].
// Events that are missing, because the subscriber was away for longer than they are kept, are not noticed: [Bootstrap] notices them. An
// event of the kind "reset" tells whoever gets all kinds that the stream lost events, or that what it told was not so.
func Subscribe(ctx context.Context, nc *nats.Conn, o SubscribeOptions, handle func(UserChanged) error) error {
	return subscribe(ctx, nc, o, userReader(handle))
}

// ReadAvailable calls handle for the events that there are, and returns behind the last one.
func ReadAvailable(ctx context.Context, nc *nats.Conn, o SubscribeOptions, handle func(UserChanged) error) error {
	return readAvailable(ctx, nc, o, userReader(handle))
}

// reader is what somebody does with the events of users or of groups.
type reader struct {
	// topic is "users" or "groups".
	topic string
	// handle reports whether the message was an event at all.
	handle func(header nats.Header, body []byte) (parsed bool, err error)
}

func userReader(handle func(UserChanged) error) reader {
	return reader{topic: "users", handle: func(header nats.Header, body []byte) (parsed bool, err error) {
		e, err := ParseUserChanged(header, body)
		if err != nil {
			return false, err
		}
		return true, handle(e)
	}}
}

func subscribe(ctx context.Context, nc *nats.Conn, o SubscribeOptions, r reader) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	b := &Bus{Conn: nc, JetStream: js}
	if o.Durable != "" {
		return b.subscribeDurable(ctx, o, r)
	}
	return b.readEvents(ctx, o, r, func(jetstream.Msg) error { return nil })
}

func readAvailable(ctx context.Context, nc *nats.Conn, o SubscribeOptions, r reader) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	b := &Bus{Conn: nc, JetStream: js}
	var last uint64
	for _, subject := range o.subjects(r.topic) {
		of, err := b.last(ctx, UsersStream, subject)
		if err != nil {
			return err
		}
		last = max(last, of)
	}
	from, err := b.sequenceAfter(ctx, o.After)
	if err != nil || from > last || last == 0 || !o.Since.IsZero() && o.Since.After(time.Now()) {
		return err
	}
	return b.readEvents(ctx, o, r, func(msg jetstream.Msg) error {
		if meta, err := msg.Metadata(); err != nil || meta.Sequence.Stream >= last {
			return errors.Join(err, ErrStop)
		}
		return nil
	})
}

// readEvents hands events over in order; then is called behind each.
func (b *Bus) readEvents(ctx context.Context, o SubscribeOptions, r reader, then func(jetstream.Msg) error) error {
	from, err := b.sequenceAfter(ctx, o.After)
	if err != nil {
		return err
	}
	follow := FollowOptions{From: from, Since: o.Since, Subjects: o.subjects(r.topic)}
	if from > 0 {
		follow.Since = time.Time{}
	}
	return b.Follow(ctx, UsersStream, follow, func(msg jetstream.Msg) error {
		if GenuineEvent(msg.Subject(), msg.Headers()) && RevisionOf(msg.Headers()) > o.After {
			if _, err := r.handle(msg.Headers(), msg.Data()); err != nil {
				return err
			}
		}
		return then(msg)
	})
}

func (b *Bus) subscribeDurable(ctx context.Context, o SubscribeOptions, r reader) error {
	c, err := b.Consumer(ctx, UsersStream, jetstream.ConsumerConfig{
		Durable: o.Durable, FilterSubjects: o.subjects(r.topic), AckPolicy: jetstream.AckExplicitPolicy,
		MaxAckPending: 1, // one at a time, or a retry would overtake: per user in order
		AckWait:       30 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("subscribe as %s: %w", o.Durable, err)
	}
	messages, err := Messages(c)
	if err != nil {
		return fmt.Errorf("subscribe as %s: %w", o.Durable, err)
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		msg, err := messages.Next()
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if err := o.deliver(msg, r); err != nil {
			return err
		}
	}
}

// deliver hands one message over: done, or again in a second.
func (o SubscribeOptions) deliver(msg jetstream.Msg, r reader) error {
	if !GenuineEvent(msg.Subject(), msg.Headers()) || RevisionOf(msg.Headers()) <= o.After {
		return msg.Ack()
	}
	parsed, err := r.handle(msg.Headers(), msg.Data())
	switch {
	case err == nil:
		return msg.Ack()
	case parsed:
		return msg.NakWithDelay(time.Second)
	}
	return errors.Join(err, msg.TermWithReason("not an event"))
}

func (o SubscribeOptions) subjects(topic string) []string {
	if len(o.Kinds) == 0 {
		return []string{"rollcall." + topic + ".*.*"}
	}
	subjects := make([]string, len(o.Kinds))
	for i, kind := range o.Kinds {
		subjects[i] = "rollcall." + topic + "." + kind + ".*"
	}
	return subjects
}

// sequenceAfter returns where in USERS the first revision above the given one stands or will stand. Revisions only
// grow along the stream, but not evenly (a reset skips numbers): it is searched for.
func (b *Bus) sequenceAfter(ctx context.Context, revision uint64) (uint64, error) {
	if revision == 0 {
		return 0, nil
	}
	s, err := b.Stream(ctx, UsersStream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", UsersStream, err)
	}
	low, high := s.CachedInfo().State.FirstSeq, s.CachedInfo().State.LastSeq+1
	for low < high {
		middle := low + (high-low)/2
		event, err := firstEvent(ctx, s, middle, high)
		switch {
		case err != nil:
			return 0, err
		case event == nil || RevisionOf(event.Header) > revision:
			high = middle
		default:
			low = event.Sequence + 1
		}
	}
	return low, nil
}

// firstEvent returns the first event between two sequences, nil for none: messages may be missing, or be copies.
func firstEvent(ctx context.Context, s jetstream.Stream, from, end uint64) (*jetstream.RawStreamMsg, error) {
	for sequence := from; sequence < end; sequence++ {
		msg, err := s.GetMsg(ctx, sequence)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("stream %s: message %d: %w", UsersStream, sequence, err)
		}
		if err == nil && GenuineEvent(msg.Subject, Fetched(msg.Header, s.CachedInfo().Config.AllowDirect)) {
			return msg, nil
		}
	}
	return nil, nil
}
