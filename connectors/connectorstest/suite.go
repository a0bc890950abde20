package connectorstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
)

// Run tests every promise of the contract, a subtest each.
func Run(t *testing.T, h Harness) {
	for _, c := range checks() {
		if !c.applies(h) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.run(ctx, t, h); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, b := range h.Breaks {
		t.Run("never half a directory: "+b.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := checkBreak(ctx, t, h, b); err != nil {
				t.Fatal(err)
			}
		})
	}
}

type check struct {
	name    string
	applies func(h Harness) bool
	run     func(ctx context.Context, t testing.TB, h Harness) error
}

func checks() []check {
	always := func(Harness) bool { return true }
	return []check{
		{"each entry once with its attributes", always, checkEntries},
		{"two passes are equal", always, checkTwoPasses},
		{"another order is no change", func(h Harness) bool { return h.Reorder != nil }, checkReorder},
		{"a key outlives a rename", func(h Harness) bool { return h.Update != nil }, checkRename},
		{"a removed entry is gone", func(h Harness) bool { return h.Remove != nil }, checkRemove},
		{"passwords and secrets stay out", always, checkSecrets},
		{"a cancelled context stops the pass", always, checkCancel},
		{"a failing emit stops the pass", always, checkEmitFails},
		{"an unknown checkpoint has expired", always, checkCheckpoint},
		{"an incremental pass tells what changed", func(h Harness) bool { return h.Incremental }, checkIncremental},
		{"present answers every key", always, checkPresent},
		{"present with a cancelled context answers nothing", always, checkPresentCancelled},
		{"check says what it sees", always, checkCheck},
		{"an unreachable source is an error with a hint", always, checkUnreachable},
	}
}

func checkEntries(ctx context.Context, t testing.TB, h Harness) error {
	list := h.crowd(1)
	keys := h.Fill(t, list)
	p, err := readWhole(ctx, h.Open(t))
	return errors.Join(err, p.holds(keys, list, h.Want))
}

func checkTwoPasses(ctx context.Context, t testing.TB, h Harness) error {
	h.Fill(t, h.crowd(1))
	c := h.Open(t)
	first, err1 := readWhole(ctx, c)
	second, err2 := readWhole(ctx, c)
	third, err3 := readWhole(ctx, h.Open(t))
	return errors.Join(err1, err2, err3, same(first, second), same(first, third))
}

func checkReorder(ctx context.Context, t testing.TB, h Harness) error {
	list := h.crowd(1)
	keys := h.Fill(t, list)
	first, err1 := readWhole(ctx, h.Open(t))
	h.Reorder(t)
	second, err2 := readWhole(ctx, h.Open(t))
	return errors.Join(err1, err2, same(first, second), second.holds(keys, list, h.Want))
}

// checkRename makes the middle entry another person's, which is a change of everything but the key.
func checkRename(ctx context.Context, t testing.TB, h Harness) error {
	list := h.crowd(1)
	keys := h.Fill(t, list)
	i := len(list) / 2
	list[i] = h.crowd(2)[i]
	h.Update(t, keys[i], list[i])
	p, err := readWhole(ctx, h.Open(t))
	return errors.Join(err, p.holds(keys, list, h.Want))
}

func checkRemove(ctx context.Context, t testing.TB, h Harness) error {
	list := h.crowd(1)
	keys := h.Fill(t, list)
	c := h.Open(t)
	if _, err := readWhole(ctx, c); err != nil {
		return err
	}
	gone, last := keys[3], len(list)-1
	if err := present(ctx, c, map[string]bool{gone: true, keys[last]: true}); err != nil {
		return err
	}
	h.Remove(t, gone)
	h.Remove(t, keys[last])
	err := present(ctx, c, map[string]bool{gone: false, keys[last]: false, keys[0]: true, keys[4]: true})
	p, readErr := readWhole(ctx, c)
	left := append(list[:3:3], list[4:last]...)
	return errors.Join(err, readErr, p.holds(append(keys[:3:3], keys[4:last]...), left, h.Want))
}

// checkSecrets looks for the people's passwords in everything that a connector says.
func checkSecrets(ctx context.Context, t testing.TB, h Harness) error {
	list := h.crowd(1)
	h.Fill(t, list)
	c := h.Open(t)
	p, err := readWhole(ctx, c)
	lines, checkErr := c.Check(ctx)
	_, downErr := h.Unreachable(t).Check(ctx)
	said := fmt.Sprintf("%+v %q %v %s %v", p.copies, lines, downErr, connectors.HintOf(downErr), p.outcome)
	for _, who := range list {
		if who.Password != "" && strings.Contains(said, who.Password) {
			err = errors.Join(err, fmt.Errorf("the password of %s came out", who.UID))
		}
	}
	for i, secret := range h.Secrets {
		if strings.Contains(said, secret) {
			err = errors.Join(err, fmt.Errorf("secret %d of the harness came out", i))
		}
	}
	return errors.Join(err, checkErr)
}

// checkCancel cancels before the pass and during the first, the middle and the last record; the
// last is where a search that was cancelled looks like one that ended.
func checkCancel(ctx context.Context, t testing.TB, h Harness) error {
	h.Fill(t, h.crowd(1))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	p, err := read(cancelled, h.Open(t), nil, nil)
	all := []error{p.failed(err, context.Canceled)}
	if len(p.records) > 0 {
		all = append(all, fmt.Errorf("%d records emitted under a context that was cancelled before", len(p.records)))
	}
	return errors.Join(append(all, eachStop(ctx, t, h, context.Canceled, func(cancel func()) error { cancel(); return nil }))...)
}

