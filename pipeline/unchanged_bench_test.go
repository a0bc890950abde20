package pipeline_test

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/csv"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
)

// What a whole run of 100,000 people costs that finds nothing new, in processor seconds of this process, and beside the connector's read
// alone, in turn. ratio and cpu-ratio are medians of the pairs.
func BenchmarkUnchanged(b *testing.B) {
	b.Run("csv", func(b *testing.B) {
		unchanged(b, &csv.Config{Path: peopleFile(b, benchPeople)}, columns())
	})
	b.Run("ldap", func(b *testing.B) {
		s := ldaptest.StartSlapd(b, ldaptest.SlapdOptions{Load: func(w io.Writer, suffix string) error { return people.New(1).WriteLDIF(w, benchPeople, suffix) }})
		unchanged(b, &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
			BaseDNs: []string{"ou=people," + s.Suffix}}, personProperties())
	})
}

func unchanged(b *testing.B, reader connectors.Config, properties map[string]mapping.Rule) {
	node := startBenchNode(b, b.TempDir(), reader, properties)
	defer stopNode(b, node)
	wantRun(b, benchSync(b, node), "created", benchPeople)
	var ratios, cpuRatios, busy, bare []float64
	for b.Loop() {
		for range pairs {
			alone := spent(b, func() { readAlone(b, reader, properties) })
			whole := spent(b, func() { wantRun(b, benchRun(b, node, pipeline.SyncOptions{Full: true}), "unchanged", benchPeople) })
			ratios, cpuRatios = append(ratios, whole.took/alone.took), append(cpuRatios, whole.busy/alone.busy)
			busy, bare = append(busy, whole.busy), append(bare, alone.busy)
		}
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpuRatios), "cpu-ratio")
	b.ReportMetric(median(busy), "cpu-s")
	b.ReportMetric(median(bare), "bare-cpu-s")
}

// readAlone reads the source as a run does, and throws the records away.
func readAlone(b *testing.B, c connectors.Config, properties map[string]mapping.Rule) {
	b.Helper()
	env := connectors.Env{Source: "people", Log: zerolog.Nop()}
	for _, rule := range properties {
		env.Attributes = append(env.Attributes, rule.From...)
	}
	slices.Sort(env.Attributes)
	env.Attributes = slices.Compact(env.Attributes)
	reader, err := c.Open(env)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	if _, err := reader.Read(context.Background(), nil, func(connectors.Record) error { n++; return nil }); err != nil || n != benchPeople {
		b.Fatalf("%d records, %v", n, err)
	}
}

// cost is wall time and processor time, in seconds.
type cost struct{ took, busy float64 }

func spent(b *testing.B, run func()) cost {
	b.Helper()
	begun, before := time.Now(), processorTime(b)
	run()
	return cost{time.Since(begun).Seconds(), (processorTime(b) - before).Seconds()}
}
