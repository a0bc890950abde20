package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrStop makes [Bus.Follow] and [Bus.ReadAll] return nil.
var ErrStop = errors.New("stop")

// FollowOptions say where a reader begins and what it gets.
type FollowOptions struct {
	// From is the first sequence to read, 0 for the first one there is.
	From uint64
	// Since is the time of the first message to read, when From is 0.
	Since time.Time
	// Subjects filter the stream, none for all.
	Subjects []string
	// HeadersOnly leaves the data out.
	HeadersOnly bool
}

// ReadAhead is how many bytes of messages a reader has on the way. The server throws a connection out that leaves 64 MiB unread, and
// the requests that are on their way over it are lost. It must hold several messages of the largest size, 1 MiB.
const ReadAhead = 8 << 20

// Follow calls fn for every message of a stream in order, those there are and those to come, until fn fails
// or ctx is done. It keeps no position: that is the caller's.
func (b *Bus) Follow(ctx context.Context, stream string, o FollowOptions, fn func(jetstream.Msg) error) error {
	consumer, err := patiently(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return b.JetStream.OrderedConsumer(ctx, stream, o.consumer())
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(ReadAhead))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer b.drop(stream, consumer)
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if err := fn(msg); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
}

// Messages takes messages from a consumer that others may share. A request for messages that got lost, because the servers chose
// another leader, is made again when nothing was heard for four seconds.
func Messages(c jetstream.Consumer, o ...jetstream.PullMessagesOpt) (jetstream.MessagesContext, error) {
	return c.Messages(append(o, jetstream.PullHeartbeat(2*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(false))...)
}

// drop deletes a reader's consumer. Without it the server would keep it for minutes, and a stream may have only so many: many
// short reads would use them up.
func (b *Bus) drop(stream string, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if info := consumer.CachedInfo(); info != nil { // a failure is mended by the server's own limit
		_ = b.JetStream.DeleteConsumer(ctx, stream, info.Name)
	}
}

// ReadAll calls fn for every message that the stream has now under the subject, in order.
func (b *Bus) ReadAll(ctx context.Context, stream, subject string, fn func(jetstream.Msg) error) error {
	last, err := b.last(ctx, stream, subject)
	if err != nil || last == 0 {
		return err
	}
	return b.Follow(ctx, stream, FollowOptions{Subjects: []string{subject}}, func(msg jetstream.Msg) error {
		if err := fn(msg); err != nil {
			return err
		}
		if meta, err := msg.Metadata(); err != nil || meta.Sequence.Stream >= last {
			return errors.Join(err, ErrStop)
		}
		return nil
	})
}

// last returns the sequence of the last message under the subject, 0 when there is none.
func (b *Bus) last(ctx context.Context, stream, subject string) (uint64, error) {
	s, err := b.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	msg, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream %s: last message under %s: %w", stream, subject, err)
	}
	return msg.Sequence, nil
}

func (o FollowOptions) consumer() jetstream.OrderedConsumerConfig {
	c := jetstream.OrderedConsumerConfig{FilterSubjects: o.Subjects, HeadersOnly: o.HeadersOnly, DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case o.From > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, o.From
	case !o.Since.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &o.Since
	}
	return c
}
