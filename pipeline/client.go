package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// Client asks a running pipeline, in this process or another, through its NATS service.
type Client struct {
	bus   *events.Bus
	owned bool
}

// Close closes the client's own connection.
func (c *Client) Close() {
	if c.owned {
		c.bus.Close()
	}
}

// SyncOptions say what kind of run is wanted.
type SyncOptions struct {
	// Full reads everything, also where the source could say what changed.
	Full bool
	// DryRun plans and writes nothing.
	DryRun bool
	// RequireApproval holds the plan whatever the guard says.
	RequireApproval bool
	// Actor is who asks.
	Actor string
}

// Sync asks for a run of a source and returns the job's id. It fails with [ErrBusy] while another one waits or is going.
func (c *Client) Sync(ctx context.Context, source string, o SyncOptions) (job string, err error) {
	return call[string](ctx, c, "sources.sync", Job{Source: source, Full: o.Full, DryRun: o.DryRun, RequireApproval: o.RequireApproval, Actor: o.Actor})
}

// Follow waits for the result of a job and tells its progress meanwhile.
func (c *Client) Follow(ctx context.Context, source, job string, progress func(Progress)) (store.Run, error) {
	told, err := c.bus.Conn.Subscribe(events.ProgressSubject(source), func(msg *nats.Msg) {
		var p Progress
		if progress != nil && json.Unmarshal(msg.Data, &p) == nil {
			progress(p)
		}
	})
	if err != nil {
		return store.Run{}, err
	}
	defer func() { _ = told.Unsubscribe() }()
	watch, err := c.watch(source, func(run *store.Run) bool { return run.Job == job && !run.Again },
		func(ctx context.Context) (*store.Run, error) {
			a, err := call[attempts](ctx, c, "store.attempts."+source, attemptsRequest{source, job})
			return a.Last, err
		})
	if err != nil {
		return store.Run{}, err
	}
	defer watch.stop()
	run, err := watch.wait(ctx)
	if err != nil {
		return store.Run{}, err
	}
	c.awaitReleased(ctx, source, job)
	return *run, nil
}

