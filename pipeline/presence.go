package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"rollcall/events"
)

// Process is a process of the pipeline, as it tells of itself.
type Process struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"` // host and process
	Roles []string `json:"roles"`
	// Sources are those that it reads, none for all or for a process that reads none.
	Sources []string  `json:"sources,omitempty"`
	Since   time.Time `json:"since"`
	// Gone is true in the last that it tells.
	Gone bool `json:"gone,omitempty"`
}

const (
	// presenceEvery is how often a process tells that it is there.
	presenceEvery = 2 * time.Second
	// presenceTrust is how long it is believed.
	presenceTrust = 3 * presenceEvery
	// mostThere is how many processes are remembered, and mostSaid how many bytes each may say.
	mostThere, mostSaid = 1000, 16 << 10
)

// processName names this process: host and number.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// tellPresence tells whoever leads that this process is there, outside of any stream, until ctx is done.
func (n *Node) tellPresence(ctx context.Context) error {
	me := Process{ID: uuid.NewString(), Name: processName(), Roles: n.config.Roles, Since: time.Now().UTC()}
	if len(me.Roles) == 0 {
		me.Roles = Roles
	}
	if slices.Contains(me.Roles, RoleConnector) {
		me.Sources = n.config.Serves
	}
	tick := time.NewTicker(presenceEvery)
	defer tick.Stop()
	for {
		if err := me.tell(n.bus); err != nil {
			n.log.Debug().Err(err).Msg("could not tell that this process is there")
		}
		select {
		case <-ctx.Done():
			me.Gone = true
			_ = me.tell(n.bus) // otherwise it is forgotten soon
			return nil
		case <-tick.C:
		}
	}
}

func (p *Process) tell(bus *events.Bus) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return bus.Conn.Publish(events.PresenceSubject, data)
}

// attendance is who has told lately that he is there.
type attendance struct {
	mu    sync.Mutex
	there map[string]heard
}

type heard struct {
	Process
	at time.Time
}

// listen begins to listen, until stop is called.
func (a *attendance) listen(bus *events.Bus) (stop func() error, err error) {
	sub, err := bus.Conn.Subscribe(events.PresenceSubject, func(msg *nats.Msg) {
		var p Process
		if len(msg.Data) <= mostSaid && json.Unmarshal(msg.Data, &p) == nil {
			a.hear(p, time.Now())
		}
	})
	if err != nil {
		return nil, fmt.Errorf("who is there: %w", err)
	}
	return sub.Unsubscribe, nil
}

func (a *attendance) hear(p Process, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.there == nil {
		a.there = map[string]heard{}
	}
	for id, old := range a.there {
		if now.Sub(old.at) > presenceTrust {
			delete(a.there, id)
		}
	}
	_, known := a.there[p.ID]
	switch {
	case p.Gone:
		delete(a.there, p.ID)
	case known, len(a.there) < mostThere:
		a.there[p.ID] = heard{p, now}
	}
}

// list returns who is there, by role, sources and name.
func (a *attendance) list(now time.Time) (all []Process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.there {
		if now.Sub(p.at) <= presenceTrust {
			all = append(all, p.Process)
		}
	}
	slices.SortFunc(all, func(a, b Process) int {
		return cmp.Or(slices.Compare(a.Roles, b.Roles), slices.Compare(a.Sources, b.Sources), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return all
}
