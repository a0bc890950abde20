package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/store"
)

// service answers requests about the store, and takes commands to the log. It runs where the store is; the name of the
// NATS service is "rollcall".
type service struct {
	bus        *events.Bus
	db         *store.DB
	config     *Config
	reconciler *reconciler
	snapshots  *snapshotter
	bootstrap  *bootstrap
	// lease is nil where there is no other reconciler.
	lease   *lease
	there   attendance
	log     zerolog.Logger
	lockout Lockout
	key     *pinKey
}

// apiPrefix stands before the name of every endpoint.
const apiPrefix = "rollcall.api."

// start registers the endpoints until ctx is done.
func (s *service) start(ctx context.Context) (stop func() error, err error) {
	srv, err := micro.AddService(s.bus.Conn, micro.Config{Name: "rollcall", Version: "1.0.0", Description: "directory sync: users, runs, commands",
		QueueGroupDisabled: true}) // a leader that was stopped without a word must not take questions away from the next one
	if err != nil {
		return nil, err
	}
	endpoints := map[string]micro.HandlerFunc{
		"sources.sync":    answer(ctx, s.sync),
		"sources.cancel":  answer(ctx, s.cancel),
		"plans.read":      answer(ctx, s.plan),
		"plans.approve":   answer(ctx, s.approve),
		"plans.reject":    answer(ctx, s.reject),
		"entries.forget":  answer(ctx, s.forget),
		"runs.list":       answer(ctx, s.runs),
		"runs.get":        answer(ctx, s.run),
		"users.list":      answer(ctx, s.users),
		"sources.plan":    answer(ctx, s.planRetirement),
		"sources.retire":  answer(ctx, s.retire),
		"users.get":       answer(ctx, s.user),
		"sources.replay":  answer(ctx, s.replay),
		"users.snapshot":  answer(ctx, s.bootstrap.snapshot),
		"entries.waiting": answer(ctx, s.unsettled),
		"users.identify":  answer(ctx, s.identify),
		"groups.list":     answer(ctx, s.groups),
		"groups.get":      answer(ctx, s.group),
		"status":          answer(ctx, s.status),
		"store.check":     answer(ctx, s.checkStore),
		"store.snapshot":  answer(ctx, s.takeSnapshot),
	}
	for name, edit := range s.edits() {
		endpoints[name] = answer(ctx, edit)
	}
	for name, handler := range s.workerEndpoints(ctx) {
		endpoints[name] = handler
	}
	for name, handler := range endpoints {
		if err := srv.AddEndpoint(strings.NewReplacer(".*", "", ".", "-").Replace(name), s.fence(ctx, toAsker(handler)), micro.WithEndpointSubject(apiPrefix+name)); err != nil {
			return nil, errors.Join(err, srv.Stop())
		}
	}
	stopListening, err := s.there.listen(s.bus)
	if err != nil {
		return nil, errors.Join(err, srv.Stop())
	}
	return func() error { return errors.Join(srv.Stop(), stopListening()) }, nil
}

// toAsker keeps a handler to questions whose answer goes to whoever asks. A NATS server sends an answer, or what a consumer delivers, wherever
// it is told to, also as a question of somebody who may not ask it; and an answer of ours to another subject would be written with our rights.
func toAsker(handler micro.HandlerFunc) micro.HandlerFunc {
	return func(r micro.Request) {
		if strings.HasPrefix(r.Reply(), nats.InboxPrefix) || strings.HasPrefix(r.Reply(), acrossAccounts) {
			handler(r)
		}
	}
}

// acrossAccounts begins the reply subject of a question from another account. No client may use it.
const acrossAccounts = "_R_."

// ErrNotFound means that there is nothing of that name.
var ErrNotFound = errors.New("not found")

// errorBody is how an error travels.
type errorBody struct {
	Error string `json:"error"`
	Try   string `json:"try,omitempty"`
}

// answer makes a handler of a function from request to response, each in a goroutine of its own: one that waits
// holds nobody up.
func answer[Request, Response any](ctx context.Context, fn func(context.Context, Request) (Response, error)) micro.HandlerFunc {
	return func(r micro.Request) {
		go func() {
			var request Request
			var err error
			if len(r.Data()) > 0 {
				err = json.Unmarshal(r.Data(), &request)
			}
			var response Response
			if err == nil {
				response, err = fn(withTrace(ctx, nats.Header(r.Headers()), true), request)
			}
			respond(r, response, err)
		}()
	}
}

