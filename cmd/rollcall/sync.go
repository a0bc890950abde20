package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/rollcall/config"
	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

func (a *app) sync() *cobra.Command {
	o := pipeline.SyncOptions{Actor: actor()}
	var check bool
	cmd := &cobra.Command{
		Use:   "sync [SOURCE…]",
		Short: "Run sources once, to their end",
		Long: "Run each source once (every enabled one, when none is named) and follow it to its end.\n\n" +
			"With a server running on this data directory, or an external NATS, the server does it; otherwise the\n" +
			"whole pipeline runs in this process. Ctrl-C cancels the run, which leaves the store as it was.",
		Example: `  rollcall sync                       every enabled source
  rollcall sync people corp           these two, one after the other
  rollcall sync --dry-run people      the whole plan, nothing written
  rollcall sync --check               exit code 4 when something would change
  rollcall sync --require-approval    hold the run until rollcall approve`,
		ValidArgsFunction: a.completeSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			names, err := chosen(c, args)
			if err != nil {
				return err
			}
			o.DryRun = o.DryRun || check
			return a.withPipeline(cmd.Context(), c.Pipeline, func(ctx context.Context, client *pipeline.Client) error {
				return a.syncAll(ctx, client, names, o, check)
			})
		},
	}
	cmd.Flags().BoolVar(&o.Full, "full", false, "read everything, whatever the checkpoint says")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show the whole plan and write nothing")
	cmd.Flags().BoolVar(&check, "check", false, "as --dry-run, and exit with 4 when something would change")
	cmd.Flags().BoolVar(&o.RequireApproval, "require-approval", false, "hold the run for rollcall approve, whatever it changes")
	return a.jsonFlag(cmd)
}

// chosen returns the named sources, or all enabled ones.
func chosen(c *config.Config, args []string) ([]string, error) {
	if len(c.Pipeline.Sources) == 0 {
		return nil, usage(try(fmt.Errorf("%s has no source", c.Path), "sources: {people: {kind: csv, path: people.csv}}, or rollcall init in another file"))
	}
	if len(args) == 0 {
		for _, s := range c.Pipeline.Sources {
			if s.Enabled {
				args = append(args, s.Name)
			}
		}
		if len(args) == 0 {
			return nil, usage(try(fmt.Errorf("%s has no enabled source", c.Path), "enabled: true"))
		}
		return args, nil
	}
	for _, name := range args {
		s, err := source(c, name)
		if err != nil {
			return nil, err
		}
		if !s.Enabled {
			return nil, usage(try(fmt.Errorf("the source %s is not enabled", name), "enabled: true in "+c.Path))
		}
	}
	return args, nil
}

// syncAll runs the sources one after the other and goes on after one that failed.
func (a *app) syncAll(ctx context.Context, client *pipeline.Client, names []string, o pipeline.SyncOptions, check bool) error {
	worst := exitDone
	for _, name := range names {
		begun := time.Now()
		run, err := a.syncOne(ctx, client, name, o)
		if err == nil {
			err = a.result(ctx, client, run, time.Since(begun))
		}
		if died := pipelineDied(ctx); died != nil {
			return died
		}
		if err != nil {
			a.complain(err)
			worst = worse(worst, exitCode(err))
			continue
		}
		worst = worse(worst, runCode(run, check))
		if ctx.Err() != nil {
			break
		}
	}
	if worst == exitDone {
		return nil
	}
	return &exit{code: worst}
}

func (a *app) syncOne(ctx context.Context, client *pipeline.Client, name string, o pipeline.SyncOptions) (store.Run, error) {
	job, err := client.Sync(ctx, name, o)
	if errors.Is(err, pipeline.ErrBusy) {
		return store.Run{}, try(fmt.Errorf("%s: a run is waiting or going already", name), "rollcall status, or rollcall cancel "+name)
	}
	if err != nil {
		return store.Run{}, fmt.Errorf("%s: %w", name, err)
	}
	return a.follow(ctx, client, name, job)
}

// follow shows a run's progress until its end; Ctrl-C cancels it.
func (a *app) follow(ctx context.Context, client *pipeline.Client, name, job string) (store.Run, error) {
	p := a.progress()
	defer p.end()
	run, err := client.Follow(ctx, name, job, p.update)
	if died := pipelineDied(ctx); died != nil {
		return run, died
	}
	if ctx.Err() != nil {
		p.end()
		return a.cancelRun(ctx, client, name, job)
	}
	return run, err
}

