package pipeline_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors/csv"
	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// S3: One person's way through the pipeline and back: created, changed, renamed, gone, returned; each step is one event.
func TestOnePersonsWay(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "phone", "+420 1", "card", "0A1B2C3D", "number", "100")
	c := newCompany(t, dir).start()

	c.applied("read 1, created 1")
	dir.person("bob")
	c.applied("read 2, unchanged 1, created 1")
	dir.set("alice", "phone", "+420 2")
	c.applied("read 2, unchanged 1, updated 1")
	dir.set("alice", "uid", "alice.novak")
	c.applied("read 2, unchanged 1, updated 1")
	if u := c.user("alice.novak"); u.Text[store.Phone] != "+420 2" {
		t.Errorf("phone is %q", u.Text[store.Phone])
	}
	dir.remove("alice")
	c.applied("read 2, unchanged 1, deletions 1, deactivated 1")
	dir.person("alice", "uid", "alice.novak", "phone", "+420 2", "card", "0A1B2C3D", "number", "100")
	c.applied("read 2, unchanged 1, reactivated 1")

	want := []string{"created alice", "created bob", "updated alice", "updated alice.novak", "deactivated alice.novak", "reactivated alice.novak"}
	if got := c.events(0); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// Promise 1, V5: a file that was cut within a line, wherever, changes nothing.
func TestAFileCutAnywhereChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	whole := "FULLNAME,USERNAME_ALIASES\n"
	for i := range 8 {
		whole += fmt.Sprintf("Person %d,person%d\n", i, i)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCompany(t, &csv.Config{Path: path}, func(s *pipeline.Source) {
		s.Mapping.Properties = map[string]mapping.Rule{"user_name": {From: []string{"USERNAME_ALIASES"}}, "full_name": {From: []string{"FULLNAME"}}}
	}).start()
	write(whole)
	c.applied("read 8, created 8")
	before, revision := c.users(), c.revision()

	for n := range len(whole) {
		if n > 0 && whole[n-1] == '\n' {
			continue // a file of fewer rows, for all that can be told
		}
		write(whole[:n])
		if run := c.sync(); run.State != store.Failed || run.Try == "" {
			t.Errorf("cut at byte %d: run is %s (%s), want failed", n, run.State, run.Reason)
		}
	}
	if got := c.revision(); got != revision || !maps.Equal(c.users(), before) {
		t.Errorf("revision %d, want %d", got, revision)
	}
	write(whole)
	c.applied("read 8, unchanged 8")
}

// Promise 1: a read that stopped, for whatever reason, changes nothing, and what it had read is not lost for the next one.
func TestAnAbortedReadChangesNothing(t *testing.T) {
	dir := newRoster().people(3000)
	c := newCompany(t, dir).start()
	c.applied("read 3000, created 3000")
	before, revision := c.users(), c.revision()

	dir.set("p00010", "phone", "+420 10")
	dir.person("new", "phone", "1")
	dir.remove("p00001", "p02999")
	for name, fail := range map[string]func(){
		"in the middle":   func() { dir.during = func(n int, _ string) error { return errIf(n == 2500) } },
		"before the end":  func() { dir.after = func() error { return errCut } },
		"before anything": func() { dir.during = func(int, string) error { return errCut } },
	} {
		fail()
		run := c.sync()
		if run.State != store.Failed || !strings.Contains(run.Reason, "cut off by the test") {
			t.Errorf("%s: run is %s: %s", name, run.State, run.Reason)
		}
		if now := c.users(); !maps.Equal(now, before) || c.revision() != revision {
			t.Errorf("%s: an aborted run changed users", name)
		}
		dir.during, dir.after = nil, nil
	}
	c.applied("read 3001, unchanged 2997, created 1, updated 1, deletions 2, deactivated 2")
}

func errIf(fail bool) error {
	if fail {
		return errCut
	}
	return nil
}

