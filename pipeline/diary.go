package pipeline

import (
	"encoding/json"
	"strings"

	"github.com/rs/zerolog"

	"rollcall/store"
)

// diary is what a process logs of what it publishes: a line for every result of a run and, at debug, for every revision. Who stands by and
// who rebuilds a store publish nothing and log nothing of it.
type diary struct {
	log zerolog.Logger
	// attended is true where a person is told the results anyway.
	attended bool
}

// result logs what became of a run.
func (d diary) result(r store.Result) {
	var run store.Run
	if err := json.Unmarshal(r.Body, &run); err != nil {
		d.log.Error().Err(err).Str("source", r.Source).Msg("result of a run cannot be read")
		return
	}
	e := d.log.WithLevel(d.level(run)).Str("source", run.Source).Uint64("run", run.Number).Str("kind", run.Kind)
	if run.DryRun {
		e.Bool("dry_run", true)
	}
	counted(e, run)
	for _, text := range []struct{ name, value string }{{"reason", run.Reason}, {"try", run.Try}} {
		if text.value != "" {
			e.Str(text.name, text.value)
		}
	}
	e.Float64("seconds", run.Seconds).Msg("run " + run.State)
}

func (d diary) level(run store.Run) zerolog.Level {
	switch {
	case d.attended:
		return zerolog.DebugLevel
	case run.State == store.Failed && !run.Again:
		return zerolog.ErrorLevel
	case run.State == store.Failed, run.State == store.Held: // another attempt follows, or a person decides
		return zerolog.WarnLevel
	}
	return zerolog.InfoLevel
}

// counted adds the run's counters: the first ones always, the others where they are not zero.
func counted(e *zerolog.Event, run store.Run) {
	e.Int("read", run.Read).Int("unchanged", run.Unchanged).Int("created", run.Created).Int("updated", run.Updated).
		Int("deactivated", run.Deactivated).Int("reactivated", run.Reactivated)
	for _, c := range []struct {
		name string
		n    int
	}{{"merged", run.Merged}, {"ignored", run.Ignored}, {"disabled", run.Disabled}, {"conflicts", run.Conflicts}, {"rejected", run.Rejected},
		{"deletions", run.Deletions}, {"warnings", run.Warnings}} {
		if c.n > 0 {
			e.Int(c.name, c.n)
		}
	}
}

// revisions logs who changed, by id only.
func (d diary) revisions(all []store.Revision) {
	if d.log.GetLevel() > zerolog.DebugLevel {
		return
	}
	for _, r := range all {
		var body struct {
			Cause struct {
				Source string `json:"source"`
				Run    uint64 `json:"run"`
			} `json:"cause"`
		}
		_ = json.Unmarshal(r.Body, &body)
		of, rest, _ := strings.Cut(r.Subject, ".")
		kind, id, _ := strings.Cut(rest, ".")
		e := d.log.Debug().Str(strings.TrimSuffix(of, "s"), id).Uint64("revision", r.Number).Str("kind", kind)
		if body.Cause.Source != "" {
			e.Str("source", body.Cause.Source).Uint64("run", body.Cause.Run)
		}
		e.Msg("revision")
	}
}
