package ldap_test

import (
	"context"
	"io"
	"os/exec"
	"slices"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap/ldaptest"
)

// benchPeople is how many people the benchmark's directory has.
const benchPeople = 100_000

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
	b.ReportAllocs()
	for b.Loop() {
		own := count(b.Context())
		b.StopTimer()
		ratios = append(ratios, own.Seconds()/search().Seconds())
		b.StartTimer()
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio-to-ldapsearch")
	b.ReportMetric(float64(b.N)*benchPeople/b.Elapsed().Seconds(), "users/s")
}
