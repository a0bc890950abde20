package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/store"
)

// liveJournal is a journal that stays connected and tells every line as it is written, with a mark behind each.
type liveJournal struct {
	*journal
	mu sync.Mutex
	// sessions are where sessions began; cut ends the present one; told is how many lines went out.
	sessions []string
	cut      chan error
	told     int
	// wholeFirst makes the first mark of the next session a whole one.
	wholeFirst bool
}

func newLiveJournal(people int) *liveJournal {
	return &liveJournal{journal: newJournal(people), cut: make(chan error)}
}

func (j *liveJournal) Open(connectors.Env) (connectors.Connector, error) { return j, nil }

func (j *liveJournal) Stay(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error, mark func(connectors.Outcome) error) error {
	at, err := strconv.Atoi(string(since))
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.sessions = append(j.sessions, string(since))
	whole := j.wholeFirst
	j.wholeFirst = false
	j.mu.Unlock()
	if j.journal.expired {
		j.journal.expired = false
		return fmt.Errorf("%w: the test says so", connectors.ErrCheckpointExpired)
	}
	for {
		j.journal.mu.Lock()
		lines := j.lines[at:]
		j.journal.mu.Unlock()
		for _, r := range lines {
			if err := emit(r); err != nil {
				return err
			}
			at++
			o := connectors.Outcome{Next: connectors.Checkpoint(strconv.Itoa(at)), Server: j.server, Evidence: "line " + strconv.Itoa(at)}
			if whole {
				continue
			}
			if err := mark(o); err != nil {
				return err
			}
			j.mu.Lock()
			j.told++
			j.mu.Unlock()
		}
		if whole {
			whole = false
			if err := mark(connectors.Outcome{Whole: true, Next: connectors.Checkpoint(strconv.Itoa(at)), Server: j.server, Evidence: "end of the refresh"}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-j.cut:
			return err
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (j *liveJournal) began() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.sessions)
}

// newLive starts a pipeline with a live source and waits until its session has begun.
func newLive(t *testing.T, j *liveJournal, change ...func(*pipeline.Source)) *company {
	t.Helper()
	c := newCompany(t, j, append(change, func(s *pipeline.Source) { s.Live = true })...).start()
	comes(t, "a session", func() bool { return len(j.began()) > 0 })
	return c
}

// comes waits for something that comes by itself.
func comes(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

func (c *company) eventuallyEvents(after uint64, want ...string) {
	c.t.Helper()
	var got []string
	comes(c.t, fmt.Sprintf("events %q", want), func() bool { got = c.events(after); return len(got) >= len(want) })
	if !slices.Equal(got, want) {
		c.t.Fatalf("events %q, want %q", got, want)
	}
}

func (c *company) lastRuns(limit int) []store.Run {
	c.t.Helper()
	runs, err := c.client.Runs(c.t.Context(), "people", limit)
	if err != nil {
		c.t.Fatal(err)
	}
	return runs
}

// A live source reads whole once, then each change is a run and an event by itself.
func TestALiveSource(t *testing.T) {
	j := newLiveJournal(20)
	c := newLive(t, j)
	revision := c.revision()
	j.tell("p00001", "phone", "1")
	c.eventuallyEvents(revision, "updated p00001")
	j.tell("p00001", "phone", "2") // merged onto a record of the session
	c.eventuallyEvents(revision, "updated p00001", "updated p00001")
	j.tellWhole("bob")
	c.eventuallyEvents(revision, "updated p00001", "updated p00001", "created bob")
	j.tellGone("p00002")
	c.eventuallyEvents(revision, "updated p00001", "updated p00001", "created bob", "deactivated p00002")
	j.tell("p00003", "phone", "") // as it is
	j.tell("bob", "phone", "3")
	comes(t, "bob's phone", func() bool { return c.user("bob").Text[store.Phone] == "3" })
	last := c.lastRuns(1)[0]
	if last.Kind != "live" || last.State != store.Applied || last.Evidence != "line 6" {
		t.Errorf("last run is %+v", last)
	}
	status, err := c.client.Status(t.Context())
	if err != nil || !status.Sources[0].Live || !status.Sources[0].Session {
		t.Errorf("status %+v, %v", status.Sources, err)
	}
}

// What one person does in a burst is coalesced, in order, and everything arrives; what waits is bounded.
func TestABurstInASession(t *testing.T) {
	j := newLiveJournal(500)
	c := newLive(t, j)
	before := len(c.lastRuns(200))
	var lines []connectors.Record
	for round := range 4 {
		for i := range 500 {
			lines = append(lines, connectors.Record{Key: fmt.Sprintf("p%05d", i), Kind: connectors.User, Name: "x", Partial: true,
				Attributes: []connectors.Attribute{{Name: "phone", Values: []string{strconv.Itoa(round)}}}})
		}
	}
	j.write(lines...)
	comes(t, "the last change", func() bool { return c.user("p00499").Text[store.Phone] == "3" })
	runs := len(c.lastRuns(200)) - before
	if runs > 100 {
		t.Errorf("2,000 changes became %d runs", runs)
	}
	t.Logf("2,000 changes became %d runs", runs)
	for _, run := range c.lastRuns(runs) {
		if run.State != store.Applied {
			t.Errorf("run %d is %s: %s", run.Number, run.State, run.Reason)
		}
	}
}

// A session whose connection ends begins again behind the last run that was applied; what was told without a mark is told again.
func TestASessionBeginsAgain(t *testing.T) {
	j := newLiveJournal(10)
	c := newLive(t, j)
	revision := c.revision()
	j.tell("p00001", "phone", "1")
	c.eventuallyEvents(revision, "updated p00001")
	j.cut <- errCut
	comes(t, "another session", func() bool { return len(j.began()) == 2 })
	j.tell("p00002", "phone", "2")
	c.eventuallyEvents(revision, "updated p00001", "updated p00002")
	if got := j.began(); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("sessions began at %q", got)
	}
}

// Somebody asks for a run: the session ends for it and comes back behind it.
func TestARunInTheMiddleOfASession(t *testing.T) {
	j := newLiveJournal(10)
	c := newLive(t, j)
	j.remove("p00003") // and nobody tells
	c.wants("full", "read 10, unchanged 9, deletions 1, deactivated 1", full)
	comes(t, "another session", func() bool { return len(j.began()) == 2 })
	revision := c.revision()
	j.tell("p00001", "phone", "1")
	c.eventuallyEvents(revision, "updated p00001")
}

// A session whose checkpoint expired is followed by a whole run, which finds who left, and another session.
func TestASessionsCheckpointExpires(t *testing.T) {
	j := newLiveJournal(10)
	c := newLive(t, j)
	revision := c.revision()
	j.remove("p00003")
	j.tell("p00001", "phone", "1")
	c.eventuallyEvents(revision, "updated p00001")
	j.expired = true
	j.cut <- errCut
	c.eventuallyEvents(revision, "updated p00001", "deactivated p00003")
	comes(t, "a session after the whole run", func() bool { return len(j.began()) == 3 })
}

// A session may begin with a whole read (a present phase): absences are looked up and guarded.
func TestASessionThatBeginsWithAWholeRead(t *testing.T) {
	j := newLiveJournal(20)
	c := newLive(t, j)
	revision := c.revision()
	j.remove("p00003")
	for _, key := range j.keys() {
		j.write(connectors.Sighting(key, connectors.User))
	}
	comes(t, "the lines", func() bool { j.mu.Lock(); defer j.mu.Unlock(); return j.told == 19 })
	for _, key := range j.keys() {
		j.write(connectors.Sighting(key, connectors.User))
	}
	j.mu.Lock()
	j.wholeFirst = true
	j.mu.Unlock()
	j.cut <- errCut
	c.eventuallyEvents(revision, "deactivated p00003")
	if run := c.lastRuns(1)[0]; run.Kind != "live" || !run.Whole || run.Deletions != 1 {
		t.Errorf("last run is %+v", run)
	}
}

// A held run ends the session; what follows is dropped and told again when the run was decided.
func TestAHeldRunEndsTheSession(t *testing.T) {
	j := newLiveJournal(40)
	c := newLive(t, j, func(s *pipeline.Source) { s.Options.Guard.Deactivate.Floor, s.Options.Guard.Deactivate.Percent = 5, 5 })
	var lines []connectors.Record
	for _, key := range j.keys()[:10] {
		j.remove(key)
		lines = append(lines, connectors.Record{Key: key, Kind: connectors.User, Deleted: true, Name: key})
	}
	j.write(lines...)
	var held store.Run
	comes(t, "a held run", func() bool {
		runs := c.lastRuns(10)
		i := slices.IndexFunc(runs, func(r store.Run) bool { return r.State == store.Held })
		if i >= 0 {
			held = runs[i]
		}
		return i >= 0
	})
	revision := c.revision()
	j.tell("p00030", "phone", "1")
	time.Sleep(1500 * time.Millisecond)
	if got := c.events(revision); len(got) != 0 {
		t.Errorf("while a run is held there are events %q", got)
	}
	if _, err := c.client.Approve(t.Context(), "people", held.Plan, "tester"); err != nil {
		t.Fatal(err)
	}
	comes(t, "what was told meanwhile", func() bool { return c.user("p00030").Text[store.Phone] == "1" })
	c.wants("full", "read 30, unchanged 30", full)
}

// A run is due in the middle of a session.
func TestAWholeRunIsDueInASession(t *testing.T) {
	j := newLiveJournal(10)
	c := newLive(t, j, func(s *pipeline.Source) { s.ReconcileEvery = 1500 * time.Millisecond })
	revision := c.revision()
	j.remove("p00003")
	c.eventuallyEvents(revision, "deactivated p00003")
	if run := c.lastRuns(1)[0]; run.Kind != "full" {
		t.Errorf("last run is %s", run.Kind)
	}
}

// The process ends in the middle of a burst and starts again, several times: nothing is lost, nothing is doubled.
func TestTheProcessEndsInTheMiddleOfASession(t *testing.T) {
	j := newLiveJournal(200)
	c := newLive(t, j)
	for round := range 4 {
		for i := range 200 {
			j.tell(fmt.Sprintf("p%05d", i), "phone", fmt.Sprint(round, "-", i))
		}
		time.Sleep(time.Duration(5+15*round) * time.Millisecond)
		c.stop()
		c.start()
	}
	comes(t, "the last change", func() bool { return c.user("p00199").Text[store.Phone] == "3-199" })
	for i := range 200 {
		if name := fmt.Sprintf("p%05d", i); c.user(name).Text[store.Phone] != fmt.Sprint("3-", i) {
			t.Fatalf("%s has %q", name, c.user(name).Text[store.Phone])
		}
	}
	c.wants("full", "read 200, unchanged 200", full)
}

// A source that cannot stay connected says so.
func TestASourceThatCannotStay(t *testing.T) {
	j := newJournal(5)
	var logged lines
	c := newCompany(t, j, func(s *pipeline.Source) { s.Live = true })
	c.logged = &logged
	c.start()
	comes(t, "a word about it", func() bool { return strings.Contains(logged.String(), "cannot stay connected") })
}

// A steady stream of changes in one source starves no other: its runs are made in between, and the stream goes on.
func TestASteadyStreamStarvesNobody(t *testing.T) {
	j := newLiveJournal(200)
	c := newCompany(t, j, func(s *pipeline.Source) { s.Live = true })
	others := newJournal(0)
	others.person("zoe")
	second := c.config.Sources[0]
	second.Name, second.Reader, second.Live, second.Options = "others", others, false, rosterOptions("others")
	c.config.Sources = append(c.config.Sources, second)
	c.start()
	comes(t, "a session", func() bool { return len(j.began()) > 0 })
	ctx, cancel := context.WithCancel(t.Context())
	var steady sync.WaitGroup
	steady.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			j.tell(fmt.Sprintf("p%05d", i%200), "phone", strconv.Itoa(i))
			time.Sleep(500 * time.Microsecond)
		}
	})
	for i := range 5 {
		others.tell("zoe", "phone", strconv.Itoa(i))
		begun, before := time.Now(), c.lastRuns(1)[0].Number
		job, err := c.client.Sync(t.Context(), "others", pipeline.SyncOptions{})
		if err != nil {
			t.Fatal(err)
		}
		run, err := c.client.Follow(t.Context(), "others", job, nil)
		if err != nil || run.State != store.Applied || run.Created+run.Updated != 1 || time.Since(begun) > 30*time.Second {
			t.Errorf("run %d of the other source after %s: %+v, %v", i, time.Since(begun), run, err)
		}
		comes(t, "more of the stream", func() bool { return c.lastRuns(1)[0].Number > before })
	}
	cancel()
	steady.Wait()
	comes(t, "the end of the stream", func() bool {
		r, _ := j.record("p00000")
		i := slices.IndexFunc(r.Attributes, func(a connectors.Attribute) bool { return a.Name == "phone" })
		return c.user("p00000").Text[store.Phone] == r.Attributes[i].Values[0]
	})
}

// A live source whose runs leave no checkpoint is in no session, and says so; nobody reads it again and again, and runs of it are made when
// somebody, or its schedule, asks.
func TestALiveSourceWithoutCheckpoints(t *testing.T) {
	j := newLiveJournal(10)
	j.forgetful = true
	c := newCompany(t, j, func(s *pipeline.Source) { s.Live, s.Schedule = true, "0 0 1 1 *" }).start()
	comes(t, "the reason", func() bool {
		status, err := c.client.Status(t.Context())
		return err == nil && status.Sources[0].NoSession != "" && !status.Sources[0].Session
	})
	time.Sleep(1500 * time.Millisecond)
	j.set("p00001", "phone", "1")
	c.wants("full", "read 10, unchanged 9, updated 1")
	if len(j.passes) != 2 || len(j.began()) != 0 {
		t.Errorf("passes %q, sessions at %q", j.passes, j.began())
	}
	j.forgetful = false
	c.wants("full", "read 10, unchanged 10")
	comes(t, "a session", func() bool { return len(j.began()) > 0 })
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
