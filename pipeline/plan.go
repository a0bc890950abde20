package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"rollcall/events"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// planner folds one run's changes and the source's waiting entries into the plan: a verdict for each, in a
// bucket of the store that nobody else reads. Guard, hash, dry run and approval look at that bucket, and
// applying copies it.
type planner struct {
	*reconciler
	message  logMessage
	run      *store.Run
	finished *finished
	source   *store.Source
	// administrators are the active ones, counted when planning begins (U19).
	administrators int

	tx      *store.Tx  // the transaction of the present batch: what the fold's view reads
	decided []planItem // in this transaction
	writer  *planWriter
	only    []mapping.Change // the run's changes, where they are one batch: read once
	entries int
	pins    *pinIssue
}

// planned is what planning came to.
type planned struct {
	trips []policy.Trip
	// missing says which changes are not in CHANGES although the run counted them.
	missing string
	// said is true when LOG says already that they were missing.
	said bool
}

// planBatch is how many verdicts are written in one transaction.
const planBatch = 4000

// The parts of a plan, by the first byte of the key: entries that are gone, what is released before anybody
// claims it, the verdicts, and those put aside until their user's PIN can be drawn.
const (
	planGone    = 'g'
	planRelease = 'r'
	planVerdict = 'v'
	planPIN     = 'p'
)

// plan reads the run's changes twice: once to learn who claims what, once to decide.
func (p *planner) plan(ctx context.Context) (o planned, err error) {
	ctx, end := span(ctx, "plan", attribute.String("source", p.run.Source), attribute.Int64("run", int64(p.run.Number)))
	defer func() { end(err) }()
	rules, err := p.rules.load(ctx, p.run.Config)
	if errors.Is(err, errUnusable) { // one source's connector must not hold up the others
		return planned{missing: err.Error()}, nil
	}
	if err != nil {
		return planned{}, err
	}
	if of := rules.Options.Source; of != p.run.Source {
		return planned{missing: fmt.Sprintf("its rules %s are those of source %q", p.run.Config, of)}, nil
	}
	if err := p.dropOldPlan(p.run.Source, p.run.Number); err != nil {
		return planned{}, err
	}
	report := p.newReporter(p.run.Source, p.run.Number)
	report.stage("planning")
	report.total.Store(int64(p.run.Records))
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	go report.loop(reporting)

	if err := p.inView(func() error { p.administrators = p.tx.CountAdministrators(); return nil }); err != nil {
		return planned{}, err
	}
	raised, err := p.pinsRaised(ctx, rules)
	if err != nil {
		return planned{}, err
	}
	p.pins = newPINIssue(rules, raised)
	of := p.foldRun(&rules.Rules)
	of.PINsRaised = raised
	fold := policy.NewFold(rules.Options, p.view(), of)
	count, err := p.note(ctx, fold)
	if err != nil {
		return planned{}, err
	}
	if count < p.run.Records {
		return planned{missing: fmt.Sprintf("%d of its %d changes are not in the stream any more; the next run reads them again", p.run.Records-count, p.run.Records)}, nil
	}
	if err := p.inView(func() error { return fold.Settle() }); err != nil {
		return planned{}, err
	}
	if err := p.writeAll(ctx, fold, report); err != nil {
		return planned{}, err
	}
	p.run.Read = max(p.run.Read, p.entries) // waiting entries that an incremental run did not read
	p.run.Unchanged = p.run.Read - p.entries
	p.run.Plan = p.writer.sum.String()
	return planned{trips: fold.Trips()}, nil
}

// writeAll decides about everybody concerned, and returns when the plan is written.
func (p *planner) writeAll(ctx context.Context, fold *policy.Fold, report *reporter) (err error) {
	p.writer = newPlanWriter(p.db, p.run)
	defer func() { err = cmp.Or(err, p.writer.close()) }()
	if err := p.decideAll(ctx, fold, report); err != nil {
		return err
	}
	for more := true; more; {
		if err := p.decide(func() (err error) { more, err = fold.Concerned(planBatch, p.write); return err }); err != nil {
			return err
		}
	}
	if err := p.decide(func() error { return fold.Rest(p.write) }); err != nil {
		return err
	}
	if err := p.pins.raiseUnowned(p); err != nil {
		return err
	}
	return p.pins.issueAll(p)
}

