package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/rollcall/config"
	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

func (a *app) sources() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "List the sources, and retire one that is no longer configured",
		Example: `  rollcall sources list
  rollcall sources retire hr`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listSources(), a.retireSource())
	return cmd
}

func (a *app) listSources() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sources: those of the configuration, and those that only the store knows",
		Example: `  rollcall sources list
  rollcall sources list --json | jq -r 'select(.configured | not) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				status, err := client.Status(ctx)
				if err != nil {
					return err
				}
				return a.printSources(status.Sources)
			})
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) printSources(sources []pipeline.SourceStatus) error {
	t := newTable(a.stdout, "SOURCE", "STATE", "ENTRIES", "ACTIVE USERS", "LAST RUN")
	for _, s := range sources {
		if a.json {
			if err := line(a.stdout, s); err != nil {
				return err
			}
			continue
		}
		last := "never"
		if s.Last != nil {
			last = s.Last.State + " " + s.Last.Finished.Format("2006-01-02 15:04:05")
		}
		t.row(s.Name, sourceState(s), fmt.Sprint(s.Entries), fmt.Sprint(s.Active), last)
	}
	if a.json {
		return nil
	}
	return t.end()
}

func sourceState(s pipeline.SourceStatus) string {
	switch {
	case !s.Configured:
		return "not configured"
	case !s.Enabled:
		return "not enabled"
	}
	return "enabled"
}

func (a *app) retireSource() *cobra.Command {
	var r pipeline.Retire
	var keep bool
	cmd := &cobra.Command{
		Use:   "retire NAME",
		Short: "Take a source that is no longer configured out of the store",
		Long: "Take a source that is no longer configured out of the store. Users whom another enabled source has too pass to that\n" +
			"source; of users whom another source owns, what this one put on them is withdrawn; all others stay as local users\n" +
			"(--keep), or are deactivated (--deactivate). Without either both plans are summed up; with one the plan is shown, and\n" +
			"the command that applies exactly that. A source that was renamed needs formerly: [old name] instead.",
		Example: `  rollcall sources retire hr
  rollcall sources retire hr --keep
  rollcall sources retire hr --keep --apply 3f9a1c22 --reason "HR moved to Entra"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Source, r.Actor = args[0], actor()
			if keep && r.Deactivate {
				return usage(errors.New("one of --keep and --deactivate"))
			}
			if r.Plan != "" && !keep && !r.Deactivate {
				return usage(errors.New("--apply goes with --keep or --deactivate"))
			}
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				switch {
				case r.Plan != "":
					return a.applyRetirement(ctx, client, r)
				case !keep && !r.Deactivate:
					return a.sumRetirements(ctx, client, r)
				}
				return a.showRetirement(ctx, client, r)
			})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "users whom no other source has stay as local users")
	cmd.Flags().BoolVar(&r.Deactivate, "deactivate", false, "users whom no other source has are deactivated")
	cmd.Flags().StringVar(&r.Plan, "apply", "", "apply the plan of that `hash`")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "`why`; it stands in the events")
	return a.jsonFlag(cmd)
}

// sumRetirements shows what either way would come to.
func (a *app) sumRetirements(ctx context.Context, client *pipeline.Client, r pipeline.Retire) error {
	for _, r.Deactivate = range []bool{false, true} {
		plan, err := client.PlanRetirement(ctx, r)
		switch {
		case err != nil:
			return err
		case a.json:
			err = line(a.stdout, plan)
		default:
			a.say("%s: %s\n  %s\n", wayOf(r), sumOf(plan), a.pasteable("rollcall sources retire "+r.Source+" "+wayOf(r)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) showRetirement(ctx context.Context, client *pipeline.Client, r pipeline.Retire) error {
	plan, err := client.PlanRetirement(ctx, r)
	if err != nil {
		return err
	}
	if a.json {
		return line(a.stdout, plan)
	}
	for _, sentence := range plan.Changes {
		a.say("%s\n", plain(sentence))
	}
	line := fmt.Sprintf("rollcall sources retire %s %s --apply %s", r.Source, wayOf(r), show.Hash(plan.Plan))
	a.say("\n%s: %s.\nTo let it:\n  %s\n", r.Source, sumOf(plan), a.pasteable(line))
	return nil
}

func (a *app) applyRetirement(ctx context.Context, client *pipeline.Client, r pipeline.Retire) error {
	answer, err := client.RetireSource(ctx, r)
	if err != nil {
		return err
	}
	if a.json {
		return line(a.stdout, answer)
	}
	a.say("%s\n", plain(answer.Text))
	return nil
}

func wayOf(r pipeline.Retire) string {
	if r.Deactivate {
		return "--deactivate"
	}
	return "--keep"
}

func sumOf(p pipeline.RetirePlan) string {
	return fmt.Sprintf("%s, %d stay as local users, %d are deactivated, %d pass to another source, %d are another source's",
		count(p.Entries, "entry", "entries"), p.Local, p.Deactivated, p.Inherited, p.Others)
}

// checkOrphans names the users of sources that are no longer configured: nobody touches them (S6). A store that is not there
// yet has none.
func (a *app) checkOrphans(ctx context.Context, c *config.Config) error {
	if _, err := os.Stat(filepath.Join(c.Pipeline.DataDir, "store.db")); c.Pipeline.NATS.URL == "" && err != nil {
		return nil
	}
	p, renamed := withoutRenames(c.Pipeline)
	p.Roles = []string{pipeline.RoleReconciler}
	return a.withPipeline(ctx, p, func(ctx context.Context, client *pipeline.Client) error {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		for _, s := range status.Sources {
			if s.Configured || slices.Contains(renamed, s.Name) || s.Entries == 0 && s.Active == 0 {
				continue
			}
			if err := a.sayOrphans(ctx, client, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// withoutRenames returns a configuration that renames no source, and the names that would go.
func withoutRenames(c pipeline.Config) (pipeline.Config, []string) {
	var former []string
	c.Sources = slices.Clone(c.Sources)
	for i := range c.Sources {
		former = append(former, c.Sources[i].Formerly...)
		c.Sources[i].Formerly = nil
	}
	return c, former
}

func (a *app) sayOrphans(ctx context.Context, client *pipeline.Client, s pipeline.SourceStatus) error {
	const most = 10
	var names []string
	err := client.Users(ctx, pipeline.UserQuery{Source: s.Name}, func(u store.User) error {
		if len(names) == most {
			names = append(names, "…")
			return errEnough
		}
		names = append(names, u.Text[store.UserName])
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if a.json {
		return line(a.stdout, checked{Source: s.Name, State: "not configured", Users: names, Active: s.Active, Try: "rollcall sources retire " + s.Name})
	}
	a.say("%s: is no longer configured; nobody touches its %s: %s\n  formerly: [%s] in the source that took its place, or %s\n",
		s.Name, count(s.Active, "active user", "active users"), plain(strings.Join(names, ", ")), s.Name, a.pasteable("rollcall sources retire "+s.Name))
	return nil
}

var errEnough = errors.New("enough")
