package main

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

func (a *app) plan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan SOURCE",
		Short: "Show the plan of the held run, a sentence a change",
		Long:  "Show what the held run of a source would change, a sentence a change, and the command that lets it.",
		Example: `  rollcall plan people
  rollcall plan people --json | jq .changes`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.client(cmd, args[0], func(ctx context.Context, client *pipeline.Client) error {
				if a.json {
					return a.planJSON(ctx, client, args[0], 0)
				}
				return a.heldPlan(ctx, client, args[0])
			})
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) heldPlan(ctx context.Context, client *pipeline.Client, source string) error {
	if err := a.planText(ctx, client, source, 0); err != nil {
		return err
	}
	run, err := client.Plan(ctx, source, 0, func(pipeline.PlanEntry) error { return nil })
	if err != nil {
		return err
	}
	a.say("\nHeld: %s.\nTo let it:\n  %s\n", plain(run.Reason), a.pasteable("rollcall approve "+source+" "+show.Hash(run.Plan)))
	return nil
}

// planText prints a run's plan, a sentence a change.
func (a *app) planText(ctx context.Context, client *pipeline.Client, source string, run uint64) error {
	w := bufio.NewWriter(a.stdout)
	_, err := client.Plan(ctx, source, run, func(e pipeline.PlanEntry) error {
		_, err := fmt.Fprintln(w, plain(e.Sentence))
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

// planJSON prints a run with its changes as one document, however many they are.
func (a *app) planJSON(ctx context.Context, client *pipeline.Client, source string, number uint64) error {
	return show.Plan(ctx, a.stdout, client, source, number)
}

func (a *app) approve() *cobra.Command {
	return a.decision(&cobra.Command{
		Use:     "approve SOURCE HASH",
		Short:   "Apply a held run",
		Long:    "Apply exactly the plan that rollcall plan shows. It is refused when the store moved in between.",
		Example: "  rollcall approve people 3f9a1c22",
	}, (*pipeline.Client).Approve)
}

func (a *app) reject() *cobra.Command {
	return a.decision(&cobra.Command{
		Use:     "reject SOURCE HASH",
		Short:   "Drop a held run",
		Long:    "Drop a held run. The next run of the source proposes anew whatever the directory says then.",
		Example: "  rollcall reject people 3f9a1c22",
	}, (*pipeline.Client).Reject)
}

func (a *app) decision(cmd *cobra.Command, decide func(c *pipeline.Client, ctx context.Context, source, hash, actor string) (store.Run, error)) *cobra.Command {
	cmd.Args = cobra.ExactArgs(2)
	cmd.ValidArgsFunction = a.completeSource
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.client(cmd, args[0], func(ctx context.Context, client *pipeline.Client) error {
			begun := time.Now()
			run, err := decide(client, ctx, args[0], args[1], actor())
			if err != nil {
				return err
			}
			return a.decided(ctx, client, run, time.Since(begun))
		})
	}
	return a.jsonFlag(cmd)
}

func (a *app) cancel() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "cancel SOURCE",
		Short:             "Stop the running run of a source",
		Long:              "Stop the run of a source that is waiting or going. The store stays as it was; a run that is being applied goes on.",
		Example:           "  rollcall cancel people",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.client(cmd, args[0], func(ctx context.Context, client *pipeline.Client) error {
				run, err := client.Cancel(ctx, args[0], actor())
				if err != nil {
					return err
				}
				return a.decided(ctx, client, run, 0)
			})
		},
	}
	return a.jsonFlag(cmd)
}

// decided prints a run that a person decided on; being cancelled is what was asked for here.
func (a *app) decided(ctx context.Context, client *pipeline.Client, run store.Run, took time.Duration) error {
	if err := a.result(ctx, client, run, took); err != nil {
		return err
	}
	if run.State == store.Held {
		return &exit{code: exitHeld}
	}
	if run.State == store.Failed {
		return &exit{code: exitFailed}
	}
	return nil
}
