package events

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/store"
)

// BootstrapOptions say what a consumer knows already and what else it wants.
type BootstrapOptions struct {
	// After is the last revision that was handled, 0 for a consumer that knows nothing. Where the stream goes on from
	// there, no snapshot is taken.
	After uint64
	// Groups gets the events of groups, in their place among those of users; nil for a consumer that wants none.
	Groups func(GroupChanged) error
}

// Snapshot is the state as of a revision: every user and every group.
type Snapshot struct {
	// Bucket and Object are where it lies in JetStream's object store, for an hour.
	Bucket string `json:"bucket"`
	Object string `json:"object"`
	// Store is the store's id. Revision is the last one that the snapshot shows.
	Store    string `json:"store"`
	Revision uint64 `json:"revision"`
	// Sequence is where in ROLLCALL_USERS to go on reading; events up to Revision are to be passed over.
	Sequence uint64 `json:"sequence"`
	Users    int    `json:"users"`
	Groups   int    `json:"groups"`

	body io.Reader
}

// SnapshotLine is a line of a snapshot: a user, or a group with the ids of those who are in it.
type SnapshotLine struct {
	User    *store.User `json:"user,omitempty"`
	Group   *GroupInfo  `json:"group,omitempty"`
	Members []string    `json:"members,omitempty"`
}

// Each calls fn for every line, users first. It can be called once. A snapshot that breaks off fails.
func (s *Snapshot) Each(fn func(SnapshotLine) error) error {
	lines := json.NewDecoder(bufio.NewReaderSize(s.body, 1<<20))
	for n := 0; ; n++ {
		var line SnapshotLine
		err := lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			if n != s.Users+s.Groups {
				err = fmt.Errorf("snapshot %s has %d lines, not %d", s.Object, n, s.Users+s.Groups)
			} else {
				err = nil
			}
			return err
		}
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", s.Object, err)
		}
		if err := fn(line); err != nil {
			return err
		}
	}
}

// errAnew means that the events do not lead on from what the consumer has.
var errAnew = errors.New("a new snapshot is needed")

// Bootstrap keeps a consumer in step: it calls snapshot with all users and groups as of a revision, and then event with
// every change behind it, in order and without gaps, until ctx is done or one of them fails. Whoever gets a snapshot replaces all that
// it has. That happens again when the events do not lead on: one was missed, because the consumer was away for longer than
// events are kept, or a reset says so: the store went back behind its events, or the
// stream lost some. A consumer that is slow holds nobody up.
func Bootstrap(ctx context.Context, nc *nats.Conn, o BootstrapOptions, snapshot func(*Snapshot) error, event func(UserChanged) error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	f := &follower{bus: &Bus{Conn: nc, JetStream: js}, groups: o.Groups, snapshot: snapshot, event: event, last: o.After}
	known, err := f.leadsOn(ctx)
	for err == nil {
		if !known {
			err = f.begin(ctx)
		}
		if err == nil {
			err = f.follow(ctx)
		}
		if known = false; errors.Is(err, errAnew) {
			err = pause(ctx)
		}
	}
	return err
}

// pause keeps a consumer whose events never lead on from asking for one snapshot behind the other.
func pause(ctx context.Context) error {
	select {
	case <-time.After(200 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// follower is a consumer on its way.
type follower struct {
	bus      *Bus
	groups   func(GroupChanged) error
	snapshot func(*Snapshot) error
	event    func(UserChanged) error
	// last is the last revision that was handled, from where in the stream to go on.
	last, from uint64
}

// leadsOn reports whether the stream goes on from the last revision that was handled.
func (f *follower) leadsOn(ctx context.Context) (bool, error) {
	if f.last == 0 {
		return false, nil
	}
	s, err := f.bus.Stream(ctx, UsersStream)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", UsersStream, err)
	}
	if s.CachedInfo().State.Msgs == 0 {
		return false, nil
	}
	f.from, err = f.bus.sequenceAfter(ctx, f.last-1)
	return f.from <= s.CachedInfo().State.LastSeq, err
}

// begin takes a snapshot and hands it over.
func (f *follower) begin(ctx context.Context) error {
	s, err := f.request(ctx)
	if err != nil {
		return err
	}
	bucket, err := f.bus.ObjectStore(ctx, s.Bucket)
	if err != nil {
		return fmt.Errorf("object store %s: %w", s.Bucket, err)
	}
	object, err := bucket.Get(ctx, s.Object)
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", s.Object, err)
	}
	s.body = object
	if err := errors.Join(f.snapshot(s), object.Close()); err != nil {
		return err
	}
	f.last, f.from = s.Revision, s.Sequence
	return nil
}

// snapshotWait is how long the request for a snapshot may take.
const snapshotWait = 5 * time.Minute

func (f *follower) request(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	msg, err := f.bus.Conn.RequestWithContext(ctx, SnapshotRequest, []byte("{}"))
	if err != nil {
		return nil, fmt.Errorf("ask for a snapshot of the users: %w", err)
	}
	if text := msg.Header.Get("Nats-Service-Error"); text != "" {
		return nil, fmt.Errorf("ask for a snapshot of the users: %s", text)
	}
	s := &Snapshot{}
	return s, json.Unmarshal(msg.Data, s)
}

// follow hands over what is behind the last revision.
func (f *follower) follow(ctx context.Context) error {
	return f.bus.Follow(ctx, UsersStream, FollowOptions{From: f.from}, func(msg jetstream.Msg) error {
		revision := RevisionOf(msg.Headers())
		switch {
		case revision <= f.last, !GenuineEvent(msg.Subject(), msg.Headers()):
			return nil
		case revision != f.last+1 || strings.HasPrefix(msg.Subject(), ResetSubjects):
			return errAnew
		}
		if err := f.tell(msg); err != nil {
			return err
		}
		f.last = revision
		return nil
	})
}

func (f *follower) tell(msg jetstream.Msg) error {
	if strings.HasPrefix(msg.Subject(), "rollcall.users.") {
		e, err := ParseUserChanged(msg.Headers(), msg.Data())
		if err != nil {
			return err
		}
		return f.event(e)
	}
	if f.groups == nil {
		return nil
	}
	e, err := ParseGroupChanged(msg.Headers(), msg.Data())
	if err != nil {
		return err
	}
	return f.groups(e)
}
