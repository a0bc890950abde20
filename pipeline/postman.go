package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/pipeline/mail"
	"rollcall/store"
)

// postman mails generated PINs to their users (P5). A letter lies in the store from the transaction that gave the user his
// PIN until the mail server took it, so no crash loses one; the PIN itself is drawn again at the door. A letter that a
// dying process did not see accepted is sent again, under the same Message-ID.
type postman struct {
	bus    *events.Bus
	db     *store.DB
	key    *pinKey
	server mail.Server
	log    zerolog.Logger
	wake   chan struct{}
	// failing is true while the mail server does not take anything.
	failing atomic.Bool
	// said are the letters whose end is in LOG, and may not be in the store yet.
	said map[string]bool
}

// mailed says what became of a letter: it was taken, or why it will never be. It travels through LOG, so that whoever reads the log
// knows which letters wait.
type mailed struct {
	User   string `json:"user"`
	Issue  uint64 `json:"issue"`
	Failed string `json:"failed,omitempty"`
}

// letterBatch is how many letters are looked at together.
const letterBatch = 100

func newPostman(bus *events.Bus, db *store.DB, key *pinKey, server mail.Server, log zerolog.Logger) *postman {
	return &postman{bus: bus, said: map[string]bool{}, db: db, key: key, server: server, log: log, wake: make(chan struct{}, 1)}
}

// letterTo is what the postman must know of a PIN that was just drawn for a user.
func letterTo(u *store.User, length int, hash string) *store.Letter {
	return &store.Letter{User: u.ID, Issue: u.PINsIssued - 1, Length: length, Hash: hash}
}

// poke tells the postman that there may be a letter. It never waits.
func (p *postman) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *postman) run(ctx context.Context) error {
	if p.server.Host == "" {
		return nil
	}
	p.poke()
	pause := time.Second
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
		err := p.deliverAll(ctx)
		p.failing.Store(err != nil)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			pause = time.Second
			continue
		}
		p.log.Warn().Err(err).Stringer("again", pause).Msg("PINs are not mailed")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Minute)
		p.poke()
	}
}

// deliverAll mails what waits. An error is one of the server or store: every letter that is left stays.
func (p *postman) deliverAll(ctx context.Context) error {
	var session *mail.Session
	defer func() {
		if session != nil {
			_ = session.Close() // what was accepted stays so
		}
	}()
	for after := ""; ; {
		page, err := p.letters(after)
		if err == nil && len(page) == 0 && after == "" {
			clear(p.said)
		}
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			after = page[i].User
			if session, err = p.deliver(ctx, session, &page[i]); err != nil {
				return err
			}
		}
	}
}

func (p *postman) letters(after string) (page []store.Letter, err error) {
	err = p.db.View(func(tx *store.Tx) error { page, err = tx.Letters(after, letterBatch); return err })
	return page, err
}

// deliver mails one letter, or notes why nobody can.
func (p *postman) deliver(ctx context.Context, session *mail.Session, l *store.Letter) (*mail.Session, error) {
	if p.said[mailedID(l, true)] {
		return session, nil
	}
	var user *store.User
	err := p.db.View(func(tx *store.Tx) (err error) { user, err = tx.User(l.User); return err })
	if err != nil {
		return session, err
	}
	pin := pinOf(user, l.Hash)
	if pin == nil { // it was replaced or taken away, or has ended: there is nothing to tell
		return session, p.say(ctx, l, "")
	}
	if l.Failed != "" || p.said[mailedID(l, false)] {
		return session, nil
	}
	message, err := p.write(user, pin, l)
	if err == nil && session == nil {
		if session, err = p.server.Dial(ctx); err != nil {
			return nil, err
		}
	}
	if err == nil {
		err = session.Send(*message)
	}
	switch {
	case errors.Is(err, mail.ErrRefused):
		return session, p.fail(ctx, user, l, err)
	case err != nil:
		return session, err
	}
	return session, p.say(ctx, l, "")
}

// pinOf returns the PIN with that hash, nil when the user has none.
func pinOf(u *store.User, hash string) *store.Value {
	if u == nil {
		return nil
	}
	list := u.List[store.PINs.List()]
	at := slices.IndexFunc(list, func(v store.Value) bool { return v.V == hash })
	if at < 0 {
		return nil
	}
	return &list[at]
}

