package entra

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/entra/graphtest"
)

// TestFaultsThatPass: after each the pass goes on and tells everybody.
func TestFaultsThatPass(t *testing.T) {
	for name, f := range map[string]*graphtest.Fault{
		"429 with seconds":         {Throttle: true, Wait: 30 * time.Second, Times: 3},
		"429 with 0 seconds":       {Throttle: true, Wait: 0, Times: 3},
		"429 with a date":          {Throttle: true, Wait: 90 * time.Second, AsDate: true, Times: 2},
		"429 without a header":     {Throttle: true, NoHeader: true, Times: 5},
		"503 with seconds":         {Throttle: true, Status: 503, Wait: 10 * time.Second, Times: 2},
		"503":                      {Status: 503, Times: 2},
		"500 with Graph's body":    {Status: 500, ContentType: "application/json", Body: `{"error":{"code":"InternalServerError","message":null}}`, Times: 2},
		"504 gateway page":         {Status: 504, ContentType: "text/html", Body: "<html><h1>Gateway time-out</h1>", Times: 2},
		"502 with half a body":     {Status: 502, ContentType: "application/json", Body: `{"error":{"code":"Unk`, Times: 2},
		"500, error is a text":     {Status: 500, ContentType: "application/json", Body: `{"error":"oops"}`, Times: 1},
		"500, message is a number": {Status: 500, ContentType: "application/json", Body: `{"error":{"code":17,"message":[1]}}`, Times: 1},
		"500, nothing":             {Status: 500, Times: 1},
		"500, null":                {Status: 500, ContentType: "application/json", Body: `null`, Times: 1},
		"portal":                   {Status: 200, ContentType: "text/html", Body: "<html>Sign in</html>", Times: 2},
		"cut":                      {Cut: 300, Times: 2},
		"reset":                    {Reset: true, Times: 3},
		"drip":                     {Drip: 40 * time.Millisecond, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			tn := newTenant(t, graphtest.Options{PageSize: 10})
			fill(tn.Directory, 25)
			f.Path, f.Skip = "/users/delta", 1
			tn.Inject(f)
			c, m := tn.open(), memory{}
			c.client.timeout = 300 * time.Millisecond
			tn.read(c, nil, m)
			if len(m) != 25 || f.Hits() != f.Times || tn.Early() != 0 {
				t.Errorf("%d users, %d faults, %d early retries; want 25, %d, 0", len(m), f.Hits(), tn.Early(), f.Times)
			}
			// net/http itself repeats a request once whose old connection was reset.
			if waits := strings.Count(tn.log.String(), "waiting for Graph"); waits != f.Times && !(f.Reset && waits == f.Times-1) {
				t.Errorf("%d waits are told, want %d", waits, f.Times)
			}
			tn.nothingLeaked(t)
		})
	}
}

func TestThrottledSignInIsWaitedOut(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	fill(tn.Directory, 1)
	tn.Inject(&graphtest.Fault{Path: "/oauth2/v2.0/token", Status: 429, Header: http.Header{"Retry-After": {"7"}}, Times: 2})
	var waits []time.Duration
	c, m := tn.open(), memory{}
	c.client.wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	tn.read(c, nil, m)
	if len(m) != 1 || len(waits) != 2 || waits[0] < 7*time.Second || waits[0] > 8*time.Second {
		t.Errorf("%d users after waits %v, want 1 after 7 s twice", len(m), waits)
	}
}

func TestWaitsAreExactAndEndWithTheContext(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	tn.Inject(&graphtest.Fault{Throttle: true, Wait: 20 * time.Minute})
	c := tn.open()
	c.client.wait = sleep
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.Read(ctx, nil, memory{}.take)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v, want the context's end", err, time.Since(began))
	}
	if !strings.Contains(tn.log.String(), "waiting for Graph") {
		t.Errorf("the wait is not told: %s", tn.log.String())
	}
}

