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
  rollcall check corp
  rollcall check --json`,
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
			if err := a.sayValid(c); err != nil {
				return err
			}
			if len(args) == 0 {
				if err := a.checkOrphans(cmd.Context(), c); err != nil {
					return err
				}
			}
			return a.checkAll(cmd.Context(), c, first(args))
		},
	}
	return a.jsonFlag(cmd)
}

// sayValid says that the configuration has no mistakes, and what is probably not meant.
func (a *app) sayValid(c *config.Config) error {
	if a.json {
		return line(a.stdout, struct {
			File    string   `json:"file"`
			Valid   bool     `json:"valid"`
			Sources int      `json:"sources"`
			Notes   []string `json:"notes,omitempty"`
		}{c.Path, true, len(c.Pipeline.Sources), c.Notes})
	}
	a.say("%s: valid, %s\n", c.Path, count(len(c.Pipeline.Sources), "source", "sources"))
	for _, note := range c.Notes {
		a.say("  %s\n", note)
	}
	return nil
}

// checked is what came of asking a source. Its JSON is a line of check --json.
type checked struct {
	Source string `json:"source"`
	// State is answers, failed, "not enabled" or "not configured".
	State  string   `json:"state"`
	Says   []string `json:"says,omitempty"`
	Reason string   `json:"reason,omitempty"`
	Try    string   `json:"try,omitempty"`
	// Users are the first users of a source that is not configured, Active counts them.
	Users  []string `json:"users,omitempty"`
	Active int      `json:"active,omitempty"`
}

// checkAll asks the sources, goes on after one that fails, and fails at the end.
func (a *app) checkAll(ctx context.Context, c *config.Config, only string) error {
	failed := false
	for i := range c.Pipeline.Sources {
		s := &c.Pipeline.Sources[i]
		if only != "" && s.Name != only {
			continue
		}
		said, reason := checked{Source: s.Name, State: "not enabled"}, error(nil)
		if s.Enabled || only != "" {
			said, reason = a.checkOne(ctx, s)
		}
		if err := a.sayChecked(said, reason); err != nil {
			return err
		}
		failed = failed || reason != nil
	}
	if failed {
		return &exit{code: exitFailed}
	}
	return nil
}

func (a *app) checkOne(ctx context.Context, s *pipeline.Source) (checked, error) {
	said := checked{Source: s.Name, State: "failed"}
	compiled, err := mapping.Compile(s.Mapping)
	if err != nil {
		return said, err
	}
	reader, err := s.Reader.Open(connectors.Env{Source: s.Name, Attributes: compiled.Attributes(),
		Log: a.commandLog()})
	if err != nil {
		return said, err
	}
	if said.Says, err = reader.Check(ctx); err == nil {
		said.State = "answers"
	}
	return said, err
}

// sayChecked prints what came of asking a source; reason says why it failed.
func (a *app) sayChecked(said checked, reason error) error {
	if reason != nil && !a.json {
		a.complain(fmt.Errorf("%s: %w", said.Source, reason))
		return nil
	}
	if reason != nil {
		said.Reason, said.Try = reason.Error(), config.HintOf(reason)
	}
	if a.json {
		return line(a.stdout, said)
	}
	a.say("%s: %s\n", said.Source, said.State)
	for _, sentence := range said.Says {
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
