package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// Retire is a person's wish to take a source out of the store (S6).
type Retire struct {
	// ID tells a repeated request from a new one, as in [Edit].
	ID     string `json:"id,omitempty"`
	Source string `json:"source"`
	// Deactivate makes the users inactive that no other source has; without it they stay as local users.
	Deactivate bool `json:"deactivate"`
	// Plan is the hash of the plan that is wanted, or 8 characters of it.
	Plan   string `json:"plan,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// PlanRetirement says what retiring a source would do. It writes nothing.
func (c *Client) PlanRetirement(ctx context.Context, r Retire) (RetirePlan, error) {
	return call[RetirePlan](ctx, c, "sources.plan", r)
}

// RetireSource takes a source out of the store as that plan says. It fails with [ErrRefused] when the store moved since.
func (c *Client) RetireSource(ctx context.Context, r Retire) (Answer, error) {
	return call[Answer](ctx, c, "sources.retire", r)
}

func (s *service) planRetirement(ctx context.Context, q Retire) (plan RetirePlan, err error) {
	if err := s.retirable(ctx, q.Source); err != nil {
		return plan, err
	}
	err = s.db.View(func(tx *store.Tx) error { plan, err = planRetirement(tx, time.Time{}, s.retirement(q)); return err })
	return plan, err
}

func (s *service) retire(ctx context.Context, q Retire) (Answer, error) {
	if err := s.retirable(ctx, q.Source); err != nil {
		return Answer{}, err
	}
	return s.command(ctx, commandRetireSource, q.ID, retirement{Retirement: s.retirement(q), Plan: q.Plan,
		Actor: q.Actor, Reason: q.Reason, EventCards: s.config.ByHand.EventCards})
}

// retirable refuses a source that the store does not know, and one that is enabled: its next run would take its users again.
func (s *service) retirable(ctx context.Context, name string) error {
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	if source, err := s.config.source(name); err == nil && source.Enabled {
		return connectors.Hint(fmt.Errorf("%w: source %s is configured and enabled [S6]", ErrRefused, name), "take it out of the configuration, or set enabled: false")
	}
	known := false
	err := s.db.View(func(tx *store.Tx) error { known = isKnown(tx, name); return nil })
	if err == nil && !known {
		err = connectors.Hint(fmt.Errorf("%w: the store knows no source %q", ErrNotFound, name), "rollcall sources list")
	}
	return err
}

// retirement is what decides about a source that goes: the sources that may own its users, by precedence and name.
func (s *service) retirement(q Retire) policy.Retirement {
	r := policy.Retirement{Source: q.Source, Deactivate: q.Deactivate}
	var precedence []string
	for _, source := range s.config.Sources {
		precedence = source.Options.Precedence
		if source.Enabled && source.Options.Ownership != "contribute" {
			r.Heirs = append(r.Heirs, policy.Heir{Source: source.Name, Label: cmp.Or(source.Options.Label, source.Name)})
		}
	}
	rank := func(h policy.Heir) int {
		if at := slices.Index(precedence, h.Source); at >= 0 {
			return at
		}
		return len(precedence)
	}
	slices.SortFunc(r.Heirs, func(a, b policy.Heir) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Source, b.Source))
	})
	return r
}
