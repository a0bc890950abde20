package connectorstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
)

// TestRun lets a connector that keeps every promise pass.
func TestRun(t *testing.T) { Run(t, newDirectory("").harness()) }

// TestFlaws breaks one promise at a time: the check that is meant to see it must, and each check is needed.
func TestFlaws(t *testing.T) {
	caught := map[string]bool{}
	for _, test := range []struct{ flaw, check string }{
		{"leaves one out", "each entry once with its attributes"},
		{"emits one twice", "each entry once with its attributes"},
		{"attributes in any order", "each entry once with its attributes"},
		{"an empty attribute is not listed", "each entry once with its attributes"},
		{"overwrites strings", "each entry once with its attributes"},
		{"no evidence", "each entry once with its attributes"},
		{"never whole", "each entry once with its attributes"},
		{"text that is no UTF-8", "each entry once with its attributes"},
		{"key from the pass", "two passes are equal"},
		{"values as they come", "another order is no change"},
		{"key from the position", "another order is no change"},
		{"key from the name", "a key outlives a rename"},
		{"present from memory", "a removed entry is gone"},
		{"password", "passwords and secrets stay out"},
		{"password under another name", "passwords and secrets stay out"},
		{"secret in check", "passwords and secrets stay out"},
		{"deaf to the context", "a cancelled context stops the pass"},
		{"cancelled at the end is whole", "a cancelled context stops the pass"},
		{"outcome beside an error", "a cancelled context stops the pass"},
		{"goes on after emit failed", "a failing emit stops the pass"},
		{"swallows emit's error", "a failing emit stops the pass"},
		{"hides emit's error", "a failing emit stops the pass"},
		{"takes any checkpoint", "an unknown checkpoint has expired"},
		{"no next checkpoint", "an incremental pass tells what changed"},
		{"incremental pass says nothing", "an incremental pass tells what changed"},
		{"present leaves keys out", "present answers every key"},
		{"present says yes", "present answers every key"},
		{"present before a read", "present answers every key"},
		{"present answers when cancelled", "present with a cancelled context answers nothing"},
		{"check is silent", "check says what it sees"},
		{"unreachable without a hint", "an unreachable source is an error with a hint"},
		{"unreachable is empty", "an unreachable source is an error with a hint"},
	} {
		t.Run(test.flaw, func(t *testing.T) {
			i := slices.IndexFunc(checks(), func(c check) bool { return c.name == test.check })
			if err := checks()[i].run(t.Context(), t, newDirectory(test.flaw).harness()); err == nil {
				t.Fatalf("%q did not see it", test.check)
			}
		})
		caught[test.check] = true
	}
	for _, c := range checks() {
		if !caught[c.name] {
			t.Errorf("no flaw is caught by %q", c.name)
		}
	}
}

// TestFlawedBreaks is the same for sources that end early.
func TestFlawedBreaks(t *testing.T) {
	for _, flaw := range []string{"half is whole", "half without a hint", "another reason"} {
		h := newDirectory(flaw).harness()
		for _, b := range h.Breaks {
			if err := checkBreak(t.Context(), t, h, b); err == nil {
				t.Errorf("%s: %q was not seen", b.Name, flaw)
			}
		}
	}
}

// directory is a source in memory. Its flaw is the promise that its connectors break.
type directory struct {
	flaw    string
	entries []entry
	removed []string
	broken  bool
	passes  int
	serial  int
}

type entry struct {
	key    string
	person people.Person
}

func newDirectory(flaw string) *directory { return &directory{flaw: flaw} }

func (d *directory) harness() Harness {
	open := func(testing.TB) connectors.Connector { return &reader{directory: d} }
	breaks := func(t testing.TB, list []people.Person) connectors.Connector {
		d.fill(t, list)
		d.broken = true
		return open(t)
	}
	whole := func(t testing.TB, list []people.Person) connectors.Connector { d.fill(t, list); return open(t) }
	return Harness{
		Open: open, Fill: d.fill, Want: wantInMemory, Secrets: []string{"bind-secret"},
		Missing: func(i int) string { return fmt.Sprint("k-", i) },
		Unreachable: func(testing.TB) connectors.Connector {
			return &reader{directory: &directory{flaw: d.flaw}, away: true}
		},
		Remove: func(_ testing.TB, key string) {
			d.entries = slices.DeleteFunc(d.entries, func(e entry) bool { return e.key == key })
			d.removed = append(d.removed, key)
		},
		Update: func(_ testing.TB, key string, p people.Person) {
			d.entries[slices.IndexFunc(d.entries, func(e entry) bool { return e.key == key })].person = p
		},
		Reorder: func(testing.TB) {
			slices.Reverse(d.entries)
			for _, e := range d.entries {
				slices.Reverse(e.person.Cards)
			}
		},
		Breaks: []Break{
			{Name: "before", Open: breaks, Err: connectors.ErrIncomplete},
			{Name: "in the middle", Open: whole, Err: connectors.ErrIncomplete, During: func(testing.TB) { d.broken = true }},
		},
		Incremental: true, TellsDeleted: true,
	}
}

func (d *directory) fill(_ testing.TB, list []people.Person) []string {
	d.entries, d.broken, d.removed = nil, false, nil
	var keys []string
	for i, p := range list {
		d.serial++
		key := fmt.Sprint("k", d.serial)
		switch d.flaw {
		case "key from the name":
			key = p.UID
		case "key from the position":
			key = fmt.Sprint("k", i)
		}
		d.entries = append(d.entries, entry{key, p})
		keys = append(keys, key)
	}
	return keys
}

func wantInMemory(p people.Person) map[string][]string {
	m := map[string][]string{"cards": p.Cards, "mail": {p.Mail}, "phone": nil}
	if p.Phone != "" {
		m["phone"] = []string{p.Phone}
	}
	return m
}

