package pipeline_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"rollcall/connectors"
)

// journal is a roster that can say what changed: what a test writes into it is what incremental reads tell.
type journal struct {
	*roster
	mu    sync.Mutex
	lines []connectors.Record
	// expired makes the source forget where a reader was; whole makes an incremental read a whole one.
	expired, whole bool
	// forgetful makes a source that gives no checkpoints.
	forgetful bool
	// passes are the reads so far: "full", or where they began.
	passes []string
}

func newJournal(people int) *journal { return &journal{roster: newRoster().people(people)} }

// Open returns the journal, not the roster in it.
func (j *journal) Open(connectors.Env) (connectors.Connector, error) { return j, nil }

// tell changes attributes of a person and says so in part; an attribute without a value is cleared.
func (j *journal) tell(key string, pairs ...string) {
	r := connectors.Record{Key: key, Kind: connectors.User, Name: "uid=" + key, Partial: true}
	for i := 0; i < len(pairs); i += 2 {
		a := connectors.Attribute{Name: pairs[i]}
		if pairs[i+1] != "" {
			a.Values = []string{pairs[i+1]}
		}
		j.set(key, a.Name, a.Values...)
		r.Attributes = append(r.Attributes, a)
	}
	j.write(r)
}

// tellWhole adds a person and says so.
func (j *journal) tellWhole(key string, pairs ...string) {
	j.person(key, pairs...)
	r, _ := j.record(key)
	j.write(r)
}

// tellGone removes a person and says so.
func (j *journal) tellGone(key string) {
	j.remove(key)
	j.write(connectors.Record{Key: key, Kind: connectors.User, Name: "deleted:" + key, Deleted: true})
}

func (j *journal) write(lines ...connectors.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, lines...)
}

func (j *journal) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	j.mu.Lock()
	lines := j.lines
	j.mu.Unlock()
	end := connectors.Checkpoint(strconv.Itoa(len(lines)))
	if since == nil {
		j.passes = append(j.passes, "full")
		o, err := j.roster.Read(ctx, nil, emit)
		if err == nil && !j.forgetful {
			o.Next = end
		}
		return o, err
	}
	j.passes = append(j.passes, string(since))
	if j.expired {
		return connectors.Outcome{}, fmt.Errorf("%w: the test says so", connectors.ErrCheckpointExpired)
	}
	begin, err := strconv.Atoi(string(since))
	if err != nil {
		return connectors.Outcome{}, err
	}
	for _, r := range lines[begin:] {
		if err := emit(r); err != nil {
			return connectors.Outcome{}, err
		}
	}
	return connectors.Outcome{Whole: j.whole, Next: end, Server: j.server, Evidence: "end of the journal"}, nil
}
