package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"

	"rollcall/events"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// applier copies a plan's verdicts into users, origins and revisions. It decides nothing: what it writes depends on
// the plan and on the message that ordered it. It works in transactions of about two thousand verdicts and keeps its
// place, so that a restart goes on where it stopped.
type applier struct {
	*reconciler
	run     *store.Run
	message logMessage
	cards   store.CardMode
	place   store.Applying
	done    bool
	report  *reporter
	// verdicts are read and decoded ahead, of the phase that writes.
	verdicts *verdictReader
}

// applyBatch is how many verdicts one transaction applies.
const applyBatch = 2000

// The phases of applying: what is released goes first, in the whole run, so that values can change hands.
const (
	phaseRelease = iota
	phaseWrite
	phaseRegroup // when all users are written
)

// apply applies a planned run to its end.
func (r *reconciler) apply(ctx context.Context, m logMessage, run *store.Run) error {
	return r.applyFrom(ctx, m, run, store.Applying{Source: run.Source, Run: run.Number, LogSequence: m.sequence, Time: m.time})
}

// resume finishes what a crash interrupted: a run that was being applied, plans that were to be dropped.
func (r *reconciler) resume(ctx context.Context) error {
	var place *store.Applying
	var run *store.Run
	err := r.db.View(func(tx *store.Tx) (err error) {
		if place, err = tx.Applying(); err != nil || place == nil {
			return err
		}
		run, err = tx.Run(place.Source, place.Run)
		return err
	})
	if err != nil {
		return err
	}
	if place == nil {
		return r.tidyAll(ctx)
	}
	if run == nil {
		return fmt.Errorf("run %d of %s is being applied, but the store does not know it", place.Run, place.Source)
	}
	r.log.Info().Str("source", place.Source).Uint64("run", place.Run).Msg("going on with a run that was interrupted while it was applied")
	m, err := r.messageAt(ctx, *place)
	if err != nil {
		return err
	}
	if err := r.applyFrom(ctx, m, run, *place); err != nil {
		return err
	}
	return r.tidyAll(ctx)
}

// messageAt returns the message of LOG that ordered what is being applied.
func (r *reconciler) messageAt(ctx context.Context, place store.Applying) (logMessage, error) {
	m := logMessage{sequence: place.LogSequence, time: place.Time, source: place.Source,
		position: store.Position{Sequence: place.LogSequence, Created: r.created}}
	stream, err := r.bus.Stream(ctx, events.LogStream)
	if err != nil {
		return m, err
	}
	if msg, err := stream.GetMsg(ctx, place.LogSequence); err == nil {
		m.data, m.position.Fingerprint = msg.Data, store.DigestOf(msg.Subject, msg.Data)
	}
	return m, nil
}

func (r *reconciler) applyFrom(ctx context.Context, m logMessage, run *store.Run, place store.Applying) (err error) {
	ctx, end := span(ctx, "apply", attribute.String("source", run.Source), attribute.Int64("run", int64(run.Number)))
	defer func() { end(err) }()
	rules, err := r.rules.load(ctx, run.Config)
	if err != nil {
		return err
	}
	a := &applier{reconciler: r, run: run, message: m, place: place, cards: store.ParseCardMode(rules.Options.EventCards), report: r.newReporter(run.Source, run.Number)}
	a.report.stage("applying")
	a.report.total.Store(int64(run.Records))
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	go a.report.loop(reporting)
	defer func() { a.verdicts.stop() }()
	for !a.done {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.db.Update(a.step); err != nil {
			return fmt.Errorf("apply run %d of %s: %w", run.Number, run.Source, err)
		}
		r.committed()
	}
	return r.tidy(ctx, run.Source, run.Number)
}

// step applies the next verdicts, and behind the last one writes the checkpoint and the run's result in the
// same transaction.
func (a *applier) step(tx *store.Tx) error {
	room := applyBatch
	for a.place.Phase <= phaseRegroup && room > 0 {
		n, err := a.phase(tx, room)
		if err != nil {
			return err
		}
		if n < room { // the phase has no more
			a.place.Phase++
			a.place.After = nil
		}
		room -= n
	}
	if a.place.Phase <= phaseRegroup {
		if err := tx.PutRun(a.run); err != nil { // with its counters, for whoever resumes
			return err
		}
		return tx.SetApplying(&a.place)
	}
	a.done = true
	return a.conclude(tx)
}

// phase applies up to room entries of the present phase and returns how many there were.
func (a *applier) phase(tx *store.Tx, room int) (n int, err error) {
	switch a.place.Phase {
	case phaseRelease:
		return a.releaseAll(tx, room)
	case phaseRegroup:
		more, err := regroup(tx, a.message.time, cause{Source: a.run.Source, Run: a.run.Number}, room)
		if err != nil || !more {
			return 0, err
		}
		return room, nil
	}
	if a.verdicts == nil {
		a.verdicts = newVerdictReader(a.db, a.run, a.place.After)
	}
	for ; n < room; n++ {
		v, err := a.verdicts.next()
		if v == nil || err != nil {
			return n, err
		}
		if err := a.write(tx, v.verdict); err != nil {
			return n, err
		}
		a.place.After = v.key
	}
	return n, nil
}

