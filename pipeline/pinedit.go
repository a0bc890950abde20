package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// AddPIN gives a user the PIN of an edit. What is no PIN is [ErrMistake], a used one [ErrRefused] without its owner (C2).
func (c *Client) AddPIN(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "pins.add", e)
}

// GeneratePIN gives a user a PIN that nobody has, which the answer shows; a persistent one takes the place of those that
// were generated before.
func (c *Client) GeneratePIN(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "pins.generate", e)
}

// RemovePIN takes the PIN of an edit from a user, all of them where it has none.
func (c *Client) RemovePIN(ctx context.Context, e Edit) (Answer, error) {
	return c.edit(ctx, "pins.remove", e)
}

// givenPIN reads the PIN that a request is about. The log gets its hash (P5).
func (s *service) givenPIN(e Edit, c *manual) error {
	if err := policy.CheckPIN(e.PIN, s.config.ByHand.PINs.MinimumLength); err != nil {
		return connectors.Hint(&answered{text: err.Error(), kind: ErrMistake}, connectors.HintOf(err))
	}
	c.PIN = &policy.PIN{Hash: s.config.ByHand.HashPIN(e.PIN), Expires: e.Expires}
	return nil
}

func (s *service) removedPIN(e Edit, c *manual) error {
	c.PIN = &policy.PIN{All: e.PIN == ""}
	if e.PIN != "" {
		c.PIN.Hash = s.config.ByHand.HashPIN(e.PIN)
	}
	return nil
}

// generatePIN has a PIN drawn, and draws it again for the answer: it rests nowhere but as its hash.
func (s *service) generatePIN(ctx context.Context, e Edit) (Answer, error) {
	length := 0
	a, err := s.edit(ctx, commandGeneratePIN, e, func(e Edit, c *manual) error {
		u, err := s.named(c.User)
		if err != nil {
			return err
		}
		if e.Expires.IsZero() {
			e.Expires = s.config.ByHand.PINs.Expiry(u, time.Now().UTC())
		}
		length, err = s.pinLength()
		c.PIN = &policy.PIN{Length: length, Expires: e.Expires, Mail: e.Resend}
		return errors.Join(err, s.mayMail(e, u))
	})
	if err != nil || e.Resend {
		return a, err
	}
	u, err := s.named(a.User)
	if err != nil {
		return a, err
	}
	var generated []string
	for _, v := range u.List[store.PINs.List()] {
		if slices.Contains(v.Origins, policy.Generated) {
			generated = append(generated, v.V)
		}
	}
	a.PIN, err = s.reconciler.rules.key.reveal(u.ID, u.PINsIssued-1, length, generated)
	return a, err
}

// mayMail refuses to mail a PIN that cannot be.
func (s *service) mayMail(e Edit, u *store.User) error {
	name := u.Text[store.UserName]
	switch {
	case !e.Resend:
		return nil
	case s.config.Mail.Host == "":
		return connectors.Hint(&answered{text: "no mail server is configured [P5]", kind: ErrMistake}, "mail: {server: smtp.example}, or the PIN shown: rollcall pins generate "+name)
	case u.Text[store.Email] == "":
		return connectors.Hint(&answered{text: name + " has no e-mail address [P5]", kind: ErrMistake}, "rollcall users set "+name+" email=ADDRESS")
	}
	return nil
}

// pinLength returns how many digits a PIN has that is generated now (P1, P2).
func (s *service) pinLength() (length int, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		_, active := tx.CountUsers()
		length = policy.PINLength(s.config.ByHand.PINs.MinimumLength, active)
		return nil
	})
	return length, err
}

// drawPIN draws what a command wants to have generated. A hash that stays empty says that nothing is left.
func (r *reconciler) drawPIN(tx *store.Tx, c *manual) error {
	if c.PIN == nil || c.PIN.Length == 0 {
		return nil
	}
	u, err := tx.User(c.User)
	if err != nil || u == nil {
		return err
	}
	hash, err := r.rules.key.issue(u.ID, u.PINsIssued, c.PIN.Length, func(hash string) (bool, error) {
		return tx.Held(store.Claim{Space: store.PINHashes, Value: hash})
	})
	if errors.Is(err, policy.ErrPINsExhausted) {
		return nil
	}
	c.PIN.Hash = hash
	return err
}
