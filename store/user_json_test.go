package store_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcall/store"
)

// full returns a user with every property.
func full() *store.User {
	u := &store.User{
		ID: "6f9619ff-8b86-d011-b42d-00cf4fc964ff", Revision: 1207, Active: false, InactiveReason: "source:corp",
		Owner: "corp", Label: "Corp", Administrator: true, Created: noon, Updated: noon,
		Origins:   []store.OriginRef{{Source: "corp", Key: store.KeyOf("k")}},
		Overrides: map[store.Property]string{store.Phone: "+420 1"},
	}
	for _, p := range store.Properties() {
		if p.Multi() {
			u.List[p.List()] = []store.Value{{V: p.String() + ` "1"`, Origins: []string{"corp", "manual"}}, {V: "zwei\n", Origins: []string{"manual"}}}
		} else {
			u.Text[p] = "a " + p.String()
		}
	}
	u.Text[store.UseAuthenticationServer] = "true"
	u.List[store.Cards.List()] = []store.Value{{V: "0123456789AB3F2A", Origins: []string{"corp"}}, {V: "1234567", Origins: []string{"manual"}, Expires: noon}}
	u.List[store.PINs.List()] = []store.Value{{V: "hash-1", Origins: []string{"generated"}}, {V: "hash-2", Origins: []string{"corp"}, Expires: noon}}
	return u
}

