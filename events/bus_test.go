package events_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/store"
)

// openBus starts a broker in a temporary folder with all streams.
func openBus(t *testing.T) *events.Bus {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	bus, err := events.Connect(b.URL(), func(err error) { t.Error(err) }, b.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	if err := bus.EnsureStreams(t.Context(), events.StreamOptions{Replicas: 1, Keep: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return bus
}

// A stream that is right already is not touched, and one that an operator decides about anew is.
func TestStreamsAreLeftAlone(t *testing.T) {
	bus := openBus(t)
	updates, err := bus.Conn.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.UPDATED.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, bound := range []int64{0, 1 << 20} { // the first changes nothing
		o := events.StreamOptions{Replicas: 1, Keep: time.Hour, MaxBytes: map[string]int64{events.UsersStream: bound}}
		if err := bus.EnsureStreams(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	first, err := updates.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(first.Subject, "."+events.UsersStream) {
		t.Errorf("%s is updated first", first.Subject)
	}
	if second, err := updates.NextMsg(200 * time.Millisecond); err == nil {
		t.Errorf("%s is updated too", second.Subject)
	}
}

func TestBrokerRefusesStrangers(t *testing.T) {
	b, err := broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	if bus, err := events.Connect(b.URL(), func(error) {}); err == nil {
		bus.Close()
		t.Fatal("connected without credentials")
	}
}

func TestBatchIsGuardedByTheLastSequence(t *testing.T) {
	bus := openBus(t)
	message := func(n uint64) events.Message {
		return events.RevisionMessage("store", store.Revision{Number: n, Subject: fmt.Sprintf("users.updated.u%d", n), Body: []byte(`{}`)})
	}
	zero := uint64(0)
	last, err := bus.PublishBatch(t.Context(), []events.Message{message(1), message(2)}, &zero)
	if err != nil || last != 2 {
		t.Fatalf("first batch: last %d, %v", last, err)
	}
	if _, err := bus.PublishBatch(t.Context(), []events.Message{message(3)}, &zero); !errors.Is(err, events.ErrMoved) {
		t.Fatalf("a batch behind a stale sequence: %v, want ErrMoved", err)
	}
	if last, err = bus.PublishBatch(t.Context(), []events.Message{message(3)}, &last); err != nil || last != 3 {
		t.Fatalf("third: last %d, %v", last, err)
	}
}

func TestOneJobPerSource(t *testing.T) {
	bus := openBus(t)
	if _, err := bus.Publish(t.Context(), events.JobSubject("people"), "", []byte("1")); err != nil {
		t.Fatal(err)
	}
	_, err := bus.Publish(t.Context(), events.JobSubject("people"), "", []byte("2"))
	var apiErr *jetstream.APIError
	if !errors.As(err, &apiErr) || apiErr.ErrorCode != 10077 {
		t.Fatalf("second job: %v, want 10077", err)
	}
}

func TestSubscribeGoesOnAfterARevision(t *testing.T) {
	bus := openBus(t)
	var last uint64
	for _, n := range []uint64{1, 2, 3, 1000, 1001, 1002} { // a reset skipped 4 to 999
		body := fmt.Appendf(nil, `{"revision":%d,"kind":"updated","user":{"user_name":"alice"}}`, n)
		var err error
		last, err = bus.PublishBatch(t.Context(), []events.Message{events.RevisionMessage("s", store.Revision{Number: n, Subject: "users.updated.u", Body: body})}, &last)
		if err != nil {
			t.Fatal(err)
		}
	}
	for after, want := range map[uint64]int{0: 6, 2: 4, 3: 3, 999: 3, 1000: 2, 1001: 1} {
		var got []uint64
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := events.Subscribe(ctx, bus.Conn, events.SubscribeOptions{After: after}, func(e events.UserChanged) error {
			got = append(got, e.Revision)
			if e.Revision == 1002 {
				return events.ErrStop
			}
			return nil
		})
		cancel()
		if err != nil || len(got) != want {
			t.Errorf("after %d: revisions %v, %v; want %d of them", after, got, err, want)
		}
	}
}

func TestDurableSubscriberRetriesInOrder(t *testing.T) {
	bus := openBus(t)
	for n := uint64(1); n <= 3; n++ {
		after := n - 1
		body := fmt.Appendf(nil, `{"revision":%d}`, n)
		if _, err := bus.PublishBatch(t.Context(), []events.Message{events.RevisionMessage("s", store.Revision{Number: n, Subject: "users.updated.u", Body: body})}, &after); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []uint64
	failed := false
	err := events.Subscribe(ctx, bus.Conn, events.SubscribeOptions{Durable: "mail"}, func(e events.UserChanged) error {
		got = append(got, e.Revision)
		if e.Revision == 2 && !failed {
			failed = true
			return errors.New("mail server is away")
		}
		if e.Revision == 3 {
			cancel()
		}
		return nil
	})
	if want := fmt.Sprint([]uint64{1, 2, 2, 3}); fmt.Sprint(got) != want {
		t.Fatalf("handled %v (%v), want %s", got, err, want)
	}
}

// What a consumer of another stream delivers into USERS is no event, and hides none from who goes on after a revision. What one of USERS
// delivers there the server refuses.
func TestCopiesAreNoEvents(t *testing.T) {
	bus := openBus(t)
	stream, err := bus.JetStream.Stream(t.Context(), events.UsersStream)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.Duplicates = 100 * time.Millisecond // so that it is not refused for that
	if _, err := bus.JetStream.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var last uint64
	publish := func(from, to uint64) {
		for n := from; n <= to; n++ {
			if last, err = bus.PublishBatch(t.Context(), []events.Message{events.RevisionMessage("s", store.Revision{Number: n, Subject: "users.updated.u",
				Body: fmt.Appendf(nil, `{"revision":%d,"kind":"updated"}`, n)})}, &last); err != nil {
				t.Fatal(err)
			}
		}
	}
	deliver := func(from, filter string, copies, taken uint64) {
		t.Helper()
		consumer, err := bus.JetStream.CreateConsumer(t.Context(), from, jetstream.ConsumerConfig{Name: from, FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy})
		if err != nil {
			t.Fatal(err)
		}
		if err := bus.Conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+from+"."+from, "rollcall.users.updated.u", fmt.Appendf(nil, `{"batch":%d,"expires":1000000000}`, copies)); err != nil {
			t.Fatal(err)
		}
		comes(t, "the copies", func() bool {
			info, err := consumer.Info(t.Context())
			return err == nil && info.Delivered.Consumer == copies
		})
		time.Sleep(200 * time.Millisecond) // for those that the stream must not take
		last += taken
		comes(t, "the stream's end", func() bool {
			info, err := stream.Info(t.Context())
			return err == nil && info.State.LastSeq == last
		})
	}
	publish(1, 3)
	time.Sleep(200 * time.Millisecond)
	deliver(events.UsersStream, "rollcall.users.*.*", 3, 0)
	header := nats.Header{"ce-type": {"rollcall.raw.corp"}, "ce-subject": {"f"}, "ce-sequence": {"0"}}
	if _, err := bus.JetStream.PublishMsg(t.Context(), &nats.Msg{Subject: "rollcall.raw.corp.f", Data: []byte(`{}`), Header: header}); err != nil {
		t.Fatal(err)
	}
	deliver(events.RawStream, "rollcall.raw.corp.*", 1, 1)
	publish(4, 5)
	for after := range uint64(6) {
		var got, want []uint64
		for n := after + 1; n <= 5; n++ {
			want = append(want, n)
		}
		err := events.ReadAvailable(t.Context(), bus.Conn, events.SubscribeOptions{After: after}, func(e events.UserChanged) error {
			got = append(got, e.Revision)
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("after %d: revisions %v, %v; want %v", after, got, err, want)
		}
	}
}

// comes waits for something that comes by itself.
func comes(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// A server keeps few readers of one stream: a read that is over must leave none behind.
func TestReadersLeaveNothingBehind(t *testing.T) {
	bus := openBus(t)
	if _, err := bus.Publish(t.Context(), events.LogSubject("people", "started"), "1", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := bus.ReadAll(t.Context(), events.LogStream, "rollcall.log.>", func(jetstream.Msg) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := bus.JetStream.Stream(t.Context(), events.LogStream)
	if err != nil {
		t.Fatal(err)
	}
	if left := stream.CachedInfo().State.Consumers; left != 0 {
		t.Fatalf("%d readers are left behind", left)
	}
}

// A reader that asks for more than the server buffers for one connection (64 MiB) is thrown out by it, and with it every request
// that was on its way over the same connection.
func TestReadersKeepTheConnection(t *testing.T) {
	bus := openBus(t)
	const messages = 240
	body := make([]byte, 500<<10)
	for range messages {
		if _, err := bus.JetStream.PublishAsync("rollcall.changes.big.1", body); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-bus.JetStream.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("not published within a minute")
	}
	read := 0
	err := bus.ReadAll(t.Context(), events.ChangesStream, "rollcall.changes.big.1", func(jetstream.Msg) error {
		if read++; read == 1 {
			time.Sleep(300 * time.Millisecond)
		}
		return nil
	})
	if err != nil || read != messages {
		t.Fatalf("read %d of %d messages: %v", read, messages, err)
	}
	if n := bus.Conn.Stats().Reconnects; n > 0 {
		t.Errorf("the connection was lost %d times while reading", n)
	}
}

// Nothing that is said of an address shows who signs in there.
func TestRedacted(t *testing.T) {
	for url, want := range map[string]string{
		"nats://a:4222": "nats://a:4222",
		"nats://u:s3cret@a:4222,tls://t0ken@b:4222": "nats://a:4222,tls://b:4222",
		"nats://u:s3cr@t@a:4222":                    "nats://a:4222",
		"u:s3cret@a:4222":                           "a:4222",
		"":                                          "",
	} {
		if got := events.Redacted(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	for _, url := range []string{"nats://u:s3cret@127.0.0.1:1", "nats://u:s3cret@127.0.0.1:x1", "nats://u:s3cret@[::1"} {
		if _, err := events.Connect(url, func(error) {}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A server that falls silent, as one does behind a pulled cable, says no good-bye: the connection goes to another one by itself.
func TestASilentServerIsLeft(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	cable := layCable(t, strings.TrimPrefix(b.URL(), "nats://"))
	bus, err := events.Connect("nats://"+cable.address+","+b.URL(), func(error) {}, append(b.Options(), nats.DontRandomize())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	if got := bus.Conn.ConnectedAddr(); got != cable.address {
		t.Fatalf("connected to %s, want %s", got, cable.address)
	}
	cable.pulled.Store(true)
	for begun := time.Now(); bus.Conn.ConnectedAddr() == cable.address; time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("still connected to the server that says nothing")
		}
	}
}

// cable is a way to a server that swallows everything once it is pulled.
type cable struct {
	address string
	pulled  atomic.Bool
}

func layCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c := &cable{address: l.Addr().String()}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go c.carry(near, far)
			go c.carry(far, near)
		}
	}()
	return c
}

func (c *cable) carry(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if c.pulled.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
