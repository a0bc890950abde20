package store_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/store"
	"rollcall/store/storetest"
)

func TestRuns(t *testing.T) {
	db := storetest.Open(t)
	want := &store.Run{
		Source: "people", Number: 41, Kind: "full", State: store.Applied, Read: 7, Created: 7, Seconds: 2.25, Started: noon, Finished: noon,
		From: 40, Messages: []string{"\xff"}, Next: []byte{0}, RequireApproval: true,
	}
	update(t, db, func(tx *store.Tx) error {
		for _, r := range []*store.Run{want, {Source: "people", Number: 43}, {Source: "corp", Number: 42}} {
			must(t, tx.PutRun(r))
		}
		return nil
	})
	must(t, db.View(func(tx *store.Tx) error {
		got, err := tx.Run("people", 41)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("run %+v, %v; want %+v", got, err, want)
		}
		for _, missing := range []string{"corp", "nobody"} {
			if r, err := tx.Run(missing, 41); r != nil || err != nil {
				t.Errorf("run 41 of %s: %v, %v", missing, r, err)
			}
		}
		return nil
	}))
	lists := map[string][]uint64{"people/0": {43, 41}, "corp/0": {42}, "/0": {43, 42, 41}, "/43": {42, 41}, "people/41": nil, "nobody/0": nil}
	for query, want := range lists {
		source, before, _ := strings.Cut(query, "/")
		if got := runNumbers(t, db, source, before); !slices.Equal(got, want) {
			t.Errorf("runs of %q before %s: %v, want %v", source, before, got, want)
		}
	}
}

func TestRunsStopEarly(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.PutRun(&store.Run{Source: "a", Number: 1}), tx.PutRun(&store.Run{Source: "a", Number: 2}))
	})
	seen := 0
	must(t, db.View(func(tx *store.Tx) error {
		return tx.Runs("", 0, func(*store.Run) error { seen++; return store.ErrStop })
	}))
	failed := errors.New("failed")
	err := db.View(func(tx *store.Tx) error {
		return tx.Runs("", 0, func(*store.Run) error { return failed })
	})
	if seen != 1 || !errors.Is(err, failed) {
		t.Errorf("%d runs seen, %v", seen, err)
	}
}

// TestRunsArePruned keeps the last 200 and those that something still needs.
func TestRunsArePruned(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error {
		must(t, tx.PutSource(&store.Source{Name: "people", Applied: 2}))
		must(t, tx.PlanPut("people", 5, []byte("k"), []byte("v")))
		must(t, tx.PutRun(&store.Run{Source: "corp", Number: 1, State: store.Applied}))
		for n := uint64(1); n <= 210; n++ {
			state := store.Applied
			if n == 4 {
				state = store.Held
			}
			must(t, tx.PutRun(&store.Run{Source: "people", Number: n, State: state}))
			must(t, tx.PutRun(&store.Run{Source: "people", Number: n, State: state}))
		}
		return nil
	})
	got := runNumbers(t, db, "people", "0")
	if len(got) != 203 || got[199] != 11 || !slices.Equal(got[200:], []uint64{5, 4, 2}) {
		t.Errorf("%d runs of people are left: %v", len(got), got)
	}
	if got := runNumbers(t, db, "corp", "0"); !slices.Equal(got, []uint64{1}) {
		t.Errorf("runs of corp are left: %v", got)
	}
}

func TestSources(t *testing.T) {
	db := storetest.Open(t)
	want := store.Source{Name: "people", Applied: 7, Checkpoint: []byte{0, 1}, Config: "c", Scope: "s", Server: "x", Held: 8, Reconciled: noon}
	update(t, db, func(tx *store.Tx) error {
		told := want
		told.Entries, told.Active, told.Linked = 99, 99, 99
		return errors.Join(tx.PutSource(&told), tx.PutSource(&store.Source{Name: "corp"}))
	})
	must(t, db.View(func(tx *store.Tx) error {
		if got, err := tx.Source("people"); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("source %+v, %v; want %+v", got, err, want)
		}
		if got, err := tx.Source("nobody"); err != nil || !reflect.DeepEqual(*got, store.Source{Name: "nobody"}) {
			t.Errorf("unknown source %+v, %v", got, err)
		}
		if got := tx.SourceNames(); !slices.Equal(got, []string{"corp", "people"}) {
			t.Errorf("sources %v", got)
		}
		return nil
	}))
	before := digest(t, db)
	update(t, db, func(tx *store.Tx) error { return tx.PutSource(&want) })
	if digest(t, db) != before {
		t.Error("counters that a source was told are stored")
	}
	if db.Update(func(tx *store.Tx) error { return tx.PutSource(&store.Source{}) }) == nil {
		t.Error("a source without a name was taken")
	}
}

