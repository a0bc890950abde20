package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/cmd/rollcall/config"
	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
)

func (a *app) check() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [SOURCE]",
		Short: "Is the configuration right, and does every source answer?",
		Long: "Check the configuration, then sign in to every enabled source and look whether what is to be read is there.\n" +
			"Users of sources that are no longer configured are named. Nothing is read or written.",
		Example: `  rollcall check
  rollcall check corp`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load()
			if err == nil && len(args) > 0 {
				_, err = source(c, args[0])
			}
			if err != nil {
				return err
			}
			a.say("%s: valid, %s\n", c.Path, count(len(c.Pipeline.Sources), "source", "sources"))
			for _, note := range c.Notes {
				a.say("  %s\n", note)
			}
			if len(args) == 0 {
				if err := a.checkOrphans(cmd.Context(), c); err != nil {
					return err
				}
			}
			return a.checkAll(cmd.Context(), c, first(args))
		},
	}
	return cmd
}

// checkAll asks the sources, goes on after one that fails, and fails at the end.
func (a *app) checkAll(ctx context.Context, c *config.Config, only string) error {
	failed := false
	for i := range c.Pipeline.Sources {
		s := &c.Pipeline.Sources[i]
		switch {
		case only != "" && s.Name != only:
		case !s.Enabled && only == "":
			a.say("%s: not enabled\n", s.Name)
		default:
			if err := a.checkOne(ctx, s); err != nil {
				a.complain(fmt.Errorf("%s: %w", s.Name, err))
				failed = true
			}
		}
	}
	if failed {
		return &exit{code: exitFailed}
	}
	return nil
}

func (a *app) checkOne(ctx context.Context, s *pipeline.Source) error {
	compiled, err := mapping.Compile(s.Mapping)
	if err != nil {
		return err
	}
	reader, err := s.Reader.Open(connectors.Env{Source: s.Name, Attributes: compiled.Attributes(),
		Log: a.commandLog()})
	if err != nil {
		return err
	}
	sentences, err := reader.Check(ctx)
	if err != nil {
		return err
	}
	a.say("%s: answers\n", s.Name)
	for _, sentence := range sentences {
		a.say("  %s\n", plain(sentence))
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
