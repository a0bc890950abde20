package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) store() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Check the store, back it up, put a backup in place",
		Example: `  rollcall store check
  rollcall store snapshot --to backup.db.zst
  rollcall store restore --latest`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.storeCheck(), a.storeSnapshot(), a.storeRestore())
	return cmd
}

func (a *app) storeCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Is everything in the store as it must be?",
		Long:    "Look at every page, user, index and counter of a copy of the store. A running server goes on meanwhile.",
		Example: `  rollcall store check`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				found, err := client.CheckStore(ctx)
				if err != nil || a.json {
					return a.jsonOr(err, found)
				}
				a.say("store %s: sound, revision %d, %d of the log handled, %s bytes, digest %s\n",
					found.Store, found.Revision, found.LogEnd, thousands(int(found.Bytes)), found.Digest)
				return nil
			})
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) storeSnapshot() *cobra.Command {
	var to string
	var list bool
	cmd := &cobra.Command{
		Use:   "snapshot [--to FILE]",
		Short: "Take a snapshot of the store",
		Long: "Put a consistent copy of the store into the object store of JetStream, beside those that a running server takes by itself,\n" +
			"and with --to into a file. The log goes on where a snapshot ends: after a restore the store catches up.",
		Example: `  rollcall store snapshot
  rollcall store snapshot --to /backup/rollcall.db.zst
  rollcall store snapshot --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				if list {
					return a.listSnapshots(ctx, client)
				}
				s, err := client.TakeSnapshot(ctx)
				if err == nil && to != "" {
					err = client.SaveSnapshot(ctx, s.Name, to)
				}
				if err != nil || a.json {
					return a.jsonOr(err, s)
				}
				a.say("%s: revision %d, %d of the log, %s bytes\n", s.Name, s.Revision, s.LogEnd, thousands(int(s.Bytes)))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "write it into this `file` too")
	cmd.Flags().BoolVar(&list, "list", false, "take none, list those there are")
	return a.jsonFlag(cmd)
}

func (a *app) listSnapshots(ctx context.Context, client *pipeline.Client) error {
	all, err := client.Snapshots(ctx)
	if err != nil {
		return err
	}
	t := newTable(a.stdout, "TAKEN", "LOG", "REVISION", "BYTES", "NAME")
	for _, s := range all {
		if a.json {
			if err := line(a.stdout, s); err != nil {
				return err
			}
			continue
		}
		t.row(clock(s.Taken), thousands(int(s.LogEnd)), thousands(int(s.Revision)), thousands(int(s.Bytes)), s.Name)
	}
	if a.json {
		return nil
	}
	return t.end()
}

func (a *app) storeRestore() *cobra.Command {
	var o pipeline.RestoreOptions
	var latest bool
	cmd := &cobra.Command{
		Use:   "restore [FILE | --latest]",
		Short: "Put a snapshot in the place of the store",
		Long: "Put a snapshot in the place of the store, when it was found whole. No server may run on the data directory. A store that is\n" +
			"there is replaced with --force only, and kept beside. With the next start the store catches up with the log.",
		Example: `  rollcall store restore --latest
  rollcall store restore /backup/rollcall.db.zst --force`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if latest == (len(args) == 1) {
				return usage(try(errors.New("say which snapshot: a file, or --latest"), "rollcall store restore --latest"))
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			o.File = first(args)
			r, err := pipeline.Restore(cmd.Context(), c.Pipeline, o)
			if err != nil {
				return err
			}
			a.say("store %s is back at revision %d, %d of the log\n", r.Store, r.Revision, r.Log.Sequence)
			if r.Kept != "" {
				a.say("the one that was there lies in %s\n", r.Kept)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&latest, "latest", false, "the latest one in the object store")
	cmd.Flags().BoolVar(&o.Force, "force", false, "replace a store that is there, and keep it beside")
	return cmd
}

// jsonOr prints v unless there is an error.
func (a *app) jsonOr(err error, v any) error {
	if err != nil {
		return err
	}
	return line(a.stdout, v)
}
