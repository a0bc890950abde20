package policy

import (
	"slices"
	"strings"
	"time"

	"rollcall/store"
)

// WantsPIN reports whether a PIN is generated for a user at synchronization: active, without a PIN
// and with an address that it could be mailed to (P4).
func WantsPIN(u *store.User) bool {
	return u.Active && len(u.List[store.PINs.List()]) == 0 && u.Text[store.Email] != ""
}

// WantsNewPIN reports whether a user gets a new PIN because the minimum was raised (P6): onRaise is keep,
// holders or all-active.
func WantsNewPIN(u *store.User, onRaise string) bool {
	switch onRaise {
	case "holders":
		return u.Active && len(u.List[store.PINs.List()]) > 0
	case "all-active":
		return u.Active
	}
	return false
}

// Raise returns the verdict on a user of no source when the minimum was raised (P6), nil for one who keeps what he has. Built-in users
// are nobody's to change (U2).
func Raise(u *store.User, onRaise string) *Verdict {
	if u.Owner != "" || u.Anonymized || strings.HasPrefix(nameOf(u), "*") || !WantsNewPIN(u, onRaise) {
		return nil
	}
	return &Verdict{Action: Unchanged, Name: nameOf(u), User: u, DrawPIN: true, RaisedPINs: true, Reason: "of no source, and PINs are longer now [P6]"}
}

// WithoutExpired returns a user without the temporary cards and PINs that have ended by now, nil when none has
// (P7, K6).
func WithoutExpired(u *store.User, now time.Time) *store.User {
	expired := func(v store.Value) bool { return !v.Expires.IsZero() && !v.Expires.After(now) }
	var left *store.User
	for _, p := range [...]store.Property{store.Cards, store.PINs} {
		list := u.List[p.List()]
		if !slices.ContainsFunc(list, expired) {
			continue
		}
		if left == nil {
			clone := *u
			left = &clone
		}
		kept := slices.DeleteFunc(slices.Clone(list), expired)
		left.List[p.List()] = slices.Clip(kept)
		if len(kept) == 0 {
			left.List[p.List()] = nil
		}
	}
	return left
}
