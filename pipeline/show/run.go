package show

import (
	"fmt"

	"rollcall/store"
)

// Fact is a name and a value.
type Fact struct{ Name, Value string }

// Kind is the run's kind, with a word for a dry run.
func Kind(r store.Run) string {
	if r.DryRun {
		return r.Kind + ", dry"
	}
	return r.Kind
}

// Scope is the run's kind, with a word where it read everything although it was not meant to.
func Scope(r store.Run) string {
	if r.Whole && r.Kind != "full" {
		return Kind(r) + ", but everything was read"
	}
	return Kind(r)
}

// Hash is what identifies a plan for a person.
func Hash(plan string) string { return plan[:min(8, len(plan))] }

// Run is all that is known of a run but its messages, without what is empty.
func Run(r store.Run) (facts []Fact) {
	add := func(name, value string) {
		if value != "" && value != "0" {
			facts = append(facts, Fact{name, value})
		}
	}
	add("source", r.Source)
	add("run", fmt.Sprint(r.Number))
	add("kind", Scope(r))
	add("state", r.State)
	add("reason", r.Reason)
	add("try", r.Try)
	add("plan", r.Plan)
	add("started", Clock(r.Started))
	add("finished", Clock(r.Finished))
	add("took", Seconds(r.Seconds))
	add("compared with run", fmt.Sprint(r.From))
	add("server", r.Server)
	add("evidence of the end", r.Evidence)
	add("checkpoint before", r.Since)
	add("checkpoint after", r.Until)
	add("read", fmt.Sprintf("%d in %d pages, %d bytes, %s waiting for the source", r.Read, r.Pages, r.Bytes, Seconds(r.Wire)))
	for _, c := range Counters(r) {
		add(c.Name, fmt.Sprint(c.N))
	}
	return facts
}

// Counter is one of a run's counters.
type Counter struct {
	Name string
	N    int
}

// Counters are a run's counters beside read (S3).
func Counters(r store.Run) []Counter {
	return []Counter{{"unchanged", r.Unchanged}, {"created", r.Created}, {"updated", r.Updated}, {"deactivated", r.Deactivated},
		{"reactivated", r.Reactivated}, {"merged", r.Merged}, {"ignored", r.Ignored}, {"disabled", r.Disabled}, {"conflicts", r.Conflicts},
		{"rejected", r.Rejected}, {"deletions", r.Deletions}, {"warnings", r.Warnings}}
}
