package pipeline

import (
	"cmp"
	"context"
	"fmt"

	"rollcall/pipeline/policy"
	"rollcall/store"
)

// Answer is what became of a person's command.
type Answer struct {
	// Sequence is the command's place in the log.
	Sequence uint64 `json:"sequence"`
	// Action is updated, deactivated, reactivated, anonymized, unchanged, conflict or rejected: the last two change nothing.
	Action string `json:"action"`
	User   string `json:"user,omitempty"` // the id
	// Revision is the user's new one, 0 when nothing changed.
	Revision uint64 `json:"revision,omitempty"`
	// Text says in words what was done, or why not.
	Text string `json:"text"`
	// Try says what to do about a refusal.
	Try      string   `json:"try,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// PIN is the one that was generated, for whoever asked: it rests nowhere (P5).
	PIN string `json:"pin,omitempty"`
}

// manual carries out what a person wants done to one user. The answer lies in the store under the message's
// sequence, so whoever asks again is told the same.
func (r *reconciler) manual(ctx context.Context, m logMessage, kind string) error {
	var c manual
	if err := m.decode(&c); err != nil {
		return err
	}
	m.cause = cause{Actor: c.Actor, Reason: c.Reason}
	var err error
	if kind == commandAnonymizeUser {
		err = r.anonymize(ctx, m, &c)
	} else {
		err = r.update(m, func(tx *store.Tx) error {
			if err := r.drawPIN(tx, &c); err != nil {
				return err
			}
			deed, err := decideManual(tx, m, kind, &c)
			if err != nil {
				return err
			}
			if deed.User != nil && c.PIN != nil && c.PIN.Mail {
				deed.Letter = letterTo(deed.User, c.PIN.Length, c.PIN.Hash)
			}
			return carryOut(tx, m, &c, deed)
		})
	}
	if err == nil {
		r.log.Info().Str("command", kind).Str("user", c.User).Str("actor", c.Actor).Uint64("sequence", m.sequence).Msg("command")
	}
	return err
}

// decideManual asks policy what comes of a command.
func decideManual(tx *store.Tx, m logMessage, kind string, c *manual) (*policy.Deed, error) {
	hand := handOf(tx, m)
	switch kind {
	case commandSetUser:
		return hand.Set(c.User, c.Set)
	case commandDeactivateUser:
		return hand.Deactivate(c.User)
	case commandReactivateUser:
		return hand.Reactivate(c.User)
	case commandAnonymizeUser:
		return hand.Anonymize(c.User)
	case commandAddCard:
		return hand.AddCard(c.User, *c.Card)
	case commandRemoveCard:
		return hand.RemoveCard(c.User, c.Card.Number)
	case commandAddPIN, commandGeneratePIN:
		return hand.AddPIN(c.User, *c.PIN)
	case commandRemovePIN:
		return hand.RemovePIN(c.User, *c.PIN)
	}
	return nil, fmt.Errorf("command %q concerns no user", kind)
}

// handOf is policy's hand on the store as a transaction shows it.
func handOf(tx *store.Tx, m logMessage) policy.Hand {
	return policy.Hand{View: viewOf(tx), Time: m.time, Administrators: tx.CountAdministrators()}
}

// carryOut writes a deed and the answer.
func carryOut(tx *store.Tx, m logMessage, c *manual, deed *policy.Deed) error {
	answer := answerOf(m, c, deed)
	if err := putDeed(tx, m, deed, m.cause, store.ParseCardMode(c.EventCards)); err != nil {
		return err
	}
	if deed.User != nil {
		answer.Revision = deed.User.Revision
	}
	return putAnswer(tx, answer)
}

// putDeed writes a deed: the user with his revision, and the origins that wait from now on.
func putDeed(tx *store.Tx, m logMessage, deed *policy.Deed, because cause, cards store.CardMode) error {
	if deed.User != nil {
		if err := tx.ReleaseClaims(deed.User.ID, deed.Releases); err != nil {
			return err
		}
		if err := putUser(tx, m, &deed.Verdict, because, cards); err != nil {
			return err
		}
	}
	for _, e := range deed.Entries {
		if err := tx.PutOrigin(e.Source, e.Origin); err != nil {
			return err
		}
	}
	return nil
}

// putUser writes a user's new state, and the revision that tells of it where there is anything to tell.
func putUser(tx *store.Tx, m logMessage, v *policy.Verdict, because cause, cards store.CardMode) error {
	var err error
	if v.Event == "" { // links only
		err = tx.PutUser(v.User)
	} else {
		err = putRevision(tx, m, v, because, cards)
	}
	if err == nil && v.Letter != nil {
		err = tx.PutLetter(v.Letter)
	}
	return err
}

// answerOf says what became of a command, in words.
func answerOf(m logMessage, c *manual, deed *policy.Deed) Answer {
	a := Answer{Sequence: m.sequence, Action: string(deed.Action), User: c.User, Text: deed.Reason, Try: deed.Try}
	switch {
	case deed.Refused():
	case deed.User == nil:
		a.Text = "nothing to do"
	default:
		a.Action = cmp.Or(deed.Event, string(deed.Action))
		said := deed.Verdict
		said.Warnings = nil // they stand beside
		a.Text = policy.Sentence(&said)
	}
	for _, w := range deed.Warnings {
		a.Warnings = append(a.Warnings, w.String())
	}
	return a
}

// putRevision writes a user's new state with the revision that tells of it.
func putRevision(tx *store.Tx, m logMessage, v *policy.Verdict, because cause, cards store.CardMode) error {
	head, chain := tx.Head()
	v.User.Revision, v.User.Updated = head+1, m.time
	if v.Event == "created" {
		v.User.Created = m.time
	}
	if err := tx.PutUser(v.User); err != nil {
		return err
	}
	body := appendUserEvent(make([]byte, 0, 1536), head+1, m.time, v, because, cards)
	return tx.AppendRevision(store.Revision{Number: head + 1, Subject: "users." + v.Event + "." + v.User.ID,
		Time: m.time, Chain: store.ChainOf(chain, body), Body: body})
}

// viewOf is what policy may read: the store as a transaction shows it.
func viewOf(tx *store.Tx) policy.View {
	return policy.View{
		Origin: tx.Origin, User: tx.User, Holder: tx.Holder,
		Group: func(path string) (bool, error) { g, err := tx.Group(path); return g != nil, err },
	}
}