// releaseAll takes from users what the run gives to others.
func (a *applier) releaseAll(tx *store.Tx, room int) (n int, err error) {
	rows, err := planRows(tx, a.run, planRelease, a.place.After, room)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		var r release
		if err := cbor.Unmarshal(row.value, &r); err != nil {
			return n, fmt.Errorf("plan: %w", err)
		}
		if err := tx.ReleaseClaims(r.User, r.Claims); err != nil {
			return n, err
		}
		a.place.After = bytes.Clone(row.key)
		n++
	}
	return n, nil
}

// write copies one verdict: the user with his indexes, the revision, the origin.
func (a *applier) write(tx *store.Tx, v *policy.Verdict) error {
	a.report.applied.Add(1)
	if v.User != nil {
		if err := a.writeUser(tx, v); err != nil {
			return err
		}
	}
	if len(v.Renamed) == 2 {
		if err := tx.RenameGroup(v.Renamed[0], v.Renamed[1]); err != nil {
			return err
		}
	}
	if v.DropOrigin {
		return tx.DeleteOrigin(a.run.Source, store.KeyOf(v.Key))
	}
	if v.Origin != nil {
		return tx.PutOrigin(a.run.Source, v.Origin)
	}
	return nil
}

func (a *applier) writeUser(tx *store.Tx, v *policy.Verdict) error {
	return putUser(tx, a.message, v, cause{Source: a.run.Source, Run: a.run.Number, Key: v.Key}, a.cards)
}

// conclude writes what the run leaves behind: the source's checkpoint, the run's result, the log's position.
func (a *applier) conclude(tx *store.Tx) error {
	source, err := tx.Source(a.run.Source)
	if err != nil {
		return err
	}
	if source.Held == a.run.Number {
		source.Held = 0
	}
	if err := supersedeHeld(tx, a.message, source); err != nil {
		return err
	}
	source.Applied, source.Checkpoint = a.run.Number, a.run.Next
	source.Config, source.Scope, source.Server = a.run.Config, a.run.Scope, a.run.Server
	if a.run.Whole {
		source.Reconciled = a.message.time
	}
	if err := tx.PutSource(source); err != nil {
		return err
	}
	if err := tx.SetApplying(nil); err != nil {
		return err
	}
	a.run.State, a.run.Reason, a.run.Try = store.Applied, "", ""
	if err := closeRun(tx, a.message, a.run); err != nil {
		return err
	}
	return tx.SetLogPosition(a.message.position)
}

// tidyAll drops the plans that nobody waits for.
func (r *reconciler) tidyAll(ctx context.Context) error {
	var refs []store.PlanRef
	if err := r.db.View(func(tx *store.Tx) (err error) { refs, err = tx.Plans(); return err }); err != nil {
		return err
	}
	for _, ref := range refs {
		var state string
		err := r.db.View(func(tx *store.Tx) error {
			run, err := tx.Run(ref.Source, ref.Run)
			if run != nil {
				state = run.State
			}
			return err
		})
		if err != nil {
			return err
		}
		if state == store.Applied {
			err = r.tidy(ctx, ref.Source, ref.Run)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tidy takes the raw records of entries that are gone out of RAW and drops the plan.
func (r *reconciler) tidy(ctx context.Context, source string, run uint64) error {
	gone, err := r.goneIn(source, run)
	if err != nil {
		return err
	}
	if len(gone) > 0 && !r.rebuilding {
		stream, err := r.bus.Stream(ctx, events.RawStream)
		if err != nil {
			return err
		}
		for _, g := range gone {
			err := stream.Purge(ctx, jetstream.WithPurgeSubject(events.RawSubject(source, g.key)), jetstream.WithPurgeSequence(g.sequence+1))
			if err != nil {
				return fmt.Errorf("purge the raw records of an entry that is gone: %w", err)
			}
		}
	}
	return r.dropPlan(source, run)
}

// goneEntry is an entry whose delete was applied, with its place in RAW.
type goneEntry struct {
	key      store.Key
	sequence uint64
}

func (r *reconciler) goneIn(source string, run uint64) (gone []goneEntry, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		return tx.Plan(source, run, []byte{planGone}, func(key, value []byte) error {
			if key[0] != planGone {
				return store.ErrStop
			}
			gone = append(gone, goneEntry{key: store.Key(key[2:]), sequence: binary.BigEndian.Uint64(value)})
			return nil
		})
	})
	return gone, err
}

// timestamp is how times are written into events.
const timestamp = time.RFC3339Nano
