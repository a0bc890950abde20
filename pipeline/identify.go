package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/connectors"
	"rollcall/store"
)

// Identity asks who somebody is, by one of four things (M4). Its JSON is the request of the endpoint users.identify.
type Identity struct {
	// Name is a user name or alias, in any case of letters.
	Name           string `json:"name,omitempty"`
	Card           string `json:"card,omitempty"`
	PersonalNumber string `json:"personal_number,omitempty"`
	PIN            string `json:"pin,omitempty"`
	// Caller is the terminal or program that asks: five wrong PINs lock it for 15 minutes.
	Caller string `json:"caller,omitempty"`
}

// The answers to who somebody is.
const (
	IdentifiedActive  = "active"
	IdentifiedUnknown = "unknown" // nobody, or somebody who is not active
	IdentifiedLocked  = "locked"  // the caller gave five wrong PINs
)

// Identified says who somebody is.
type Identified struct {
	Result string `json:"result"`
	// User is there when the result is active.
	User *store.User `json:"user,omitempty"`
	// Until is when a locked caller may ask again.
	Until time.Time `json:"until,omitzero"`
}

// Identify says who somebody is.
func (c *Client) Identify(ctx context.Context, q Identity) (Identified, error) {
	return call[Identified](ctx, c, "users.identify", q)
}

// pinTime is how long the answer to a PIN takes, right or wrong: time tells nothing.
const pinTime = 20 * time.Millisecond

func (s *service) identify(ctx context.Context, q Identity) (Identified, error) {
	given := slices.DeleteFunc([]string{q.Name, q.Card, q.PersonalNumber, q.PIN}, func(v string) bool { return v == "" })
	if len(given) != 1 {
		return Identified{}, &answered{text: "who somebody is is asked by one of name, card, personal number and PIN [M4]", kind: ErrMistake}
	}
	if q.PIN != "" {
		return s.identifyPIN(ctx, q)
	}
	claim := store.Claim{Space: store.Names, Value: strings.TrimSpace(q.Name)}
	switch {
	case q.Card != "":
		claim = store.Claim{Space: store.CardNumbers, Value: strings.TrimSpace(q.Card)}
	case q.PersonalNumber != "":
		claim = store.Claim{Space: store.PersonalNumbers, Value: strings.TrimSpace(q.PersonalNumber)}
	}
	return s.activeHolder(claim)
}

// identifyPIN answers after the same time for every PIN. What is looked up is a keyed hash.
func (s *service) identifyPIN(ctx context.Context, q Identity) (found Identified, err error) {
	if s.config.ByHand.HashPIN == nil {
		return found, connectors.Hint(errors.New("PINs are not kept here"), "pins in the configuration")
	}
	begun := time.Now()
	if until := s.lockout.Until(q.Caller, begun); !until.IsZero() {
		return Identified{Result: IdentifiedLocked, Until: until}, nil
	}
	found, err = s.activeHolder(store.Claim{Space: store.PINHashes, Value: s.config.ByHand.HashPIN(q.PIN)})
	if err == nil && found.Result != IdentifiedActive {
		s.lockout.Fail(q.Caller, begun)
	}
	select {
	case <-ctx.Done():
		return found, context.Cause(ctx)
	case <-time.After(time.Until(begun.Add(pinTime))):
		return found, err
	}
}

// activeHolder returns the active user who holds a value that has not ended.
func (s *service) activeHolder(c store.Claim) (found Identified, err error) {
	found.Result = IdentifiedUnknown
	err = s.db.View(func(tx *store.Tx) error {
		id, err := tx.Holder(c)
		if err != nil || id == "" {
			return err
		}
		u, err := tx.User(id)
		if err != nil {
			return fmt.Errorf("user %s: %w", id, err)
		}
		if u.Active && !ended(u, c, time.Now()) {
			found.Result, found.User = IdentifiedActive, u
		}
		return nil
	})
	return found, err
}

// ended reports whether a value is a temporary card or PIN whose time is over, although the log has not said so yet.
func ended(u *store.User, c store.Claim, now time.Time) bool {
	list := u.List[store.Cards.List()]
	if c.Space == store.PINHashes {
		list = u.List[store.PINs.List()]
	}
	return (c.Space == store.CardNumbers || c.Space == store.PINHashes) && slices.ContainsFunc(list, func(v store.Value) bool {
		return v.V == c.Value && !v.Expires.IsZero() && !v.Expires.After(now)
	})
}
