package pipeline_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/pipeline"
)

// rebuildPeople is how many people the store has that is built anew.
const rebuildPeople = 20_000

// A store of 20,000 people is built anew from the log of their first run.
func BenchmarkRebuild(b *testing.B) {
	dir := b.TempDir()
	node := benchNode(b, dir, peopleFile(b, rebuildPeople))
	defer stopNode(b, node)
	wantRun(b, benchSync(b, node), "created", rebuildPeople)
	seconds, n := 0.0, 0
	for b.Loop() {
		n++
		into := filepath.Join(b.TempDir(), "rebuilt.db")
		done, err := node.Client().Rebuild(context.Background(), pipeline.Config{DataDir: dir}, pipeline.RebuildOptions{Into: into, Log: zerolog.Nop()})
		if err != nil || !done.Equal {
			b.Fatalf("%+v %v", done, err)
		}
		seconds += done.Seconds
	}
	b.ReportMetric(float64(n)*rebuildPeople/seconds, "users/s")
}
