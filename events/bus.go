package events

import (
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// MaxBatch is how many messages an atomic batch may have.
const MaxBatch = 1000

// ErrMoved means that the stream has other messages behind the expected last one: somebody else wrote.
var ErrMoved = errors.New("stream has moved on")

// Bus is a connection to NATS.
type Bus struct {
	Conn      *nats.Conn
	JetStream jetstream.JetStream
}

// Message is a message to publish.
type Message struct {
	Subject string
	Header  nats.Header
	Data    []byte
}

// pingEvery is how often a connection is tried. A server that was cut off says no good-bye: the third ping finds out, and the connection goes to
// another server in time for a standby to take over within ten seconds.
const pingEvery = 2 * time.Second

// Connect connects to NATS. It reconnects for ever, also when the server falls silent; asyncError is told what NATS refuses afterwards, such
// as a publish without permission.
func Connect(url string, asyncError func(error), options ...nats.Option) (*Bus, error) {
	options = append([]nats.Option{
		nats.Name("rollcall"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.Timeout(5 * time.Second),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { asyncError(err) }),
	}, options...)
	nc, err := nats.Connect(url, options...)
	if parsing := (*neturl.Error)(nil); errors.As(err, &parsing) {
		err = parsing.Err // the rest shows the address as it is
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", Redacted(url), err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(20*time.Second), jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Bus{Conn: nc, JetStream: js}, nil
}

// Close closes the connection.
func (b *Bus) Close() { b.Conn.Close() }

// Publish writes one message and returns its sequence. A message with the same id (not empty) within two
// minutes is written once.
func (b *Bus) Publish(ctx context.Context, subject, id string, data []byte) (uint64, error) {
	return b.PublishMessage(ctx, Message{Subject: subject, Data: data}, id)
}

// PublishMessage is [Bus.Publish] with headers.
func (b *Bus) PublishMessage(ctx context.Context, m Message, id string) (uint64, error) {
	opts := []jetstream.PublishOpt{jetstream.WithRetryAttempts(patience), jetstream.WithRetryWait(patienceWait)}
	if id != "" {
		opts = append(opts, jetstream.WithMsgID(id))
	}
	ack, err := b.JetStream.PublishMsg(ctx, m.stamped(ctx), opts...)
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", m.Subject, err)
	}
	return ack.Sequence, nil
}

// While the servers of a cluster choose a stream's leader nobody answers a publish, and nobody has taken it: it is sent again.
const (
	patience     = 40
	patienceWait = 250 * time.Millisecond
)

// PublishAfter writes one message if the stream's last sequence is after, and fails with [ErrMoved] otherwise.
func (b *Bus) PublishAfter(ctx context.Context, m Message, after uint64) (uint64, error) {
	ack, err := b.JetStream.PublishMsg(ctx, m.stamped(ctx), jetstream.WithExpectLastSequence(after), jetstream.WithRetryAttempts(patience), jetstream.WithRetryWait(patienceWait))
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", m.Subject, moved(err))
	}
	return ack.Sequence, nil
}

// PublishBatch writes the messages as one atomic batch, all or none, and returns the sequence of the last
// one. With after not nil it writes only if that is the stream's last sequence, and fails with [ErrMoved]
// otherwise. At most [MaxBatch] messages of one stream.
func (b *Bus) PublishBatch(ctx context.Context, messages []Message, after *uint64) (uint64, error) {
	for attempt := 1; ; attempt++ {
		sequence, err := b.publishBatch(ctx, messages, after)
		if !errors.Is(err, nats.ErrNoResponders) || attempt >= patience {
			return sequence, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(patienceWait):
		}
	}
}

func (b *Bus) publishBatch(ctx context.Context, messages []Message, after *uint64) (uint64, error) {
	batch := make([]*nats.Msg, len(messages))
	for i, m := range messages {
		batch[i] = &nats.Msg{Subject: m.Subject, Header: cloneHeader(m.Header), Data: m.Data}
		Trace(ctx, batch[i].Header)
	}
	if after != nil {
		batch[0].Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(*after, 10))
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ack, err := jetstreamext.PublishMsgBatch(ctx, b.JetStream, batch, jetstreamext.BatchFlowControl{AckTimeout: 10 * time.Second})
	if err != nil {
		return 0, fmt.Errorf("publish a batch of %d to %s: %w", len(batch), batch[0].Subject, moved(err))
	}
	return ack.Sequence, nil
}

// stamped makes a message that says where it belongs ([Genuine]) and in which trace it was made.
func (m Message) stamped(ctx context.Context) *nats.Msg {
	msg := &nats.Msg{Subject: m.Subject, Header: cloneHeader(m.Header), Data: m.Data}
	msg.Header.Set(SubjectHeader, m.Subject)
	Trace(ctx, msg.Header)
	return msg
}

// cloneHeader copies a header with room for the batch's own: publishing a batch writes into it.
func cloneHeader(h nats.Header) nats.Header {
	c := make(nats.Header, len(h)+3)
	for k, v := range h {
		c[k] = v
	}
	return c
}

// moved makes ErrMoved of the server's "wrong last sequence".
func moved(err error) error {
	var apiErr *jetstream.APIError
	if errors.As(err, &apiErr) && (apiErr.ErrorCode == 10071 || apiErr.ErrorCode == 10164) {
		return fmt.Errorf("%w: %w", ErrMoved, err)
	}
	return err
}

// Redacted returns the addresses of NATS servers without who signs in there: for logs and errors.
func Redacted(urls string) string {
	all := strings.Split(urls, ",")
	for i, one := range all {
		scheme, rest, found := strings.Cut(one, "://")
		if !found {
			scheme, rest = "", one
		}
		if rest = rest[strings.LastIndexByte(rest, '@')+1:]; found {
			rest = scheme + "://" + rest
		}
		all[i] = rest
	}
	return strings.Join(all, ",")
}
