package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// retirement is the command that takes a source out of the store (S6). It holds only as long as its plan does.
type retirement struct {
	policy.Retirement
	// Plan is the hash of the plan that a person saw.
	Plan       string `json:"plan"`
	Actor      string `json:"actor,omitempty"`
	Reason     string `json:"reason,omitempty"`
	EventCards string `json:"event_cards,omitempty"`
}

// RetirePlan is what retiring a source would do.
type RetirePlan struct {
	Source     string `json:"source"`
	Deactivate bool   `json:"deactivate"`
	// Plan is the hash that retiring needs: the same only while the store would give the same plan.
	Plan    string `json:"plan"`
	Entries int    `json:"entries"`
	// Local users stay as such, Inherited ones pass to another source, Deactivated ones become inactive, of the Others the
	// source's values are withdrawn.
	Local       int `json:"local"`
	Inherited   int `json:"inherited"`
	Deactivated int `json:"deactivated"`
	Others      int `json:"others"`
	// Changes are the first of them in words, at most 500.
	Changes []string `json:"changes"`
}

// retireBatch is how many entries one transaction retires.
const retireBatch = 1000

// retire takes a source's entries out of the store, in batches: a restart finds the command again and goes on, because
// the first batch notes that it was begun.
func (r *reconciler) retire(ctx context.Context, m logMessage) error {
	var c retirement
	if err := m.decode(&c); err != nil {
		return err
	}
	m.cause = cause{Source: c.Source, Actor: c.Actor, Reason: c.Reason}
	begun, err := r.beginRetiring(m, &c)
	if err != nil || !begun {
		return err
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.db.Update(func(tx *store.Tx) (err error) { more, err = retireSome(tx, m, &c); return err })
		if err != nil {
			return err
		}
		r.committed()
	}
	if err := r.purgeSource(ctx, c.Source); err != nil {
		return err
	}
	return r.update(m, func(tx *store.Tx) error {
		if err := tx.DeleteSource(c.Source); err != nil {
			return err
		}
		if err := tx.SetMeta(retiringMeta, nil); err != nil {
			return err
		}
		return putAnswer(tx, Answer{Sequence: m.sequence, Action: "retired", Text: "retired " + c.Source})
	})
}

// retiringMeta says in the store which command is being carried out.
const retiringMeta = "retiring"

// beginRetiring refuses a plan that is not the store's any more, and ends what was going on for the source.
func (r *reconciler) beginRetiring(m logMessage, c *retirement) (begun bool, err error) {
	mark := fmt.Append(nil, m.sequence)
	var plan RetirePlan
	err = r.db.View(func(tx *store.Tx) error {
		if begun = slices.Equal(tx.Meta(retiringMeta), mark); begun {
			return nil
		}
		plan, err = planRetirement(tx, m.time, c.Retirement)
		return err
	})
	if err != nil || begun {
		return begun, err
	}
	if !namesPlan(c.Plan, plan.Plan) {
		return false, r.update(m, func(tx *store.Tx) error {
			return putAnswer(tx, Answer{Sequence: m.sequence, Action: string(policy.Reject), Try: "rollcall sources retire " + c.Source,
				Text: "the store moved since that plan of retiring " + c.Source + " was made [S6]"})
		})
	}
	m.source = c.Source
	return true, r.db.Update(func(tx *store.Tx) error {
		source, err := tx.Source(c.Source)
		if err != nil {
			return err
		}
		if err := errors.Join(r.closeOpen(tx, m, "", "the source was retired"), supersedeHeld(tx, m, source), tx.PutSource(source)); err != nil {
			return err
		}
		return tx.SetMeta(retiringMeta, mark)
	})
}

// retireSome takes the next entries out, with their users' links to the source.
func retireSome(tx *store.Tx, m logMessage, c *retirement) (more bool, err error) {
	type link struct {
		key  store.Key
		user string
	}
	var links []link
	err = tx.Origins(c.Source, store.Key{}, func(key store.Key, o *store.Origin) error {
		if len(links) == retireBatch {
			more = true
			return store.ErrStop
		}
		links = append(links, link{key, o.User})
		return nil
	})
	for _, l := range links {
		if err == nil && l.user != "" {
			err = retireUser(tx, m, c, l.user)
		}
		if err == nil {
			err = tx.DeleteOrigin(c.Source, l.key)
		}
	}
	return more, err
}

// retireUser takes the source from one user; his other entries of it find nothing more to do.
func retireUser(tx *store.Tx, m logMessage, c *retirement, id string) error {
	deed, err := handOf(tx, m).Retire(id, c.Retirement)
	if err != nil || deed.User == nil {
		return err
	}
	return putDeed(tx, m, deed, m.cause, store.ParseCardMode(c.EventCards))
}

// planRetirement says what retiring a source would do to the store as it is.
func planRetirement(tx *store.Tx, at time.Time, r policy.Retirement) (plan RetirePlan, err error) {
	plan = RetirePlan{Source: r.Source, Deactivate: r.Deactivate}
	hand := policy.Hand{View: viewOf(tx), Time: at, Administrators: tx.CountAdministrators()}
	var sum contentSum
	seen := map[string]bool{}
	err = tx.Origins(r.Source, store.Key{}, func(_ store.Key, o *store.Origin) error {
		plan.Entries++
		if o.User == "" || seen[o.User] {
			return nil
		}
		seen[o.User] = true
		deed, err := hand.Retire(o.User, r)
		if err != nil || deed.User == nil {
			return err
		}
		if deed.Deactivated && deed.User.Administrator {
			hand.Administrators--
		}
		plan.count(deed)
		return sum.add(&deed.Verdict)
	})
	plan.Plan = sum.String()
	return plan, err
}

func (p *RetirePlan) count(d *policy.Deed) {
	switch {
	case d.Deactivated:
		p.Deactivated++
	case d.User.Owner != "" && d.User.Label != "" && d.Reason != "":
		p.Inherited++
	case d.Reason != "":
		p.Local++
	default:
		p.Others++
	}
	if len(p.Changes) < 500 && d.Event != "" {
		p.Changes = append(p.Changes, policy.Sentence(&d.Verdict))
	}
}

// purgeSource takes a source's records out of RAW.
func (r *reconciler) purgeSource(ctx context.Context, source string) error {
	if r.rebuilding {
		return nil
	}
	raw, err := r.bus.Stream(ctx, events.RawStream)
	if err != nil {
		return err
	}
	if err := raw.Purge(ctx, jetstream.WithPurgeSubject("rollcall.raw."+source+".*")); err != nil {
		return fmt.Errorf("purge the raw records of %s: %w", source, err)
	}
	return nil
}

// putAnswer keeps what became of a command.
func putAnswer(tx *store.Tx, a Answer) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return tx.PutAnswer(a.Sequence, body)
}
