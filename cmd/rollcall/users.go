package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

func (a *app) users() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Read the users of the store, and change them by hand",
		Example: `  rollcall users list
  rollcall users show alice
  rollcall users find 777
  rollcall users set alice phone="+420 1" --reason "asked for by phone"
  rollcall users deactivate alice`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listUsers(), a.showUser(), a.findUsers(), a.setUser(), a.deactivateUser(), a.reactivateUser(), a.anonymizeUser(), a.identifyUser())
	return cmd
}

func (a *app) listUsers() *cobra.Command {
	var q pipeline.UserQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List users",
		Example: `  rollcall users list
  rollcall users list --source people --inactive
  rollcall users list --json | jq -r .email`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.eachUser(cmd, q) },
	}
	cmd.Flags().BoolVar(&q.Inactive, "inactive", false, "deactivated users too")
	cmd.Flags().StringVar(&q.Group, "group", "", "only users in the group of this `path`, \"Staff|IT\"")
	cmd.Flags().StringVar(&q.Source, "source", "", "only users that this `source` owns")
	return a.jsonFlag(cmd)
}

func (a *app) findUsers() *cobra.Command {
	q := pipeline.UserQuery{Inactive: true}
	cmd := &cobra.Command{
		Use:   "find TEXT",
		Short: "List the users who have a text in any property",
		Example: `  rollcall users find novak
  rollcall users find 0012345678 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Text = args[0]
			return a.eachUser(cmd, q)
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) eachUser(cmd *cobra.Command, q pipeline.UserQuery) error {
	return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
		if a.json {
			return client.Users(ctx, q, func(u store.User) error { return line(a.stdout, u) })
		}
		var t usersTable
		if err := client.Users(ctx, q, t.add); err != nil {
			return err
		}
		return t.write(a.stdout, 0)
	})
}

// usersTable is a table of users, by name.
type usersTable struct{ rows [][]string }

func (t *usersTable) add(u store.User) error {
	t.rows = append(t.rows, []string{u.Text[store.UserName], u.Text[store.FullName], u.Text[store.Email], u.Text[store.Phone],
		u.Text[store.Department], show.Values(u, store.Cards), u.Label, show.Standing(u)})
	return nil
}

// write prints the first rows, at most limit; 0 means all.
func (t *usersTable) write(w io.Writer, limit int) error {
	slices.SortFunc(t.rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	rows := t.rows
	if limit > 0 {
		rows = rows[:min(limit, len(rows))]
	}
	out := newTable(w, "USER NAME", "FULL NAME", "EMAIL", "PHONE", "DEPARTMENT", "CARDS", "SOURCE", "STATE")
	for _, row := range rows {
		out.row(row...)
	}
	return out.end()
}

func (a *app) showUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one user, by user name, alias or id",
		Example: `  rollcall users show alice
  rollcall users show alice --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				u, err := client.User(ctx, args[0])
				if errors.Is(err, pipeline.ErrNotFound) {
					return try(fmt.Errorf("there is no user %q", args[0]), "rollcall users find "+args[0])
				}
				if err != nil {
					return err
				}
				if a.json {
					return line(a.stdout, u)
				}
				return a.describeUser(u)
			})
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) describeUser(u store.User) error {
	t := newTable(a.stdout)
	for _, f := range show.User(u) {
		t.row(f.Name, f.Value)
	}
	return t.end()
}
