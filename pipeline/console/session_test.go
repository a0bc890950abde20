package console

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A session is its holder's until it ends; whoever changes a character of it, or has another's, has none.
func TestSessions(t *testing.T) {
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	all := tokens{}
	for _, words := range [][]string{{"alice", "alice-has-this-very-token"}, {"bob", "bob-has-this-other-token"}, {"a-token-that-all-may-use"}} {
		h, err := newHolder(words)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	for i := range all {
		value := all[i].seal(now.Add(time.Hour))
		if h := all.unseal(value, now); h == nil || h.name != all[i].name {
			t.Errorf("session of %s is %v's", all[i].name, h)
		}
		if all.unseal(value, now.Add(time.Hour)) != nil {
			t.Errorf("session of %s does not end", all[i].name)
		}
		for at := range value {
			for _, c := range []string{"A", "_", "."} {
				if forged := value[:at] + c + value[at+1:]; forged != value && all.unseal(forged, now) != nil {
					t.Errorf("%s passes for %s", forged, value)
				}
			}
		}
		other := all[(i+1)%len(all)].seal(now.Add(time.Hour))
		if all.unseal(value[:strings.LastIndex(value, ".")]+other[strings.LastIndex(other, "."):], now) != nil {
			t.Error("another's signature passes")
		}
	}
	renewed, err := newHolder([]string{"alice", "alice-has-a-token-of-today"})
	if err != nil {
		t.Fatal(err)
	}
	if (tokens{renewed}).unseal(all[0].seal(now.Add(time.Hour)), now) != nil {
		t.Error("a session outlives its token")
	}
	for _, value := range []string{"", ".", "..", "a.b.c", "YWxpY2U.99999999999.", "YWxpY2U"} {
		if all.unseal(value, now) != nil {
			t.Errorf("%q is a session", value)
		}
	}
}

// Nobody is sent elsewhere when he has signed in.
func TestOwnPaths(t *testing.T) {
	for path, want := range map[string]string{"/runs?source=people": "/runs?source=people", "": "/", "//evil.example": "/", `/\evil.example`: "/",
		"https://evil.example": "/", "/\t/evil.example": "/", "runs": "/"} {
		if got := own(path); got != want {
			t.Errorf("%q leads to %q, want %q", path, got, want)
		}
	}
}

// An address is counted for what it is: a network of IPv6 addresses as one.
func TestAddresses(t *testing.T) {
	for from, want := range map[string]string{"10.1.2.3:4567": "10.1.2.3", "[::ffff:10.1.2.3]:4567": "10.1.2.3",
		"[2001:db8:1:2:3:4:5:6]:4567": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64", "@": "@"} {
		if got := address(&http.Request{RemoteAddr: from}); got != want {
			t.Errorf("%s is %s, want %s", from, got, want)
		}
	}
}
