package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/pipeline"
	"rollcall/store"
)

// history is a random one: two sources over the same people, their options, what happens in the directories and what is done by hand.
type history struct {
	*company
	chance *rand.Rand
	dirs   map[string]*roster
}

// Random sources, options, directories and manual commands over the whole pipeline. After every run its counters add up, a second run
// of the same directories writes nothing, and a source that alone has the people has them as the directory says. In the end every
// invariant of the store holds, every revision is one event, and the log read again gives the same store.
func TestRandomHistories(t *testing.T) {
	play := func(t *testing.T, seed uint64) {
		h := newHistory(t, seed)
		h.start()
		for range 12 {
			h.step()
		}
		h.rebuilt()
	}
	now := uint64(time.Now().UnixNano())
	if os.Getenv("CI") == "true" {
		now = 100 // it judges a change and not the draw
	}
	for _, seed := range []uint64{1, 2, 3, 6, 14, now, now + 1} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			play(t, seed)
		})
	}
	for seed, end := now+2, soaking(t); time.Now().Before(end); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { play(t, seed) })
	}
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{chance: rand.New(rand.NewPCG(seed, 1)), dirs: map[string]*roster{"people": newRoster(), "cards": newRoster()}}
	h.company = newCompany(t, h.dirs["people"], h.options)
	if h.chance.IntN(2) == 0 {
		delete(h.dirs, "cards")
		return h
	}
	second := pipeline.Source{Name: "cards", Enabled: true, Reader: h.dirs["cards"], Mapping: rosterMapping(), Options: rosterOptions("cards")}
	h.options(&second)
	second.Options.Ownership, second.Options.PairByPersonalNumber = "contribute", true
	h.config.Sources = append(h.config.Sources, second)
	return h
}

// options are random; the guard is out of the way.
func (h *history) options(s *pipeline.Source) {
	o := &s.Options
	o.Guard.Deactivate.Floor, o.Guard.Rename.Floor, o.Guard.Create.Floor = 1000, 1000, 1000
	o.Guard.Blank.Floor, o.Guard.Secrets.Floor, o.Guard.Relink.Maximum = 1000, 1000, 1000
	o.KeepOldNameAsAlias = h.chance.IntN(2) == 0
	o.PairByPersonalNumber = h.chance.IntN(2) == 0
	o.IgnoreSynchronizationSource = h.chance.IntN(3) == 0
	if !o.PairByPersonalNumber { // or somebody who is gone and not yet missing would still be one user with another entry (O5)
		o.AbsentFor = 1 + h.chance.IntN(2)
	}
}

