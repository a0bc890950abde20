package main

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/pipeline/mail/mailtest"
)

// The scripts in testdata/mail run the program beside a mail server, which refuses nobody@example.com. "letters N" waits until
// N letters have arrived in all, and shows them.
func TestMailScripts(t *testing.T) {
	sink := mailtest.Start(t, false)
	sink.Refuse("nobody@example.com", "550 5.1.1 nobody is called so")
	p := scripts("testdata/mail", func(e *testscript.Env) error {
		e.Setenv("SMTP_PORT", strconv.Itoa(sink.Port))
		e.Setenv("SMTP_CA", sink.CAFile)
		return nil
	})
	p.Cmds["letters"] = func(ts *testscript.TestScript, neg bool, args []string) { letters(ts, sink, args) }
	testscript.Run(t, p)
}

func letters(ts *testscript.TestScript, sink *mailtest.Sink, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for end := time.Now().Add(time.Minute); len(sink.Letters()) < want && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	all := sink.Letters()
	if len(all) != want {
		ts.Fatalf("%d letters, want %d", len(all), want)
	}
	for _, l := range all {
		_, err := fmt.Fprintf(ts.Stdout(), "%s: %s\n%s\n", l.To[0], l.Subject, l.Text)
		ts.Check(err)
	}
}
