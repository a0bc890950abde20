package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"rollcall/pipeline"
)

// progress shows how far a run is: a live bar on a terminal, a plain line every few seconds elsewhere.
type progress struct {
	w     io.Writer
	live  bool
	every time.Duration
	last  time.Time
	drawn bool
}

func (a *app) progress() *progress {
	p := &progress{w: a.stderr, live: a.terminal, every: 3 * time.Second, last: time.Now()}
	if a.terminal {
		p.every = 100 * time.Millisecond
	}
	if a.quiet {
		p.w = io.Discard
	}
	return p
}

// update shows where the run is, unless that was shown a moment ago.
func (p *progress) update(now pipeline.Progress) {
	if time.Since(p.last) < p.every {
		return
	}
	p.last, p.drawn = time.Now(), true
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s", state(now, true))
		return
	}
	fmt.Fprintln(p.w, state(now, false))
}

// end takes the bar away.
func (p *progress) end() {
	if p.live && p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.drawn = false
}

// state is the run in a line: "people: reading 12,400, 3,100/s".
func state(p pipeline.Progress, bar bool) string {
	done, verb := p.Read, "reading"
	if p.Applied > 0 {
		done, verb = p.Applied, "applying"
	}
	text := fmt.Sprintf("%s: %s %s", p.Source, verb, thousands(done))
	if p.Total > 0 {
		text = fmt.Sprintf("%s: %s %s of %s", p.Source, verb, thousands(done), thousands(p.Total))
	}
	if p.Seconds > 0 {
		text += fmt.Sprintf(", %s/s", thousands(int(float64(p.Read)/p.Seconds)))
	}
	if p.Total > 0 && done > 0 && done <= p.Total {
		left := p.Seconds / float64(done) * float64(p.Total-done)
		text += fmt.Sprintf(", %s left", time.Duration(left*float64(time.Second)).Round(time.Second))
		if bar {
			text = gauge(done, p.Total) + " " + text
		}
	}
	return text
}

const gaugeWidth = 24

func gauge(done, total int) string {
	full := gaugeWidth * done / total
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", gaugeWidth-full) + "]"
}
