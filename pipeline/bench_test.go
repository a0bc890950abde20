package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/csv"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// benchPeople is how many people the benchmarks of whole runs have.
const benchPeople = 100_000

// A first run of 100,000 people from a CSV file to store and events, everything in one process.
func BenchmarkFirstSyncCSV(b *testing.B) {
	path := peopleFile(b, benchPeople)
	for b.Loop() {
		node := benchNode(b, b.TempDir(), path)
		begun := time.Now()
		if run := benchSync(b, node); run.Created != benchPeople {
			b.Fatalf("created %d: %s %s", run.Created, run.State, run.Reason)
		}
		b.ReportMetric(benchPeople/time.Since(begun).Seconds(), "users/s")
		stopNode(b, node)
	}
}

// The same file again: nothing changed.
func BenchmarkSecondSyncCSV(b *testing.B) {
	path := peopleFile(b, benchPeople)
	node := benchNode(b, b.TempDir(), path)
	defer stopNode(b, node)
	benchSync(b, node)
	for b.Loop() {
		begun := time.Now()
		if run := benchSync(b, node); run.Unchanged != benchPeople {
			b.Fatalf("unchanged %d: %s %s", run.Unchanged, run.State, run.Reason)
		}
		b.ReportMetric(benchPeople/time.Since(begun).Seconds(), "users/s")
	}
}

func peopleFile(b *testing.B, n int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "people.csv")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := people.New(1).WriteCSV(f, n); err != nil {
		b.Fatal(err)
	}
	return path
}

func benchNode(b *testing.B, dir, path string) *pipeline.Node {
	b.Helper()
	rule := func(from string) mapping.Rule { return mapping.Rule{From: []string{from}} }
	list := func(from string, skip, take int) mapping.Rule {
		return mapping.Rule{From: []string{from}, Split: ",", Skip: skip, Take: take}
	}
	source := pipeline.Source{Name: "people", Enabled: true, Reader: &csv.Config{Path: path}, Options: rosterOptions("people"),
		Mapping: mapping.Config{Properties: map[string]mapping.Rule{
			"user_name": list("USERNAME_ALIASES", 0, 1), "aliases": list("USERNAME_ALIASES", 1, 0), "full_name": rule("FULLNAME"), "email": rule("EMAIL"),
			"cards": list("CARDS", 0, 0), "personal_number": rule("CODE"), "user_storage": rule("SCANSTORAGE"), "phone": rule("PHONE"),
			"default_language": rule("LANG"), "department": rule("DEPARTMENT"), "notes": rule("NOTES"), "custom_1": rule("CUSTOM1"),
			"custom_2": rule("CUSTOM2"), "cost_centers": list("COST_CENTERS", 0, 0)}}}
	node, err := pipeline.Start(context.Background(), pipeline.Config{DataDir: dir, EventsKeep: time.Hour, Sources: []pipeline.Source{source}}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	return node
}

func benchSync(b *testing.B, node *pipeline.Node) store.Run {
	b.Helper()
	job, err := node.Client().Sync(context.Background(), "people", pipeline.SyncOptions{})
	if err != nil {
		b.Fatal(err)
	}
	run, err := node.Client().Follow(context.Background(), "people", job, nil)
	if err != nil {
		b.Fatal(err)
	}
	return run
}

func stopNode(b *testing.B, node *pipeline.Node) {
	b.Helper()
	if err := node.Stop(); err != nil {
		b.Fatal(err)
	}
}
