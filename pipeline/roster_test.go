package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"rollcall/connectors"
)

// roster is a directory in memory whose reads can be made to go wrong.
type roster struct {
	mu      sync.Mutex
	entries map[string]map[string][]string // key → attributes
	server  string
	scope   string
	// during is called before the n-th entry (from 0) of a read is emitted; an error ends the read.
	during func(n int, key string) error
	// hide leaves an entry out of a read although it is present.
	hide func(key string) bool
	// after is called when all entries were emitted; an error ends the read.
	after func() error
	reads int
}

func newRoster() *roster {
	return &roster{entries: map[string]map[string][]string{}, server: "roster", scope: "roster"}
}

// people fills the roster with n people p00000, p00001, ….
func (r *roster) people(n int) *roster {
	for i := range n {
		r.person(fmt.Sprintf("p%05d", i))
	}
	return r
}

// person puts a person there, named after the key, with the further attributes in pairs.
func (r *roster) person(key string, pairs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := map[string][]string{"uid": {key}, "cn": {"Person " + key}, "mail": {key + "@example.com"}, "phone": {}, "card": {}, "number": {}}
	for i := 0; i < len(pairs); i += 2 {
		e[pairs[i]] = nil
		if pairs[i+1] != "" {
			e[pairs[i]] = []string{pairs[i+1]}
		}
	}
	r.entries[key] = e
}

func (r *roster) set(key, attribute string, values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries[key][attribute] = values
}

func (r *roster) remove(keys ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		delete(r.entries, key)
	}
}

// become takes over another roster's entries.
func (r *roster) become(other *roster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = other.entries
}

func (r *roster) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make([]string, 0, len(r.entries))
	for key := range r.entries {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// The roster is its own configuration and connector.
func (r *roster) Kind() string                                      { return "roster" }
func (r *roster) Scope() string                                     { return r.scope }
func (r *roster) Validate() error                                   { return nil }
func (r *roster) Open(connectors.Env) (connectors.Connector, error) { return r, nil }
func (r *roster) Check(context.Context) ([]string, error)           { return []string{"there"}, nil }

func (r *roster) Read(ctx context.Context, _ connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	r.reads++
	for n, key := range r.keys() {
		if err := ctx.Err(); err != nil {
			return connectors.Outcome{}, err
		}
		if r.during != nil {
			if err := r.during(n, key); err != nil {
				return connectors.Outcome{}, err
			}
		}
		if r.hide != nil && r.hide(key) {
			continue
		}
		if record, there := r.record(key); there {
			if err := emit(record); err != nil {
				return connectors.Outcome{}, err
			}
		}
	}
	if r.after != nil {
		if err := r.after(); err != nil {
			return connectors.Outcome{}, err
		}
	}
	return connectors.Outcome{Whole: true, Server: r.server, Evidence: "end of the roster"}, nil
}

func (r *roster) record(key string) (connectors.Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, there := r.entries[key]
	record := connectors.Record{Key: key, Kind: connectors.User, Name: "uid=" + key}
	for name, values := range e {
		if name == "problem" {
			record.Problem = values[0]
			continue
		}
		record.Attributes = append(record.Attributes, connectors.Attribute{Name: name, Values: values})
	}
	slices.SortFunc(record.Attributes, func(a, b connectors.Attribute) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return record, there
}

func (r *roster) Present(_ context.Context, keys []string) (map[string]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	present := map[string]bool{}
	for _, key := range keys {
		_, present[key] = r.entries[key]
	}
	return present, nil
}

var errCut = fmt.Errorf("%w: cut off by the test", connectors.ErrIncomplete)