// Promise 1: an entry that moves, during the read, from a base not yet read to one already read is looked up again: the
// source is read once more and nobody is called absent.
func TestAnEntryThatMovesDuringTheReadIsNotMissed(t *testing.T) {
	dir := newRoster().people(20)
	c := newCompany(t, dir).start()
	c.applied("read 20, created 20")
	dir.hide = func(key string) bool { return dir.reads == 2 && key == "p00007" }
	run := c.applied("read 20, unchanged 20")
	if dir.reads != 3 {
		t.Errorf("the source was read %d times, want 3", dir.reads)
	}
	if !c.user("p00007").Active {
		t.Error("p00007 was called absent")
	}
	runs, err := c.client.Runs(t.Context(), "people", 10)
	if err != nil {
		t.Fatal(err)
	}
	if aborted := runs[1]; aborted.State != store.Failed || !strings.Contains(aborted.Reason, "uid=p00007 was not read, but it is there") || run.Job != aborted.Job {
		t.Errorf("the attempt before is %s: %s", aborted.State, aborted.Reason)
	}
}

// Promise 1: on another server than the last run's, absences wait for a second run there.
func TestAbsencesOnAnotherServerWait(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	c.applied("read 5, created 5")
	dir.server = "a replica that lags behind"
	dir.remove("p00004")
	run := c.applied("read 4, unchanged 4")
	if !slices.ContainsFunc(run.Messages, func(m string) bool { return strings.Contains(m, "wait for a second run") }) {
		t.Errorf("messages %q do not say that absences wait", run.Messages)
	}
	c.applied("read 5, unchanged 4, deletions 1, deactivated 1")
}

// Promise 2: a run that was compared with something else than what is applied now is stale and changes nothing.
func TestAStalledWorkersLateRunChangesNothing(t *testing.T) {
	dir := newRoster().people(10)
	c := newCompany(t, dir).start()
	first := c.applied("read 10, created 10")

	// A worker begins a run, reads, and stalls. Its changes are in CHANGES already: it would deactivate nobody and rename one.
	ctx := t.Context()
	var stalled uint64
	c.withBus(func(bus *events.Bus) {
		var err error
		stalled, err = bus.Publish(ctx, events.LogSubject("people", "started"), "",
			mustJSON(t, map[string]any{"job": map[string]any{"id": "stalled", "source": "people"}, "kind": "full", "config": first.Config, "worker": "w"}))
		if err != nil {
			t.Fatal(err)
		}
	})
	dir.set("p00003", "phone", "+420 3")
	c.applied("read 10, unchanged 9, updated 1")
	before, revision := c.users(), c.revision()

	c.withBus(func(bus *events.Bus) { // it wakes up
		_, err := bus.Publish(ctx, events.LogSubject("people", "finished"), "",
			mustJSON(t, map[string]any{"run": stalled, "from": first.Number, "changes": 0, "read": 10, "whole": true, "scope": first.Scope}))
		if err != nil {
			t.Fatal(err)
		}
	})
	dir.set("p00004", "phone", "+420 4")
	c.applied("read 10, unchanged 9, updated 1")
	run, err := c.client.Run(ctx, "people", stalled)
	if err != nil {
		t.Fatal(err)
	}
	if run.State != store.Failed {
		t.Errorf("the stalled run is %s: %s", run.State, run.Reason)
	}
	if got := c.revision(); got != revision+1 {
		t.Errorf("revision %d, want %d", got, revision+1)
	}
	before["p00004"] = c.users()["p00004"]
	if !maps.Equal(before, c.users()) {
		t.Error("the stalled run changed users")
	}
}

// A job whose workers were lost three times, as one that no worker survives, is given up without another read.
func TestAJobThatNoWorkerSurvives(t *testing.T) {
	dir := newRoster().people(3)
	c := newCompany(t, dir).start()
	first := c.applied("read 3, created 3")
	dir.remove("p00001")
	dir.during = func(int, string) error { t.Error("the source is read"); return nil }
	job := map[string]any{"id": "lost", "source": "people"}
	c.withBus(func(bus *events.Bus) {
		for range 3 {
			_, err := bus.Publish(t.Context(), events.LogSubject("people", "started"), "",
				mustJSON(t, map[string]any{"job": job, "kind": "full", "config": first.Config, "worker": "w"}))
			if err != nil {
				t.Fatal(err)
			}
		}
		c.settled()
		if _, err := bus.Publish(t.Context(), events.JobSubject("people"), "", mustJSON(t, job)); err != nil {
			t.Fatal(err)
		}
	})
	run, err := c.client.Follow(t.Context(), "people", "lost", nil)
	if err != nil || run.State != store.Failed || run.Reason != "worker lost three times" || run.Try == "" || run.Again {
		t.Errorf("run is %s (%s), again: %t, %v", run.State, run.Reason, run.Again, err)
	}
	dir.during = nil
	c.applied("read 3, unchanged 2, deletions 1, deactivated 1")
}

