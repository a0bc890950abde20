package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) rebuild() *cobra.Command {
	var into string
	cmd := &cobra.Command{
		Use:   "rebuild --into FILE",
		Short: "Build a store from the streams and compare it with the live one",
		Long: "Build a store in a file of its own by reading the log anew, from the beginning or behind the oldest snapshot, and compare it\n" +
			"with the live one as it is now. A running server goes on meanwhile, and nothing is written to any stream but the\n" +
			"snapshot that is compared with. Exit code 1 when anything differs, which is shown user by user, property by property.",
		Example: `  rollcall rebuild --into rebuilt.db
  rollcall rebuild --into rebuilt.db --json | jq .`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if into == "" {
				return usage(try(errors.New("say which file the store goes into"), "rollcall rebuild --into rebuilt.db"))
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				return a.rebuildInto(ctx, client, c.Pipeline, into)
			})
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "the `file` that is made")
	return a.jsonFlag(cmd)
}

func (a *app) rebuildInto(ctx context.Context, client *pipeline.Client, c pipeline.Config, into string) error {
	w, p := bufio.NewWriter(a.stdout), a.progress()
	done, err := client.Rebuild(ctx, c, pipeline.RebuildOptions{Into: into, Log: a.commandLog(),
		Progress: p.update, Difference: func(d pipeline.Difference) error { return a.different(w, d) }})
	p.end()
	if err = errors.Join(err, w.Flush()); err != nil {
		return err
	}
	if a.json {
		err = line(a.stdout, done)
	} else {
		a.say("%s\n", rebuiltLine(done, into))
	}
	if err == nil && !done.Equal {
		err = &exit{code: exitFailed}
	}
	return err
}

func rebuiltLine(done pipeline.Rebuilt, into string) string {
	from := "the whole log"
	if done.From > 0 {
		from = fmt.Sprintf("the log behind %d", done.From)
	}
	text := fmt.Sprintf("%s: %s users at revision %d from %s in %s, ", into, thousands(done.Users), done.Revision, from, seconds(done.Seconds))
	if done.Equal {
		return text + "equal to the live store"
	}
	return text + count(done.Differences, "difference", "differences") + " from the live store"
}

// different shows a difference.
func (a *app) different(w *bufio.Writer, d pipeline.Difference) error {
	if a.json {
		return line(w, d)
	}
	name := d.ID
	if d.Name != "" {
		name = d.Name + " (" + d.ID + ")"
	}
	if d.Property != "" {
		d.Property = ": " + d.Property
	}
	_, err := fmt.Fprintf(w, "%s %s%s: live %q, rebuilt %q\n", d.Kind, plain(name), d.Property, d.Live, d.Rebuilt)
	return err
}
