package pipeline_test

import (
	"errors"
	"strings"
	"testing"

	"rollcall/pipeline"
	"rollcall/pipeline/mail"
	"rollcall/pipeline/mail/mailtest"
)

// mailed gives a company a mail server, and somebody who is told of runs.
func (c *company) mailed(sink *mailtest.Sink, when string) *company {
	c.config.Mail = mail.Server{Host: sink.Host, Port: sink.Port, Security: "starttls", CAFile: sink.CAFile, From: "rollcall@example.com"}
	c.config.Notify = pipeline.Notify{When: when, To: []string{"ops@example.com"}}
	return c
}

func subjects(sink *mailtest.Sink) string {
	var all []string
	for _, l := range sink.Letters() {
		all = append(all, l.Subject)
	}
	return strings.Join(all, ", ")
}

// S7: mail after a run: never, on error, always. Nobody is told of a dry run. What is on its way when a process ends leaves
// before it does.
func TestNotify(t *testing.T) {
	for when, want := range map[string]string{
		"never":    "",
		"on-error": "rollcall: people failed, rollcall: people held",
		"always":   "rollcall: people applied, rollcall: people failed, rollcall: people held, rollcall: people cancelled",
	} {
		t.Run(when, func(t *testing.T) {
			sink := mailtest.Start(t, false)
			dir := newRoster().people(20)
			c := newCompany(t, dir).mailed(sink, when).start()
			c.sync(pipeline.SyncOptions{DryRun: true})
			c.applied("read 20, created 20")
			dir.after = func() error { return errors.New("the directory fell silent") }
			c.sync()
			dir.after = nil
			dir.remove(dir.keys()[:15]...)
			held := c.sync()
			if _, err := c.client.Reject(t.Context(), "people", held.Plan, "ops"); err != nil {
				t.Fatal(err)
			}
			c.stop()
			if got := subjects(sink); got != want {
				t.Errorf("mailed: %s; want %s", got, want)
			}
			for _, l := range sink.Letters() {
				switch {
				case strings.HasSuffix(l.Subject, "failed") && !strings.Contains(l.Text, "the directory fell silent"),
					strings.HasSuffix(l.Subject, "held") && !strings.Contains(l.Text, "rollcall approve people"):
					t.Errorf("%s:\n%s", l.Subject, l.Text)
				}
			}
		})
	}
}

// S7: a mail server that is away loses no mail: it is sent when the server is back, also by the next process.
func TestNotifyLater(t *testing.T) {
	away := mailtest.Start(t, false)
	away.Stop()
	c := newCompany(t, newRoster().people(2)).mailed(away, "always").start()
	c.applied("read 2, created 2")
	c.stop()
	sink := mailtest.Start(t, false)
	c.mailed(sink, "always").start()
	eventually(t, func() bool { return subjects(sink) == "rollcall: people applied" })
}