func respond(r micro.Request, response any, err error) {
	if err == nil {
		_ = r.RespondJSON(response)
		return
	}
	code := "500"
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnknownSource):
		code = "404"
	case errors.Is(err, ErrBusy):
		code = "409"
	case errors.Is(err, ErrRefused):
		code = "422"
	case errors.Is(err, ErrMistake):
		code = "400"
	}
	body, _ := json.Marshal(errorBody{Error: err.Error(), Try: connectors.HintOf(err)})
	_ = r.Error(code, err.Error(), body)
}

// The requests.
type (
	sourceRequest   struct{ Source string }
	baselineRequest struct{ Source, After string }
	entriesRequest  struct {
		Source string
		Keys   []string
	}
	attemptsRequest struct{ Source, Job string }
	runRequest      struct {
		Source string
		Number uint64
	}
	runsRequest struct {
		Source string
		Limit  int
	}
	planRequest struct {
		Source string
		Run    uint64
		After  []byte
	}
	decisionRequest struct{ Source, Plan, Actor string }
	forgetRequest   struct{ Source, Key, Actor string }
	usersRequest    struct {
		Query UserQuery
		After string
		Keys  bool
		// PINs asks for what an export says of the PINs.
		PINs bool
	}
	userRequest struct{ Name string }
)

func (s *service) source(_ context.Context, q sourceRequest) (source *store.Source, err error) {
	err = s.db.View(func(tx *store.Tx) error { source, err = tx.Source(q.Source); return err })
	return source, err
}

// baseline answers in bytes: an answer has up to 16,000 entries.
func (s *service) baseline(r micro.Request) {
	var q baselineRequest
	err := json.Unmarshal(r.Data(), &q)
	var page []store.BaselineEntry
	var more bool
	var source *store.Source
	if err == nil {
		err = s.db.View(func(tx *store.Tx) error {
			var after store.Key
			if q.After != "" {
				if after, err = store.ParseKey(q.After); err != nil {
					return err
				}
			}
			if source, err = tx.Source(q.Source); err != nil {
				return err
			}
			page, more, err = tx.Baseline(q.Source, after, baselinePage)
			return err
		})
	}
	if err != nil {
		respond(r, nil, err)
		return
	}
	_ = r.Respond(encodeBaselinePage(source.Applied, page, more))
}

// entry is an entry that the store knows.
type entry struct {
	// Hash is the key's, as it was asked for.
	Hash, Key, Entry string
	Group            bool `json:",omitempty"`
	// Digest is of the record last applied, and Sequence its place in RAW.
	Digest   store.Digest
	Sequence uint64
	Gone     bool `json:",omitempty"`
}

func (e *entry) kind() connectors.Kind {
	if e.Group {
		return connectors.Group
	}
	return connectors.User
}

func (s *service) entries(_ context.Context, q entriesRequest) (found []entry, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		for _, text := range q.Keys {
			key, err := store.ParseKey(text)
			if err != nil {
				return err
			}
			origin, err := tx.Origin(q.Source, key)
			if err != nil {
				return err
			}
			if origin != nil {
				found = append(found, entry{text, origin.Key, origin.Entry, origin.Group, origin.Digest, origin.RawSequence, origin.Gone})
			}
		}
		return nil
	})
	return found, err
}

// attempts says what became of a job so far.
type attempts struct {
	Count int
	// Last is the job's last run, nil when it has none.
	Last *store.Run
}

func (s *service) attempts(_ context.Context, q attemptsRequest) (a attempts, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		n := 0
		return tx.Runs(q.Source, 0, func(run *store.Run) error {
			if run.Job == q.Job {
				a.Count++
				if a.Last == nil {
					a.Last = run
				}
			}
			if n++; n > 20 {
				return store.ErrStop
			}
			return nil
		})
	})
	return a, err
}

func (s *service) sync(ctx context.Context, job Job) (string, error) {
	source, err := s.config.source(job.Source)
	if err != nil {
		return "", err
	}
	if !source.Enabled {
		return "", connectors.Hint(fmt.Errorf("source %s is switched off", job.Source), "set enabled: true in the configuration")
	}
	id, err := askForRun(ctx, s.bus, job, "")
	if errors.Is(err, ErrBusy) && source.Live {
		return s.askSession(ctx, job, err)
	}
	return id, err
}

