package policy

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

func TestEncodeVerdict(t *testing.T) {
	for _, v := range []*Verdict{{Key: "a", Entry: "uid=a", Action: Conflict, Reason: "broken \xff text"}, wholeVerdict(), createdVerdict()} {
		data, err := EncodeVerdict(v)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := DecodeVerdict(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, decoded, ignoreBlank, cmpopts.IgnoreFields(Verdict{}, "Claims")); diff != "" {
			t.Errorf("decoded (-want +got):\n%s", diff)
		}
		again, err := EncodeVerdict(decoded)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("the same verdict has other bytes: %x, %x, %v", data, again, err)
		}
	}
}

// wholeVerdict has something in every field.
func wholeVerdict() *Verdict {
	u := &store.User{ID: "1", Active: true, Owner: "corp", Label: "Corp", Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Origins: []store.OriginRef{{Source: "corp", Key: store.KeyOf("a")}}, Overrides: map[store.Property]string{store.Phone: "1"}}
	u.Text[store.UserName] = "alice"
	u.List[store.Cards.List()] = []store.Value{{V: "0001", Origins: []string{"corp"}, Expires: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}}
	return &Verdict{
		Key: "a", Entry: "uid=a", Name: "alice", Action: Update, Event: "deactivated", User: u, Deactivated: true, DropOrigin: true,
		Changed:  []Changed{{Property: "cards", Old: "1", New: "2", OldList: []string{"1"}, NewList: []string{"2"}}},
		Releases: []store.Claim{{Space: store.CardNumbers, Value: "1"}}, Claims: []store.Claim{{Space: store.Names, Value: "alice"}},
		Letter: &store.Letter{User: "1", Issue: 2, Length: 6, Hash: "x"},
		Origin: &store.Origin{Key: "a", User: "1", Change: []byte{1, 2}}, Reason: "because",
		Warnings: []mapping.Warning{{Property: "cards", Value: "3", Reason: "used"}},
	}
}

// createdVerdict is of a new user: what changed is not written, and comes back.
func createdVerdict() *Verdict {
	v := wholeVerdict()
	v.Event, v.Changed = "created", difference(nil, v.User)
	return v
}

func FuzzDecodeVerdict(f *testing.F) {
	data, err := EncodeVerdict(wholeVerdict())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DecodeVerdict(data)
		if err != nil {
			return
		}
		again, err := EncodeVerdict(v)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := DecodeVerdict(again); err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
	})
}