// cancelRun ends a run that nobody waits for any more; one that is being applied already is followed to its end.
func (a *app) cancelRun(ctx context.Context, client *pipeline.Client, name, job string) (store.Run, error) {
	a.print("%s: cancelling\n", name)
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer done()
	_, refused := client.Cancel(ctx, name, actor())
	run, err := client.Follow(ctx, name, job, func(pipeline.Progress) {})
	if err != nil {
		return run, errors.Join(fmt.Errorf("%s: interrupted: %w", name, err), refused)
	}
	return run, nil
}

// result prints what became of a run. took is how long a person waited for it, which includes the applying that
// run.Seconds, by the log's clock, does not.
func (a *app) result(ctx context.Context, client *pipeline.Client, run store.Run, took time.Duration) error {
	if a.json {
		if run.State == store.Planned {
			return a.planJSON(ctx, client, run.Source, run.Number)
		}
		return line(a.stdout, run)
	}
	if run.State == store.Planned {
		if err := a.planText(ctx, client, run.Source, run.Number); err != nil {
			return err
		}
	}
	if run.State == store.Failed {
		return failure(run)
	}
	a.say("%s\n", plain(summary(run, took)))
	if run.State == store.Held {
		a.say("%s", a.pasteable(fmt.Sprintf("  rollcall plan %s\n  rollcall approve %s %s\n", run.Source, run.Source, show.Hash(run.Plan))))
	}
	return nil
}

func failure(run store.Run) error {
	err := fmt.Errorf("%s: %s", run.Source, plain(run.Reason))
	if run.Try != "" {
		return connectors.Hint(err, run.Try)
	}
	return err
}

// runCode is the exit code of one run.
func runCode(run store.Run, check bool) int {
	switch {
	case run.State == store.Failed || run.State == store.Cancelled:
		return exitFailed
	case run.State == store.Held, run.State == store.Planned && run.Reason != "":
		return exitHeld // the guard speaks in a dry run too
	case check && changes(run) > 0:
		return exitChanges
	}
	return exitDone
}

// worse is the code that counts of two: 1 beats 2, 2 beats 3, 3 beats 4.
func worse(a, b int) int {
	if a == exitDone || b == exitDone {
		return max(a, b)
	}
	return min(a, b)
}

// changes counts the users that a run changes.
func changes(run store.Run) int {
	return run.Created + run.Updated + run.Deactivated + run.Reactivated + run.Merged + bereft(run)
}

// bereft counts the users who were changed because an entry is gone, and are not deactivated.
func bereft(run store.Run) int {
	return max(0, run.Revisions-run.Created-run.Updated-run.Deactivated-run.Reactivated-run.Merged)
}

// summary is a run in a line.
func summary(run store.Run, took time.Duration) string {
	switch run.State {
	case store.Held:
		return fmt.Sprintf("%s: held: %s; nothing was changed", run.Source, run.Reason)
	case store.Failed, store.Cancelled:
		return strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", run.Source, run.State, run.Reason), ": ")
	case store.Planned:
		text := run.Source + ": would be: " + counts(run)
		if changes(run) == 0 {
			text = run.Source + ": nothing to do" + beside(run)
		}
		if run.Reason != "" {
			text += "; would be held: " + run.Reason
		}
		return text
	}
	if changes(run) == 0 {
		return run.Source + ": nothing to do" + beside(run)
	}
	return fmt.Sprintf("%s: %s in %s", run.Source, counts(run), seconds(took.Seconds()))
}

func counts(run store.Run) string {
	return fmt.Sprintf("%d created, %d updated, %d deactivated, %d unchanged%s", run.Created, run.Updated, run.Deactivated, run.Unchanged, beside(run))
}

// beside are the counters that mostly are zero.
func beside(run store.Run) string {
	var b strings.Builder
	for _, c := range []struct {
		n    int
		word string
	}{{run.Reactivated, "reactivated"}, {run.Merged, "merged"}, {run.Ignored, "ignored"}, {run.Disabled, "disabled"},
		{run.Conflicts, "in conflict"}, {run.Rejected, "rejected"},
		{bereft(run), "gone"}} {
		if c.n > 0 {
			fmt.Fprintf(&b, ", %d %s", c.n, c.word)
		}
	}
	if run.Warnings > 0 {
		b.WriteString(", " + count(run.Warnings, "warning", "warnings"))
	}
	return b.String()
}
