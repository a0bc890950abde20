package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"rollcall/cmd/rollcall/config"
	"rollcall/pipeline"
	"rollcall/pipeline/console"
)

func (a *app) serve() *cobra.Command {
	var only, serves []string
	var metrics string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the pipeline until it is stopped",
		Long:  "Run the pipeline: sources on their schedules, and everything that other commands and programs ask for.",
		Example: `  rollcall serve
  rollcall serve --roles connector,normalizer      on one of several machines with an external NATS
  rollcall serve --roles connector --sources corp  where only that directory can be reached
  rollcall serve --roles console                   the web page alone, at console.listen`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, role := range only {
				if !slices.Contains(pipeline.Roles, role) {
					return usage(try(errors.New("--roles: there is no role "+role), strings.Join(pipeline.Roles, ", ")))
				}
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			for _, name := range serves {
				if _, err := source(c, name); err != nil {
					return err
				}
			}
			if slices.Contains(only, pipeline.RoleConsole) && c.Console.Listen == "" {
				return usage(try(errors.New("--roles: "+c.Path+" does not say where the console listens"), "console: {listen: 127.0.0.1:8440}"))
			}
			c.Pipeline.Roles, c.Pipeline.Serves = only, serves
			if cmd.Flags().Changed("metrics-listen") {
				c.Pipeline.MetricsListen = metrics
			}
			return a.runPipeline(cmd.Context(), c)
		},
	}
	cmd.Flags().StringSliceVar(&only, "roles", nil, "only these roles: "+strings.Join(pipeline.Roles, ", "))
	cmd.Flags().StringSliceVar(&serves, "sources", nil, "read only these sources in the role connector (default: all)")
	cmd.Flags().StringVar(&metrics, "metrics-listen", "", "serve metrics and probes on this `host:port` (metrics.listen)")
	return cmd
}

// runPipeline runs the pipeline until ctx is done.
func (a *app) runPipeline(ctx context.Context, c *config.Config) error {
	log := a.log(c.Log)
	for _, note := range c.Notes {
		log.Warn().Msg(note)
	}
	for {
		err := a.runNode(ctx, c, log)
		if !errors.Is(err, pipeline.ErrBehind) || ctx.Err() != nil {
			return err
		}
		log.Warn().Err(err).Msg("starts again, from the snapshot")
	}
}

func (a *app) runNode(ctx context.Context, c *config.Config, log zerolog.Logger) error {
	node, err := pipeline.Start(context.WithoutCancel(ctx), c.Pipeline, log)
	if err != nil {
		return err
	}
	if err := node.Announce(); err != nil {
		return errors.Join(err, node.Stop())
	}
	if address := node.MetricsAddress(); address != "" {
		log.Info().Str("address", address).Msg("metrics and probes")
	}
	site, err := openConsole(c, node, log)
	if err != nil {
		return errors.Join(err, node.Stop())
	}
	log.Info().Str("data_dir", c.Pipeline.DataDir).Str("nats", node.URL()).Msg("rollcall runs, Ctrl-C stops it")
	err = a.until(ctx, node, site)
	log.Info().Err(err).Msg("rollcall stopped")
	return err
}

// openConsole opens the console where this process has that role and the configuration says where, nil elsewhere.
func openConsole(c *config.Config, node *pipeline.Node, log zerolog.Logger) (*console.Console, error) {
	roles := c.Pipeline.Roles
	if c.Console.Listen == "" || len(roles) > 0 && !slices.Contains(roles, pipeline.RoleConsole) {
		return nil, nil
	}
	site, err := console.Open(c.Console, node.Client(), log)
	if err == nil {
		log.Info().Str("url", site.URL()).Msg("console")
	}
	return site, err
}

// until waits for Ctrl-C, or for the pipeline or the console to end on its own.
func (a *app) until(ctx context.Context, node *pipeline.Node, site *console.Console) error {
	ended := make(chan error, 2)
	go func() { ended <- node.Wait() }()
	if site != nil {
		go func() { ended <- site.Serve() }()
	}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	if site != nil { // whoever waits for an answer may still get it from the pipeline
		err = errors.Join(err, site.Stop())
	}
	return errors.Join(err, node.Stop())
}
