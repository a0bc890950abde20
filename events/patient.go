package events

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Patiently asks again where a cluster does not answer: while it chooses a stream's leader, questions about the stream get lost. It
// gives up after a minute.
func Patiently(ctx context.Context, ask func(context.Context) error) error {
	return patient(ctx, func() error {
		one, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		return ask(one)
	})
}

func patient(ctx context.Context, ask func() error) error {
	for begun := time.Now(); ; {
		err := ask()
		if !isUnanswered(err) || ctx.Err() != nil || time.Since(begun) > time.Minute {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(patienceWait):
		}
	}
}

// isUnanswered reports whether a cluster may answer otherwise in a moment: it has no leader yet, or misses servers that are starting.
func isUnanswered(err error) bool {
	var refused *jetstream.APIError
	if errors.As(err, &refused) {
		return refused.ErrorCode == 10005 || refused.ErrorCode == 10008 // no peers to place a stream on; temporarily unavailable
	}
	return errors.Is(err, errUncertain) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
}

// errUncertain means that a server told of a stream what may be long out of date.
var errUncertain = errors.New("the server that answered is cut off from most others that hold the stream")

// leaderTerm is how soon the others choose another leader when they do not hear from theirs: 4 to 9 seconds, NATS 2.15.
const leaderTerm = 4 * time.Second

// certain fails unless the leader of the stream told of it, and has heard from most of the others lately. A server that knows no leader tells
// what its own copy says, and so does a leader that was cut off and does not know yet that there is another one. When its cable is
// back in, it goes on like that until its connections are: for 20 seconds and more.
func certain(s *jetstream.StreamInfo) error {
	c := s.Cluster
	if c == nil || len(c.Replicas) == 0 && c.Leader != "" { // the only one there is
		return nil
	}
	heard := 1
	for _, r := range c.Replicas {
		if r.Active > 0 && r.Active < leaderTerm {
			heard++
		}
	}
	if c.Leader == "" || heard <= (len(c.Replicas)+1)/2 {
		return errUncertain
	}
	return nil
}

func patiently[T any](ctx context.Context, ask func(context.Context) (T, error)) (answer T, err error) {
	err = Patiently(ctx, func(ctx context.Context) (err error) { answer, err = ask(ctx); return err })
	return answer, err
}

// Stream looks a stream up, [Patiently], and reads messages of it in the same way. What it tells of the stream is what most of the servers
// that hold it agreed upon, not what one of them says that was cut off.
func (b *Bus) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := patiently(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		s, err := b.JetStream.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		return s, certain(s.CachedInfo())
	})
	if err != nil {
		return nil, err
	}
	return patientStream{s}, nil
}

type patientStream struct{ jetstream.Stream }

func (s patientStream) Info(ctx context.Context, o ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	return patiently(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		info, err := s.Stream.Info(ctx, o...)
		if err != nil {
			return nil, err
		}
		return info, certain(info)
	})
}

func (s patientStream) GetMsg(ctx context.Context, sequence uint64, o ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	return patiently(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.Stream.GetMsg(ctx, sequence, o...)
	})
}

func (s patientStream) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return patiently(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.Stream.GetLastMsgForSubject(ctx, subject)
	})
}

// KeyValue looks a bucket up, [Patiently], and reads its values in the same way.
func (b *Bus) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := patiently(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return b.JetStream.KeyValue(ctx, bucket) })
	if err != nil {
		return nil, err
	}
	return patientBucket{kv}, nil
}

type patientBucket struct{ jetstream.KeyValue }

func (b patientBucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return patiently(ctx, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return b.KeyValue.Get(ctx, key) })
}

// ObjectStore looks an object store up, [Patiently].
func (b *Bus) ObjectStore(ctx context.Context, name string) (jetstream.ObjectStore, error) {
	return patiently(ctx, func(ctx context.Context) (jetstream.ObjectStore, error) { return b.JetStream.ObjectStore(ctx, name) })
}

// PutObject puts a file, from its beginning, into an object store: again where a cluster does not answer, as [Patiently] does.
func PutObject(ctx context.Context, into jetstream.ObjectStore, meta jetstream.ObjectMeta, file io.ReadSeeker) (object *jetstream.ObjectInfo, err error) {
	err = patient(ctx, func() error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		object, err = into.Put(ctx, meta, bufio.NewReaderSize(file, 1<<20))
		return err
	})
	return object, err
}

// Consumer creates a durable consumer, or brings it up to date, [Patiently].
func (b *Bus) Consumer(ctx context.Context, stream string, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	return patiently(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return b.JetStream.CreateOrUpdateConsumer(ctx, stream, c)
	})
}