// awaitReleased waits until the worker has put the job away, so that the next one is not refused.
func (c *Client) awaitReleased(ctx context.Context, source, job string) {
	for range 200 {
		if busy, err := c.Busy(ctx, source); err != nil || busy != job {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Busy returns the job that a source is busy with, "" for none.
func (c *Client) Busy(ctx context.Context, source string) (string, error) {
	stream, err := c.bus.Stream(ctx, events.JobsStream)
	if err != nil {
		return "", err
	}
	msg, err := stream.GetLastMsgForSubject(ctx, events.JobSubject(source))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var job Job
	err = json.Unmarshal(msg.Data, &job)
	return job.ID, err
}

// Runs returns the last runs of a source, of all with "", newest first.
func (c *Client) Runs(ctx context.Context, source string, limit int) ([]store.Run, error) {
	return call[[]store.Run](ctx, c, "runs.list", runsRequest{source, limit})
}

// Run returns a run of a source, the last one for number 0.
func (c *Client) Run(ctx context.Context, source string, number uint64) (store.Run, error) {
	return call[store.Run](ctx, c, "runs.get", runRequest{source, number})
}

// Approve applies the held plan that the hash names (8 characters do).
func (c *Client) Approve(ctx context.Context, source, hash, actor string) (store.Run, error) {
	return call[store.Run](ctx, c, "plans.approve", decisionRequest{source, hash, actor})
}

// Reject drops the held plan that the hash names.
func (c *Client) Reject(ctx context.Context, source, hash, actor string) (store.Run, error) {
	return call[store.Run](ctx, c, "plans.reject", decisionRequest{source, hash, actor})
}

// Cancel stops the source's run that is going.
func (c *Client) Cancel(ctx context.Context, source, actor string) (store.Run, error) {
	return call[store.Run](ctx, c, "sources.cancel", decisionRequest{Source: source, Actor: actor})
}

// Users calls fn for every user that the query wants, in the order of ids.
func (c *Client) Users(ctx context.Context, q UserQuery, fn func(store.User) error) error {
	for after, more := "", true; more; {
		page, err := call[userPage](ctx, c, "users.list", usersRequest{Query: q, After: after})
		if err != nil {
			return err
		}
		for _, body := range page.Users {
			var u store.User
			if err := json.Unmarshal(body, &u); err != nil {
				return err
			}
			if err := fn(u); err != nil {
				return err
			}
		}
		after, more = page.After, page.More
	}
	return nil
}

// User returns the user of that name, alias or id, or [ErrNotFound].
func (c *Client) User(ctx context.Context, name string) (store.User, error) {
	return call[store.User](ctx, c, "users.get", userRequest{name})
}

// EventOptions say which events are wanted.
type EventOptions struct {
	// After is the last revision that is not wanted any more, Since a time to begin at instead.
	After uint64
	Since time.Time
	// Kind is created, updated, …, "" for all.
	Kind string
	// Follow waits for events to come; without it reading ends with the last one there is.
	Follow bool
}

// Events calls fn for the events that are wanted.
func (c *Client) Events(ctx context.Context, o EventOptions, fn func(events.UserChanged) error) error {
	options := events.SubscribeOptions{After: o.After, Since: o.Since}
	if o.Kind != "" {
		options.Kinds = []string{o.Kind}
	}
	if o.Follow {
		return events.Subscribe(ctx, c.bus.Conn, options, fn)
	}
	return events.ReadAvailable(ctx, c.bus.Conn, options, fn)
}

// GroupEvents calls fn for the events of groups that are wanted.
func (c *Client) GroupEvents(ctx context.Context, o EventOptions, fn func(events.GroupChanged) error) error {
	options := events.SubscribeOptions{After: o.After, Since: o.Since}
	if o.Kind != "" {
		options.Kinds = []string{o.Kind}
	}
	if o.Follow {
		return events.SubscribeGroups(ctx, c.bus.Conn, options, fn)
	}
	return events.ReadAvailableGroups(ctx, c.bus.Conn, options, fn)
}

// Dead calls fn for every dead letter.
func (c *Client) Dead(ctx context.Context, fn func(DeadLetter) error) error {
	return c.bus.ReadAll(ctx, events.DeadStream, "rollcall.dead.>", func(msg jetstream.Msg) error {
		if !events.GenuineRecord(msg.Headers()) {
			return nil
		}
		letter, err := parseLetter(msg)
		if err != nil {
			return err
		}
		return fn(letter)
	})
}

// DropDead forgets a dead letter.
func (c *Client) DropDead(ctx context.Context, id uint64) error {
	stream, err := c.bus.Stream(ctx, events.DeadStream)
	if err != nil {
		return err
	}
	if _, err = stream.GetMsg(ctx, id); err == nil { // deleting does not say clearly that there is none
		err = stream.DeleteMsg(ctx, id)
	}
	if err != nil {
		return noLetter(id, err)
	}
	return nil
}

// noLetter is the error of the stream about a dead letter.
func noLetter(id uint64, err error) error {
	if isMissing(err) {
		return connectors.Hint(&answered{text: fmt.Sprintf("there is no dead letter %d", id), kind: ErrNotFound}, "rollcall dead list")
	}
	return fmt.Errorf("dead letter %d: %w", id, err)
}

// RetryDead has the entry of a dead letter read as new, asks for a run of its source and drops the letter. It
// returns the run's job.
func (c *Client) RetryDead(ctx context.Context, id uint64, actor string) (source, job string, err error) {
	stream, err := c.bus.Stream(ctx, events.DeadStream)
	if err != nil {
		return "", "", err
	}
	msg, err := stream.GetMsg(ctx, id)
	if err != nil {
		return "", "", noLetter(id, err)
	}
	var letter DeadLetter
	if err := json.Unmarshal(msg.Data, &letter); err != nil {
		return "", "", fmt.Errorf("dead letter %d: %w", id, err)
	}
	if _, err := call[bool](ctx, c, "entries.forget", forgetRequest{letter.Source, letter.Key, actor}); err != nil {
		return "", "", err
	}
	if job, err = c.Sync(ctx, letter.Source, SyncOptions{Full: true, Actor: actor}); err != nil {
		return "", "", err
	}
	return letter.Source, job, stream.DeleteMsg(ctx, id)
}

// call makes a request and decodes its answer.
func call[Response any](ctx context.Context, c *Client, endpoint string, request any) (response Response, err error) {
	data, err := c.ask(ctx, endpoint, request)
	if err != nil {
		return response, err
	}
	err = json.Unmarshal(data, &response)
	return response, err
}

func (c *Client) ask(ctx context.Context, endpoint string, request any) ([]byte, error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Minute) // an approval answers when its run was applied
		defer cancel()
	}
	question := &nats.Msg{Subject: apiPrefix + endpoint, Header: nats.Header{}, Data: data}
	events.Trace(ctx, question.Header)
	msg, err := c.bus.Conn.RequestMsgWithContext(ctx, question)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, connectors.Hint(fmt.Errorf("%s: %w", endpoint, ErrNoServer), "start one: rollcall serve")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", endpoint, err)
	}
	if code := msg.Header.Get(micro.ErrorCodeHeader); code != "" {
		return nil, remoteError(code, msg.Data)
	}
	return msg.Data, nil
}

// remoteError makes an error of what another process answered, with its hint and its kind.
func remoteError(code string, body []byte) error {
	var b errorBody
	if err := json.Unmarshal(body, &b); err != nil || b.Error == "" {
		b.Error = "error " + code
	}
	kinds := map[string]error{"404": ErrNotFound, "409": ErrBusy, "422": ErrRefused, "400": ErrMistake}
	return connectors.Hint(&answered{text: b.Error, kind: kinds[code]}, b.Try)
}

// answered is an error that another process answered.
type answered struct {
	text string
	kind error
}