func checkEmitFails(ctx context.Context, t testing.TB, h Harness) error {
	h.Fill(t, h.crowd(1))
	full := errors.New("nothing more fits in here")
	return eachStop(ctx, t, h, full, func(func()) error { return full })
}

// eachStop stops a pass at its first, middle and last record and wants nothing to be emitted after.
func eachStop(ctx context.Context, t testing.TB, h Harness, want error, stop func(cancel func()) error) error {
	whole, err := readWhole(ctx, h.Open(t))
	if err != nil {
		return err
	}
	var all []error
	for _, at := range []int{0, len(whole.records) / 2, len(whole.records) - 1} {
		stopping, cancel := context.WithCancel(ctx)
		p, err := read(stopping, h.Open(t), nil, func(i int) error {
			if i == at {
				return stop(cancel)
			}
			return nil
		})
		cancel()
		if failed := p.failed(err, want); failed != nil {
			all = append(all, fmt.Errorf("stopped at record %d of %d: %w", at+1, len(whole.records), failed))
		}
		if len(p.records) != at+1 {
			all = append(all, fmt.Errorf("stopped at record %d, but %d were emitted", at+1, len(p.records)))
		}
	}
	return errors.Join(all...)
}

func checkCheckpoint(ctx context.Context, t testing.TB, h Harness) error {
	h.Fill(t, h.crowd(1))
	p, err := read(ctx, h.Open(t), connectors.Checkpoint("\xff nobody wrote this checkpoint"), nil)
	return p.failed(err, connectors.ErrCheckpointExpired)
}

func checkPresent(ctx context.Context, t testing.TB, h Harness) error {
	keys := h.Fill(t, h.crowd(1))
	want := map[string]bool{}
	for i := range 2*h.size() + 40 {
		want[h.Missing(i)] = false
	}
	for _, hostile := range []string{"", "*", "*)(objectClass=*", "' or 1 eq 1", "\x00", "a,b|c\\", strings.Repeat("k", 5000)} {
		want[hostile] = false
	}
	for _, key := range keys {
		want[key] = true
	}
	c := h.Open(t)
	if _, err := readWhole(ctx, c); err != nil {
		return err
	}
	return errors.Join(present(ctx, c, want), present(ctx, c, map[string]bool{}), present(ctx, h.Open(t), want))
}

func present(ctx context.Context, c connectors.Connector, want map[string]bool) error {
	asked := make([]string, 0, len(want))
	for key := range want {
		asked = append(asked, key)
	}
	got, err := c.Present(ctx, asked)
	if err != nil {
		return fmt.Errorf("present: %w", err)
	}
	var all []error
	for key, there := range want {
		answer, ok := got[key]
		if !ok || answer != there {
			all = append(all, fmt.Errorf("present says of key %.60q: %t (answered %t), want %t", key, answer, ok, there))
		}
	}
	return errors.Join(all...)
}

func checkPresentCancelled(ctx context.Context, t testing.TB, h Harness) error {
	keys := h.Fill(t, h.crowd(1))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	got, err := h.Open(t).Present(cancelled, keys)
	if !errors.Is(err, context.Canceled) || len(got) > 0 {
		return fmt.Errorf("present answered %d keys with error %w, want none and %w", len(got), err, context.Canceled)
	}
	return nil
}

func checkCheck(ctx context.Context, t testing.TB, h Harness) error {
	h.Fill(t, h.crowd(1))
	lines, err := h.Open(t).Check(ctx)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if len(lines) == 0 {
		return errors.New("check has nothing to say of a source that answers")
	}
	for _, line := range lines {
		if strings.TrimSpace(line) == "" || strings.ContainsAny(line, "\r\n") {
			return fmt.Errorf("check says %q, want a sentence a line", line)
		}
	}
	return nil
}

func checkUnreachable(ctx context.Context, t testing.TB, h Harness) error {
	h.Fill(t, h.crowd(1))
	c := h.Unreachable(t)
	p, readErr := read(ctx, c, nil, nil)
	answers, presentErr := c.Present(ctx, []string{h.Missing(0)})
	_, checkErr := c.Check(ctx)
	all := []error{p.failed(readErr, connectors.ErrUnreachable)}
	if len(answers) > 0 {
		all = append(all, fmt.Errorf("present answers %v for a source that cannot be reached", answers))
	}
	for name, err := range map[string]error{"read": readErr, "present": presentErr, "check": checkErr} {
		if !errors.Is(err, connectors.ErrUnreachable) || connectors.HintOf(err) == "" {
			all = append(all, fmt.Errorf("%s: error is %w with hint %q, want %w with a hint", name, err, connectors.HintOf(err), connectors.ErrUnreachable))
		}
	}
	return errors.Join(all...)
}

func checkBreak(ctx context.Context, t testing.TB, h Harness, b Break) error {
	c := b.Open(t, h.crowd(1))
	p, err := read(ctx, c, nil, func(i int) error {
		if i == 0 && b.During != nil {
			b.During(t)
		}
		return nil
	})
	all := []error{p.failed(err, b.Err)}
	if err != nil && connectors.HintOf(err) == "" {
		all = append(all, fmt.Errorf("error %w has no hint", err))
	}
	return errors.Join(all...)
}
