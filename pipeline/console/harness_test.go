package console_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors/csv"
	"rollcall/pipeline"
	"rollcall/pipeline/console"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
)

const (
	aliceToken = "alice-has-this-very-token"
	bobToken   = "bob-has-this-other-token"
)

// office is a pipeline with a console, and a browser before it.
type office struct {
	t       *testing.T
	people  string // the file that the source "people" reads
	node    *pipeline.Node
	url     string
	browser *http.Client
	log     *journal
}

// openOffice starts everything in this process; alice has signed in.
func openOffice(t *testing.T, rows ...string) *office {
	t.Helper()
	o := newOffice(t, rows...)
	o.node = startNode(t, o.config())
	o.open(o.node, console.Config{})
	o.signIn(aliceToken)
	return o
}

func newOffice(t *testing.T, rows ...string) *office {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, people: filepath.Join(t.TempDir(), "people.csv"), log: &journal{},
		browser: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	o.write(rows...)
	return o
}

// write writes the source's file: full name, user name, card, PIN, phone.
func (o *office) write(rows ...string) {
	o.t.Helper()
	text := "FULLNAME,USERNAME_ALIASES,CARDS,PIN,PHONE\n" + strings.Join(rows, "\n") + "\n"
	if err := os.WriteFile(o.people, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) config() pipeline.Config {
	from := func(name string) mapping.Rule { return mapping.Rule{From: []string{name}} }
	return pipeline.Config{DataDir: o.t.TempDir(), EventsKeep: time.Hour, JobLease: 2 * time.Second, Sources: []pipeline.Source{{
		Name: "people", Enabled: true, Reader: &csv.Config{Path: o.people},
		Mapping: mapping.Config{Properties: map[string]mapping.Rule{"user_name": from("USERNAME_ALIASES"), "full_name": from("FULLNAME"),
			"cards": from("CARDS"), "pins": from("PIN"), "phone": from("PHONE")}},
		Options: policy.Options{Source: "people", Label: "people", AddNewUsers: true, DeactivateMissingUsers: true, AbsentFor: 1, Ownership: "take",
			PairByObjectID: true, AdoptLocalUsers: true, DisabledAccounts: "deactivate", MultipleCards: true, Guard: policy.DefaultGuard(), EventCards: "masked",
			PINs: policy.PINRules{MinimumLength: 4}},
	}}}
}

func startNode(t *testing.T, c pipeline.Config) *pipeline.Node {
	t.Helper()
	node, err := pipeline.Start(context.Background(), c, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Stop(); err != nil {
			t.Error("stop: ", err)
		}
	})
	return node
}

// open opens the console for alice and bob.
func (o *office) open(node *pipeline.Node, c console.Config) {
	o.t.Helper()
	c.TokenFile = filepath.Join(o.t.TempDir(), "tokens")
	if err := os.WriteFile(c.TokenFile, []byte("# who may\nalice "+aliceToken+"\n\nbob "+bobToken+"\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	site, err := console.Open(c, node.Client(), zerolog.New(o.log))
	if err != nil {
		o.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- site.Serve() }()
	o.t.Cleanup(func() {
		if err := site.Stop(); err != nil {
			o.t.Error("stop: ", err)
		}
		if err := <-served; err != nil {
			o.t.Error("serve: ", err)
		}
		for _, secret := range []string{aliceToken, bobToken} {
			if strings.Contains(o.log.text(), secret) {
				o.t.Error("the log shows a token")
			}
		}
	})
	o.url = strings.TrimSuffix(site.URL(), "/")
}

func (o *office) signIn(token string) {
	o.t.Helper()
	if status, body := o.post("/sign-in", "token", token, "next", "/"); status != http.StatusSeeOther {
		o.t.Fatalf("sign in: %d\n%s", status, body)
	}
}

// get returns the status and the body of a page.
func (o *office) get(path string) (int, string) { return o.ask(http.MethodGet, path, "") }

// page returns a page that must be there.
func (o *office) page(path string) string {
	o.t.Helper()
	status, body := o.get(path)
	if status != http.StatusOK {
		o.t.Fatalf("%s: %d\n%s", path, status, body)
	}
	return body
}

// post sends a form of names and values.
func (o *office) post(path string, pairs ...string) (int, string) {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return o.ask(http.MethodPost, path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// ask makes a request with headers in pairs. Of a redirect the body is where it leads.
func (o *office) ask(method, path, body string, headers ...string) (int, string) {
	o.t.Helper()
	r, err := http.NewRequest(method, o.url+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := o.browser.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if to := answer.Header.Get("Location"); to != "" {
		return answer.StatusCode, to
	}
	return answer.StatusCode, string(text)
}

// run presses "Sync" and follows the page to the run's end. It returns the run's path and its page.
func (o *office) run(options ...string) (path, page string) {
	o.t.Helper()
	status, path := o.post("/sources/people/sync", options...)
	if status != http.StatusSeeOther {
		o.t.Fatalf("sync: %d\n%s", status, path)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		status, page = o.get(path)
		if status == http.StatusSeeOther {
			path = page
			continue
		}
		if status == http.StatusOK && strings.HasPrefix(path, "/runs/") && !strings.Contains(page, `<span class="state running">`) {
			o.released()
			return path, page
		}
	}
	o.t.Fatalf("the run does not end\n%s", page)
	return "", ""
}

// released waits until the worker has put the job away.
func (o *office) released() {
	o.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if job, err := o.node.Client().Busy(context.Background(), "people"); err == nil && job == "" {
			return
		}
	}
	o.t.Fatal("the job is not put away")
}

var hashField = regexp.MustCompile(`<input type="hidden" name="plan" value="([0-9a-f]{32})">`)

// planOf returns the hash that a page's form has.
func (o *office) planOf(page string) string {
	o.t.Helper()
	found := hashField.FindStringSubmatch(page)
	if found == nil {
		o.t.Fatalf("no plan in\n%s", page)
	}
	return found[1]
}

// wants fails the test unless the page has all texts.
func (o *office) wants(page string, texts ...string) {
	o.t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			o.t.Errorf("no %q in\n%s", text, page)
		}
	}
}

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.said.Write(line)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.said.String()
}