func (s *service) cancel(ctx context.Context, q decisionRequest) (*store.Run, error) {
	if err := s.catchUp(ctx); err != nil {
		return nil, err
	}
	var open []*store.Run
	err := s.db.View(func(tx *store.Tx) (err error) { open, err = openRuns(tx, q.Source); return err })
	if err != nil {
		return nil, err
	}
	if len(open) == 0 {
		return nil, connectors.Hint(fmt.Errorf("%w: no run of %s is going", ErrNotFound, q.Source), "rollcall runs "+q.Source)
	}
	if err := s.say(ctx, commandCancel, command{Source: q.Source, Actor: q.Actor}); err != nil {
		return nil, err
	}
	run, err := s.run(ctx, runRequest{Source: q.Source, Number: open[0].Number})
	if err == nil && run.State != store.Cancelled {
		err = connectors.Hint(fmt.Errorf("run %d of %s is %s: it came to its end before it could be cancelled", run.Number, q.Source, run.State), "rollcall runs "+q.Source)
	}
	return run, err
}

// catchUp waits until all that stands in the log now was handled.
func (s *service) catchUp(ctx context.Context) error {
	end, err := lastSequence(ctx, s.bus, events.LogStream)
	if err != nil {
		return err
	}
	return s.awaitHandled(ctx, end)
}

// say puts a command into the log and waits until it was carried out.
func (s *service) say(ctx context.Context, kind string, c command) error {
	if err := s.reconciler.intact(ctx); err != nil {
		return err
	}
	sequence, err := appendLog(ctx, s.bus, events.CommandSubject(kind), "", c)
	if err != nil {
		return err
	}
	return s.awaitHandled(ctx, sequence)
}

func (s *service) awaitHandled(ctx context.Context, sequence uint64) error {
	select {
	case <-s.reconciler.waiters.wait(sequence):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *service) approve(ctx context.Context, q decisionRequest) (*store.Run, error) {
	run, err := s.decide(ctx, commandApprove, q)
	if err == nil && run.State != store.Applied {
		err = connectors.Hint(fmt.Errorf("run %d of %s was not applied: %s", run.Number, q.Source, run.Reason), "rollcall sync "+q.Source)
	}
	return run, err
}

func (s *service) reject(ctx context.Context, q decisionRequest) (*store.Run, error) {
	return s.decide(ctx, commandReject, q)
}

// decide takes a decision about the held run to the log.
func (s *service) decide(ctx context.Context, kind string, q decisionRequest) (*store.Run, error) {
	run, state, err := s.reconciler.held(q.Source, q.Plan)
	if err != nil {
		return nil, err
	}
	if state.Held == 0 {
		return nil, connectors.Hint(fmt.Errorf("%w: no run of %s is held", ErrNotFound, q.Source), "rollcall runs "+q.Source)
	}
	if run == nil {
		return nil, connectors.Hint(fmt.Errorf("%w: %s is not the plan that is held of %s", ErrNotFound, q.Plan, q.Source), "rollcall plan "+q.Source+" shows it and its hash, of which 8 characters do")
	}
	if err := s.say(ctx, kind, command{Source: q.Source, Run: run.Number, Plan: q.Plan, Actor: q.Actor}); err != nil {
		return nil, err
	}
	return s.run(ctx, runRequest{Source: q.Source, Number: run.Number})
}

func (s *service) forget(ctx context.Context, q forgetRequest) (bool, error) {
	return true, s.say(ctx, commandForget, command{Source: q.Source, Key: q.Key, Actor: q.Actor})
}

func (s *service) runs(_ context.Context, q runsRequest) (runs []*store.Run, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		return tx.Runs(q.Source, 0, func(run *store.Run) error {
			if len(runs) >= q.Limit {
				return store.ErrStop
			}
			runs = append(runs, run)
			return nil
		})
	})
	return runs, err
}

func (s *service) run(_ context.Context, q runRequest) (run *store.Run, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		if q.Number != 0 {
			run, err = tx.Run(q.Source, q.Number)
			return err
		}
		return tx.Runs(q.Source, 0, func(last *store.Run) error { run = last; return store.ErrStop })
	})
	if err == nil && run == nil {
		err = connectors.Hint(fmt.Errorf("%w: no such run of %s", ErrNotFound, q.Source), "rollcall runs "+q.Source)
	}
	return run, err
}

