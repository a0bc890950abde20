package console_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/pipeline/console"
)

// Whoever has not signed in sees the sign-in page and the style sheet, and does nothing.
func TestStrangers(t *testing.T) {
	o := openOffice(t, "Zoe Example,zoe,,,")
	o.run()
	o.browser.Jar = nil
	for _, path := range []string{"/", "/runs", "/runs/people/1", "/runs/people/last", "/sources/people", "/jobs/people/x", "/users", "/users/zoe", "/groups", "/nothing"} {
		if status, to := o.get(path); status != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in?next=%2F") {
			t.Errorf("GET %s: %d %s", path, status, to)
		}
	}
	for _, path := range []string{"/runs/people/1/approve", "/runs/people/1/reject", "/sources/people/sync", "/sources/people/cancel", "/sign-out"} {
		if status, _ := o.post(path); status != http.StatusUnauthorized {
			t.Errorf("POST %s: %d", path, status)
		}
	}
	for _, call := range []string{"GET status", "GET runs", "GET runs/people/last", "GET plans/people", "GET users", "GET users/zoe", "GET groups", "GET nothing",
		"POST plans/people/approve", "POST plans/people/reject", "POST sources/people/sync", "POST sources/people/cancel"} {
		method, path, _ := strings.Cut(call, " ")
		if status, body := o.ask(method, "/api/v1/"+path, "{}"); status != http.StatusUnauthorized || !strings.HasPrefix(body, `{"error":"nobody is signed in"`) {
			t.Errorf("%s: %d %s", call, status, body)
		}
		if status, _ := o.ask(method, "/api/v1/"+path, "{}", "Cookie", "rollcall_console=YWxpY2U.9999999999.AAAA"); status != http.StatusUnauthorized {
			t.Errorf("%s with a forged session: %d", call, status)
		}
	}
	for _, path := range []string{"/sign-in", "/static/style.css", "/static/icon.svg"} {
		o.page(path)
	}
	if runs := o.runs(); runs != 1 {
		t.Errorf("%d runs; a stranger began one", runs)
	}
}

// runs counts the runs that there are.
func (o *office) runs() int {
	o.t.Helper()
	runs, err := o.node.Client().Runs(o.t.Context(), "people", 100)
	if err != nil {
		o.t.Fatal(err)
	}
	return len(runs)
}

// A session begins with the right token, belongs to a browser's own site, and ends with signing out.
func TestSignIn(t *testing.T) {
	o := openOffice(t)
	o.wants(o.page("/"), "<span>alice</span>", ">people</a>")
	r, err := http.NewRequest(http.MethodPost, o.url+"/sign-in", strings.NewReader("token="+bobToken+"&next=//elsewhere.example"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := o.browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	cookie := answer.Header.Get("Set-Cookie")
	if !strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "; SameSite=Strict") || strings.Contains(cookie, bobToken) {
		t.Errorf("cookie %s", cookie)
	}
	if to := answer.Header.Get("Location"); to != "/" {
		t.Errorf("signing in leads to %s", to)
	}
	page, err := o.browser.Get(o.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if policy := page.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "script") {
		t.Errorf("policy %s", policy)
	}
	if status, to := o.post("/sign-out"); status != http.StatusSeeOther || to != "/sign-in" {
		t.Errorf("signing out: %d %s", status, to)
	}
	if status, _ := o.get("/"); status != http.StatusSeeOther {
		t.Errorf("signed out, the first page is %d", status)
	}
}

// Five wrong tokens lock an address, for right ones too; a session that has begun goes on. No log shows a token.
func TestWrongTokens(t *testing.T) {
	o := openOffice(t)
	for n := range 5 {
		wrong := func() (int, string) { return o.post("/sign-in", "token", "not-the-token-of-anybody") }
		if n%2 == 0 {
			wrong = func() (int, string) {
				return o.ask(http.MethodGet, "/api/v1/status", "", "Authorization", "Bearer not-the-token-of-anybody")
			}
		}
		if status, body := wrong(); status != http.StatusUnauthorized {
			t.Fatalf("wrong token %d: %d\n%s", n+1, status, body)
		}
	}
	if status, body := o.post("/sign-in", "token", bobToken); status != http.StatusTooManyRequests || !strings.Contains(body, "locked until") {
		t.Errorf("right token after five wrong ones: %d\n%s", status, body)
	}
	if status, _ := o.ask(http.MethodGet, "/api/v1/status", "", "Authorization", "Bearer "+bobToken); status != http.StatusTooManyRequests {
		t.Errorf("right token after five wrong ones, sent along: %d", status)
	}
	o.page("/")
	if said := o.log.text(); strings.Count(said, "wrong token") != 5 || strings.Contains(said, "not-the-token") {
		t.Errorf("the log says\n%s", said)
	}
}

// What another site has a browser send is refused, whatever session it has.
func TestForeignRequests(t *testing.T) {
	o := openOffice(t, "Zoe Example,zoe,,,")
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		for _, path := range []string{"/sources/people/sync", "/api/v1/sources/people/sync", "/sign-in", "/sign-out"} {
			if status, _ := o.ask(http.MethodPost, path, "", headers...); status != http.StatusForbidden {
				t.Errorf("POST %s with %v: %d", path, headers, status)
			}
		}
	}
	if runs := o.runs(); runs != 0 {
		t.Errorf("%d runs", runs)
	}
	if status, _ := o.ask(http.MethodPost, "/sources/people/sync", "", "Sec-Fetch-Site", "same-origin", "Origin", o.url); status != http.StatusSeeOther {
		t.Errorf("from its own page: %d", status)
	}
}

