package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// Edit is what a person wants done to one user. Its JSON is the request of the endpoints users.set, users.deactivate,
// users.reactivate, users.anonymize, cards.add, cards.remove, cards.register, pins.add, pins.generate and pins.remove.
type Edit struct {
	// ID tells a request that is repeated from a new one: the same twice is carried out once and answered twice. "" for a
	// request that is not repeated.
	ID string `json:"id,omitempty"`
	// User is a user name, alias or id.
	User string `json:"user"`
	// Set has a text for each property; lists have commas between their values, "\" before a comma within one.
	Set map[string]string `json:"set,omitempty"`
	// Card is a card's number, Expires when it or a PIN ends, zero for never (K6, P7).
	Card    string    `json:"card,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	// PIN is a PIN's digits; they go no further than the endpoint.
	PIN string `json:"pin,omitempty"`
	// Resend has a generated PIN mailed to its user instead of shown (P5).
	Resend bool `json:"resend,omitempty"`
	// Actor is who wants it, Reason why; both stand in the event.
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ErrRefused means that a rule does not allow what was asked for; the error's text names it. ErrMistake means that what
// was asked for cannot be.
var (
	ErrRefused = errors.New("refused")
	ErrMistake = errors.New("mistake")
)

// SetUser gives a user's properties new values. A refusal is [ErrRefused], a property or value that cannot be [ErrMistake].
func (c *Client) SetUser(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "users.set", e)
}

// DeactivateUser makes a user inactive; no synchronization brings him back (U18).
func (c *Client) DeactivateUser(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "users.deactivate", e)
}

// ReactivateUser makes an inactive user active.
func (c *Client) ReactivateUser(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "users.reactivate", e)
}

// AnonymizeUser makes an inactive user anonymous for good (U22).
func (c *Client) AnonymizeUser(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "users.anonymize", e)
}

// AddCard gives a user a card.
func (c *Client) AddCard(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "cards.add", e)
}

// RemoveCard takes a card from a user.
func (c *Client) RemoveCard(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "cards.remove", e)
}

// RegisterCard gives a user a card that he registers himself: a used one is refused without naming its owner (C2),
// and where users have but one card it takes the old one's place (K6).
func (c *Client) RegisterCard(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "cards.register", e)
}

func (c *Client) edit(ctx context.Context, endpoint string, e Edit) (Answer, error) {
	if e.ID == "" {
		e.ID = uuid.NewString()
	}
	return call[Answer](ctx, c, endpoint, e)
}

// edits are the endpoints that change one user, each with the command that it puts into the log and what that says.
func (s *service) edits() map[string]func(context.Context, Edit) (Answer, error) {
	endpoint := func(kind string, fill func(Edit, *manual) error) func(context.Context, Edit) (Answer, error) {
		return func(ctx context.Context, e Edit) (Answer, error) { return s.edit(ctx, kind, e, fill) }
	}
	nothing := func(Edit, *manual) error { return nil }
	return map[string]func(context.Context, Edit) (Answer, error){
		"users.set":        endpoint(commandSetUser, s.assignments),
		"users.deactivate": endpoint(commandDeactivateUser, nothing),
		"users.reactivate": endpoint(commandReactivateUser, nothing),
		"users.anonymize":  endpoint(commandAnonymizeUser, nothing),
		"cards.add":        endpoint(commandAddCard, s.card(policy.Manual)),
		"cards.register":   endpoint(commandAddCard, s.card(policy.SelfRegistered)),
		"cards.remove":     endpoint(commandRemoveCard, s.card("")),
		"pins.add":         endpoint(commandAddPIN, s.givenPIN),
		"pins.generate":    s.generatePIN,
		"pins.remove":      endpoint(commandRemovePIN, s.removedPIN),
	}
}

// edit takes what a person wants to the log and answers what came of it. The user is named by id there: whoever is
// called so now is meant, not who is when the message is read.
func (s *service) edit(ctx context.Context, kind string, e Edit, fill func(Edit, *manual) error) (Answer, error) {
	if err := s.catchUp(ctx); err != nil {
		return Answer{}, err
	}
	user, err := s.named(e.User)
	if err != nil {
		return Answer{}, err
	}
	c := manual{User: user.ID, Actor: e.Actor, Reason: e.Reason, EventCards: s.config.ByHand.EventCards}
	if err := fill(e, &c); err != nil {
		return Answer{}, err
	}
	return s.command(ctx, kind, e.ID, c)
}

// command puts a command into the log, waits until it was carried out and what it changed was relayed, and returns the
// answer. The same id twice is one command, within the stream's window for duplicates.
func (s *service) command(ctx context.Context, kind, id string, body any) (a Answer, err error) {
	if err := s.reconciler.intact(ctx); err != nil {
		return a, err
	}
	sequence, err := appendLog(ctx, s.bus, events.CommandSubject(kind), id, body)
	if err != nil {
		return a, err
	}
	if err := s.awaitHandled(ctx, sequence); err != nil {
		return a, err
	}
	var data []byte
	if err := s.db.View(func(tx *store.Tx) error { data = tx.Answer(sequence); return nil }); err != nil {
		return a, err
	}
	if data == nil {
		return a, fmt.Errorf("command %d of the log (%s) left no answer", sequence, kind)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("answer to command %d: %w", sequence, err)
	}
	if a.Action == string(policy.Conflict) || a.Action == string(policy.Reject) {
		return a, connectors.Hint(fmt.Errorf("%w: %s", ErrRefused, a.Text), a.Try)
	}
	return a, s.awaitRelayed(ctx)
}

// awaitRelayed waits until all revisions are in the stream of events, but not for a stream that does not take them: they get
// there sooner or later.
func (s *service) awaitRelayed(ctx context.Context) error {
	for range 400 {
		behind := false
		err := s.db.View(func(tx *store.Tx) error {
			head, _ := tx.Head()
			behind = tx.RelayPosition().Revision < head
			return nil
		})
		if err != nil || !behind {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// named returns the user of that name, alias or id.
func (s *service) named(name string) (u *store.User, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		u, err = tx.UserByName(name)
		if err == nil && u == nil {
			u, err = tx.User(name)
		}
		if err == nil && u == nil {
			err = connectors.Hint(fmt.Errorf("%w: no user with the name, alias or id %q", ErrNotFound, name), "rollcall users find "+name)
		}
		return err
	})
	return u, err
}

// assignments reads what users.set sets.
func (s *service) assignments(e Edit, c *manual) error {
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(e.Set)) {
		a, err := s.assignment(name, e.Set[name])
		if err != nil {
			mistakes = append(mistakes, err)
		}
		c.Set = append(c.Set, a)
	}
	if len(e.Set) == 0 {
		mistakes = append(mistakes, errors.New("nothing to set"))
	}
	if err := errors.Join(mistakes...); err != nil {
		return connectors.Hint(&answered{text: strings.ReplaceAll(err.Error(), "\n", "; "), kind: ErrMistake}, "property=value with one of "+strings.Join(Settable(), ", "))
	}
	return nil
}

// Settable returns the names of the properties that people may set, "administrator" last.
func Settable() (names []string) {
	for _, p := range store.Properties() {
		if p != store.PINs {
			names = append(names, p.String())
		}
	}
	return append(names, policy.Administrator)
}

func (s *service) assignment(name, text string) (a policy.Assignment, err error) {
	a.Property = name
	p, known := store.ParseProperty(name)
	switch {
	case name == policy.Administrator:
		a.Text = text
		if text != "true" && text != "false" {
			err = fmt.Errorf("%s is true or false, not %q [U19]", name, text)
		}
	case p == store.PINs && known:
		err = errors.New("pins are not set: rollcall pins add reads one from a prompt [P5]")
	case !known:
		err = fmt.Errorf("there is no property %q", name)
	case p.Multi():
		a.List, err = mapping.SpellList(p, text, s.config.ByHand.StorageTargets)
		if err == nil && p == store.Cards && s.config.ByHand.OneCard && len(a.List) > 1 {
			err = errors.New("cards: a user has one card, as cards: {multiple: false} says [K6]")
		}
	default:
		if a.Text, err = mapping.Spell(p, text, s.config.ByHand.StorageTargets); err == nil {
			err = s.config.ByHand.checkServer(p, a.Text)
		}
	}
	return a, err
}

// card reads the card that a request is about.
func (s *service) card(origin string) func(Edit, *manual) error {
	return func(e Edit, c *manual) error {
		number, err := mapping.Spell(store.Cards, e.Card, nil)
		if err == nil && number == "" {
			err = errors.New("a card has a number [U5]")
		}
		if err != nil {
			return &answered{text: err.Error(), kind: ErrMistake}
		}
		c.Card = &policy.Card{Number: number, Origin: origin, Expires: e.Expires, Alone: origin != "" && s.config.ByHand.OneCard}
		return nil
	}
}

// checkServer wants the name of an authentication server to be known (U13).
func (h *ByHand) checkServer(p store.Property, name string) error {
	if p != store.AuthenticationServer || name == "" || slices.Contains(h.AuthenticationServers, name) {
		return nil
	}
	return fmt.Errorf("authentication_server: %q is none of %s [U13]", name, strings.Join(h.AuthenticationServers, ", "))
}