// usersPage is how many users one answer holds.
const usersPage = 200

// users answers a page of users, as JSON that shows what the command line shows.
func (s *service) users(_ context.Context, q usersRequest) (page userPage, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		if err := s.known(tx, q.Query); err != nil {
			return err
		}
		if q.Query.Group != "" {
			return s.usersOfGroup(tx, q, &page)
		}
		return tx.Users(q.After, func(u *store.User) error {
			if page.scanned++; page.scanned > 5000 || len(page.Users) >= usersPage {
				page.More = true
				return store.ErrStop
			}
			page.After = u.ID
			if q.Query.matches(u) {
				return s.add(tx, q, u, &page)
			}
			return nil
		})
	})
	return page, err
}

// known refuses a query by a source that neither the configuration nor the store knows, or by a group that is not there: nobody in it
// would be no answer.
func (s *service) known(tx *store.Tx, q UserQuery) error {
	if _, err := s.config.source(q.Source); q.Source != "" && err != nil && !isKnown(tx, q.Source) {
		return connectors.Hint(fmt.Errorf("%w: there is no source %q", ErrNotFound, q.Source), "rollcall sources list")
	}
	if q.Group == "" {
		return nil
	}
	g, err := tx.Group(q.Group)
	if err == nil && g == nil {
		err = connectors.Hint(fmt.Errorf("%w: no group with the path %q", ErrNotFound, q.Group), "rollcall groups list")
	}
	return err
}

type userPage struct {
	Users []json.RawMessage
	// Keys are those of the owners' entries, where they were asked for.
	Keys []string
	// PINs are those of each user as an export writes them, where they were asked for.
	PINs    [][]string
	After   string
	More    bool
	scanned int
}

func (s *service) add(tx *store.Tx, q usersRequest, u *store.User, page *userPage) error {
	page.Users = append(page.Users, u.AppendJSON(nil, store.CardsFull))
	if q.PINs {
		pins, err := s.carryPINs(u)
		if err != nil {
			return err
		}
		page.PINs = append(page.PINs, pins)
	}
	if !q.Keys {
		return nil
	}
	key, err := keyOf(tx, u)
	page.Keys = append(page.Keys, key)
	return err
}

// carryPINs returns a user's PINs for an export. A temporary one stays behind: it would come back without its end.
func (s *service) carryPINs(u *store.User) (pins []string, err error) {
	for _, v := range u.List[store.PINs.List()] {
		if !v.Expires.IsZero() {
			continue
		}
		if s.key == nil {
			return nil, errNoPINKey
		}
		text, err := s.key.carry(v.V)
		if err != nil {
			return nil, err
		}
		pins = append(pins, text)
	}
	return pins, nil
}

func (s *service) user(_ context.Context, q userRequest) (body json.RawMessage, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		u, err := tx.UserByName(q.Name)
		if err == nil && u == nil {
			u, err = tx.User(q.Name)
		}
		if err == nil && u == nil {
			err = connectors.Hint(fmt.Errorf("%w: no user with the name, alias or id %q", ErrNotFound, q.Name), "rollcall users find "+q.Name)
		}
		if err == nil {
			body = u.AppendJSON(nil, store.CardsFull)
		}
		return err
	})
	return body, err
}

// UserQuery says which users are wanted.
type UserQuery struct {
	// Inactive includes deactivated users.
	Inactive bool
	// Source is the owner's name, "" for all.
	Source string
	// Group is a path: users who are in that group itself, "" for all.
	Group string
	// Text must be part of some property, compared without case, "" for all.
	Text string
}

func (q *UserQuery) matches(u *store.User) bool {
	if !u.Active && !q.Inactive || q.Source != "" && u.Owner != q.Source {
		return false
	}
	return q.Text == "" || mentions(u, store.Fold(q.Text))
}

// mentions reports whether a property contains the folded text. PINs are not looked at.
func mentions(u *store.User, text string) bool {
	for _, value := range u.Text {
		if strings.Contains(store.Fold(value), text) {
			return true
		}
	}
	for _, p := range store.Properties() {
		if !p.Multi() || p == store.PINs {
			continue
		}
		if slices.ContainsFunc(u.List[p.List()], func(v store.Value) bool { return strings.Contains(store.Fold(v.V), text) }) {
			return true
		}
	}
	return false
}