// note is pass 1.
func (p *planner) note(ctx context.Context, fold *policy.Fold) (count int, err error) {
	note := func(c *mapping.Change) error { return fold.Note(c) }
	if err := p.waitingChanges(func(batch []mapping.Change) error {
		return p.inView(func() error { return each(batch, note) })
	}); err != nil {
		return 0, err
	}
	return p.runChanges(ctx, func(batch []mapping.Change) error {
		return p.inView(func() error { return each(batch, note) })
	})
}

// decideAll is pass 2: the same changes in the same order.
func (p *planner) decideAll(ctx context.Context, fold *policy.Fold, report *reporter) error {
	some := func(batch []mapping.Change) error {
		report.applied.Add(int64(len(batch)))
		return p.decide(func() error {
			return each(batch, func(c *mapping.Change) error { return fold.Decide(c, p.write) })
		})
	}
	if err := p.waitingChanges(some); err != nil {
		return err
	}
	_, err := p.runChanges(ctx, some)
	return err
}

// runChanges calls fn with the run's changes, a batch at a time, and reads the next batch meanwhile. The changes are
// fn's only during the call.
func (p *planner) runChanges(ctx context.Context, fn func([]mapping.Change) error) (int, error) {
	if p.only != nil {
		return len(p.only), fn(p.only)
	}
	group, ctx := errgroup.WithContext(ctx)
	free, full := make(chan []mapping.Change, 2), make(chan []mapping.Change)
	for range cap(free) {
		free <- make([]mapping.Change, 0, planBatch)
	}
	reader := &changeReader{free: free, full: full}
	group.Go(func() error {
		defer close(full)
		subject := events.ChangesSubject(p.run.Source, p.run.Number)
		if err := p.bus.ReadAll(ctx, events.ChangesStream, subject, func(msg jetstream.Msg) error {
			if !events.Genuine(msg.Subject(), msg.Headers()) {
				return nil
			}
			return reader.message(ctx, msg.Data())
		}); err != nil {
			return err
		}
		return reader.flush(ctx)
	})
	group.Go(func() error {
		for batch := range full {
			if err := fn(batch); err != nil {
				return err
			}
			free <- batch[:0]
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("changes of run %d of %s: %w", p.run.Number, p.run.Source, err)
	}
	if reader.seen.count == len(reader.first) {
		p.only = reader.first
	}
	return reader.seen.count, nil
}

// changeReader decodes messages of CHANGES into batches that go round.
type changeReader struct {
	free, full chan []mapping.Change
	batch      []mapping.Change
	seen       numberSet
	// first is the first batch: the run's only one when it has all that were seen.
	first []mapping.Change
}

func (r *changeReader) message(ctx context.Context, data []byte) error {
	return splitChanges(data, func(change []byte) error {
		if r.batch == nil {
			select {
			case r.batch = <-r.free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		r.batch = r.batch[:len(r.batch)+1]
		c := &r.batch[len(r.batch)-1]
		if err := mapping.DecodeChange(change, c); err != nil {
			return err
		}
		r.seen.add(c.Number, c.Number)
		if len(r.batch) < cap(r.batch) {
			return nil
		}
		return r.flush(ctx)
	})
}

func (r *changeReader) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	select {
	case r.full <- r.batch:
		if r.first == nil {
			r.first = r.batch
		}
		r.batch = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// waitingChanges calls fn with the changes of the source's waiting entries, a batch at a time. They carry
// number 0: a record of this run counts more.
func (p *planner) waitingChanges(fn func([]mapping.Change) error) error {
	var batch []mapping.Change
	err := p.db.View(func(tx *store.Tx) error {
		return tx.Waiting(p.run.Source, func(_ store.Key, o *store.Origin) error {
			var c mapping.Change
			if err := mapping.DecodeChange(o.Change, &c); err != nil {
				return fmt.Errorf("waiting entry %s: %w", o.Entry, err)
			}
			c.Number = 0
			batch = append(batch, c)
			return nil
		})
	})
	for err == nil && len(batch) > 0 {
		n := min(len(batch), planBatch)
		err = fn(batch[:n])
		batch = batch[n:]
	}
	return err
}

// write takes a verdict into the plan and counts it.
func (p *planner) write(v *policy.Verdict) error {
	if p.pins.see(v) {
		p.decided = append(p.decided, planItem{verdict: v, aside: true})
		return nil
	}
	p.count(v)
	if v.User == nil && v.Origin == nil && !v.DropOrigin && v.Forget == 0 {
		return nil // nothing to write: it counts, that is all
	}
	p.decided = append(p.decided, planItem{verdict: v})
	return nil
}

// count adds a verdict to the run's counters. Every entry counts under one action; users concerned beside count
// under none.
func (p *planner) count(v *policy.Verdict) {
	if v.Deactivated {
		p.run.Deactivated++
	}
	p.run.Warnings += len(v.Warnings)
	p.say(v)
	if counter := counterOf(p.run, v.Action); counter != nil && v.Key != "" {
		*counter++
		p.entries++
	}
	if v.Event != "" {
		p.run.Revisions++
	}
	if v.Absent {
		p.run.Read++
		p.run.Absent++ // an absence is an entry that the run dealt with (S3)
	}
}

// counterOf returns the counter of an action, nil for entries that stay as they are: those are what is left over.
func counterOf(run *store.Run, a policy.Action) *int {
	switch a {
	case policy.Create:
		return &run.Created
	case policy.Update:
		return &run.Updated
	case policy.Reactivate:
		return &run.Reactivated
	case policy.Merge:
		return &run.Merged
	case policy.Ignore:
		return &run.Ignored
	case policy.Disable:
		return &run.Disabled
	case policy.Conflict:
		return &run.Conflicts
	case policy.Reject:
		return &run.Rejected
	case policy.Delete:
		return &run.Deletions
	}
	return nil
}

// say keeps the first refusals and warnings in words.
func (p *planner) say(v *policy.Verdict) {
	add := func(text string) {
		if len(p.run.Messages) < 100 {
			p.run.Messages = append(p.run.Messages, text)
		}
	}
	if v.Action == policy.Conflict || v.Action == policy.Reject {
		add(v.Who() + ": " + v.Reason)
	}
	for _, w := range v.Warnings {
		add(v.Who() + ": " + w.String())
	}
}

// foldRun is what the fold must know of the run. It comes from the log, the store and the published rules only.
func (p *planner) foldRun(rules *Rules) policy.Run {
	namespace := uuid.MustParse(p.db.ID())
	source := p.run.Source
	return policy.Run{
		ValidFor: validFor(rules),
		Number:   p.run.Number, Time: p.message.time, Whole: p.finished.Whole, First: p.source.Applied == 0,
		ScopeChanged: p.source.Applied != 0 && p.source.Scope != p.finished.Scope,
		Read:         p.finished.Read, Known: p.source.Entries,
		ActiveOwned: p.source.Active, ActiveLinked: p.source.Linked, Administrators: p.administrators,
		NewID:   func(key string) string { return uuid.NewSHA1(namespace, []byte(source+"\x00"+key)).String() },
		Enabled: func(name string) bool { return rules.other(name) != nil },
		Contributes: func(name string) bool {
			o := rules.other(name)
			return o != nil && o.Contributes
		},
		Label: func(name string) string {
			if o := rules.other(name); o != nil {
				return o.Label
			}
			return name
		},
	}
}

// view is what the fold may read: the store as of the present batch's transaction.
func (p *planner) view() policy.View {
	return policy.View{
		Origin: func(source string, key store.Key) (*store.Origin, error) { return p.tx.Origin(source, key) },
		User:   func(id string) (*store.User, error) { return p.tx.User(id) },
		Holder: func(c store.Claim) (string, error) { return p.tx.Holder(c) },
		Group:  func(path string) (bool, error) { g, err := p.tx.Group(path); return g != nil, err },
		Named:  func(source string, name store.Key) ([]store.Key, error) { return p.tx.Named(source, name) },
		Joined: func(source string, name store.Key) ([]store.Key, error) { return p.tx.Joined(source, name) },
	}
}

func (p *planner) inView(fn func() error) error {
	return p.db.View(func(tx *store.Tx) error { p.tx = tx; return fn() })
}

// decide is inView for what decides: the verdicts go to the plan's writer behind the transaction.
func (p *planner) decide(fn func() error) error {
	if err := p.inView(fn); err != nil {
		return err
	}
	items := p.decided
	p.decided = nil
	return p.writer.write(items)
}

// dropOldPlan drops what an interrupted or superseded planning of the source left behind.
func (r *reconciler) dropOldPlan(source string, run uint64) error {
	var refs []store.PlanRef
	err := r.db.View(func(tx *store.Tx) (err error) { refs, err = tx.Plans(); return err })
	if err != nil {
		return err
	}
	for _, ref := range refs {
		keep, err := r.keepsPlan(ref, source, run)
		if err != nil {
			return err
		}
		if keep {
			continue
		}
		if err := r.dropPlan(ref.Source, ref.Run); err != nil {
			return err
		}
	}
	return nil
}

// keepsPlan reports whether a plan is still somebody's: a held run's, or another source's.
func (r *reconciler) keepsPlan(ref store.PlanRef, source string, run uint64) (keep bool, err error) {
	if ref.Source != source {
		return true, nil
	}
	if ref.Run == run {
		return false, nil
	}
	err = r.db.View(func(tx *store.Tx) error {
		s, err := tx.Source(source)
		keep = err == nil && s.Held == ref.Run
		return err
	})
	return keep, err
}

// dropPlan removes a plan in bounded steps.
func (r *reconciler) dropPlan(source string, run uint64) error {
	for more := true; more; {
		err := r.db.Update(func(tx *store.Tx) (err error) { more, err = tx.PlanDrop(source, run, 10*planBatch); return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// contentSum adds up the hashes of verdicts, whatever order they come in: equal plans have equal sums.
type contentSum [4]uint64

// add takes a verdict's content in: what changes for whom and why, no run number, no time.
func (s *contentSum) add(v *policy.Verdict) error {
	user := ""
	if v.User != nil {
		user = v.User.ID
	}
	data, err := encoding.Marshal([]any{v.Key, v.Action, v.Event, user, v.Changed, v.Claims, v.Releases, v.Reason, v.DropOrigin, v.Deactivated})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	var carry uint64
	for i := range s {
		var word uint64
		for _, b := range sum[8*i : 8*i+8] {
			word = word<<8 | uint64(b)
		}
		s[i], carry = bits.Add64(s[i], word, carry)
	}
	return nil
}

// String returns the sum in 32 hexadecimal digits.
func (s *contentSum) String() string {
	var data []byte
	for _, word := range s {
		for shift := 56; shift >= 0; shift -= 8 {
			data = append(data, byte(word>>shift))
		}
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

func tripText(trips []policy.Trip) string {
	texts := make([]string, len(trips))
	for i, t := range trips {
		texts[i] = t.Text
	}
	return strings.Join(texts, "; ")
}

// each calls fn for every change until one fails.
func each(batch []mapping.Change, fn func(*mapping.Change) error) error {
	for i := range batch {
		if err := fn(&batch[i]); err != nil {
			return err
		}
	}
	return nil
}
