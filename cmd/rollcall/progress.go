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
	begun pipeline.Progress // the first of the present stage
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
	if now.Stage != p.begun.Stage {
		p.begun = now
	}
	if time.Since(p.last) < p.every {
		return
	}
	p.last, p.drawn = time.Now(), true
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s", state(p.begun, now, true))
		return
	}
	fmt.Fprintln(p.w, state(p.begun, now, false))
}

// end takes the bar away.
func (p *progress) end() {
	if p.live && p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.drawn = false
}

// state is the run in a line: "people: reading 12,400, 3,100/s". begun is where its stage began.
func state(begun, now pipeline.Progress, bar bool) string {
	done, total := extent(now)
	text := fmt.Sprintf("%s: %s %s", now.Source, now.Stage, thousands(done))
	if total > 0 {
		text += " of " + thousands(total)
	}
	before, _ := extent(begun)
	rate := float64(done-before) / (now.Seconds - begun.Seconds)
	if now.Seconds <= begun.Seconds || done <= before {
		return text
	}
	text += fmt.Sprintf(", %s/s", thousands(int(rate)))
	if done <= total {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
		if bar {
			text = gauge(done, total) + " " + text
		}
	}
	return text
}

// extent is how much of a stage is done, and of how much where that is known.
func extent(p pipeline.Progress) (done, total int) {
	switch p.Stage {
	case "reading":
		return p.Read, p.Total
	case "mapping":
		return p.Mapped, p.Published
	}
	return p.Applied, p.Total
}

const gaugeWidth = 24

func gauge(done, total int) string {
	full := gaugeWidth * done / total
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", gaugeWidth-full) + "]"
}