type reader struct {
	*directory
	away, started bool
	memory        map[string]bool
}

func (r *reader) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	if err := r.refuse(ctx, since); err != nil {
		return connectors.Outcome{}, err
	}
	r.passes, r.started = r.passes+1, true
	outcome := connectors.Outcome{Whole: r.flaw != "never whole", Server: "memory", Evidence: "the last one", Next: connectors.Checkpoint("memory")}
	if r.flaw == "no evidence" {
		outcome.Evidence = ""
	}
	if r.flaw == "no next checkpoint" {
		outcome.Next = nil
	}
	err := r.emitAll(ctx, since, emit)
	switch {
	case r.flaw == "swallows emit's error":
		err = nil
	case r.flaw == "hides emit's error" && err != nil:
		err = errors.New(err.Error())
	}
	if err != nil && r.flaw != "outcome beside an error" {
		outcome = connectors.Outcome{}
	}
	return outcome, err
}

func (r *reader) refuse(ctx context.Context, since connectors.Checkpoint) error {
	if ctx.Err() != nil && r.flaw != "deaf to the context" {
		return ctx.Err()
	}
	if since != nil && string(since) != "memory" && r.flaw != "takes any checkpoint" {
		return connectors.ErrCheckpointExpired
	}
	if r.away && r.flaw == "unreachable without a hint" {
		return connectors.ErrUnreachable
	}
	if r.away && r.flaw != "unreachable is empty" {
		return connectors.Hint(connectors.ErrUnreachable, "Try again.")
	}
	return nil
}

// emitAll is careful to emit nothing after it should have stopped.
func (r *reader) emitAll(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) error {
	if since != nil && r.flaw == "incremental pass says nothing" {
		return nil
	}
	var text []byte // of the record emitted last, for the flaw that overwrites it
	for i, e := range r.entries {
		if i == 1 && r.flaw == "leaves one out" {
			continue
		}
		if r.broken && r.flaw == "half is whole" {
			return nil
		}
		if err := r.half(); err != nil {
			return err
		}
		record := r.record(i, e)
		if r.flaw == "overwrites strings" {
			copy(text, strings.Repeat("#", len(text)))
			text = []byte(record.Name)
			record.Name = unsafe.String(&text[0], len(text))
		}
		err := emit(record)
		if i == 1 && r.flaw == "emits one twice" {
			err = emit(record)
		}
		if err != nil && r.flaw != "goes on after emit failed" {
			return fmt.Errorf("emit: %w", err)
		}
		last := i == len(r.entries)-1 && r.flaw == "cancelled at the end is whole"
		if ctx.Err() != nil && r.flaw != "deaf to the context" && !last {
			return ctx.Err()
		}
	}
	for _, key := range r.removed {
		if since == nil {
			break
		}
		if err := emit(connectors.Record{Key: key, Kind: connectors.User, Name: key, Deleted: true}); err != nil {
			return err
		}
	}
	return r.half()
}

func (r *reader) half() error {
	switch {
	case !r.broken || r.flaw == "half is whole":
		return nil
	case r.flaw == "half without a hint":
		return connectors.ErrIncomplete
	case r.flaw == "another reason":
		return connectors.Hint(connectors.ErrDenied, "Try again.")
	}
	return connectors.Hint(connectors.ErrIncomplete, "Try again.")
}

func (r *reader) record(i int, e entry) connectors.Record {
	p := e.person
	cards := sorted(p.Cards)
	if r.flaw == "values as they come" {
		cards = p.Cards
	}
	list := []connectors.Attribute{{Name: "cards", Values: cards}, {Name: "mail", Values: []string{p.Mail}}, {Name: "phone"}}
	if p.Phone != "" {
		list[2].Values = []string{p.Phone}
	}
	record := connectors.Record{Key: e.key, Kind: connectors.User, Name: "entry " + p.UID}
	switch r.flaw {
	case "attributes in any order":
		slices.Reverse(list)
	case "an empty attribute is not listed":
		list = slices.DeleteFunc(list, func(a connectors.Attribute) bool { return len(a.Values) == 0 })
	case "text that is no UTF-8":
		list[1].Values = append(list[1].Values, "\xff")
	case "key from the pass":
		record.Key = fmt.Sprint(r.passes, e.key)
	case "key from the name":
		record.Key = p.UID
	case "key from the position":
		record.Key = fmt.Sprint("k", i)
	case "password":
		list = append(list, connectors.Attribute{Name: "userPassword;x-hash"})
	case "password under another name":
		list = append(list, connectors.Attribute{Name: "title", Values: []string{p.Password}})
	}
	record.Attributes = list
	return record
}

func (r *reader) Present(ctx context.Context, keys []string) (map[string]bool, error) {
	if r.flaw != "present answers when cancelled" {
		if err := r.refuse(ctx, nil); err != nil {
			return nil, err
		}
	}
	there := map[string]bool{}
	for _, e := range r.entries {
		there[e.key] = true
	}
	if r.flaw == "present from memory" && r.memory != nil {
		there = r.memory
	}
	r.memory = there
	if r.flaw == "present before a read" && !r.started {
		there = map[string]bool{}
	}
	answer := map[string]bool{}
	for _, key := range keys {
		if there[key] || r.flaw != "present leaves keys out" {
			answer[key] = there[key] || r.flaw == "present says yes"
		}
	}
	return answer, nil
}

func (r *reader) Check(ctx context.Context) ([]string, error) {
	switch r.flaw {
	case "check is silent":
		return nil, nil
	case "secret in check":
		return []string{"signed in with bind-secret"}, nil
	}
	return []string{"memory answers"}, r.refuse(ctx, nil)
}
