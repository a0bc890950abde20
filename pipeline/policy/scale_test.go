package policy

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// TestFoldMemory keeps what the first pass remembers of an entry small: a first run has one for every person.
func TestFoldMemory(t *testing.T) {
	const entries, limit = 100_000, 160
	w := newWorld()
	f := NewFold(usual("corp"), w.view(), w.run("corp"))
	before := heap()
	for i := range entries {
		if err := f.Note(changeOf(i, "1")); err != nil {
			t.Fatal(err)
		}
	}
	noted := (heap() - before) / entries
	if err := f.Settle(); err != nil {
		t.Fatal(err)
	}
	settled := (heap() - before) / entries
	t.Logf("%d bytes an entry after the first pass, %d once it is settled", noted, settled)
	if noted > limit || settled > 40 {
		t.Errorf("the first pass keeps %d and then %d bytes an entry", noted, settled)
	}
	runtime.KeepAlive(f)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestC5LongChain refuses 20,000 people who each want the next one's name, the last one that of somebody who
// stays; one name free, all get theirs. It must not take the square of their number.
func TestC5LongChain(t *testing.T) {
	const people = 20_000
	w := newWorld()
	name := func(i int) string { return fmt.Sprintf("user%d", i) }
	var created, moved []*mapping.Change
	for i := range people {
		created = append(created, personChange(i, name(i)))
		moved = append(moved, personChange(i, name(i+1)))
	}
	verdicts, _, err := fold(usual("corp"), w.view(), w.run("corp"), created, created)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, "corp", verdicts)
	start := time.Now()
	if counts := countActions(t, w, moved); counts[Update] != people {
		t.Errorf("a chain with a free end: %v", counts)
	}
	w.addByHand(name(people))
	o := usual("corp")
	o.AdoptLocalUsers = false
	if counts := countActions(t, w, moved); counts[Conflict] != people {
		t.Errorf("a chain without: %v", counts)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func countActions(t *testing.T, w *world, changes []*mapping.Change) map[Action]int {
	t.Helper()
	verdicts, _, err := fold(usual("corp"), w.view(), w.run("corp"), changes, changes)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[Action]int{}
	for _, v := range verdicts {
		counts[v.Action]++
	}
	return counts
}

func personChange(i int, name string) *mapping.Change {
	c := &mapping.Change{Key: fmt.Sprintf("k%06d", i), Entry: "uid=" + name, Kind: connectors.User, Number: uint64(i + 1), Digest: store.DigestOf(name, nil)}
	c.Set = c.Set.With(store.UserName)
	c.Text[store.UserName] = name
	return c
}

// TestU6ThousandPINs merges a thousand PINs on one user, twice.
func TestU6ThousandPINs(t *testing.T) {
	w := newWorld()
	c := personChange(1, "alice")
	c.Set = c.Set.With(store.PINs)
	for i := range 1000 {
		c.List[store.PINs.List()] = append(c.List[store.PINs.List()], fmt.Sprintf("hash%04d", i))
	}
	verdicts, _, err := fold(usual("corp"), w.view(), w.run("corp"), []*mapping.Change{c}, []*mapping.Change{c})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, "corp", verdicts)
	if got := len(w.users["id-corp-k000001"].List[store.PINs.List()]); got != 1000 {
		t.Errorf("%d PINs", got)
	}
	if counts := countActions(t, w, []*mapping.Change{c}); counts[Unchanged] != 1 {
		t.Errorf("again: %v", counts)
	}
}
