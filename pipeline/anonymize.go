package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/store"
)

// anonymize makes a user anonymous for good (U22). What RAW and the dead letters hold of him goes first: a crash in
// between finds the command again and does the same. LOG, CHANGES and USERS keep what was said, and age out.
func (r *reconciler) anonymize(ctx context.Context, m logMessage, c *manual) error {
	traces, err := r.tracesOf(m, c)
	if err != nil {
		return err
	}
	if err := r.purgeTraces(ctx, traces); err != nil {
		return err
	}
	return r.update(m, func(tx *store.Tx) error {
		deed, err := decideManual(tx, m, commandAnonymizeUser, c)
		if err != nil {
			return err
		}
		if !deed.Refused() {
			if err := scrub(tx, traces.words); err != nil {
				return err
			}
		}
		return carryOut(tx, m, c, deed)
	})
}

// traces are what a user left behind beside his own record.
type traces struct {
	refs []store.OriginRef
	keys []string // of his entries, as the sources call them
	// words are what he is called in messages.
	words []string
}

// tracesOf gathers what is to be purged, nothing when the command is refused.
func (r *reconciler) tracesOf(m logMessage, c *manual) (t traces, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		deed, err := decideManual(tx, m, commandAnonymizeUser, c)
		if err != nil || deed.User == nil {
			return err
		}
		user, err := tx.User(c.User)
		if err != nil {
			return err
		}
		t.refs, t.words = user.Origins, wordsOf(user)
		for _, ref := range user.Origins {
			origin, err := tx.Origin(ref.Source, ref.Key)
			if err != nil {
				return err
			}
			t.keys = append(t.keys, origin.Key)
			t.words = append(t.words, origin.Entry)
		}
		return nil
	})
	return t, err
}

// wordsOf returns what tells a user from others in a message; short words are in too many.
func wordsOf(u *store.User) []string {
	words := []string{u.Text[store.UserName], u.Text[store.FullName], u.Text[store.Email], u.Text[store.PersonalNumber]}
	for _, p := range []store.Property{store.Aliases, store.Cards, store.AlternateEmails} {
		for _, v := range u.List[p.List()] {
			words = append(words, v.V)
		}
	}
	return words
}

// purgeTraces takes a user's entries out of RAW and out of the dead letters.
func (r *reconciler) purgeTraces(ctx context.Context, t traces) error {
	if len(t.refs) == 0 || r.rebuilding {
		return nil
	}
	raw, err := r.bus.Stream(ctx, events.RawStream)
	if err != nil {
		return err
	}
	for _, ref := range t.refs {
		if err := raw.Purge(ctx, jetstream.WithPurgeSubject(events.RawSubject(ref.Source, ref.Key))); err != nil {
			return fmt.Errorf("purge the raw records of an anonymous user: %w", err)
		}
	}
	dead, err := r.bus.Stream(ctx, events.DeadStream)
	if err != nil {
		return err
	}
	return r.bus.ReadAll(ctx, events.DeadStream, "rollcall.dead.>", func(msg jetstream.Msg) error {
		letter, err := parseLetter(msg)
		if err != nil || !slices.Contains(t.keys, letter.Key) {
			return nil // one that nobody can read is nobody's
		}
		if err := dead.DeleteMsg(ctx, letter.ID); err != nil && !isMissing(err) {
			return fmt.Errorf("drop a dead letter of an anonymous user: %w", err)
		}
		return nil
	})
}

// scrub drops what runs and answers said of somebody.
func scrub(tx *store.Tx, words []string) error {
	names := func(message string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return len(w) > 2 && strings.Contains(message, w) })
	}
	var scrubbed []*store.Run
	err := tx.Runs("", 0, func(run *store.Run) error {
		if slices.ContainsFunc(run.Messages, names) {
			run.Messages = slices.DeleteFunc(run.Messages, names)
			scrubbed = append(scrubbed, run)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, run := range scrubbed {
		if err := tx.PutRun(run); err != nil {
			return err
		}
	}
	return tx.ForgetAnswers()
}
