package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
	"rollcall/store"
)

func (a *app) replay() *cobra.Command {
	o := pipeline.ReplayOptions{Actor: actor()}
	cmd := &cobra.Command{
		Use:   "replay SOURCE",
		Short: "Propose recorded entries again, under the mapping of this configuration",
		Long: "Propose again what the last applied run of a source (or --run N) read, from the records that Rollcall kept, with the mapping and\n" +
			"options of this configuration. The source is not asked, so a new mapping can be tried before it goes live, also with the server\n" +
			"running on the old one. The plan is printed and nothing is written, unless --apply lets it through the same guard.\n\n" +
			"Nobody is called absent who is not gone already. Of an older run, entries that came later or are gone now are left as they\n" +
			"are; the next run of the source brings everybody back to what the source says.",
		Example: `  rollcall replay people                        what would today's mapping change?
  rollcall -c new.yaml replay people --json     with another configuration on the same data directory
  rollcall replay people --run 41               the records of an older run
  rollcall replay people --apply                let it through the guard`,
		Args:              cobra.ExactArgs(1),
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
			if o.Rules, err = c.Pipeline.Rules(names[0]); err != nil {
				return err
			}
			return a.withPipeline(cmd.Context(), c.Pipeline, func(ctx context.Context, client *pipeline.Client) error {
				return a.replayOne(ctx, client, names[0], o)
			})
		},
	}
	cmd.Flags().Uint64Var(&o.Run, "run", 0, "the `number` of the run whose records are proposed (rollcall runs)")
	cmd.Flags().BoolVar(&o.Apply, "apply", false, "let the plan through the guard")
	return a.jsonFlag(cmd)
}

func (a *app) replayOne(ctx context.Context, client *pipeline.Client, name string, o pipeline.ReplayOptions) error {
	begun := time.Now()
	run, err := a.askReplay(ctx, client, name, o)
	if err == nil {
		err = a.result(ctx, client, run, time.Since(begun))
	}
	if err != nil {
		return err
	}
	if code := runCode(run, false); code != exitDone {
		return &exit{code: code}
	}
	return nil
}

func (a *app) askReplay(ctx context.Context, client *pipeline.Client, name string, o pipeline.ReplayOptions) (store.Run, error) {
	job, err := client.Replay(ctx, name, o)
	if errors.Is(err, pipeline.ErrBusy) {
		return store.Run{}, try(fmt.Errorf("%s: a run is waiting or going already", name), "rollcall status, or rollcall cancel "+name)
	}
	if err != nil {
		return store.Run{}, fmt.Errorf("%s: %w", name, err)
	}
	return a.follow(ctx, client, name, job)
}
