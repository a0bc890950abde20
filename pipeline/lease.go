package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"rollcall/events"
)

// lease says which of several reconcilers leads: a key in JetStream that expires unless it is renewed. It saves work and decides
// who answers; what is written is kept apart by the streams' expected sequences.
type lease struct {
	bucket jetstream.KeyValue
	me     Reconciler

	mu       sync.Mutex
	revision uint64
	// until is when this process stops to trust its lease: before JetStream lets it go. Both clocks count: one stands still while
	// the machine sleeps, the other may be set.
	until time.Time
}

// Reconciler is a process with that role, as it tells of itself.
type Reconciler struct {
	ID   string `json:"id"`
	Name string `json:"name"` // host and process
	// Leads is true for the one that writes and answers; the others stand by.
	Leads bool `json:"leads"`
	// Log is the last message of LOG that it has handled, Revision its store's last one.
	Log      uint64 `json:"log"`
	Revision uint64 `json:"revision"`
}

const (
	// leaseTTL is how long a key stays that is not renewed.
	leaseTTL = 4 * time.Second
	// leaseTrust is how long a leader trusts a renewal, counted from before it was sent.
	leaseTrust = 3 * time.Second
	// leaseRenew is how often it renews, and a standby looks whether the key is gone.
	leaseRenew = 500 * time.Millisecond

	leaseKey     = "leader"
	memberPrefix = "reconciler."
)

// openLease opens the lease and creates its bucket when it is missing.
func openLease(ctx context.Context, bus *events.Bus, replicas int) (*lease, error) {
	bucket, err := bus.EnsureLeader(ctx, replicas, leaseTTL)
	if err != nil {
		return nil, err
	}
	return &lease{bucket: bucket, me: Reconciler{ID: uuid.NewString(), Name: processName()}}, nil
}

// leads reports whether this process may act as the leader now. It asks nobody: a process that was stopped for a while
// knows it at once.
func (l *lease) leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trusted(time.Now())
}

func (l *lease) trusted(now time.Time) bool {
	return now.Before(l.until) && now.Round(0).Before(l.until.Round(0))
}

// take takes the lease if nobody has it.
func (l *lease) take(ctx context.Context) (taken bool, err error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, leaseTrust/2)
	defer cancel()
	revision, err := l.bucket.Create(ctx, leaseKey, l.card(Reconciler{}))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.hold(revision, begun)
	return true, nil
}

// keep renews the lease until it is lost or ctx is done.
func (l *lease) keep(ctx context.Context) {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for l.leads() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if lost := l.renew(ctx); lost {
			l.drop()
		}
	}
}

// renew reports whether another process has taken the lease. No answer is no loss yet: the trust runs out by itself.
func (l *lease) renew(ctx context.Context) (lost bool) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, leaseTrust/2)
	defer cancel()
	l.mu.Lock()
	held := l.revision
	l.mu.Unlock()
	revision, err := l.bucket.Update(ctx, leaseKey, l.card(Reconciler{}), held)
	if err == nil {
		l.hold(revision, begun)
		return false
	}
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || refused.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		return false
	}
	return !l.adopt(ctx, begun)
}

// adopt takes over the revision of a renewal of ours whose answer was lost.
func (l *lease) adopt(ctx context.Context, begun time.Time) bool {
	entry, err := l.bucket.Get(ctx, leaseKey)
	var holder Reconciler
	if err != nil || json.Unmarshal(entry.Value(), &holder) != nil || holder.ID != l.me.ID {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision = entry.Revision()
	return l.trusted(begun)
}

func (l *lease) hold(revision uint64, begun time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision, l.until = revision, begun.Add(leaseTrust)
}

func (l *lease) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
}