// write puts a PIN into words. A user who cannot be written to is [mail.ErrRefused].
func (p *postman) write(u *store.User, pin *store.Value, l *store.Letter) (*mail.Message, error) {
	address, name := u.Text[store.Email], u.Text[store.UserName]
	switch {
	case !u.Active:
		return nil, fmt.Errorf("%w: the user is not active", mail.ErrRefused)
	case address == "":
		return nil, fmt.Errorf("%w: the user has no e-mail address", mail.ErrRefused)
	}
	digits, err := p.key.reveal(u.ID, l.Issue, l.Length, []string{l.Hash})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", mail.ErrRefused, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Hello %s,\n\na PIN was made for your account %s:\n\n    %s\n\n", u.Text[store.FullName], name, digits)
	if !pin.Expires.IsZero() {
		fmt.Fprintf(&b, "It is valid until %s.\n", pin.Expires.UTC().Format("2 January 2006, 15:04 MST"))
	}
	b.WriteString("Nobody else has it. Keep it to yourself.\n")
	return &mail.Message{ID: fmt.Sprintf("pin-%s-%d@rollcall", u.ID, l.Issue), To: []string{address}, Subject: "Your PIN", Text: b.String()}, nil
}

// say puts into LOG what became of a letter.
func (p *postman) say(ctx context.Context, l *store.Letter, failed string) error {
	id := mailedID(l, failed == "")
	if _, err := appendLog(ctx, p.bus, events.CommandSubject(commandMailed), id, mailed{User: l.User, Issue: l.Issue, Failed: failed}); err != nil {
		return err
	}
	p.said[id] = true
	return nil
}

func mailedID(l *store.Letter, done bool) string {
	return fmt.Sprintf("mailed-%s-%d-%t", l.User, l.Issue, done)
}

// mailed forgets a letter, or notes why it will not be mailed. A later PIN's letter stays.
func (r *reconciler) mailed(m logMessage) error {
	var c mailed
	if err := m.decode(&c); err != nil {
		return err
	}
	letter := &store.Letter{User: c.User, Issue: c.Issue}
	return r.update(m, func(tx *store.Tx) error {
		if c.Failed != "" {
			return tx.FailLetter(letter, c.Failed)
		}
		return tx.DropLetter(letter)
	})
}

// fail reports a PIN that will not be mailed, with its user.
func (p *postman) fail(ctx context.Context, u *store.User, l *store.Letter, reason error) error {
	p.log.Error().Err(reason).Str("user", u.Text[store.UserName]).Str("try", resendHint(u.Text[store.UserName])).Msg("a PIN was not mailed")
	return p.say(ctx, l, reason.Error())
}

func resendHint(name string) string { return "rollcall pins generate " + name + " --resend" }

// settle waits until no letter waits, no longer than ctx and not for a server that takes none.
func (p *postman) settle(ctx context.Context) {
	for ctx.Err() == nil && !p.failing.Load() {
		waiting := 0
		err := eachLetter(p.db, func(l *store.Letter) {
			if l.Failed == "" {
				waiting++
			}
		})
		if err != nil || waiting == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// eachLetter calls fn for every letter.
func eachLetter(db *store.DB, fn func(*store.Letter)) error {
	return db.View(func(tx *store.Tx) error {
		for after := ""; ; {
			page, err := tx.Letters(after, letterBatch)
			if err != nil || len(page) == 0 {
				return err
			}
			for i := range page {
				fn(&page[i])
			}
			after = page[len(page)-1].User
		}
	})
}

// Unmailed is a PIN that could not be mailed to its user (P5).
type Unmailed struct {
	User   string `json:"user"`
	Reason string `json:"reason"`
	Try    string `json:"try"`
}

// maxUnmailed is how many of them a status names.
const maxUnmailed = 100

// unmailed counts the letters that wait and names those that will not be mailed.
func unmailed(db *store.DB) (waiting int, failed []Unmailed, err error) {
	var given []store.Letter
	err = eachLetter(db, func(l *store.Letter) {
		switch {
		case l.Failed == "":
			waiting++
		case len(given) < maxUnmailed:
			given = append(given, *l)
		}
	})
	if err == nil {
		err = db.View(func(tx *store.Tx) error {
			for _, l := range given {
				u, err := tx.User(l.User)
				if err != nil {
					return err
				}
				if pinOf(u, l.Hash) != nil {
					name := u.Text[store.UserName]
					failed = append(failed, Unmailed{User: name, Reason: l.Failed, Try: resendHint(name)})
				}
			}
			return nil
		})
	}
	return waiting, failed, err
}
