package mail_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/pipeline/mail"
	"rollcall/pipeline/mail/mailtest"
)

func serverOf(s *mailtest.Sink, security string) mail.Server {
	return mail.Server{Host: s.Host, Port: s.Port, Security: security, CAFile: s.CAFile, From: "rollcall@example.com"}
}

func send(t *testing.T, s mail.Server, m mail.Message) error {
	session, err := s.Dial(t.Context())
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	return session.Send(m)
}

// A message arrives as it was written, over every kind of connection, encrypted where that was asked for.
func TestSend(t *testing.T) {
	text := "Dear Alice Nováková,\n\nthe number is 1234.\n" + strings.Repeat("a long line ", 100) + "\n.\nend\n"
	for _, security := range []string{"starttls", "tls", "none"} {
		t.Run(security, func(t *testing.T) {
			sink := mailtest.Start(t, security == "tls")
			sink.Account("rollcall", "hunter2")
			s := serverOf(sink, security)
			s.User, s.PasswordFile = "rollcall", filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(s.PasswordFile, []byte("hunter2\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			m := mail.Message{ID: "one@rollcall", To: []string{"alice@example.com", "bob@example.com"}, Subject: "Hello", Text: text}
			if err := send(t, s, m); err != nil {
				t.Fatal(err)
			}
			letters := sink.Letters()
			if len(letters) != 1 {
				t.Fatalf("%d letters", len(letters))
			}
			l := letters[0]
			if l.Encrypted != (security != "none") || l.User != "rollcall" || l.From != "rollcall@example.com" || !slices.Equal(l.To, m.To) ||
				l.ID != "<one@rollcall>" || l.Subject != m.Subject || strings.TrimRight(l.Text, "\n") != strings.TrimRight(text, "\n") {
				t.Errorf("arrived: %+v", l)
			}
		})
	}
}

// What would be refused again is told from what is worth another try, and no error shows the text.
func TestRefused(t *testing.T) {
	sink := mailtest.Start(t, false)
	sink.Refuse("nobody@example.com", "550 5.1.1 no such user")
	sink.Refuse("busy@example.com", "451 4.3.0 try later")
	for to, refused := range map[string]bool{"nobody@example.com": true, "busy@example.com": false, "no address": true} {
		err := send(t, serverOf(sink, "starttls"), mail.Message{ID: "x@rollcall", To: []string{to}, Subject: "Hello", Text: "it is 4711"})
		if err == nil || errors.Is(err, mail.ErrRefused) != refused || strings.Contains(err.Error(), "4711") {
			t.Errorf("to %s: %v", to, err)
		}
	}
	if n := len(sink.Letters()); n != 0 {
		t.Errorf("%d letters", n)
	}
}

// Nothing leaves over a connection that is not what was asked for.
func TestUnsafe(t *testing.T) {
	sink := mailtest.Start(t, false)
	unknown := serverOf(sink, "starttls")
	unknown.CAFile = ""
	remote := mail.Server{Host: "mail.example", Port: 25, Security: "none", User: "rollcall", PasswordFile: "nothing"}
	wrong := serverOf(sink, "starttls")
	sink.Account("rollcall", "hunter2")
	wrong.User, wrong.PasswordFile = "rollcall", filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(wrong.PasswordFile, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]mail.Server{"unknown certificate": unknown, "password in clear": remote, "wrong password": wrong} {
		if session, err := s.Dial(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "other") {
			t.Errorf("%s: %v, %v", name, session, err)
		}
	}
}
