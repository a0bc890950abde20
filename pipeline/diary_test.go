package pipeline_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"rollcall/pipeline"
	"rollcall/store"
)

// A server logs a line for every run, at the level of what became of it, and one for every revision, without anything that a directory
// says of people.
func TestWhatAServerLogs(t *testing.T) {
	dir := newRoster().people(20)
	c := newCompany(t, dir)
	logged := lockedBuffer{to: &bytes.Buffer{}}
	c.logged = &logged
	c.start()
	c.applied("read 20, created 20")
	id := c.user("p00001").ID
	c.applied("read 20, unchanged 20")
	dir.after = func() error { return errCut }
	c.sync()
	dir.after = nil
	held := c.sync(pipeline.SyncOptions{RequireApproval: true})
	if _, err := c.client.Reject(t.Context(), "people", held.Plan, "eve"); err != nil {
		t.Fatal(err)
	}

	want := []string{`"info" run applied created 20`, `"info" run applied created 0`, `"error" run failed created 0`, `"warn" run held created 0`, `"info" run cancelled created 0`}
	var got []string
	eventually(t, func() bool { got = runLines(logged.said()); return len(got) == len(want) })
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d is %s, want %s", i, got[i], want[i])
		}
	}
	said := logged.said()
	if n := strings.Count(said, `"message":"revision"`); n != 20 || !strings.Contains(said, `"user":"`+id+`","revision":`) {
		t.Errorf("%d lines about revisions, want 20, one of them of %s", n, id)
	}
	for _, text := range []string{"p00001", "P00001", c.user("p00001").Text[store.FullName], "@example"} {
		if strings.Contains(said, text) {
			t.Errorf("%q is logged", text)
		}
	}
}

// A process whose results are told to a person logs them at debug only.
func TestAttended(t *testing.T) {
	dir := newRoster().people(3)
	c := newCompany(t, dir)
	logged := lockedBuffer{to: &bytes.Buffer{}}
	c.logged, c.config.Attended = &logged, true
	c.start()
	dir.after = func() error { return errCut }
	c.sync()
	eventually(t, func() bool { return len(runLines(logged.said())) == 1 })
	if got := runLines(logged.said())[0]; got != `"debug" run failed created 0` {
		t.Errorf("got %s", got)
	}
}

// runLines are the lines about results, in short. Each names its source, run and kind, and one about a run that was not applied its reason.
func runLines(log string) (lines []string) {
	for line := range strings.Lines(log) {
		var said struct {
			Level, Message, Source, Kind, Reason, Try string
			Run                                       uint64
			Created                                   *int
		}
		if json.Unmarshal([]byte(line), &said) != nil || !strings.HasPrefix(said.Message, "run ") || said.Source != "people" || said.Kind == "" || said.Run == 0 {
			continue
		}
		short := fmt.Sprintf("%q %s", said.Level, said.Message)
		if said.Created != nil {
			short += fmt.Sprintf(" created %d", *said.Created)
		}
		if said.Message != "run applied" && said.Reason == "" {
			short += " without a reason"
		}
		lines = append(lines, short)
	}
	return lines
}