// step changes something and, mostly, runs a source twice.
func (h *history) step() {
	names := make([]string, 0, 2)
	for name := range h.dirs {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[h.chance.IntN(len(names))]
	for range h.chance.IntN(12) {
		h.change(h.dirs[name])
	}
	if h.chance.IntN(3) == 0 {
		h.byHand()
	}
	h.runTwice(name)
}

// change is one in a directory of 30 people at most, whose names, cards and numbers collide at times.
func (h *history) change(dir *roster) {
	n := h.chance.IntN(30)
	key := fmt.Sprintf("p%02d", n)
	if _, there := dir.entries[key]; !there {
		dir.person(key, "number", fmt.Sprintf("N%02d", n))
		return
	}
	if _, poisoned := dir.entries[key]["problem"]; poisoned { // the record that was read before stands
		delete(dir.entries[key], "problem")
		return
	}
	switch h.chance.IntN(7) {
	case 0:
		dir.remove(key)
	case 1:
		dir.set(key, "uid", fmt.Sprintf("p%02d", h.chance.IntN(30)))
	case 2:
		dir.set(key, "card", fmt.Sprintf("C%02d", h.chance.IntN(30)), fmt.Sprintf("C%02d", h.chance.IntN(30)))
	case 3:
		dir.set(key, "card")
	case 4:
		dir.set(key, "number", fmt.Sprintf("N%02d", h.chance.IntN(30)))
	case 5:
		dir.set(key, "problem", "cannot be read")
	default:
		dir.set(key, "phone", fmt.Sprint(h.chance.IntN(100)))
	}
}

// byHand does something to somebody. That it is refused is an answer like any other.
func (h *history) byHand() {
	e := pipeline.Edit{User: fmt.Sprintf("p%02d", h.chance.IntN(30)), Actor: "test", Reason: "by chance"}
	var err error
	switch h.chance.IntN(5) {
	case 0:
		e.Set = map[string]string{"phone": "by hand", "aliases": fmt.Sprintf("a%02d", h.chance.IntN(30))}
		_, err = h.client.SetUser(h.alive, e)
	case 1:
		_, err = h.client.DeactivateUser(h.alive, e)
	case 2:
		_, err = h.client.ReactivateUser(h.alive, e)
	case 3:
		e.Card = fmt.Sprintf("C%02d", h.chance.IntN(30))
		_, err = h.client.AddCard(h.alive, e)
	default:
		e.PIN = fmt.Sprintf("%06d", 318_204+7919*h.chance.IntN(20))
		_, err = h.client.AddPIN(h.alive, e)
	}
	if err != nil && !errors.Is(err, pipeline.ErrNotFound) && !errors.Is(err, pipeline.ErrRefused) && !errors.Is(err, pipeline.ErrMistake) {
		h.t.Fatal(err)
	}
}

// runTwice runs a source until it has nothing to do: an entry that waits for another one's value may take it in the second run.
func (h *history) runTwice(name string) {
	h.t.Helper()
	for attempt := 1; ; attempt++ {
		before := h.revision()
		run := h.run(name)
		if h.revision() == before {
			break
		}
		if attempt == 4 {
			h.t.Fatalf("run %d of %s over the same directory still changes users: %s\n%v", attempt, name, counters(run), run.Messages)
		}
	}
	if len(h.dirs) == 1 {
		h.compare(name)
	}
}

func (h *history) run(name string) store.Run {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.alive, 3*time.Minute)
	defer cancel()
	job, err := h.client.Sync(ctx, name, pipeline.SyncOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	run, err := h.client.Follow(ctx, name, job, nil)
	if err != nil || run.State != store.Applied {
		h.t.Fatalf("run of %s is %s: %s, %v", name, run.State, run.Reason, err)
	}
	sum := run.Unchanged + run.Created + run.Updated + run.Reactivated + run.Merged + run.Ignored + run.Disabled + run.Conflicts + run.Rejected + run.Deletions
	if sum != run.Read {
		h.t.Errorf("the counters add up to %d: %s", sum, counters(run))
	}
	return run
}

// compare compares the users with the directory of the only source: everybody is as it says, or waits with a reason that names a
// rule. Who shares a personal number with another entry is left out: the two may be one user (O5).
func (h *history) compare(name string) {
	h.t.Helper()
	dir, waits := h.dirs[name], map[string]string{}
	err := h.client.Unsettled(h.alive, name, func(u pipeline.Unsettled) error {
		waits[u.Entry] = u.Reason
		if u.Action == "conflict" && !strings.Contains(u.Reason, "[") {
			h.t.Errorf("%s is %s without the rule in its reason %q", u.Entry, u.Action, u.Reason)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for key, e := range dir.entries {
		if _, isWaiting := waits["uid="+key]; isWaiting || dir.shares(key, "number") {
			continue
		}
		u, err := h.client.User(h.alive, e["uid"][0])
		if err != nil {
			h.t.Errorf("%s does not wait and has no user: %v, %v", key, e, err)
			continue
		}
		if u.Text[store.UserName] != strings.ToLower(e["uid"][0]) {
			continue // another login of somebody, also while only that one's number has changed (O5)
		}
		for property, attribute := range map[store.Property]string{store.FullName: "cn", store.Email: "mail", store.Phone: "phone", store.PersonalNumber: "number"} {
			if want := slices.Concat(e[attribute], []string{""})[0]; u.Text[property] != want {
				h.t.Errorf("%s has the %s %q, the directory says %q", key, property, u.Text[property], want)
			}
		}
		for _, card := range e["card"] {
			if !slices.ContainsFunc(u.List[store.Cards.List()], func(v store.Value) bool { return v.V == card }) {
				h.t.Errorf("%s has not the card %s of the directory: %v", key, card, u.List[store.Cards.List()])
			}
		}
	}
}

// shares reports whether another entry has a value that this one has.
func (r *roster) shares(key, attribute string) bool {
	for other, e := range r.entries {
		if other != key && slices.ContainsFunc(e[attribute], func(v string) bool { return slices.Contains(r.entries[key][attribute], v) }) {
			return true
		}
	}
	return false
}
