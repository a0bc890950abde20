package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/connectors"
	"rollcall/store"
)

func TestP1MinimumLength(t *testing.T) {
	for _, tc := range []struct {
		pin     string
		minimum int
		want    string
	}{
		{"135790", 6, ""}, {"1357", 6, "4 digits, at least 6"}, {"8302", 0, ""}, {"830", 0, "3 digits, at least 4"},
		{"12a4", 4, "something else than digits"}, {"", 4, "0 digits"}, {"１２３５", 4, "something else"},
		{strings.Repeat("13", 8), 4, ""}, {strings.Repeat("13", 8) + "1", 4, "17 digits, at most 16"},
	} {
		err := CheckPIN(tc.pin, tc.minimum)
		if got := fmt.Sprint(err); tc.want == "" && err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("CheckPIN(%q, %d) = %v, want %q", tc.pin, tc.minimum, err, tc.want)
		}
		if err != nil && (connectors.HintOf(err) == "" || tc.pin != "" && strings.Contains(err.Error(), tc.pin)) {
			t.Errorf("CheckPIN(%q): %v has no hint or shows the PIN", tc.pin, err)
		}
	}
}

func TestP2Floors(t *testing.T) {
	for users, want := range map[int]int{0: 4, 999: 4, 1000: 5, 9999: 5, 10_000: 6, 99_999: 6, 100_000: 7} {
		if got := PINFloor(users); got != want {
			t.Errorf("PINFloor(%d) = %d, want %d", users, got, want)
		}
	}
	if got := PINLength(6, 10); got != 6 {
		t.Errorf("minimum 6 with 10 users: %d", got)
	}
	if got := PINLength(4, 20_000); got != 6 {
		t.Errorf("minimum 4 with 20,000 users: %d", got)
	}
}

func TestP3ConstantDifference(t *testing.T) {
	for _, pin := range []string{"1111", "1234", "9876", "2468", "0000", "1357", "3210", "000000", "147258"[:3] + "0"} {
		if want := pin != "1470"; (CheckPIN(pin, 4) != nil) != want {
			t.Errorf("CheckPIN(%q) = %v", pin, CheckPIN(pin, 4))
		}
	}
}

func TestP4DrawIsAFunctionOfTheLog(t *testing.T) {
	free := func(string) (bool, error) { return false, nil }
	first, err := DrawPIN([]byte("key"), "user-1", 0, 6, free)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := DrawPIN([]byte("key"), "user-1", 0, 6, free)
	if first != again {
		t.Errorf("the same draw gives %s and %s", first, again)
	}
	seen := map[string]bool{first: true}
	for _, other := range []struct {
		key, user string
		issue     uint64
	}{{"key2", "user-1", 0}, {"key", "user-2", 0}, {"key", "user-1", 1}} {
		pin, _ := DrawPIN([]byte(other.key), other.user, other.issue, 6, free)
		if seen[pin] {
			t.Errorf("%+v gives the PIN of another draw", other)
		}
		seen[pin] = true
	}
	next, _ := DrawPIN([]byte("key"), "user-1", 0, 6, func(pin string) (bool, error) { return pin == first, nil })
	if next == first || len(next) != 6 {
		t.Errorf("with %s taken: %s", first, next)
	}
}

// TestP4LastPINs draws until nothing is left: every PIN once, none that is refused, then a clear error.
func TestP4LastPINs(t *testing.T) {
	used := map[string]bool{}
	taken := func(pin string) (bool, error) { return used[pin], nil }
	for i := uint64(0); ; i++ {
		pin, err := DrawPIN([]byte("key"), "user", i, 4, taken)
		if errors.Is(err, ErrPINsExhausted) {
			break
		}
		if err != nil || used[pin] || CheckPIN(pin, 4) != nil {
			t.Fatalf("draw %d: %q, %v", i, pin, err)
		}
		used[pin] = true
	}
	even := 0
	for n := range 10_000 {
		if isEven(fmt.Sprintf("%04d", n)) {
			even++
		}
	}
	if len(used) != 10_000-even {
		t.Errorf("%d PINs were drawn, %d are possible", len(used), 10_000-even)
	}
}

func TestP4IsUniform(t *testing.T) {
	const total = 20_000
	var leading [10]int
	for i := range uint64(total) {
		pin, err := DrawPIN([]byte("key"), "user", i, 6, func(string) (bool, error) { return false, nil })
		if err != nil {
			t.Fatal(err)
		}
		leading[pin[0]-'0']++
	}
	for digit, n := range leading {
		if n < total/10*9/10 || n > total/10*11/10 {
			t.Errorf("digit %d leads %d of %d PINs", digit, n, total)
		}
	}
}

func TestP4TakenFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := DrawPIN(nil, "u", 0, 4, func(string) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := DrawPIN(nil, "u", 0, 3, nil); err == nil {
		t.Error("three digits are accepted")
	}
}

func TestP6RaisedMinimum(t *testing.T) {
	holder := &store.User{Active: true}
	holder.List[store.PINs.List()] = []store.Value{{V: "h", Origins: []string{"manual"}}}
	bare, gone := &store.User{Active: true}, &store.User{}
	for mode, want := range map[string][3]bool{"keep": {}, "holders": {true, false, false}, "all-active": {true, true, false}} {
		got := [3]bool{WantsNewPIN(holder, mode), WantsNewPIN(bare, mode), WantsNewPIN(gone, mode)}
		if got != want {
			t.Errorf("%s: %v, want %v", mode, got, want)
		}
	}
	mailed := &store.User{Active: true}
	mailed.Text[store.Email] = "a@example.org"
	if !WantsPIN(mailed) || WantsPIN(bare) || WantsPIN(holder) || WantsPIN(gone) {
		t.Error("P4: a PIN is generated for active users with an address and without a PIN, and nobody else")
	}
}

func TestP7Expiry(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	u := &store.User{}
	u.List[store.PINs.List()] = []store.Value{{V: "a", Expires: now}, {V: "b"}, {V: "c", Expires: now.Add(1)}}
	u.List[store.Cards.List()] = []store.Value{{V: "x", Expires: now.Add(-1)}}
	left := WithoutExpired(u, now)
	if left == nil || len(left.List[store.PINs.List()]) != 2 || left.List[store.Cards.List()] != nil {
		t.Fatalf("left: %+v", left)
	}
	if len(u.List[store.PINs.List()]) != 3 {
		t.Error("the user himself was changed")
	}
	if WithoutExpired(left, now) != nil {
		t.Error("expired twice")
	}
}

func FuzzCheckPIN(f *testing.F) {
	f.Add("1234", 4)
	f.Add("\xff\x00", -1)
	f.Fuzz(func(t *testing.T, pin string, minimum int) {
		if err := CheckPIN(pin, minimum); err == nil && (len(pin) < 4 || len(pin) > 16 || isEven(pin)) {
			t.Errorf("%q is accepted", pin)
		}
	})
}

func TestP4AnyKeyAnyUser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(4, 16).Draw(t, "length")
		pin, err := DrawPIN(rapid.SliceOf(rapid.Byte()).Draw(t, "key"), rapid.String().Draw(t, "user"), rapid.Uint64().Draw(t, "issue"), length,
			func(string) (bool, error) { return false, nil })
		if err != nil || len(pin) != length || CheckPIN(pin, length) != nil {
			t.Errorf("%q, %v", pin, err)
		}
	})
}