func TestPlan(t *testing.T) {
	db := storetest.Open(t)
	const verdicts = 9000
	order := rand.Perm(verdicts)
	for part := range slices.Chunk(order, 2000) {
		update(t, db, func(tx *store.Tx) error {
			must(t, tx.PutRun(&store.Run{Source: "people", Number: 7}))
			key, value := make([]byte, 4), make([]byte, 4)
			for _, n := range part {
				binary.BigEndian.PutUint32(key, uint32(n))
				binary.BigEndian.PutUint32(value, uint32(n+1))
				must(t, tx.PlanPut("people", 7, key, value))
			}
			return nil
		})
	}
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.PutRun(&store.Run{Source: "people", Number: 8}),
			tx.PlanPut("people", 8, []byte{0xff}, []byte("old")), tx.PlanPut("people", 8, []byte{0xff}, []byte("new")))
	})
	both := []store.PlanRef{{Source: "people", Run: 7}, {Source: "people", Run: 8}}
	planned(t, db, both)
	must(t, db.View(func(tx *store.Tx) error {
		next := uint32(0)
		err := tx.Plan("people", 7, nil, func(key, value []byte) error {
			if binary.BigEndian.Uint32(key) != next || binary.BigEndian.Uint32(value) != next+1 {
				t.Fatalf("verdict %x of key %x at %d", value, key, next)
			}
			next++
			return nil
		})
		if next != verdicts {
			t.Errorf("%d verdicts, want %d", next, verdicts)
		}
		return err
	}))
	for n, want := range map[uint64]string{7: "00002326 00002327 00002327 00002328 ", 8: "ff 6e6577 ", 9: ""} {
		if got := verdictsBehind(t, db, n, []byte{0, 0, 0x23, 0x25}); got != want {
			t.Errorf("plan %d ends in %q, want %q", n, got, want)
		}
	}
	for i, wantMore := range []bool{true, true, false, false} {
		update(t, db, func(tx *store.Tx) error {
			more, err := tx.PlanDrop("people", 7, 4000)
			if more != wantMore {
				t.Errorf("drop %d: more is %t", i, more)
			}
			return err
		})
		if got := verdictsBehind(t, db, 7, nil); got != "" {
			t.Errorf("after drop %d: %.99s", i, got)
		}
		must(t, db.Check())
	}
	planned(t, db, both[1:])
}

// TestPlanIsReplaced drops a plan and puts it again in one transaction.
func TestPlanIsReplaced(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error {
		must(t, tx.PutRun(&store.Run{Source: "people", Number: 7}))
		must(t, tx.PlanPut("people", 7, []byte("a"), []byte("a")))
		_, err := tx.PlanDrop("people", 7, 10)
		return errors.Join(err, tx.PlanPut("people", 7, []byte("b"), nil),
			tx.Plan("people", 7, nil, func(_, _ []byte) error { return nil }))
	})
	if got := verdictsBehind(t, db, 7, nil); got != "62  " {
		t.Errorf("the plan is %q", got)
	}
}

func TestRevisions(t *testing.T) {
	db := storetest.Open(t)
	appendRevisions(t, db, "one", "two", "three")
	update(t, db, func(tx *store.Tx) error {
		n, chain := tx.Head()
		wrong := map[string]store.Revision{
			"want":          {Number: n + 1, Chain: store.ChainOf("", []byte("x")), Body: []byte("x")},
			"last one is 3": {Number: n, Chain: store.ChainOf(chain, []byte("x")), Body: []byte("x")},
		}
		for text, r := range wrong {
			if err := tx.AppendRevision(r); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("revision %+v: %v", r, err)
			}
		}
		return nil
	})
	must(t, db.View(func(tx *store.Tx) error {
		page, err := tx.Revisions(1, 1)
		if err != nil || len(page) != 1 || page[0].Number != 2 || string(page[0].Body) != "two" || !page[0].Time.Equal(noon) {
			t.Errorf("page %+v, %v", page, err)
		}
		return nil
	}))
	update(t, db, func(tx *store.Tx) error { return tx.DropRevisions(3, 2) })
	must(t, db.Check())
	update(t, db, func(tx *store.Tx) error { return tx.DropRevisions(9, 9) })
	must(t, db.Check())
	appendRevisions(t, db, "four")
	must(t, db.View(func(tx *store.Tx) error {
		page, err := tx.Revisions(0, 9)
		if err != nil || len(page) != 1 || page[0].Number != 4 {
			t.Errorf("after all were dropped: %+v, %v", page, err)
		}
		return nil
	}))
}

