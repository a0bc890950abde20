package ldap_test

import (
	"context"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap/ldaptest"
)

// benchPeople is how many people the benchmark's directory has.
const benchPeople = 100_000

// pairs is how many times the two are measured in turn.
const pairs = 5

// The connector reads 100,000 people, all attributes, counted and thrown away; ldapsearch does the same beside it, in
// turn. ratio is the median of the pairs.
func BenchmarkRead(b *testing.B) {
	s := ldaptest.StartSlapd(b, ldaptest.SlapdOptions{Load: func(w io.Writer, suffix string) error { return people.New(1).WriteLDIF(w, benchPeople, suffix) }})
	c := config(s)
	c.Attributes, c.PageSize = []string{"*"}, 0
	var ratios []float64
	count := func(context.Context) time.Duration {
		begun, n := time.Now(), 0
		_, err := open(b, c).Read(context.Background(), nil, func(connectors.Record) error { n++; return nil })
		if err != nil || n != benchPeople {
			b.Fatalf("%d entries, %v", n, err)
		}
		return time.Since(begun)
	}
	count(b.Context())
	search := func() time.Duration {
		begun := time.Now()
		command := exec.Command("ldapsearch", "-x", "-LLL", "-H", s.URL, "-D", s.SyncDN, "-w", s.SyncPassword, "-E", "pr=1000/noprompt",
			"-b", "ou=people,"+s.Suffix, "(objectClass=inetOrgPerson)")
		if err := command.Run(); err != nil {
			b.Fatal(err)
		}
		return time.Since(begun)
	}
	search()
	var seconds, allocations []float64
	for b.Loop() {
		for range pairs {
			before := mallocs()
			own := count(b.Context())
			allocations = append(allocations, float64(mallocs()-before)/benchPeople)
			seconds = append(seconds, own.Seconds())
			ratios = append(ratios, own.Seconds()/search().Seconds())
		}
	}
	b.ReportMetric(median(ratios), "ratio-to-ldapsearch")
	b.ReportMetric(benchPeople/median(seconds), "users/s")
	b.ReportMetric(median(allocations), "allocs/entry")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// mallocs is how many objects this process has allocated.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
