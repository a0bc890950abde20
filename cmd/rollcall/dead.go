package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) dead() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Records that could not be used, and why",
		Long: "Records that could not be used are kept with their reason. retry has the entry decided again by a run of its\n" +
			"source; drop forgets the message.",
		Example: `  rollcall dead list
  rollcall dead show 12
  rollcall dead retry 12
  rollcall dead drop 12`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listDead(), a.showDead(), a.retryDead(), a.dropDead())
	return cmd
}

func (a *app) listDead() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "list",
		Short:   "List them",
		Example: "  rollcall dead list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				if a.json {
					return client.Dead(ctx, func(d pipeline.DeadLetter) error { return line(a.stdout, d) })
				}
				t := newTable(a.stdout, "ID", "TIME", "STAGE", "SOURCE", "ENTRY", "REASON")
				err := client.Dead(ctx, func(d pipeline.DeadLetter) error {
					t.row(fmt.Sprint(d.ID), clock(d.Time), d.Stage, d.Source, d.Entry, d.Reason)
					return nil
				})
				if err != nil {
					return err
				}
				return t.end()
			})
		},
	})
}

var errShown = errors.New("shown")

func (a *app) showDead() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "show ID",
		Short:   "Show one",
		Example: "  rollcall dead show 12",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := letterID(args[0])
			if err != nil {
				return err
			}
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				err := client.Dead(ctx, func(d pipeline.DeadLetter) error {
					if d.ID != id {
						return nil
					}
					return errors.Join(errShown, a.describeDead(d))
				})
				switch {
				case err == nil:
					return try(fmt.Errorf("there is no dead letter %d", id), "rollcall dead list")
				case errors.Is(err, errShown):
					return nil
				}
				return err
			})
		},
	})
}

func (a *app) describeDead(d pipeline.DeadLetter) error {
	if a.json {
		return line(a.stdout, d)
	}
	t := newTable(a.stdout)
	t.row("id", fmt.Sprint(d.ID))
	t.row("time", clock(d.Time))
	t.row("stage", d.Stage)
	t.row("source", d.Source)
	t.row("entry", d.Entry)
	t.row("reason", d.Reason)
	return t.end()
}

func (a *app) dropDead() *cobra.Command {
	return a.jsonFlag(a.letters("drop", "Forget messages", func(ctx context.Context, client *pipeline.Client, id uint64) error {
		if err := client.DropDead(ctx, id); err != nil || !a.json {
			return err
		}
		return line(a.stdout, struct {
			ID      uint64 `json:"id"`
			Dropped bool   `json:"dropped"`
		}{id, true})
	}))
}

func (a *app) retryDead() *cobra.Command {
	return a.jsonFlag(a.letters("retry", "Have entries decided again, each by a run of its source", a.retryOne))
}

// retryOne asks for the run and follows it to its end.
func (a *app) retryOne(ctx context.Context, client *pipeline.Client, id uint64) error {
	begun := time.Now()
	source, job, err := client.RetryDead(ctx, id, actor())
	if err != nil {
		return err
	}
	run, err := a.follow(ctx, client, source, job)
	if err == nil {
		err = a.result(ctx, client, run, time.Since(begun))
	}
	if code := runCode(run, false); err == nil && code != exitDone {
		return &exit{code: code}
	}
	return err
}

// letters is a command on dead letters, one after the other.
func (a *app) letters(name, what string, do func(context.Context, *pipeline.Client, uint64) error) *cobra.Command {
	return &cobra.Command{
		Use:     name + " ID…",
		Short:   what,
		Example: "  rollcall dead " + name + " 12",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids := make([]uint64, len(args))
			for i, arg := range args {
				var err error
				if ids[i], err = letterID(arg); err != nil {
					return err
				}
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			return a.withPipeline(cmd.Context(), c.Pipeline, func(ctx context.Context, client *pipeline.Client) error {
				for _, id := range ids {
					if err := do(ctx, client, id); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func letterID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, usage(try(fmt.Errorf("%q is no dead letter's id", text), "rollcall dead list"))
	}
	return id, nil
}
