package pipeline

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"rollcall/events"
)

// Progress is how far a run has come. It is told to whoever listens and kept nowhere.
type Progress struct {
	Source    string  `json:"source"`
	Run       uint64  `json:"run"`
	Stage     string  `json:"stage"` // reading, waiting (for the source), mapping, planning, applying
	Read      int     `json:"read"`
	Published int     `json:"published"`
	Mapped    int     `json:"mapped"`
	Applied   int     `json:"applied"`
	Total     int     `json:"total"` // of the stage, 0 when unknown
	Seconds   float64 `json:"seconds"`
}

// reporter tells a run's progress four times a second.
type reporter struct {
	bus                              *events.Bus
	source                           string
	run                              uint64
	begun                            time.Time
	name                             atomic.Value
	read, published, mapped, applied atomic.Int64
	total                            atomic.Int64
	// hear is told instead of everybody, where it is set.
	hear func(Progress)
}

func newReporter(bus *events.Bus, source string, run uint64) *reporter {
	r := &reporter{bus: bus, source: source, run: run, begun: time.Now()}
	r.name.Store("")
	return r
}

// newReporter returns a reporter of what the reconciler does. Of a rebuild only its caller is told.
func (r *reconciler) newReporter(source string, run uint64) *reporter {
	reporter := newReporter(r.audience(), source, run)
	reporter.hear = r.hear
	return reporter
}

func (r *reporter) stage(name string) { r.name.Store(name) }

// waiting tells that the source asked for patience, until it is over.
func (r *reporter) waiting(time.Duration) (over func()) {
	before := r.name.Swap("waiting")
	r.tell()
	return func() { r.name.Store(before) }
}

// loop tells the progress until ctx is done.
func (r *reporter) loop(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.tell()
		}
	}
}

func (r *reporter) tell() {
	p := Progress{
		Source: r.source, Run: r.run, Stage: r.name.Load().(string), Seconds: time.Since(r.begun).Seconds(),
		Read: int(r.read.Load()), Published: int(r.published.Load()), Mapped: int(r.mapped.Load()),
		Applied: int(r.applied.Load()), Total: int(r.total.Load()),
	}
	if r.hear != nil {
		r.hear(p)
		return
	}
	if r.bus == nil { // a standby's runs are the leader's
		return
	}
	if data, err := json.Marshal(p); err == nil {
		_ = r.bus.Conn.Publish(events.ProgressSubject(r.source), data)
	}
}
