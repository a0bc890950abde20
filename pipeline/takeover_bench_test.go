package pipeline_test

import (
	"fmt"
	"testing"
)

// The leader of two reconcilers on a cluster of three servers is killed in the middle of applying 5,000 changes, five times: until
// another one has applied the run. In the end no event is lost or doubled.
func BenchmarkTakeover(b *testing.B) {
	const people = 5000
	dir := newRoster().people(people)
	k := startCrew(b, dir, b.TempDir(), b.TempDir())
	k.settle()
	var took []float64
	for b.Loop() {
		for i := range pairs {
			for _, key := range dir.keys() {
				dir.set(key, "phone", fmt.Sprintf("+420 %d %d", len(took), i))
			}
			k.standsBy()
			_, after := k.killedWhileApplying()
			took = append(took, after.Seconds())
		}
	}
	k.standsBy()
	_, head := k.end(k.leader())
	k.told(head)
	b.ReportMetric(median(took), "p50-s")
	b.ReportMetric(took[len(took)-1], "max-s")
}