// Tokens do not travel in plaintext beyond this machine, unless that is asked for.
func TestExposed(t *testing.T) {
	for listen, exposed := range map[string]bool{"127.0.0.1:0": false, "127.9.9.9:1": false, "[::1]:0": false, "localhost:0": false,
		":0": true, "0.0.0.0:0": true, "[::]:0": true, "10.0.0.1:0": true, "console.example:0": true, "localhost.example:0": true} {
		c := console.Config{Listen: listen, DataDir: t.TempDir()}
		if c.Exposed() != exposed {
			t.Errorf("%s: exposed %v", listen, !exposed)
		}
	}
	c := console.Config{Listen: "0.0.0.0:0", DataDir: t.TempDir()}
	if _, err := console.Open(c, nil, zerolog.Nop()); !errors.Is(err, console.ErrExposed) || connectors.HintOf(err) == "" {
		t.Errorf("opened with %v", err)
	}
	c.AllowPlaintext = true
	site, err := console.Open(c, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if err := site.Stop(); err != nil {
		t.Error(err)
	}
}

// A token is made once where none is given, for its owner's eyes only, and where it is stands in the log.
func TestMadeToken(t *testing.T) {
	c := console.Config{Listen: "127.0.0.1:0", DataDir: filepath.Join(t.TempDir(), "data")}
	var before []byte
	for range 2 {
		log := &journal{}
		site, err := console.Open(c, nil, zerolog.New(log))
		if err != nil {
			t.Fatal(err)
		}
		if err := site.Stop(); err != nil {
			t.Error(err)
		}
		path := filepath.Join(c.DataDir, "console.token")
		made, err := os.ReadFile(path)
		if err != nil || len(made) < 20 || before != nil && string(made) != string(before) {
			t.Fatalf("token %q, before %q: %v", made, before, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: %v", info.Mode(), err)
		}
		if said := log.text(); !strings.Contains(said, path) || strings.Contains(said, strings.TrimSpace(string(made))) {
			t.Errorf("the log says %s", said)
		}
		before = made
	}
}

// Every mistake in a file of tokens is named, and no token with it.
func TestTokenFiles(t *testing.T) {
	const token = "0123456789abcdefghij"
	for _, test := range []struct {
		text, want string
		mode       os.FileMode
	}{
		{"", "has no token", 0o600},
		{"# nobody\n\n", "has no token", 0o600},
		{"alice short-one\n", "tokens:1: the token has less than 20 characters", 0o600},
		{"alice and " + token, "tokens:1: more than a name and a token", 0o600},
		{"al/ice " + token, "tokens:1: the name has more than", 0o600},
		{"alice " + token + "\nbob " + token, "tokens:2: the name bob, or its token, is there already", 0o600},
		{token + "\n" + token + "x", "tokens:2: the name console, or its token", 0o600},
		{token, "everybody may read the secret", 0o604},
		{token, "", 0o640},
		{"alice " + token + "\nbob " + token + "x\n" + token + "y", "", 0o600},
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		site, err := console.Open(console.Config{Listen: "127.0.0.1:0", TokenFile: path}, nil, zerolog.Nop())
		switch {
		case err == nil && test.want != "":
			t.Errorf("%q: no mistake, want %q", test.text, test.want)
		case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), token) || connectors.HintOf(err) == ""):
			t.Errorf("%q: %v (%s), want %q", test.text, err, connectors.HintOf(err), test.want)
		case err == nil:
			if err := site.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := console.Open(console.Config{Listen: "127.0.0.1:0", TokenFile: filepath.Join(t.TempDir(), "missing")}, nil, zerolog.Nop()); err == nil {
		t.Error("a missing file of tokens is no mistake")
	}
}