// A run whose worker was overtaken changes nothing, also when it finishes before its successor.
func TestAnOvertakenRunChangesNothing(t *testing.T) {
	dir := newRoster().people(3)
	c := newCompany(t, dir).start()
	first := c.applied("read 3, created 3")
	ctx := t.Context()
	c.withBus(func(bus *events.Bus) {
		start := func(job string) uint64 {
			number, err := bus.Publish(ctx, events.LogSubject("people", "started"), "",
				mustJSON(t, map[string]any{"job": map[string]any{"id": job, "source": "people"}, "kind": "full", "config": first.Config}))
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
		finish := func(number uint64) {
			if _, err := bus.Publish(ctx, events.LogSubject("people", "finished"), "",
				mustJSON(t, map[string]any{"run": number, "from": first.Number, "changes": 0, "read": 3, "whole": true, "scope": first.Scope})); err != nil {
				t.Fatal(err)
			}
		}
		overtaken, successor := start("job"), start("job")
		finish(overtaken)
		finish(successor)
		eventually(t, func() bool {
			run, err := c.client.Run(ctx, "people", successor)
			return err == nil && run.State == store.Applied
		})
		if run, err := c.client.Run(ctx, "people", overtaken); err != nil || run.State != store.Failed || !run.Again {
			t.Errorf("the overtaken run is %s (%s), %v", run.State, run.Reason, err)
		}
	})
}

// The same by the number of the applied run alone, for a run that nobody took over.
func TestAStaleRunFails(t *testing.T) {
	dir := newRoster().people(3)
	c := newCompany(t, dir).start()
	first := c.applied("read 3, created 3")
	dir.set("p00000", "phone", "1")
	c.applied("read 3, unchanged 2, updated 1")
	ctx := t.Context()
	c.withBus(func(bus *events.Bus) {
		number, err := bus.Publish(ctx, events.LogSubject("people", "started"), "",
			mustJSON(t, map[string]any{"job": map[string]any{"id": "x", "source": "people"}, "kind": "full", "config": first.Config}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = bus.Publish(ctx, events.LogSubject("people", "finished"), "",
			mustJSON(t, map[string]any{"run": number, "from": first.Number, "changes": 0, "read": 0, "whole": true, "scope": first.Scope}))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			run, err := c.client.Run(ctx, "people", number)
			return err == nil && run.State == store.Failed && strings.Contains(run.Reason, "stale")
		})
	})
}

// Promise 3: a second identical run leaves no record, no change, no revision and no event, also after a restart.
func TestASecondRunLeavesNothing(t *testing.T) {
	dir := newRoster().people(50)
	dir.person("twin1", "uid", "twin") // refused, and refused again without a word
	dir.person("twin2", "uid", "twin")
	c := newCompany(t, dir).start()
	c.applied("read 52, created 50, conflicts 2")
	before, revision := c.streams(), c.revision()
	for range 2 {
		c.applied("read 52, unchanged 50, conflicts 2")
		if after := c.streams(); !maps.Equal(after, before) || c.revision() != revision {
			t.Errorf("streams %v, before %v; revision %d, before %d", after, before, c.revision(), revision)
		}
		c.stop()
		c.start()
	}
}

// Promise 5 and 6: one poisoned record among 10,000 goes to the dead letters, the others are applied.
func TestOnePoisonedRecord(t *testing.T) {
	dir := newRoster().people(10000)
	dir.set("p05000", "uid", strings.Repeat("x", 300)) // U1: at most 255 characters
	c := newCompany(t, dir).start()
	c.applied("read 10000, created 9999, rejected 1")
	var letters []pipeline.DeadLetter
	if err := c.client.Dead(t.Context(), func(d pipeline.DeadLetter) error { letters = append(letters, d); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(letters) != 1 || letters[0].Key != "p05000" || letters[0].Reason == "" {
		t.Fatalf("dead letters %+v", letters)
	}
	dir.set("p05000", "uid", "p05000")
	c.applied("read 10000, unchanged 9999, created 1")
}

// A record that can suddenly not be mapped is a bad record and not a missing user.
func TestAPoisonedRecordIsNotAnAbsence(t *testing.T) {
	dir := newRoster().people(3)
	c := newCompany(t, dir).start()
	c.applied("read 3, created 3")
	dir.set("p00001", "problem", "line 7 has NUL bytes")
	c.applied("read 3, unchanged 2, rejected 1")
	if u := c.user("p00001"); !u.Active {
		t.Error("a bad record deactivated its user")
	}
}

// H2: The guard holds a run that would deactivate too many; approve applies exactly that plan, once.
func TestGuardHoldsAndApproveApplies(t *testing.T) {
	dir := newRoster().people(100)
	c := newCompany(t, dir).start()
	c.applied("read 100, created 100")
	dir.remove(dir.keys()[:11]...)

	held := c.sync()
	if held.State != store.Held || !strings.Contains(held.Reason, "deactivate") || held.Plan == "" {
		t.Fatalf("run is %s (%s), want held", held.State, held.Reason)
	}
	if got := c.events(100); len(got) != 0 {
		t.Fatalf("a held run emitted %q", got)
	}
	var planned []string
	if _, err := c.client.Plan(t.Context(), "people", 0, func(e pipeline.PlanEntry) error { planned = append(planned, e.UserName); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(planned) != 11 {
		t.Errorf("the plan has %d changes: %q", len(planned), planned)
	}
	if _, err := c.client.Approve(t.Context(), "people", "0000000000", "tester"); err == nil {
		t.Error("a wrong hash was approved")
	}
	run, err := c.client.Approve(t.Context(), "people", held.Plan[:8], "tester")
	if err != nil || run.State != store.Applied || run.Deactivated != 11 {
		t.Fatalf("approved: %s, %s, %v", run.State, counters(run), err)
	}
	eventually(t, func() bool { return len(c.events(100)) == 11 })
	if _, err := c.client.Approve(t.Context(), "people", held.Plan[:8], "tester"); err == nil {
		t.Error("the plan was approved twice")
	}
	c.applied("read 89, unchanged 89")
}

// A held run that is overtaken by a good one is lost, but nothing that it read is.
func TestAHeldRunLosesNothing(t *testing.T) {
	dir := newRoster().people(100)
	c := newCompany(t, dir).start()
	c.applied("read 100, created 100")
	gone := dir.keys()[:11]
	dir.remove(gone...)
	dir.set("p00050", "phone", "+420 50")
	held := c.sync()
	if held.State != store.Held {
		t.Fatalf("run is %s, want held", held.State)
	}
	for _, key := range gone[1:] {
		dir.person(key)
	}
	c.applied("read 100, unchanged 98, updated 1, deletions 1, deactivated 1")
	if _, err := c.client.Approve(t.Context(), "people", held.Plan[:8], "tester"); err == nil {
		t.Error("a plan that was overtaken was approved")
	}
}

// Reject drops the plan, and the next run proposes anew.
func TestReject(t *testing.T) {
	dir := newRoster().people(100)
	c := newCompany(t, dir).start()
	c.applied("read 100, created 100")
	dir.remove(dir.keys()[:20]...)
	held := c.sync()
	run, err := c.client.Reject(t.Context(), "people", held.Plan, "tester")
	if err != nil || run.State != store.Cancelled {
		t.Fatalf("rejected: %s, %v", run.State, err)
	}
	if again := c.sync(); again.State != store.Held || again.Plan != held.Plan {
		t.Errorf("the next run is %s with plan %s, want held with %s", again.State, again.Plan, held.Plan)
	}
}

// S4: A dry run shows the whole plan and writes nothing; the real run then does exactly that.
func TestDryRun(t *testing.T) {
	dir := newRoster().people(30)
	c := newCompany(t, dir).start()
	c.applied("read 30, created 30")
	dir.set("p00001", "phone", "1")
	dir.person("new")
	before, revision := c.users(), c.revision()
	dry := c.sync(pipeline.SyncOptions{DryRun: true})
	if got := counters(dry); dry.State != store.Planned || got != "read 31, unchanged 29, created 1, updated 1" {
		t.Fatalf("dry run is %s: %s", dry.State, got)
	}
	var sentences []string
	if _, err := c.client.Plan(t.Context(), "people", dry.Number, func(e pipeline.PlanEntry) error { sentences = append(sentences, e.Sentence); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(sentences) != 2 {
		t.Errorf("the plan says %q", sentences)
	}
	if !maps.Equal(before, c.users()) || c.revision() != revision {
		t.Error("a dry run changed users")
	}
	if real := c.applied("read 31, unchanged 29, created 1, updated 1"); real.Plan != dry.Plan {
		t.Errorf("the real run's plan is %s, the dry run's %s", real.Plan, dry.Plan)
	}
}

// S2: A second run of a source is refused while one is going; cancel stops that one and leaves the store as it was.
func TestBusyAndCancel(t *testing.T) {
	dir := newRoster().people(10)
	reading, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	dir.during = func(n int, _ string) error {
		if n == 5 {
			close(reading)
			<-release
		}
		return nil
	}
	c := newCompany(t, dir).start()
	job, err := c.client.Sync(t.Context(), "people", pipeline.SyncOptions{})
	if err != nil {
		t.Fatal(err)
	}
	<-reading
	if _, err := c.client.Sync(t.Context(), "people", pipeline.SyncOptions{}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("second run: %v", err)
	}
	if _, err := c.client.Cancel(t.Context(), "people", "tester"); err != nil {
		t.Fatal(err)
	}
	run, err := c.client.Follow(t.Context(), "people", job, nil)
	if err != nil || run.State != store.Cancelled {
		t.Errorf("run is %s, %v", run.State, err)
	}
	release <- struct{}{}
	dir.during = nil
	eventually(t, func() bool { job, err := c.client.Busy(t.Context(), "people"); return err == nil && job == "" })
	c.applied("read 10, created 10")
}

// A changed configuration proposes everybody again, through plan and guard, and changes only what differs.
func TestAChangedConfigurationReadsEverybodyAgain(t *testing.T) {
	dir := newRoster().people(40)
	c := newCompany(t, dir).start()
	c.applied("read 40, created 40")
	c.stop()
	c.config.Sources[0].Options.KeepOldNameAsAlias = true
	c.start()
	before := c.streams()
	c.applied("read 40, unchanged 40")
	after := c.streams()
	if after[events.RawStream] != before[events.RawStream]+40 || after[events.UsersStream] != before[events.UsersStream] {
		t.Errorf("streams %v, before %v: want 40 records and no event", after, before)
	}
}

// Scope changes that would deactivate anyone are held (H1).
func TestAChangedScopeIsHeld(t *testing.T) {
	dir := newRoster().people(40)
	c := newCompany(t, dir).start()
	c.applied("read 40, created 40")
	dir.remove("p00000")
	c.stop()
	dir.scope = "a narrower filter"
	c.start()
	if run := c.sync(); run.State != store.Held || !strings.Contains(run.Reason, "scope") {
		t.Errorf("run is %s: %s", run.State, run.Reason)
	}
}

// The log's tail is lost under a store that is ahead: new messages are not mistaken for old ones, and the next run heals it.
func TestALogThatLostItsTail(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	c.applied("read 5, created 5")
	dir.set("p00001", "phone", "1")
	last := c.applied("read 5, unchanged 4, updated 1")
	c.withBus(func(bus *events.Bus) {
		if err := bus.JetStream.DeleteStream(t.Context(), events.LogStream); err != nil {
			t.Fatal(err)
		}
	})
	_ = c.node.Stop()
	c.start()
	dir.set("p00002", "phone", "2")
	if run := c.applied("read 5, unchanged 4, updated 1"); run.Number <= last.Number {
		t.Errorf("the new log numbers its runs from %d, the store knows %d", run.Number, last.Number)
	}
}

// Limits of the guard can be set per source.
func TestGuardLimits(t *testing.T) {
	dir := newRoster().people(10)
	c := newCompany(t, dir, func(s *pipeline.Source) { s.Options.Guard.Rename = policy.Limit{Floor: 1} }).start()
	c.applied("read 10, created 10")
	dir.set("p00001", "uid", "one")
	c.applied("read 10, unchanged 9, updated 1")
	dir.set("p00002", "uid", "two")
	dir.set("p00003", "uid", "three")
	if run := c.sync(); run.State != store.Held {
		t.Errorf("two renames beyond a limit of one: run is %s", run.State)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// eventually waits until ok says so.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("it did not come to pass within three minutes")
}
