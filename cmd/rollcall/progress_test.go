package main

import (
	"strings"
	"testing"
	"time"

	"rollcall/pipeline"
)

func TestStateOfARun(t *testing.T) {
	zero := pipeline.Progress{}
	for _, c := range []struct {
		name       string
		begun, now pipeline.Progress
		bar        bool
		want       string
	}{
		{"nothing yet", zero, pipeline.Progress{Stage: "reading"}, true, "people: reading 0"},
		{"reading", zero, pipeline.Progress{Stage: "reading", Read: 12400, Seconds: 4}, true, "people: reading 12,400, 3,100/s"},
		{"mapping", pipeline.Progress{Mapped: 100, Seconds: 4}, pipeline.Progress{Stage: "mapping", Read: 2000, Published: 2000, Mapped: 500, Seconds: 5}, true,
			"[======                  ] people: mapping 500 of 2,000, 400/s, 4s left"},
		{"applying", pipeline.Progress{Seconds: 5}, pipeline.Progress{Stage: "applying", Read: 2000, Applied: 1500, Total: 2000, Seconds: 8}, false,
			"people: applying 1,500 of 2,000, 500/s, 1s left"},
		{"more than was thought", zero, pipeline.Progress{Stage: "applying", Applied: 30, Total: 20, Seconds: 1}, true, "people: applying 30 of 20, 30/s"},
		{"no time passed", zero, pipeline.Progress{Stage: "applying", Applied: 30, Total: 40}, true, "people: applying 30 of 40"},
	} {
		c.now.Source, c.begun.Stage = "people", c.now.Stage
		if got := state(c.begun, c.now, c.bar); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A bar is drawn over itself and taken away at the end; elsewhere there is a line now and then.
func TestProgress(t *testing.T) {
	var w strings.Builder
	p := &progress{w: &w, live: true, every: time.Hour}
	p.update(pipeline.Progress{Source: "a", Stage: "reading", Read: 1})
	p.update(pipeline.Progress{Source: "a", Stage: "reading", Read: 2}) // a moment later: not shown
	p.end()
	if got, want := w.String(), "\r\x1b[Ka: reading 1\r\x1b[K"; got != want {
		t.Errorf("live: %q, want %q", got, want)
	}
	w.Reset()
	p = &progress{w: &w}
	p.update(pipeline.Progress{Source: "a", Stage: "reading", Read: 1})
	p.update(pipeline.Progress{Source: "a", Stage: "mapping", Mapped: 2, Published: 4, Seconds: 7})
	p.update(pipeline.Progress{Source: "a", Stage: "mapping", Mapped: 4, Published: 4, Seconds: 8}) // the rate is the stage's
	p.end()
	if got, want := w.String(), "a: reading 1\na: mapping 2 of 4\na: mapping 4 of 4, 2/s, 0s left\n"; got != want {
		t.Errorf("plain: %q, want %q", got, want)
	}
}