func TestWaitsThatAreTooLongEndThePass(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	tn.Inject(&graphtest.Fault{Throttle: true, Wait: 3 * time.Hour})
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrUnreachable) || strings.Contains(tn.log.String(), "waiting") {
		t.Errorf("%v, log %s", err, tn.log.String())
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, " 5 ": 5 * time.Second, "Mon, 23 Nov 2026 09:01:30 GMT": 90 * time.Second, "Mon, 23 Nov 2026 08:00:00 GMT": 0,
		"": -1, "-3": -1, "soon": -1, "99999999999999999999": -1, "1.5": -1,
	} {
		got, told := retryAfter(value, now)
		if !told {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}

func TestRevokedTokenIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(h http.Header){
		"as documented": func(http.Header) {},
		"unquoted": func(h http.Header) {
			h.Set("WWW-Authenticate", strings.Replace(strings.Replace(h.Get("WWW-Authenticate"), `claims="`, `claims=`, 1), `=="`, "", 1))
		},
		"without a name": func(h http.Header) { h.Set("WWW-Authenticate", `Bearer claims=`) },
		"not base64":     func(h http.Header) { h.Set("WWW-Authenticate", `Bearer claims="%%%"`) },
	} {
		t.Run(name, func(t *testing.T) {
			tn := newTenant(t, graphtest.Options{PageSize: 10})
			fill(tn.Directory, 25)
			tn.Challenge(spoil)
			tn.Inject(&graphtest.Fault{Path: "/users/delta", Skip: 1, Times: 1, Do: tn.Revoke})
			m := memory{}
			_, err := tn.open().Read(t.Context(), nil, m.take)
			usable := name == "as documented" || name == "unquoted"
			if usable && (err != nil || len(m) != 25) || !usable && !errors.Is(err, connectors.ErrDenied) {
				t.Errorf("%d users, error %v", len(m), err)
			}
			tn.nothingLeaked(t)
		})
	}
}

func TestNobodyElseGetsTheToken(t *testing.T) {
	tn := newTenant(t, graphtest.Options{PageSize: 10})
	stranger := newTenant(t, graphtest.Options{})
	fill(tn.Directory, 25)
	for _, link := range []string{stranger.URL, "http://" + strings.TrimPrefix(tn.URL, "https://"), strings.Replace(tn.URL, "https://", "https://a:b@", 1), "//" + strings.TrimPrefix(stranger.URL, "https://"), ""} {
		tn.ClearFaults()
		tn.Inject(&graphtest.Fault{Path: "/users/delta", Edit: func(b []byte) []byte {
			return []byte(strings.Replace(string(b), tn.URL+"/v1.0/users/delta?", link+"/v1.0/users/delta?", 1))
		}})
		_, err := tn.open().Read(t.Context(), nil, memory{}.take)
		if !errors.Is(err, connectors.ErrIncomplete) || len(stranger.Requests()) != 0 {
			t.Errorf("link to %q: %v", link, err)
		}
	}
}

func TestEndlessEmptyPagesEnd(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	n := 0
	tn.Inject(&graphtest.Fault{Path: "/users/delta", Edit: func([]byte) []byte {
		n++
		return []byte(`{"value":[],"@odata.nextLink":"` + tn.URL + `/v1.0/users/delta?$skiptoken=` + tn.Page(n) + `"}`)
	}})
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrIncomplete) || n != mostEmpty {
		t.Errorf("%v after %d pages", err, n)
	}
}

func TestTooLongABodyEnds(t *testing.T) {
	b := &bounded{http.NoBody, 0}
	if _, err := b.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "MiB") {
		t.Errorf("error %v", err)
	}
}

func TestTokenThatEndsWhileWaitingIsReplaced(t *testing.T) {
	tn := newTenant(t, graphtest.Options{PageSize: 10, TokenLifetime: time.Minute})
	fill(tn.Directory, 25)
	tn.Inject(&graphtest.Fault{Path: "/users/delta", Skip: 1, Times: 1, Throttle: true, Wait: 30 * time.Minute})
	m := memory{}
	if tn.read(tn.open(), nil, m); len(m) != 25 {
		t.Errorf("%d users, want 25", len(m))
	}
}

func TestErrorOfTheReceiverComesThrough(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	makeGroup(tn.Directory, "Printing", fill(tn.Directory, 1)...)
	full := errors.New("disk full")
	for kind, failing := range map[connectors.Kind]error{connectors.Group: full, connectors.User: full} {
		_, err := tn.open("members").Read(t.Context(), nil, func(r connectors.Record) error {
			if r.Kind == kind {
				return failing
			}
			return nil
		})
		if !errors.Is(err, full) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
