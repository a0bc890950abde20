package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) status() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What runs, what waits, what was last done",
		Example: `  rollcall status
  rollcall status --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				s, err := client.Status(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return line(a.stdout, s)
				}
				return a.describeStatus(s)
			})
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) describeStatus(s pipeline.Status) error {
	t := newTable(a.stdout)
	t.row("users", fmt.Sprintf("%s, %s of them active", thousands(s.Users), thousands(s.Active)))
	t.row("revision", fmt.Sprintf("%d, %s", s.Revision, behind(s.Revision, s.Relayed, "told to subscribers")))
	t.row("log", fmt.Sprintf("%d, %s", s.LogEnd, behind(s.LogEnd, s.Log, "handled")))
	t.row("lag", describeLag(s.Lag))
	t.row("dead letters", fmt.Sprint(s.DeadLetters))
	if s.Letters > 0 {
		t.row("PINs to mail", fmt.Sprint(s.Letters))
	}
	t.row("store", s.Store)
	for _, r := range s.Reconcilers {
		what, log := "stands by", r.Log
		if r.Leads {
			what, log = "leads", s.Log
		}
		t.row(what, fmt.Sprintf("%s, %s", r.Name, behind(s.LogEnd, log, "handled")))
	}
	for _, p := range s.Processes {
		t.row("process", describeProcess(p))
	}
	if err := t.end(); err != nil {
		return err
	}
	for _, alarm := range s.Alarms {
		a.say("ALARM: %s\n", plain(alarm.Text))
	}
	for _, u := range s.Unmailed {
		a.say("the PIN of %s was not mailed: %s\n  Try: %s\n", plain(u.User), plain(u.Reason), plain(u.Try))
	}
	a.say("\n")
	t = newTable(a.stdout, "SOURCE", "SCHEDULE", "ENTRIES", "ACTIVE USERS", "LAST GOOD RUN", "LAST RUN", "STATE", "REASON")
	for _, one := range s.Sources {
		t.row(sourceRow(one)...)
	}
	return t.end()
}

// describeProcess says what a process does, and since when.
func describeProcess(p pipeline.Process) string {
	text := p.Name + ", " + strings.Join(p.Roles, ", ")
	if len(p.Sources) > 0 {
		text += " of " + strings.Join(p.Sources, ", ")
	}
	return text + ", since " + clock(p.Since)
}

// behind says how far something is behind an end.
func behind(end, done uint64, what string) string {
	if done >= end {
		return "all " + what
	}
	return fmt.Sprintf("%d not yet %s", end-done, what)
}

// describeLag says what waits for which stage, and how long the oldest has.
func describeLag(l pipeline.Lag) string {
	if l.Records == 0 && l.Messages == 0 && l.Revisions == 0 {
		return "none"
	}
	return fmt.Sprintf("%s records, %s messages of the log, %s events; the oldest for %s", thousands(int(l.Records)), thousands(int(l.Messages)),
		thousands(int(l.Revisions)), time.Duration(max(l.Unapplied, l.Unrelayed)*float64(time.Second)).Round(time.Second))
}

func sourceRow(s pipeline.SourceStatus) []string {
	row := []string{s.Name, s.Schedule, thousands(s.Entries), thousands(s.Active), "-", "-", "", ""}
	switch {
	case !s.Configured:
		row[1] = "not in the configuration"
	case !s.Enabled:
		row[1] = "not enabled"
	case s.Live && s.Session:
		row[1] = "live, in session"
	case s.Live:
		row[1] = "live, no session"
	case s.Schedule == "":
		row[1] = "by hand"
	}
	if s.Held != 0 {
		row[1] += ", held"
	}
	if !s.AppliedAt.IsZero() {
		row[4] = clock(s.AppliedAt)
	}
	if s.Last != nil {
		row[5], row[6], row[7] = clock(s.Last.Started), s.Last.State, s.Last.Reason
	}
	return row
}
