package connectorstest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
)

// checkIncremental changes one entry, adds nothing, removes another, and reads from the checkpoint.
func checkIncremental(ctx context.Context, t testing.TB, h Harness) error {
	list := h.crowd(1)
	keys := h.Fill(t, list)
	c := h.Open(t)
	first, err := readWhole(ctx, c)
	if err != nil {
		return err
	}
	if len(first.outcome.Next) == 0 {
		return errors.New("a full pass of an incremental source has no next checkpoint")
	}
	list[2] = h.crowd(2)[2]
	h.Update(t, keys[2], list[2])
	second, err := read(ctx, h.Open(t), first.outcome.Next, nil)
	if err != nil {
		return fmt.Errorf("pass from the checkpoint: %w", err)
	}
	return errors.Join(
		second.tells(keys, 2, list[2], h.Want),
		checkDeleted(ctx, t, h, keys[4], second.outcome.Next),
	)
}

// tells wants the changed entry in the pass, with the values that the record mentions, and nobody who
// is not in the source.
func (p pass) tells(keys []string, changed int, who people.Person, want func(people.Person) map[string][]string) error {
	known := map[string]bool{}
	for _, key := range keys {
		known[key] = true
	}
	var all []error
	last := p.users() // of several records of an entry the last one counts
	for key, r := range last {
		if !known[key] || r.Deleted {
			all = append(all, fmt.Errorf("incremental pass: record %q (%q, deleted %t) of an entry that is not in the source or did not go", key, r.Name, r.Deleted))
		}
	}
	r, ok := last[keys[changed]]
	if !ok {
		return errors.Join(append(all, fmt.Errorf("incremental pass: the changed entry %q is not in it", keys[changed]))...)
	}
	expected := want(who)
	if r.Partial {
		expected = mentioned(r, expected)
	}
	return errors.Join(append(all, hasAttributes(r, expected))...)
}

func mentioned(r connectors.Record, expected map[string][]string) map[string][]string {
	some := map[string][]string{}
	for _, a := range r.Attributes {
		if values, ok := expected[a.Name]; ok {
			some[a.Name] = values
		}
	}
	return some
}

// checkDeleted is for sources that report deletions in an incremental pass.
func checkDeleted(ctx context.Context, t testing.TB, h Harness, key string, since connectors.Checkpoint) error {
	if !h.TellsDeleted {
		return nil
	}
	h.Remove(t, key)
	p, err := read(ctx, h.Open(t), since, nil)
	if err != nil {
		return fmt.Errorf("pass after a removal: %w", err)
	}
	r, ok := p.byKey()[key]
	if !ok || !r.Deleted || len(r.Attributes) > 0 {
		return fmt.Errorf("removed entry %q: record %+v (emitted %t), want a deleted one without attributes", key, r, ok)
	}
	return nil
}
