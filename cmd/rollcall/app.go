package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"rollcall/cmd/rollcall/config"
	"rollcall/connectors"
	"rollcall/pipeline"
)

// load reads the configuration; everything wrong with it is a usage error.
func (a *app) load() (*config.Config, error) {
	c, err := config.Load(a.configFile)
	if err != nil {
		return nil, usage(err)
	}
	a.level = c.Log.Level
	return c, nil
}

// withPipeline calls fn with a client of the server that runs on the data directory or the external NATS; where
// there is none, of a pipeline that runs in this process as long as fn does, without schedules. fn's context ends with ctx, or
// with that pipeline.
func (a *app) withPipeline(ctx context.Context, c pipeline.Config, fn func(context.Context, *pipeline.Client) error) error {
	client, err := pipeline.Dial(ctx, c)
	if err == nil {
		defer client.Close()
		return fn(ctx, client)
	}
	if !errors.Is(err, pipeline.ErrNoServer) {
		return err
	}
	node, err := pipeline.Start(context.WithoutCancel(ctx), unscheduled(c), a.commandLog())
	if err != nil {
		return err
	}
	alive, die := context.WithCancelCause(ctx)
	defer die(nil)
	go func() { die(node.Wait()) }()
	err = fn(alive, node.Client())
	if stopped := node.Stop(); stopped != nil {
		return fmt.Errorf("the pipeline stopped: %w", stopped) // whatever fn says then is a consequence
	}
	return err
}

// pipelineDied returns why the pipeline ended that this process runs for a command, nil while it lives or when the command was
// interrupted.
func pipelineDied(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// client calls fn for a command that reads no source: about one source, which must be in the configuration, or about
// none. A pipeline in this process has the store then and no worker, so that a run that waits is not taken up on
// the way.
func (a *app) client(cmd *cobra.Command, about string, fn func(ctx context.Context, c *pipeline.Client) error) error {
	c, err := a.load()
	if err == nil && about != "" {
		_, err = source(c, about)
	}
	if err != nil {
		return err
	}
	c.Pipeline.Roles = []string{pipeline.RoleReconciler}
	return a.withPipeline(cmd.Context(), c.Pipeline, fn)
}

// unscheduled is the pipeline of a process that ends with its command.
func unscheduled(c pipeline.Config) pipeline.Config {
	sources := make([]pipeline.Source, len(c.Sources))
	for i, s := range c.Sources {
		s.Schedule, s.Live = "", false
		sources[i] = s
	}
	c.Sources, c.MetricsListen = sources, ""
	c.Snapshots.Every, c.Attended = 0, true
	return c
}

// commandLog returns the logger of a command that ends by itself: what is worth a warning, unless the configuration asks for everything.
func (a *app) commandLog() zerolog.Logger {
	c := config.Log{Level: "warn", Format: "auto"}
	if a.level == zerolog.LevelDebugValue {
		c.Level = a.level
	}
	return a.log(c)
}

// log returns the logger of a command.
func (a *app) log(c config.Log) zerolog.Logger {
	if a.quiet {
		return zerolog.Nop()
	}
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	if a.verbose {
		level = zerolog.DebugLevel
	}
	w := a.stderr
	if c.Format == "text" || c.Format == "auto" && a.terminal {
		w = zerolog.ConsoleWriter{Out: a.stderr, TimeFormat: time.TimeOnly, NoColor: !a.terminal || os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// print writes to standard error.
func (a *app) print(format string, args ...any) { fmt.Fprintf(a.stderr, format, args...) }

// say writes to standard output.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// jsonFlag gives a command --json.
func (a *app) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.json, "json", false, "one JSON document a line")
	return cmd
}

// source finds a source that a person named.
func source(c *config.Config, name string) (*pipeline.Source, error) {
	if s := c.Source(name); s != nil {
		return s, nil
	}
	return nil, usage(try(fmt.Errorf("there is no source %q in %s", name, c.Path), sourceNames(c)))
}

func sourceNames(c *config.Config) string {
	names := make([]string, len(c.Pipeline.Sources))
	for i, s := range c.Pipeline.Sources {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

// completeSource completes the first argument with the names of the sources.
func (a *app) completeSource(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := config.Load(a.configFile)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return strings.Split(sourceNames(c), ", "), cobra.ShellCompDirectiveNoFileComp
}

// actor names who gives a command, for the log.
func actor() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// try adds what to try, unless the error knows that already.
func try(err error, hint string) error {
	if err == nil || connectors.HintOf(err) != "" {
		return err
	}
	return connectors.Hint(err, hint)
}
