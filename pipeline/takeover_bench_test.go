package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/pipeline"
	"rollcall/store"
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
			took = append(took, k.deathToApplied().Seconds())
		}
	}
	k.standsBy()
	_, head := k.end(k.leader())
	k.told(head)
	b.ReportMetric(median(took), "p50-s")
	b.ReportMetric(took[len(took)-1], "max-s")
}

// deathToApplied kills the leader while it applies a run, and returns how long it took until another one had applied it. Who was killed
// comes back.
func (k *crew) deathToApplied() time.Duration {
	k.t.Helper()
	leader := k.leader()
	var killed time.Time
	run := k.sync(func(p pipeline.Progress) {
		if p.Stage == "applying" && killed.IsZero() {
			killed = time.Now()
			k.kill(leader)
		}
	})
	if killed.IsZero() || run.State != store.Applied {
		k.t.Fatalf("killed at %s, run is %s: %s", killed, run.State, run.Reason)
	}
	took := time.Since(killed)
	k.reconciler(leader)
	return took
}
