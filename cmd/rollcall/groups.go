package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
	"rollcall/store"
)

func (a *app) groups() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "groups",
		Short: "Read the groups of the store",
		Example: `  rollcall groups list
  rollcall groups show "Staff|IT"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listGroups(), a.showGroup())
	return cmd
}

func (a *app) listGroups() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tree of groups",
		Example: `  rollcall groups list
  rollcall groups list --json | jq -r .path`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				if a.json {
					return client.Groups(ctx, func(g pipeline.GroupInfo) error { return line(a.stdout, g) })
				}
				var all []pipeline.GroupInfo
				if err := client.Groups(ctx, func(g pipeline.GroupInfo) error { all = append(all, g); return nil }); err != nil {
					return err
				}
				return a.groupTree(all)
			})
		},
	}
	return a.jsonFlag(cmd)
}

// groupTree prints groups below each other, each level indented.
func (a *app) groupTree(all []pipeline.GroupInfo) error {
	slices.SortFunc(all, func(x, y pipeline.GroupInfo) int { return slices.Compare(levels(x.Path), levels(y.Path)) })
	t := newTable(a.stdout, "GROUP", "MEMBERS", "FROM")
	for _, g := range all {
		t.row(strings.Repeat("  ", len(levels(g.Path))-1)+store.GroupName(g.Path), strconv.Itoa(g.Members), strings.Join(g.Origins, ", "))
	}
	return t.end()
}

// levels are the names from the top of the tree to a group.
func levels(path string) (names []string) {
	for ; path != ""; path = store.ParentOf(path) {
		names = append(names, store.GroupName(path))
	}
	slices.Reverse(names)
	return names
}

func (a *app) showGroup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show GROUP",
		Short: "Show one group, by path or id, and who is in it",
		Example: `  rollcall groups show "Staff|IT"
  rollcall groups show Staff --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error { return a.group(ctx, client, args[0]) })
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) group(ctx context.Context, client *pipeline.Client, name string) error {
	g, err := client.Group(ctx, name)
	if errors.Is(err, pipeline.ErrNotFound) {
		return try(fmt.Errorf("there is no group %q", name), "rollcall groups list")
	}
	if err != nil {
		return err
	}
	members := []string{}
	err = client.Users(ctx, pipeline.UserQuery{Group: g.Path}, func(u store.User) error {
		members = append(members, u.Text[store.UserName])
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(members)
	if a.json {
		return line(a.stdout, struct {
			pipeline.GroupInfo
			UserNames []string `json:"user_names"`
		}{g, members})
	}
	t := newTable(a.stdout)
	t.row("path", g.Path)
	t.row("from", strings.Join(g.Origins, ", "))
	t.row("members", strings.Join(members, ", "))
	t.row("revision", strconv.FormatUint(g.Revision, 10))
	t.row("id", g.ID)
	return t.end()
}
