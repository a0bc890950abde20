package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

func (a *app) runs() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:   "runs [SOURCE]",
		Short: "List the last runs and their results",
		Example: `  rollcall runs
  rollcall runs people --limit 100 --json
  rollcall runs show people            the last run, with all that is known of it
  rollcall runs show people 41`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := first(args)
			return a.client(cmd, name, func(ctx context.Context, client *pipeline.Client) error {
				runs, err := client.Runs(ctx, name, limit)
				if err != nil {
					return err
				}
				return a.listRuns(runs)
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", limit, "how many at most")
	cmd.AddCommand(a.showRun())
	return a.jsonFlag(cmd)
}

func (a *app) listRuns(runs []store.Run) error {
	if a.json {
		for _, run := range runs {
			if err := line(a.stdout, run); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(a.stdout, "SOURCE", "RUN", "STARTED", "KIND", "STATE", "READ", "CREATED", "UPDATED", "DEACTIVATED", "UNCHANGED", "TOOK", "REASON")
	for _, r := range runs {
		t.row(r.Source, fmt.Sprint(r.Number), clock(r.Started), show.Kind(r), r.State, fmt.Sprint(r.Read), fmt.Sprint(r.Created),
			fmt.Sprint(r.Updated), fmt.Sprint(r.Deactivated), fmt.Sprint(r.Unchanged), seconds(r.Seconds), r.Reason)
	}
	return t.end()
}

func (a *app) showRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SOURCE [RUN]",
		Short: "Show one run, the last one when no number is given",
		Example: `  rollcall runs show people
  rollcall runs show people 41 --json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			var number uint64
			if len(args) == 2 {
				var err error
				if number, err = strconv.ParseUint(args[1], 10, 64); err != nil {
					return usage(try(fmt.Errorf("%q is no run's number", args[1]), "rollcall runs "+args[0]))
				}
			}
			return a.client(cmd, args[0], func(ctx context.Context, client *pipeline.Client) error {
				run, err := client.Run(ctx, args[0], number)
				if err != nil {
					return try(err, "rollcall runs "+args[0])
				}
				if a.json {
					return line(a.stdout, run)
				}
				return a.describe(run)
			})
		},
	}
	return a.jsonFlag(cmd)
}

// describe prints all that is known of a run.
func (a *app) describe(r store.Run) error {
	t := newTable(a.stdout)
	r.Try = a.pasteable(r.Try)
	for _, f := range show.Run(r) {
		t.row(f.Name, f.Value)
	}
	if err := t.end(); err != nil {
		return err
	}
	for _, m := range r.Messages {
		a.say("  %s\n", plain(m))
	}
	return nil
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
