package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
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
	t.row("revision", fmt.Sprintf("%d, %s", s.Revision, show.Behind(s.Revision, s.Relayed, "told to subscribers")))
	t.row("log", fmt.Sprintf("%d, %s", s.LogEnd, show.Behind(s.LogEnd, s.Log, "handled")))
	t.row("lag", show.Lag(s.Lag))
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
		t.row(what, fmt.Sprintf("%s, %s", r.Name, show.Behind(s.LogEnd, log, "handled")))
	}
	for _, p := range s.Processes {
		t.row("process", show.Process(p))
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

func sourceRow(s pipeline.SourceStatus) []string {
	row := []string{s.Name, show.Schedule(s), thousands(s.Entries), thousands(s.Active), "-", "-", "", ""}
	if !s.AppliedAt.IsZero() {
		row[4] = clock(s.AppliedAt)
	}
	if s.Last != nil {
		row[5], row[6], row[7] = clock(s.Last.Started), s.Last.State, s.Last.Reason
	}
	if row[7] == "" && s.Live && !s.Session {
		row[7] = s.NoSession
	}
	return row
}