func TestChain(t *testing.T) {
	// printf abc | sha256sum
	if got := store.ChainOf("a", []byte("bc")); got != "ba7816bf8f01cfea" {
		t.Errorf("chain %s", got)
	}
}

func TestResults(t *testing.T) {
	db := storetest.Open(t)
	for _, body := range []string{"one", "two", "three"} {
		update(t, db, func(tx *store.Tx) error { return tx.AppendResult("applied", "people", []byte(body)) })
	}
	update(t, db, func(tx *store.Tx) error { return errors.Join(tx.DropResult(1), tx.DropResult(1), tx.DropResult(3)) })
	update(t, db, func(tx *store.Tx) error { return tx.AppendResult("held", "corp", nil) })
	must(t, db.View(func(tx *store.Tx) error {
		got, err := tx.Results(0, 10)
		if err != nil || fmt.Sprint(got) != "[{2 applied people [116 119 111]} {4 held corp []}]" {
			t.Errorf("results %v, %v", got, err)
		}
		if got, err := tx.Results(2, 10); err != nil || len(got) != 1 {
			t.Errorf("results behind 2: %v, %v", got, err)
		}
		if got, err := tx.Results(0, 1); err != nil || len(got) != 1 {
			t.Errorf("one result: %v, %v", got, err)
		}
		return nil
	}))
}

func TestPositions(t *testing.T) {
	db := storetest.Open(t)
	log := store.Position{Sequence: 7, Created: noon, Fingerprint: store.Digest{1}}
	relay := store.RelayPosition{Revision: 3, Sequence: 9, Created: noon, Fingerprint: store.Digest{2}}
	applying := &store.Applying{Source: "people", Run: 7, Phase: 2, After: []byte("k"), LogSequence: 8, Time: noon}
	positions := func(wantLog store.Position, wantRelay store.RelayPosition, wantApplying *store.Applying, wantMeta []byte) {
		t.Helper()
		must(t, db.View(func(tx *store.Tx) error {
			got, err := tx.Applying()
			if tx.LogPosition() != wantLog || tx.RelayPosition() != wantRelay || !reflect.DeepEqual(got, wantApplying) || !bytes.Equal(tx.Meta("state/x"), wantMeta) {
				t.Errorf("%+v, %+v, %+v, %q", tx.LogPosition(), tx.RelayPosition(), got, tx.Meta("state/x"))
			}
			return err
		}))
	}
	positions(store.Position{}, store.RelayPosition{}, nil, nil)
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.SetLogPosition(log), tx.SetRelayPosition(relay), tx.SetApplying(applying), tx.SetMeta("state/x", []byte("y")), tx.SetMeta("id", nil))
	})
	positions(log, relay, applying, []byte("y"))
	update(t, db, func(tx *store.Tx) error { return errors.Join(tx.SetApplying(nil), tx.SetMeta("state/x", nil)) })
	positions(log, relay, nil, nil)
}

// TestDigest changes one thing after the other: what follows from the log changes the digest, and
// nothing else does.
func TestDigest(t *testing.T) {
	db := storetest.Open(t)
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(putAll(tx, crowd(3)), tx.PutRun(&store.Run{Source: "people", Number: 1}))
	})
	changes := map[string]func(*store.Tx) error{
		"+user":     func(tx *store.Tx) error { return tx.PutUser(named("x", "x")) },
		"+origin":   func(tx *store.Tx) error { return tx.PutOrigin("corp", &store.Origin{Key: "x"}) },
		"+source":   func(tx *store.Tx) error { return tx.PutSource(&store.Source{Name: "corp"}) },
		"+run":      func(tx *store.Tx) error { return tx.PutRun(&store.Run{Source: "corp", Number: 1}) },
		"+state":    func(tx *store.Tx) error { return tx.SetMeta("state/x", []byte("y")) },
		"+head":     func(tx *store.Tx) error { return appendRevision(tx, "x") },
		"-meta":     func(tx *store.Tx) error { return tx.SetMeta("x", []byte("y")) },
		"-relay":    func(tx *store.Tx) error { return tx.SetRelayPosition(store.RelayPosition{Revision: 1}) },
		"-log":      func(tx *store.Tx) error { return tx.SetLogPosition(store.Position{Sequence: 1}) },
		"-outbox":   func(tx *store.Tx) error { return tx.DropRevisions(2, 2) },
		"-result":   func(tx *store.Tx) error { return tx.AppendResult("applied", "x", nil) },
		"-plan":     func(tx *store.Tx) error { return tx.PlanPut("people", 1, []byte("k"), nil) },
		"-applying": func(tx *store.Tx) error { return tx.SetApplying(&store.Applying{}) },
	}
	for name, change := range changes {
		before := digest(t, db)
		update(t, db, change)
		if changed := digest(t, db) != before; changed != strings.HasPrefix(name, "+") {
			t.Errorf("%s: the digest changes: %t", name, changed)
		}
	}
}

