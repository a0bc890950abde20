package main

import (
	"strings"
	"testing"
	"time"

	"rollcall/pipeline"
)

func TestStateOfARun(t *testing.T) {
	for _, c := range []struct {
		name string
		p    pipeline.Progress
		bar  bool
		want string
	}{
		{"nothing known", pipeline.Progress{Source: "people"}, false, "people: reading 0"},
		{"reading", pipeline.Progress{Source: "people", Read: 12400, Seconds: 4}, true, "people: reading 12,400, 3,100/s"},
		{"of a known number", pipeline.Progress{Source: "people", Read: 500, Total: 2000, Seconds: 1}, true,
			"[======                  ] people: reading 500 of 2,000, 500/s, 3s left"},
		{"applying", pipeline.Progress{Source: "people", Stage: "applying", Read: 2000, Applied: 1500, Total: 2000, Seconds: 3}, false,
			"people: applying 1,500 of 2,000, 500/s, 1s left"},
		{"a total that was too small", pipeline.Progress{Source: "people", Read: 30, Total: 20, Seconds: 1}, true, "people: reading 30 of 20, 30/s"},
	} {
		if got := state(c.p, c.bar); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A bar is drawn over itself and taken away at the end; elsewhere there is a line now and then.
func TestProgress(t *testing.T) {
	var w strings.Builder
	p := &progress{w: &w, live: true, every: time.Hour}
	p.update(pipeline.Progress{Source: "a", Read: 1})
	p.update(pipeline.Progress{Source: "a", Read: 2}) // a moment later: not shown
	p.end()
	if got, want := w.String(), "\r\x1b[Ka: reading 1\r\x1b[K"; got != want {
		t.Errorf("live: %q, want %q", got, want)
	}
	w.Reset()
	p = &progress{w: &w}
	p.update(pipeline.Progress{Source: "a", Read: 1})
	p.update(pipeline.Progress{Source: "a", Read: 2})
	p.end()
	if got, want := w.String(), "a: reading 1\na: reading 2\n"; got != want {
		t.Errorf("plain: %q, want %q", got, want)
	}
}