// release gives the lease up, so that the next leader need not wait.
func (l *lease) release() {
	l.mu.Lock()
	held, mine := l.revision, l.trusted(time.Now())
	l.until = time.Time{}
	l.mu.Unlock()
	if !mine {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.bucket.Delete(ctx, leaseKey, jetstream.LastRevision(held)) // otherwise it expires
}

// tell tells others how far this process is.
func (l *lease) tell(ctx context.Context, log, revision uint64) error {
	_, err := l.bucket.Put(ctx, memberPrefix+l.me.ID, l.card(Reconciler{Log: log, Revision: revision, Leads: l.leads()}))
	return err
}

// leave tells others that this process goes.
func (l *lease) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.bucket.Purge(ctx, memberPrefix+l.me.ID) // otherwise it expires
}

func (l *lease) card(r Reconciler) []byte {
	r.ID, r.Name = l.me.ID, l.me.Name
	data, err := json.Marshal(r)
	if err != nil { // strings and numbers
		panic(err)
	}
	return data
}

// reconcilers returns who leads and who stands by, the leader first.
func (l *lease) reconcilers(ctx context.Context) ([]Reconciler, error) {
	keys, err := l.bucket.ListKeysFiltered(ctx, memberPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("who stands by: %w", err)
	}
	var all []Reconciler
	for key := range keys.Keys() {
		entry, err := l.bucket.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // it went meanwhile
		}
		var r Reconciler
		if err == nil {
			err = json.Unmarshal(entry.Value(), &r)
		}
		if err != nil {
			return nil, fmt.Errorf("who stands by: %w", err)
		}
		r.Leads = r.ID == l.me.ID // who is asked leads
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reconciler) int {
		if a.Leads != b.Leads {
			return map[bool]int{true: -1, false: 1}[a.Leads]
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

func isNoKey(err error) bool { return errors.Is(err, jetstream.ErrKeyNotFound) }

// fence keeps a process that lost its lease from answering: it would tell what was true, and take commands that somebody else
// has carried out.
func (s *service) fence(ctx context.Context, handler micro.HandlerFunc) micro.HandlerFunc {
	mayAnswer := func() bool { return s.lease == nil || ctx.Err() == nil && s.lease.leads() }
	return func(r micro.Request) {
		if mayAnswer() {
			handler(fencedRequest{r, s.bus.Conn, mayAnswer})
		}
	}
}

// fencedRequest is answered only as long as this process leads. Who asked asks again. The answer does not go through the request
// of package micro, which looks at what became of it when the handler has returned: ours answer later.
type fencedRequest struct {
	micro.Request
	conn      *nats.Conn
	mayAnswer func() bool
}

var errNotLeader = errors.New("this process leads no more")

// Respond answers in bytes.
func (r fencedRequest) Respond(data []byte, o ...micro.RespondOpt) error {
	return r.answer(&nats.Msg{Data: data}, o)
}

// RespondJSON answers in JSON.
func (r fencedRequest) RespondJSON(v any, o ...micro.RespondOpt) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return r.Respond(data, o...)
}

// Error answers that something is wrong.
func (r fencedRequest) Error(code, description string, data []byte, o ...micro.RespondOpt) error {
	return r.answer(&nats.Msg{Data: data, Header: nats.Header{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {description}}}, o)
}

func (r fencedRequest) answer(msg *nats.Msg, options []micro.RespondOpt) error {
	if !r.mayAnswer() {
		return errNotLeader
	}
	for _, set := range options {
		set(msg)
	}
	msg.Subject = r.Reply()
	return r.conn.PublishMsg(msg)
}

// greet fails with [ErrNoServer] where nobody answers. While reconcilers stand by, one of them will soon.
func (c *Client) greet(ctx context.Context) error {
	for begun := time.Now(); ; {
		asked, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err := c.Status(asked)
		cancel()
		unanswered := errors.Is(err, ErrNoServer) || errors.Is(err, context.DeadlineExceeded)
		if !unanswered || ctx.Err() != nil || time.Since(begun) > askFor/10 || !c.someStandBy(ctx) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(askAgain):
		}
	}
}

func (c *Client) someStandBy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	bucket, err := c.bus.KeyValue(ctx, events.LeaderBucket)
	if err != nil {
		return false
	}
	all, err := (&lease{bucket: bucket}).reconcilers(ctx)
	return err == nil && len(all) > 0
}