func (e *answered) Error() string { return e.text }
func (e *answered) Unwrap() error { return e.kind }

// A question whose answer got lost, or came while the reconciler moved to another process, is asked again: a worker in the middle
// of a long read has better things to do than to fail.
const (
	answerWait = 5 * time.Second
	askAgain   = 500 * time.Millisecond
	askFor     = 2 * time.Minute
)

// insist asks a question that changes nothing until it is answered, for two minutes.
func (c *Client) insist(ctx context.Context, endpoint string, request any) ([]byte, error) {
	for begun := time.Now(); ; {
		one, cancel := context.WithTimeout(ctx, answerWait)
		data, err := c.ask(one, endpoint, request)
		cancel()
		unanswered := errors.Is(err, ErrNoServer) || errors.Is(err, context.DeadlineExceeded)
		if !unanswered || time.Since(begun) > askFor {
			return data, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(askAgain):
		}
	}
}

// question is an insistent [call].
func question[Response any](ctx context.Context, c *Client, endpoint string, request any) (response Response, err error) {
	data, err := c.insist(ctx, endpoint, request)
	if err != nil {
		return response, err
	}
	err = json.Unmarshal(data, &response)
	return response, err
}

func (c *Client) source(ctx context.Context, name string) (store.Source, error) {
	return question[store.Source](ctx, c, "store.source."+name, sourceRequest{name})
}

func (c *Client) baseline(ctx context.Context, source string, after store.Key) ([]store.BaselineEntry, uint64, bool, error) {
	text := ""
	if after != (store.Key{}) {
		text = after.String()
	}
	data, err := c.insist(ctx, "store.baseline."+source, baselineRequest{source, text})
	if err != nil {
		return nil, 0, false, err
	}
	return decodeBaselinePage(data)
}

func (c *Client) entries(ctx context.Context, source string, keys []store.Key) ([]entry, error) {
	q := entriesRequest{Source: source}
	for _, k := range keys {
		q.Keys = append(q.Keys, k.String())
	}
	return question[[]entry](ctx, c, "store.entries."+source, q)
}

// watchRun watches for the end of a run.
func (c *Client) watchRun(source string, number uint64) (*runWatch, error) {
	return c.watch(source, func(run *store.Run) bool { return run.Number == number },
		func(ctx context.Context) (*store.Run, error) {
			run, err := call[store.Run](ctx, c, "store.run."+source, runRequest{source, number})
			if errors.Is(err, ErrNotFound) {
				return nil, nil // its "started" was not handled yet
			}
			return &run, err
		})
}

// runWatch waits for the result of a run: it listens to RUNS as results are published and, in case one is missed, asks
// the store every second.
type runWatch struct {
	ask    func(context.Context) (*store.Run, error)
	wanted func(*store.Run) bool
	stop   func()
	once   sync.Once
	done   chan struct{} // closed when result is there
	result *store.Run
}

func (c *Client) watch(source string, wanted func(*store.Run) bool, ask func(context.Context) (*store.Run, error)) (*runWatch, error) {
	w := &runWatch{ask: ask, wanted: wanted, done: make(chan struct{})}
	sub, err := c.bus.Conn.Subscribe(events.RunSubject("*", source), func(msg *nats.Msg) {
		var run store.Run
		if json.Unmarshal(msg.Data, &run) == nil && events.GenuineResult(msg.Subject, msg.Header, run.State, source) {
			w.learn(&run)
		}
	})
	if err != nil {
		return nil, err
	}
	w.stop = func() { _ = sub.Unsubscribe() }
	return w, nil
}

// wait returns the run when it has a result: applied, held, failed, cancelled or planned. Several may wait.
func (w *runWatch) wait(ctx context.Context) (*store.Run, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return w.result, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
			if err := w.poll(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// poll asks the store once. An answer that does not come is no error: the next tick asks again.
func (w *runWatch) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	told := make(chan struct{})
	defer close(told)
	go func() { // the result may be published while the question is on its way
		select {
		case <-w.done:
			cancel()
		case <-told:
		}
	}()
	run, err := w.ask(ctx)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, ErrNoServer) {
			return nil
		}
		return err
	}
	w.learn(run)
	return nil
}

// learn takes a run over if it is the wanted one and has a result.
func (w *runWatch) learn(run *store.Run) {
	if run == nil || run.State == store.Running || run.State == "" || !w.wanted(run) {
		return
	}
	w.once.Do(func() {
		w.result = run
		close(w.done)
	})
}

// attemptsOf says how many attempts of a job were begun, and whether one has a result that stands.
func (c *Client) attemptsOf(ctx context.Context, source, job string) (begun jobState, err error) {
	a, err := question[attempts](ctx, c, "store.attempts."+source, attemptsRequest{source, job})
	if err != nil {
		return begun, err
	}
	begun.count = a.Count
	begun.done = a.Last != nil && a.Last.State != store.Running && !a.Last.Again
	return begun, nil
}

type jobState struct {
	count int
	done  bool
}