func TestUserJSON(t *testing.T) {
	const want = `{"id":"6f9619ff-8b86-d011-b42d-00cf4fc964ff","revision":1207,"user_name":"a user_name","full_name":"a full_name",` +
		`"email":"a email","phone":"a phone","notes":"a notes","personal_number":"a personal_number","default_language":"a default_language",` +
		`"department":"a department","user_storage":"a user_storage","use_authentication_server":true,"authentication_server":"a authentication_server",` +
		`"on_premises_domain":"a on_premises_domain","on_premises_user_name":"a on_premises_user_name","custom_1":"a custom_1","custom_2":"a custom_2",` +
		`"custom_3":"a custom_3","default_group":"a default_group","aliases":["aliases \"1\"","zwei\n"],` +
		`"cards":[{"number":"0123456789AB3F2A","origins":["corp"]},{"number":"1234567","origins":["manual"],"expires":"2026-11-23T12:00:00.123456789Z"}],` +
		`"pins":[{"kind":"persistent","origins":["generated"]},{"kind":"temporary","expires":"2026-11-23T12:00:00.123456789Z","origins":["corp"]}],` +
		`"alternate_emails":["alternate_emails \"1\"","zwei\n"],"groups":["groups \"1\"","zwei\n"],"managed_groups":["managed_groups \"1\"","zwei\n"],` +
		`"delegates":["delegates \"1\"","zwei\n"],"cost_centers":["cost_centers \"1\"","zwei\n"],` +
		`"active":true,"synchronization_source":"Corp","administrator":true}`
	u := full()
	u.Active, u.InactiveReason = true, ""
	got, err := json.Marshal(*u)
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

// TestUserJSONInactive: who is inactive is in no group (U18).
func TestUserJSONInactive(t *testing.T) {
	got := string(full().AppendJSON(nil, store.CardsFull))
	if strings.Contains(got, `"groups":`) || strings.Contains(got, "default_group") || !strings.Contains(got, `"active":false,"inactive_reason":"source:corp"`) {
		t.Errorf("an inactive user: %s", got)
	}
}

func TestUserJSONOfNobody(t *testing.T) {
	if got, want := string(new(store.User).AppendJSON(nil, store.CardsFull)), `{"id":"","revision":0,"user_name":"","active":false}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestUserJSONCards(t *testing.T) {
	tests := map[store.CardMode]string{
		store.CardsFull:   `"cards":[{"number":"0123456789AB3F2A",`,
		store.CardsMasked: `"cards":[{"number":"****3F2A","origins":["corp"]},{"number":"****","origins":["manual"],`,
	}
	for mode, want := range tests {
		if got := string(full().AppendJSON(nil, mode)); !strings.Contains(got, want) {
			t.Errorf("mode %d: %s lacks %s", mode, got, want)
		}
	}
	if got := string(full().AppendJSON(nil, store.CardsNone)); strings.Contains(got, "cards") || strings.Contains(got, "3F2A") {
		t.Errorf("no cards: %s", got)
	}
	u := &store.User{}
	u.List[store.Cards.List()] = []store.Value{{V: "karta-čísl\xff"}}
	if got := string(u.AppendJSON(nil, store.CardsMasked)); !strings.Contains(got, `"****ísl\ufffd"`) {
		t.Errorf("masked: %s", got)
	}
}

func TestUserJSONShowsNoPIN(t *testing.T) {
	for _, mode := range []store.CardMode{store.CardsFull, store.CardsMasked, store.CardsNone} {
		if got := string(full().AppendJSON(nil, mode)); strings.Contains(got, "hash-") {
			t.Errorf("mode %d shows a PIN's hash: %s", mode, got)
		}
	}
}

// TestUserJSONReadBack reads what was written, as a Go subscriber does.
func TestUserJSONReadBack(t *testing.T) {
	u := full()
	u.Active, u.InactiveReason = true, ""
	u.Text[store.FullName] = "line\nquote\" back\\ tab\t bell\a del\x7f č € 𝄞 \u2028 <&>"
	encoded, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	var got store.User
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	if want := shown(u); !reflect.DeepEqual(&got, want) {
		t.Errorf("\n%+v\nwant\n%+v", &got, want)
	}
	for _, broken := range []string{`[]`, `{"user_name":1}`, `{"aliases":"a"}`, `{"cards":["1"]}`, `{"active":"yes"}`} {
		if json.Unmarshal([]byte(broken), &got) == nil {
			t.Errorf("%s was read", broken)
		}
	}
	if err := json.Unmarshal([]byte(`{"user_name":"a","news":{"x":1}}`), &got); err != nil || got.Text[store.UserName] != "a" || got.Revision != 0 {
		t.Errorf("with a field of the future: %+v, %v", got, err)
	}
}

// FuzzString compares AppendString with encoding/json's reading of it.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\"\\/", "\xff\xc3(\xed\xa0\x80", "\u2028\u2029\ufffd", "č€𝄞"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := store.AppendString(nil, s)
		var got string
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		reference, _ := json.Marshal(s)
		var want string
		if json.Unmarshal(reference, &want); got != want {
			t.Errorf("%q becomes %s, which is %q, want %q", s, encoded, got, want)
		}
	})
}

func FuzzUserJSON(f *testing.F) {
	f.Add(full().AppendJSON(nil, store.CardsFull))
	f.Fuzz(func(t *testing.T, data []byte) {
		var u, again store.User
		if json.Unmarshal(data, &u) != nil {
			return
		}
		if err := json.Unmarshal(u.AppendJSON(nil, store.CardsFull), &again); err != nil {
			t.Errorf("%s: %v", u.AppendJSON(nil, store.CardsFull), err)
		}
	})
}

func BenchmarkUserJSON(b *testing.B) {
	p := somebody(1)
	b.ReportAllocs()
	for b.Loop() {
		p.user.AppendJSON(nil, store.CardsMasked)
	}
}

// shown returns what of a user the public JSON keeps.
func shown(u *store.User) *store.User {
	s := &store.User{
		ID: u.ID, Revision: u.Revision, Text: u.Text, Active: u.Active, InactiveReason: u.InactiveReason,
		Label: u.Label, Administrator: u.Administrator, Anonymized: u.Anonymized,
	}
	for _, p := range store.Properties() {
		if !p.Multi() {
			continue
		}
		for _, v := range u.List[p.List()] {
			switch p {
			case store.Cards:
			case store.PINs:
				v.V = ""
			default:
				v.Origins, v.Expires = nil, time.Time{}
			}
			s.List[p.List()] = append(s.List[p.List()], v)
		}
	}
	return s
}
