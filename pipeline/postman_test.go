package pipeline_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/mail/mailtest"
	"rollcall/pipeline/policy"
)

// mailedPINs waits for so many letters and returns the PIN that each user got by mail, the last one of several.
func mailedPINs(t *testing.T, sink *mailtest.Sink, letters int) map[string]string {
	t.Helper()
	eventually(t, func() bool { return len(sink.Letters()) >= letters })
	pins := map[string]string{}
	for _, l := range sink.Letters() {
		name, _, _ := strings.Cut(l.To[0], "@")
		pins[name] = regexp.MustCompile(`(?m)^ +(\d+)$`).FindStringSubmatch(l.Text)[1]
		if !l.Encrypted || !strings.Contains(l.Text, name) || strings.Contains(l.Subject+l.ID, pins[name]) {
			t.Errorf("letter to %s: %+v", name, l)
		}
	}
	if n := len(sink.Letters()); n != letters {
		t.Errorf("%d letters, want %d", n, letters)
	}
	return pins
}

// said returns what was logged so far.
func (b *lockedBuffer) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to.String()
}

// P5: a PIN that a run generated is mailed to its user, once, whenever the mail server is there; one that could not be mailed
// is reported with its user and made anew by --resend. No PIN rests in any file or log on the way.
func TestP5Mailed(t *testing.T) {
	dir := newRoster().people(4)
	away := mailtest.Start(t, false)
	away.Stop()
	c := newCompany(t, dir, withPINs).mailed(away, "never")
	logged := lockedBuffer{to: &bytes.Buffer{}}
	c.logged = &logged
	rules := policy.PINRules{MinimumLength: 9, Generate: true, Mail: true}
	c.config.Sources[0].Options.PINs, c.config.ByHand.PINs = rules, rules
	dir.set("p00003", "pin", "582039174")
	c.start()
	c.applied("read 4, created 4")
	if s, err := c.client.Status(t.Context()); err != nil || s.Letters != 3 {
		t.Errorf("%d letters wait, %v", s.Letters, err)
	}
	c.stop()

	sink := mailtest.Start(t, false)
	sink.Refuse("p00001@example.com", "550 5.1.1 nobody is called so")
	c.mailed(sink, "never").start()
	pins := mailedPINs(t, sink, 2)
	for _, name := range []string{"p00000", "p00002"} {
		if c.pinOf(pins[name]) != name {
			t.Errorf("the PIN mailed to %s is %s's", name, c.pinOf(pins[name]))
		}
	}
	var status pipeline.Status
	eventually(t, func() bool { status, _ = c.client.Status(t.Context()); return status.Letters == 0 })
	if len(status.Unmailed) != 1 || status.Unmailed[0].User != "p00001" || !strings.Contains(status.Unmailed[0].Reason, "nobody is called so") ||
		status.Unmailed[0].Try != "rollcall pins generate p00001 --resend" || !strings.Contains(logged.said(), `"user":"p00001"`) {
		t.Errorf("not mailed: %+v\n%s", status.Unmailed, logged.said())
	}
	c.applied("read 4, unchanged 4")
	c.stop()
	c.start()
	c.applied("read 4, unchanged 4")
	mailedPINs(t, sink, 2)

	sink.Refuse("p00001@example.com", "")
	answer, err := c.client.GeneratePIN(t.Context(), pipeline.Edit{User: "p00001", Resend: true})
	if err != nil || answer.PIN != "" {
		t.Fatalf("resend: %+v, %v", answer, err)
	}
	pins = mailedPINs(t, sink, 3)
	if c.pinOf(pins["p00001"]) != "p00001" {
		t.Errorf("the PIN made anew is %s's", c.pinOf(pins["p00001"]))
	}
	eventually(t, func() bool { status, _ = c.client.Status(t.Context()); return status.Letters+len(status.Unmailed) == 0 })
	c.rebuilt() // the log knows what was mailed
	mailedPINs(t, sink, 3)
	for _, pin := range pins {
		grepFiles(t, c.config.DataDir, pin)
		if strings.Contains(logged.said(), pin) {
			t.Errorf("%s is logged", pin)
		}
	}
}

// P5, P7: a letter says until when a temporary PIN is good; one that has ended, or was replaced, is not mailed any more.
func TestP5MailedTemporary(t *testing.T) {
	away := mailtest.Start(t, false)
	away.Stop()
	c := newCompany(t, newRoster().people(3), withPINs).mailed(away, "never")
	c.config.ByHand.PINs = policy.PINRules{MinimumLength: 6}
	c.start()
	c.applied("read 3, created 3")
	resend := func(user string, validFor time.Duration) {
		e := pipeline.Edit{User: user, Resend: true}
		if validFor > 0 {
			e.Expires = time.Now().Add(validFor)
		}
		if _, err := c.client.GeneratePIN(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	resend("p00000", time.Hour)
	resend("p00001", time.Second)
	resend("p00002", 0)
	resend("p00002", 0)
	eventually(t, func() bool { return c.pins()["p00001"] == 0 })
	c.stop()
	sink := mailtest.Start(t, false)
	c.mailed(sink, "never").start()
	pins := mailedPINs(t, sink, 2)
	if c.pinOf(pins["p00000"]) != "p00000" || c.pinOf(pins["p00002"]) != "p00002" || pins["p00001"] != "" {
		t.Errorf("mailed: %v", pins)
	}
	for _, l := range sink.Letters() {
		if strings.Contains(l.Text, "valid until") != strings.HasPrefix(l.To[0], "p00000") {
			t.Errorf("to %s:\n%s", l.To, l.Text)
		}
	}
}

// P5: who cannot be written to is refused before anything is drawn.
func TestP5ResendRefused(t *testing.T) {
	dir := newRoster().people(1)
	dir.set("p00000", "mail")
	c := newCompany(t, dir, withPINs).start()
	c.applied("read 1, created 1")
	e := pipeline.Edit{User: "p00000", Resend: true}
	if _, err := c.client.GeneratePIN(t.Context(), e); !errors.Is(err, pipeline.ErrMistake) || !strings.Contains(connectors.HintOf(err), "mail: ") {
		t.Errorf("without a server: %v", err)
	}
	c.stop()
	c.mailed(mailtest.Start(t, false), "never").start()
	if _, err := c.client.GeneratePIN(t.Context(), e); !errors.Is(err, pipeline.ErrMistake) || !strings.Contains(err.Error(), "p00000 has no e-mail address") {
		t.Errorf("without an address: %v", err)
	}
	if n := c.pins()["p00000"]; n != 0 {
		t.Errorf("%d PINs", n)
	}
}
