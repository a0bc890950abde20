package store_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"rollcall/store"
)

// BenchmarkFirstLoad stores 100,000 people nobody has heard of, each with a revision, in
// transactions of a plan's size: in the order of a plan (by origin), and in any order.
func BenchmarkFirstLoad(b *testing.B) {
	const people = 100_000
	for _, batch := range []int{1000, 4000} {
		b.Run(fmt.Sprintf("plan order/%d", batch), func(b *testing.B) { load(b, planOrder(people), batch) })
		b.Run(fmt.Sprintf("any order/%d", batch), func(b *testing.B) { load(b, rand.Perm(people), batch) })
	}
}

func load(b *testing.B, people []int, batch int) {
	for b.Loop() {
		db := open(b, filepath.Join(b.TempDir(), "store.db"), store.Options{})
		for part := range slices.Chunk(people, batch) {
			b.StopTimer()
			arrived := make([]person, len(part))
			for i, n := range part {
				arrived[i] = somebody(n)
			}
			b.StartTimer()
			update(b, db, func(tx *store.Tx) error { return putAll(tx, arrived) })
		}
		info, err := os.Stat(db.Path())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, "MB")
		shut(b, db)
	}
	b.ReportMetric(float64(len(people)*b.N)/b.Elapsed().Seconds(), "users/s")
}

// person is a user with the origin he came from.
type person struct {
	user   store.User
	origin store.Origin
}

func putAll(tx *store.Tx, people []person) error {
	for i := range people {
		p := &people[i]
		number, chain := tx.Head()
		p.user.Revision = number + 1
		if err := tx.PutUser(&p.user); err != nil {
			return err
		}
		if err := tx.PutOrigin("people", &p.origin); err != nil {
			return err
		}
		body := p.user.AppendJSON(nil, store.CardsMasked)
		r := store.Revision{Number: number + 1, Subject: "users.created." + p.user.ID, Time: noon, Chain: store.ChainOf(chain, body), Body: body}
		if err := tx.AppendRevision(r); err != nil {
			return err
		}
	}
	return nil
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

// crowd returns n people in the order of a plan.
func crowd(n int) (people []person) {
	for _, i := range planOrder(n) {
		people = append(people, somebody(i))
	}
	return people
}

// planOrder returns the numbers of n people in the order of their origins' keys.
func planOrder(n int) []int {
	keys := make(map[store.Key]int, n)
	for i := range n {
		keys[store.KeyOf(entryKey(i))] = i
	}
	sorted := slices.SortedFunc(maps.Keys(keys), func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) })
	order := make([]int, n)
	for i, k := range sorted {
		order[i] = keys[k]
	}
	return order
}

func entryKey(i int) string { return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, i)).String() }

func somebody(i int) (p person) {
	id := entryKey(i)
	p.origin = store.Origin{
		Key: id, Entry: fmt.Sprintf("uid=user%06d,ou=People,dc=example,dc=org", i),
		RawSequence: uint64(i), User: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(id)).String(), Verdict: "created",
	}
	p.origin.Digest = store.DigestOf("config", []byte(id))
	u := &p.user
	u.ID, u.Active, u.Owner, u.Label = p.origin.User, true, "people", "people"
	u.Created, u.Updated = noon, noon
	u.Origins = []store.OriginRef{{Source: "people", Key: store.KeyOf(id)}}
	u.Text[store.UserName] = fmt.Sprintf("user%06d", i)
	u.Text[store.FullName] = fmt.Sprintf("Novák %d, Jiří", i)
	u.Text[store.Email] = fmt.Sprintf("user%06d@corp.example.org", i)
	u.Text[store.Phone] = fmt.Sprintf("+420 123 %06d", i)
	u.Text[store.Notes] = "Building 7, third floor, the room behind the kitchen; knows how the big printer works"
	u.Text[store.PersonalNumber] = fmt.Sprintf("E%06d", i)
	u.Text[store.DefaultLanguage] = "cs"
	u.Text[store.Department] = "Research and development"
	u.Text[store.UserStorage] = fmt.Sprintf(`folder:\\files.corp.example.org\home\user%06d`, i)
	u.Text[store.Custom1] = "Corp s. r. o./Praha"
	u.List[store.Cards.List()] = values(fmt.Sprintf("%016X", i*7919))
	u.List[store.Aliases.List()] = values(fmt.Sprintf("jiri.novak.%d@corp.example.org", i))
	u.List[store.Groups.List()] = values("Staff|IT|Ops", "Staff|Prague")
	return p
}

func values(vs ...string) (list []store.Value) {
	for _, v := range vs {
		list = append(list, store.Value{V: v, Origins: []string{"people"}})
	}
	return list
}

func open(t testing.TB, path string, o store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func update(t testing.TB, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkPlan writes, reads and drops a plan of 100,000 verdicts that arrive in any order.
func BenchmarkPlan(b *testing.B) {
	const verdicts, batch = 100_000, 1000
	value := bytes.Repeat([]byte("verdict "), 140)
	spent := map[string]time.Duration{}
	for b.Loop() {
		db := open(b, filepath.Join(b.TempDir(), "store.db"), store.Options{})
		phase := func(name string, fn func()) {
			start := time.Now()
			fn()
			spent[name] += time.Since(start)
		}
		phase("put", func() {
			for part := range slices.Chunk(rand.Perm(verdicts), batch) {
				update(b, db, func(tx *store.Tx) error {
					for _, n := range part {
						k := store.KeyOf(entryKey(n))
						must(b, tx.PlanPut("people", 1, k[:], value))
					}
					return nil
				})
			}
		})
		phase("read", func() { readPlan(b, db, verdicts) })
		phase("drop", func() {
			for more := true; more; {
				update(b, db, func(tx *store.Tx) (err error) {
					more, err = tx.PlanDrop("people", 1, 10*batch)
					return err
				})
			}
		})
		shut(b, db)
	}
	for name, d := range spent {
		b.ReportMetric(float64(d.Microseconds())/float64(verdicts*b.N), name+"-µs/verdict")
	}
}

// readPlan reads a plan as applying does: in pages.
func readPlan(b *testing.B, db *store.DB, want int) {
	var after []byte
	for n := 0; n < want; {
		must(b, db.View(func(tx *store.Tx) error {
			page := 0
			return tx.Plan("people", 1, after, func(key, _ []byte) error {
				after = append(after[:0], key...)
				n++
				if page++; page == 1000 {
					return store.ErrStop
				}
				return nil
			})
		}))
	}
}

// BenchmarkDropRevisions drops 100,000 revisions that were relayed.
func BenchmarkDropRevisions(b *testing.B) {
	const revisions, batch = 100_000, 1000
	body := bytes.Repeat([]byte("revision "), 100)
	for b.Loop() {
		b.StopTimer()
		db := open(b, filepath.Join(b.TempDir(), "store.db"), store.Options{})
		for range revisions / 10 / batch {
			update(b, db, func(tx *store.Tx) error {
				for range 10 * batch {
					must(b, appendRevision(tx, string(body)))
				}
				return nil
			})
		}
		b.StartTimer()
		for n := uint64(batch); n <= revisions; n += batch {
			update(b, db, func(tx *store.Tx) error { return tx.DropRevisions(n, batch) })
		}
		shut(b, db)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(revisions*b.N), "µs/revision")
}
