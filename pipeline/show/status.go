package show

import (
	"fmt"
	"strings"
	"time"

	"rollcall/pipeline"
)

// Behind says how far something is behind an end.
func Behind(end, done uint64, what string) string {
	if done >= end {
		return "all " + what
	}
	return fmt.Sprintf("%d not yet %s", end-done, what)
}

// Lag says what waits for which stage, and how long the oldest has.
func Lag(l pipeline.Lag) string {
	if l.Records == 0 && l.Messages == 0 && l.Revisions == 0 {
		return "none"
	}
	return fmt.Sprintf("%s records, %s messages of the log, %s events; the oldest for %s", Thousands(int(l.Records)), Thousands(int(l.Messages)),
		Thousands(int(l.Revisions)), time.Duration(max(l.Unapplied, l.Unrelayed)*float64(time.Second)).Round(time.Second))
}

// Schedule says when a source is read.
func Schedule(s pipeline.SourceStatus) string {
	text := s.Schedule
	switch {
	case !s.Configured:
		text = "not in the configuration"
	case !s.Enabled:
		text = "not enabled"
	case s.Live && s.Session:
		text = "live, in session"
	case s.Live && s.NoSession != "" && s.Schedule != "":
		text = s.Schedule + ", no session"
	case s.Live:
		text = "live, no session"
	case s.Schedule == "":
		text = "by hand"
	}
	if s.Held != 0 {
		text += ", held"
	}
	return text
}

// Process says what a process does, and since when.
func Process(p pipeline.Process) string {
	text := p.Name + ", " + strings.Join(p.Roles, ", ")
	if len(p.Sources) > 0 {
		text += " of " + strings.Join(p.Sources, ", ")
	}
	return text + ", since " + Clock(p.Since)
}
