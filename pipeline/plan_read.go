package pipeline

import (
	"context"
	"fmt"

	"rollcall/connectors"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// PlanEntry is one change that a plan makes. Its JSON is a contract (interface.md).
type PlanEntry struct {
	Action   string `json:"action"`
	UserName string `json:"user_name,omitempty"`
	Entry    string `json:"entry,omitempty"`
	// Properties are those that change, with PINs and cards masked.
	Properties map[string]OldNew `json:"properties,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	// Sentence says the change in words.
	Sentence string `json:"-"`
	// Line carries the sentence from where the plan is to where it is shown.
	Line string `json:"line,omitempty"`
}

// OldNew is a property before and after: a text, or a list of texts.
type OldNew struct {
	Old any `json:"old"`
	New any `json:"new"`
}

// planPage is a page of a plan.
type planPage struct {
	Run     *store.Run
	Entries []PlanEntry
	After   []byte
	More    bool
}

const planPageSize = 200

// Plan calls fn for every change of a plan: of the held run for number 0, else of that run, as long as its plan
// is kept (a dry run's until the next planning of the source). It returns the run.
func (c *Client) Plan(ctx context.Context, source string, number uint64, fn func(PlanEntry) error) (store.Run, error) {
	q := planRequest{Source: source, Run: number}
	for {
		page, err := call[planPage](ctx, c, "plans.read", q)
		if err != nil {
			return store.Run{}, err
		}
		for _, e := range page.Entries {
			e.Sentence, e.Line = e.Line, ""
			if err := fn(e); err != nil {
				return *page.Run, err
			}
		}
		if !page.More {
			return *page.Run, nil
		}
		q.Run, q.After = page.Run.Number, page.After
	}
}

func (s *service) plan(_ context.Context, q planRequest) (page planPage, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		if page.Run, err = plannedRun(tx, q); err != nil {
			return err
		}
		after := q.After
		if after == nil {
			after = []byte{planVerdict}
		}
		return tx.Plan(q.Source, page.Run.Number, after, func(key, value []byte) error {
			if len(page.Entries) == planPageSize {
				page.More = true
				return store.ErrStop
			}
			v, err := policy.DecodeVerdict(value)
			if err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			page.After = append(page.After[:0], key...)
			if e, worth := planEntry(v); worth {
				page.Entries = append(page.Entries, e)
			}
			return nil
		})
	})
	return page, err
}

// plannedRun returns the run whose plan is asked for.
func plannedRun(tx *store.Tx, q planRequest) (*store.Run, error) {
	number := q.Run
	if number == 0 {
		source, err := tx.Source(q.Source)
		if err != nil {
			return nil, err
		}
		number = source.Held
	}
	var run *store.Run
	var err error
	if number != 0 {
		run, err = tx.Run(q.Source, number)
	}
	if err == nil && (run == nil || run.State != store.Held && run.State != store.Planned) {
		err = connectors.Hint(fmt.Errorf("%w: no plan of %s waits for a decision", ErrNotFound, q.Source), "rollcall sync "+q.Source+" --dry-run")
	}
	return run, err
}

// planEntry shows a verdict; worth is false for one that only notes something about an entry.
func planEntry(v *policy.Verdict) (e PlanEntry, worth bool) {
	if v.User == nil && v.Reason == "" && len(v.Changed) == 0 || v.Action == policy.Unchanged && v.Event == "" {
		return e, false
	}
	e = PlanEntry{Action: string(v.Action), Entry: v.Entry, Reason: v.Reason, Line: policy.Sentence(v)}
	if v.User != nil {
		e.UserName = v.User.Text[store.UserName]
	}
	if len(v.Changed) > 0 {
		e.Properties = make(map[string]OldNew, len(v.Changed))
	}
	for _, c := range v.Changed {
		p, known := store.ParseProperty(c.Property)
		if !known || !p.Multi() {
			e.Properties[c.Property] = OldNew{c.Old, c.New}
			continue
		}
		e.Properties[c.Property] = OldNew{shownAll(p, c.OldList), shownAll(p, c.NewList)}
	}
	return e, true
}

func shownAll(p store.Property, values []string) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = shown(p, v, store.CardsFull)
	}
	return all
}
