package policy

import (
	"fmt"
	"testing"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// BenchmarkFold measures Note and Decide of a typical LDAP record, Settle and sorting included.
func BenchmarkFold(b *testing.B) {
	const entries = 500
	created := changesOf(entries, "1")
	before := newWorld()
	f := NewFold(usual("corp"), before.view(), before.run("corp"))
	var verdicts []*Verdict
	foldAll(b, f, created, func(v *Verdict) error { verdicts = append(verdicts, v); return nil })
	b.Run("create", func(b *testing.B) { benchmarkFold(b, before, created) })
	after := newWorld()
	after.apply(b, "corp", verdicts)
	b.Run("update", func(b *testing.B) { benchmarkFold(b, after, changesOf(entries, "2")) })
}

func benchmarkFold(b *testing.B, w *world, changes []*mapping.Change) {
	b.ReportAllocs()
	view, run := w.view(), w.run("corp")
	for b.Loop() {
		foldAll(b, NewFold(usual("corp"), view, run), changes, func(*Verdict) error { return nil })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(changes)), "ns/entry")
}

func foldAll(b testing.TB, f *Fold, changes []*mapping.Change, yield func(*Verdict) error) {
	for _, c := range changes {
		if err := f.Note(c); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Settle(); err != nil {
		b.Fatal(err)
	}
	for _, c := range changes {
		if err := f.Decide(c, yield); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Rest(yield); err != nil {
		b.Fatal(err)
	}
}

func changesOf(n int, phone string) []*mapping.Change {
	changes := make([]*mapping.Change, n)
	for i := range changes {
		changes[i] = changeOf(i, phone)
	}
	return changes
}

// changeOf returns a person with the properties that a directory usually has.
func changeOf(i int, phone string) *mapping.Change {
	c := &mapping.Change{Key: fmt.Sprintf("6f9619ff-8b86-d011-b42d-%012d", i), Entry: fmt.Sprintf("uid=user%d,ou=People,dc=corp,dc=example", i),
		Kind: connectors.User, Number: uint64(i + 1), RawSequence: uint64(i + 1), Digest: store.DigestOf(phone, fmt.Append(nil, i))}
	for p, v := range map[store.Property]string{
		store.UserName: fmt.Sprintf("user%d", i), store.FullName: fmt.Sprintf("Alice Novak %d", i), store.Email: fmt.Sprintf("user%d@corp.example", i),
		store.Phone: "+420 " + phone, store.PersonalNumber: fmt.Sprint(100000 + i), store.Department: "Finance", store.DefaultLanguage: "cs",
	} {
		c.Set = c.Set.With(p)
		c.Text[p] = v
	}
	c.Set = c.Set.With(store.Aliases).With(store.Cards).With(store.Groups)
	c.List[store.Aliases.List()] = []string{fmt.Sprintf("alias%d", i)}
	c.List[store.Cards.List()] = []string{fmt.Sprintf("%010d", i)}
	c.List[store.Groups.List()] = []string{"Staff|Finance"}
	return c
}
