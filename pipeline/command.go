package pipeline

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"rollcall/store"
)

// command carries a person's decision out. Commands travel through the same log as runs, so that the same log gives
// the same store.
func (r *reconciler) command(ctx context.Context, kind string, m logMessage) error {
	var c command
	if err := m.decode(&c); err != nil {
		return err
	}
	m.source = c.Source
	switch kind {
	case commandApprove:
		return r.approve(ctx, m, c)
	case commandReject:
		return r.reject(m, c)
	case commandCancel:
		return r.cancel(m, c)
	case commandForget:
		return r.forget(m, c)
	case commandReset:
		return r.reset(m)
	case commandMailed:
		return r.mailed(m)
	case commandTick:
		return r.tick(m)
	case commandEnd:
		return r.update(m, func(*store.Tx) error { return nil })
	case commandRenameSource:
		return r.rename(ctx, m)
	case commandRetireSource:
		return r.retire(ctx, m)
	case commandSetUser, commandDeactivateUser, commandReactivateUser, commandAnonymizeUser, commandAddCard, commandRemoveCard,
		commandAddPIN, commandGeneratePIN, commandRemovePIN:
		return r.manual(ctx, m, kind)
	}
	return &badMessage{fmt.Errorf("unknown command %q", kind)}
}

// held returns the source's held run if the hash names its plan, nil otherwise.
func (r *reconciler) held(source, hash string) (run *store.Run, state *store.Source, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		if state, err = tx.Source(source); err != nil || state.Held == 0 {
			return err
		}
		run, err = tx.Run(source, state.Held)
		return err
	})
	if run != nil && (run.State != store.Held || !namesPlan(hash, run.Plan)) {
		run = nil
	}
	return run, state, err
}

// namesPlan reports whether hash is the plan's or its beginning, of eight characters at least.
func namesPlan(hash, plan string) bool { return len(hash) >= 8 && strings.HasPrefix(plan, hash) }

// approve folds the held run again, against the store as it is now, and applies it if that is still the same plan.
func (r *reconciler) approve(ctx context.Context, m logMessage, c command) error {
	run, state, err := r.held(c.Source, c.Plan)
	if err != nil {
		return err
	}
	if run == nil {
		return r.update(m, func(*store.Tx) error { return nil }) // decided already, or another plan
	}
	approved := run.Plan
	fresh := emptyCounters(run)
	p := &planner{reconciler: r, message: m, run: fresh, source: state,
		finished: &finished{Run: run.Number, From: run.From, Changes: run.Records, Read: fresh.Read, Whole: run.Whole, Scope: run.Scope}}
	o, err := r.planUnlessFailed(ctx, m, func() (planned, error) {
		*p.run = *emptyCounters(run)
		return p.plan(ctx)
	})
	switch {
	case err != nil:
		return err
	case o.missing != "":
		if err := r.sayFailed(ctx, m, run, o); err != nil {
			return err
		}
		return r.dropHeld(m, run, store.Failed, o.missing)
	case state.Applied != run.From || fresh.Plan != approved:
		return r.dropHeld(m, run, store.Failed, "the store moved since the plan was made; the next run proposes anew")
	}
	return r.apply(ctx, m, fresh)
}

// emptyCounters returns the run as it was before it was planned.
func emptyCounters(run *store.Run) *store.Run {
	c := *run
	c.Read -= c.Absent // planning counts absences again
	c.Unchanged, c.Created, c.Updated, c.Deactivated, c.Reactivated, c.Merged = 0, 0, 0, 0, 0, 0
	c.Ignored, c.Disabled, c.Conflicts, c.Rejected, c.Deletions, c.Absent, c.Revisions, c.Warnings = 0, 0, 0, 0, 0, 0, 0, 0
	c.Messages = nil
	return &c
}

func (r *reconciler) reject(m logMessage, c command) error {
	run, _, err := r.held(c.Source, c.Plan)
	if err != nil {
		return err
	}
	if run == nil {
		return r.update(m, func(*store.Tx) error { return nil })
	}
	return r.dropHeld(m, run, store.Cancelled, "rejected by "+orSomebody(c.Actor))
}

// dropHeld ends a held run without applying it.
func (r *reconciler) dropHeld(m logMessage, run *store.Run, state, reason string) error {
	run.State, run.Reason, run.Try = state, reason, ""
	err := r.update(m, func(tx *store.Tx) error {
		source, err := tx.Source(run.Source)
		if err != nil {
			return err
		}
		source.Held = 0
		if err := tx.PutSource(source); err != nil {
			return err
		}
		return closeRun(tx, m, run)
	})
	if err != nil {
		return err
	}
	return r.dropPlan(run.Source, run.Number)
}

// cancel ends the source's open runs. A run whose "finished" stands before the command in the log is past that.
func (r *reconciler) cancel(m logMessage, c command) error {
	return r.update(m, func(tx *store.Tx) error {
		open, err := openRuns(tx, c.Source)
		if err != nil {
			return err
		}
		for _, run := range open {
			run.State, run.Reason = store.Cancelled, "cancelled by "+orSomebody(c.Actor)
			if err := closeRun(tx, m, run); err != nil {
				return err
			}
		}
		return nil
	})
}

// forget clears an entry's digest, so that the next run reads it as new.
func (r *reconciler) forget(m logMessage, c command) error {
	return r.update(m, func(tx *store.Tx) error {
		origin, err := tx.Origin(c.Source, store.KeyOf(c.Key))
		if err != nil || origin == nil {
			return err
		}
		origin.Digest = store.Digest{}
		return tx.PutOrigin(c.Source, origin)
	})
}

func orSomebody(actor string) string {
	if actor == "" {
		return "somebody"
	}
	return actor
}

// waiters are those in this process who wait for a message of the log to be handled.
type waiters struct {
	mu       sync.Mutex
	handled  uint64
	channels map[uint64]chan struct{}
}

// wait returns a channel that is closed when the message of that sequence was handled.
func (w *waiters) wait(sequence uint64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.channels == nil {
		w.channels = map[uint64]chan struct{}{}
	}
	c := w.channels[sequence]
	if c == nil {
		c = make(chan struct{})
		w.channels[sequence] = c
	}
	if sequence <= w.handled {
		close(c)
		delete(w.channels, sequence)
	}
	return c
}

// last returns the last message that was handled.
func (w *waiters) last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.handled
}

// forget lets nothing be handled, until the log is followed again: it may be another one.
func (w *waiters) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handled = 0
}

func (w *waiters) done(sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handled = max(w.handled, sequence)
	for waited, c := range w.channels {
		if waited <= w.handled {
			close(c)
			delete(w.channels, waited)
		}
	}
}