// TestDigestOfTheSame builds a store in one transaction and one in many, with detours.
func TestDigestOfTheSame(t *testing.T) {
	a := storetest.Open(t)
	b := open(t, filepath.Join(t.TempDir(), "b.db"), store.Options{NoSync: true, ID: a.ID()}) // ids of groups derive from it
	defer b.Close()
	people := crowd(900)
	update(t, a, func(tx *store.Tx) error { return putAll(tx, people) })
	for part := range slices.Chunk(people, 250) {
		update(t, b, func(tx *store.Tx) error { return putAll(tx, part) })
	}
	update(t, b, func(tx *store.Tx) error {
		return errors.Join(tx.PutOrigin("corp", &store.Origin{Key: "x", Waiting: true}), tx.DeleteOrigin("corp", store.KeyOf("x")))
	})
	if digest(t, a) != digest(t, b) {
		t.Error("equal stores have different digests")
	}
}

// TestIgnoredErrorFailsTheUpdate: an error that a method cannot return is not lost.
func TestIgnoredErrorFailsTheUpdate(t *testing.T) {
	db := storetest.Open(t)
	err := db.Update(func(tx *store.Tx) error {
		_ = tx.SetMeta(strings.Repeat("x", 1<<16), []byte("y"))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "bucket meta") {
		t.Errorf("an Update with a name that is too long: %v", err)
	}
}

func TestRunJSONIsComplete(t *testing.T) {
	b, err := json.Marshal(store.Run{Source: "people", Number: 7, Kind: "full", State: store.Applied})
	for _, name := range []string{"source", "run", "kind", "state", "read", "unchanged", "created", "updated", "deactivated", "reactivated", "merged", "ignored", "disabled", "conflicts", "rejected", "deletions", "warnings", "seconds"} {
		if err != nil || !strings.Contains(string(b), `"`+name+`":`) {
			t.Errorf("%s lacks %s (%v)", b, name, err)
		}
	}
}

func runNumbers(t *testing.T, db *store.DB, source, before string) (numbers []uint64) {
	t.Helper()
	var n uint64
	fmt.Sscan(before, &n)
	must(t, db.View(func(tx *store.Tx) error {
		return tx.Runs(source, n, func(r *store.Run) error {
			numbers = append(numbers, r.Number)
			return nil
		})
	}))
	return numbers
}

func planned(t *testing.T, db *store.DB, want []store.PlanRef) {
	t.Helper()
	must(t, db.View(func(tx *store.Tx) error {
		got, err := tx.Plans()
		if !slices.Equal(got, want) {
			t.Errorf("plans %v, want %v", got, want)
		}
		return err
	}))
}

func appendRevisions(t *testing.T, db *store.DB, bodies ...string) {
	t.Helper()
	update(t, db, func(tx *store.Tx) error {
		for _, body := range bodies {
			must(t, appendRevision(tx, body))
		}
		return nil
	})
}

func appendRevision(tx *store.Tx, body string) error {
	n, chain := tx.Head()
	return tx.AppendRevision(store.Revision{Number: n + 1, Time: noon, Chain: store.ChainOf(chain, []byte(body)), Body: []byte(body)})
}

func verdictsBehind(t *testing.T, db *store.DB, run uint64, after []byte) (text string) {
	t.Helper()
	must(t, db.View(func(tx *store.Tx) error {
		return tx.Plan("people", run, after, func(key, value []byte) error {
			text += fmt.Sprintf("%x %x ", key, value)
			return nil
		})
	}))
	return text
}
