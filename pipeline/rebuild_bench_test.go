package pipeline_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/pipeline"
)

// A store is built anew from the log of its first run: 20,000 people to try it, 500,000 to measure it.
func BenchmarkRebuild(b *testing.B) {
	for _, people := range []int{20_000, 500_000} {
		b.Run(fmt.Sprintf("users=%d", people), func(b *testing.B) {
			dir := b.TempDir()
			node := benchNode(b, dir, peopleFile(b, people))
			defer stopNode(b, node)
			wantRun(b, benchSync(b, node), "created", people)
			var seconds []float64
			for b.Loop() {
				into := filepath.Join(b.TempDir(), "rebuilt.db")
				done, err := node.Client().Rebuild(context.Background(), pipeline.Config{DataDir: dir}, pipeline.RebuildOptions{Into: into, Log: zerolog.Nop()})
				if err != nil || !done.Equal {
					b.Fatalf("%+v %v", done, err)
				}
				seconds = append(seconds, done.Seconds)
			}
			b.ReportMetric(float64(people)/median(seconds), "users/s")
		})
	}
}
