package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/pipeline/show"
	"rollcall/store"
)

func (a *app) report() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Report on users, cards, conflicts or changes, with any property as a column",
		Example: `  rollcall report users --columns user_name,department,cost_centers --where department=IT
  rollcall report cards --format csv > cards.csv
  rollcall report conflicts
  rollcall report changes --since 24h --user alice --property phone`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.reportUsers(), a.reportCards(), a.reportConflicts(), a.reportChanges())
	return cmd
}

// userColumn is a property that a report can show; items are the values of a multi-valued one, nil for others.
type userColumn struct {
	name  string
	cell  func(u *store.User) string
	items func(u *store.User) []store.Value
}

// userColumns are all of them: what a source may map, and what the store adds.
func userColumns() []userColumn {
	var all []userColumn
	for _, p := range store.Properties() {
		column := userColumn{name: p.String(), cell: func(u *store.User) string { return u.Text[p] }}
		if p.Multi() {
			column.cell = func(u *store.User) string { return show.Values(*u, p) }
			column.items = func(u *store.User) []store.Value { return u.List[p.List()] }
		}
		all = append(all, column)
	}
	more := func(name string, cell func(u *store.User) string) {
		all = append(all, userColumn{name: name, cell: cell})
	}
	more("id", func(u *store.User) string { return u.ID })
	more("revision", func(u *store.User) string { return strconv.FormatUint(u.Revision, 10) })
	more("active", func(u *store.User) string { return strconv.FormatBool(u.Active) })
	more("inactive_reason", func(u *store.User) string { return u.InactiveReason })
	more("synchronization_source", func(u *store.User) string { return u.Label })
	more("administrator", func(u *store.User) string { return strconv.FormatBool(u.Administrator) })
	more("anonymized", func(u *store.User) string { return strconv.FormatBool(u.Anonymized) })
	return all
}

func columnOf(name string) (userColumn, error) {
	all := userColumns()
	if i := slices.IndexFunc(all, func(c userColumn) bool { return c.name == name }); i >= 0 {
		return all[i], nil
	}
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.name
	}
	return userColumn{}, usage(try(fmt.Errorf("there is no property %q", name), strings.Join(names, ", ")))
}

// reporting is what every report of users has: which ones, which columns, how it is written.
type reporting struct {
	format  string
	names   []string
	where   []string
	query   pipeline.UserQuery
	columns []userColumn
	filters []filter
}

// filter wants a property to have a value, or to have it among others, compared as names are.
type filter struct {
	column userColumn
	value  string
}

func (f filter) wants(u *store.User) bool {
	if f.column.items == nil || f.column.name == store.PINs.String() {
		return store.Fold(f.column.cell(u)) == f.value
	}
	items := f.column.items(u)
	is := func(v store.Value) bool { return store.Fold(v.V) == f.value }
	return slices.ContainsFunc(items, is) || len(items) == 0 && f.value == ""
}

func (r *reporting) flags(cmd *cobra.Command, columns ...string) {
	r.propertyFlags(cmd, "`properties` to show, in this order", columns)
	cmd.Flags().StringVar(&r.query.Source, "source", "", "only users that this `source` owns")
	cmd.Flags().StringVar(&r.query.Group, "group", "", "only users in the group of this `path`")
	cmd.Flags().BoolVar(&r.query.Inactive, "inactive", false, "deactivated users too")
	r.formatFlag(cmd)
}

// propertyFlags have any property as a column and as a filter.
func (r *reporting) propertyFlags(cmd *cobra.Command, what string, columns []string) {
	cmd.Flags().StringSliceVar(&r.names, "columns", columns, what)
	cmd.Flags().StringArrayVar(&r.where, "where", nil, "only users whose `property=value`, or have it among others; several must all hold, \"property=\" means empty")
}

func (r *reporting) formatFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.format, "format", "table", "table, csv or json")
}

func (r *reporting) prepare() error {
	for _, name := range r.names {
		column, err := columnOf(name)
		if err != nil {
			return err
		}
		r.columns = append(r.columns, column)
	}
	for _, text := range r.where {
		name, value, found := strings.Cut(text, "=")
		column, err := columnOf(name)
		if err != nil {
			return err
		}
		if !found {
			return usage(try(fmt.Errorf("--where: %q has no value", text), name+"=value"))
		}
		r.filters = append(r.filters, filter{column, store.Fold(value)})
	}
	return nil
}

func (r *reporting) wants(u *store.User) bool {
	return !slices.ContainsFunc(r.filters, func(f filter) bool { return !f.wants(u) })
}

// cells are a user's values of the columns.
func (r *reporting) cells(u *store.User) []string {
	cells := make([]string, len(r.columns))
	for i, c := range r.columns {
		cells[i] = c.cell(u)
	}
	return cells
}

// reportOn calls rows for every user that is wanted, as they come: a report of any size is streamed, save for tables, which
// are in order.
func (a *app) reportOn(cmd *cobra.Command, r *reporting, head []string, rows func(u *store.User, row func(...string) error) error) error {
	if err := r.prepare(); err != nil {
		return err
	}
	sheet, err := newSheet(a.stdout, r.format, append(slices.Clone(r.names), head...))
	if err != nil {
		return err
	}
	sheet.sorted = true
	return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
		err := client.Users(ctx, r.query, func(u store.User) error {
			if !r.wants(&u) {
				return nil
			}
			return rows(&u, sheet.row)
		})
		if err != nil {
			return err
		}
		return sheet.end()
	})
}

func (a *app) reportUsers() *cobra.Command {
	var r reporting
	cmd := &cobra.Command{
		Use:   "users",
		Short: "A row for every user",
		Example: `  rollcall report users
  rollcall report users --columns user_name,email,groups --where department=IT --format csv
  rollcall report users --inactive --where inactive_reason=source:corp --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reportOn(cmd, &r, nil, func(u *store.User, row func(...string) error) error { return row(r.cells(u)...) })
		},
	}
	r.flags(cmd, "user_name", "full_name", "email", "department", "synchronization_source", "active")
	return cmd
}

func (a *app) reportCards() *cobra.Command {
	var r reporting
	cmd := &cobra.Command{
		Use:   "cards",
		Short: "A row for every card",
		Example: `  rollcall report cards
  rollcall report cards --columns user_name,department --format csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reportOn(cmd, &r, []string{"card", "origins", "expires"}, func(u *store.User, row func(...string) error) error {
				for _, card := range u.List[store.Cards.List()] {
					expires := ""
					if !card.Expires.IsZero() {
						expires = card.Expires.UTC().Format(time.RFC3339)
					}
					if err := row(append(r.cells(u), card.V, strings.Join(card.Origins, ", "), expires)...); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	r.flags(cmd, "user_name", "full_name")
	return cmd
}

func (a *app) reportConflicts() *cobra.Command {
	var r reporting
	cmd := &cobra.Command{
		Use:   "conflicts [SOURCE]...",
		Short: "A row for every entry that was refused, ignored or applied in part",
		Long:  "The entries that ended in conflict, rejected, ignored or with a value left out. Every later run of their source decides them again.",
		Example: `  rollcall report conflicts
  rollcall report conflicts people --columns department,email --where department=IT --format csv`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, err := source(c, name); err != nil {
					return err
				}
			}
			if len(args) == 0 {
				for _, s := range c.Pipeline.Sources {
					args = append(args, s.Name)
				}
			}
			if err := r.prepare(); err != nil {
				return err
			}
			sheet, err := newSheet(a.stdout, r.format, append([]string{"source", "entry", "action", "reason", "user"}, r.names...))
			if err != nil {
				return err
			}
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				for _, name := range args {
					err := client.Unsettled(ctx, name, func(e pipeline.Unsettled) error { return r.unsettledRow(ctx, client, sheet, e) })
					if err != nil {
						return err
					}
				}
				return sheet.end()
			})
		},
	}
	r.propertyFlags(cmd, "`properties` of the user to show beside", nil)
	r.formatFlag(cmd)
	return cmd
}

// unsettledRow writes an entry with what is asked for of its user; one without a user has nothing.
func (r *reporting) unsettledRow(ctx context.Context, client *pipeline.Client, sheet *sheet, e pipeline.Unsettled) error {
	var u store.User
	if e.User != "" && len(r.columns)+len(r.filters) > 0 {
		var err error
		if u, err = client.User(ctx, e.User); err != nil {
			return err
		}
	}
	if !r.wants(&u) {
		return nil
	}
	return sheet.row(append([]string{e.Source, e.Entry, e.Action, e.Reason, e.UserName}, r.cells(&u)...)...)
}

func (a *app) reportChanges() *cobra.Command {
	var r reporting
	var o pipeline.EventOptions
	var since, user string
	var properties []string
	cmd := &cobra.Command{
		Use:   "changes",
		Short: "A row for every property that changed, from the stream of events",
		Long:  "A row for every property that changed. What the user is besides is shown and compared as the event tells it: cards are masked where events: {cards: masked} is.",
		Example: `  rollcall report changes --since 24h
  rollcall report changes --user alice --property phone --property email --columns department --format csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := parseSince(since, &o); err != nil {
				return err
			}
			for _, p := range properties {
				if _, err := columnOf(p); err != nil {
					return err
				}
			}
			if err := r.prepare(); err != nil {
				return err
			}
			sheet, err := newSheet(a.stdout, r.format, append([]string{"revision", "time", "kind", "user_name", "property", "old", "new", "source", "run", "actor"}, r.names...))
			if err != nil {
				return err
			}
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				err := client.Events(ctx, o, func(e events.UserChanged) error { return r.changeRows(sheet, e, user, properties) })
				if err != nil {
					return err
				}
				return sheet.end()
			})
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "from this `time or revision` on: 1207, 10m, 2026-11-23, 2026-11-23T09:00:00Z")
	cmd.Flags().StringVar(&user, "user", "", "only the user of this `name` or id")
	cmd.Flags().StringArrayVar(&properties, "property", nil, "only this `property`; may be given several times")
	r.propertyFlags(cmd, "`properties` of the user to show beside", nil)
	r.formatFlag(cmd)
	return cmd
}

// changeRows writes what an event changed, with what is asked for of the user as he was afterwards.
func (r *reporting) changeRows(sheet *sheet, e events.UserChanged, user string, properties []string) error {
	if !r.wants(&e.User) {
		return nil
	}
	name := e.User.Text[store.UserName]
	if user != "" && store.Fold(user) != store.Fold(name) && user != e.User.ID && store.Fold(user) != store.Fold(said(e.Changed["user_name"].Old)) {
		return nil
	}
	for _, p := range slices.Sorted(maps.Keys(e.Changed)) {
		if len(properties) > 0 && !slices.Contains(properties, p) {
			continue
		}
		run := ""
		if e.Cause.Run != 0 {
			run = strconv.FormatUint(e.Cause.Run, 10)
		}
		cells := []string{strconv.FormatUint(e.Revision, 10), e.Time.UTC().Format(time.RFC3339), e.Kind, name, p,
			said(e.Changed[p].Old), said(e.Changed[p].New), e.Cause.Source, run, e.Cause.Actor}
		err := sheet.row(append(cells, r.cells(&e.User)...)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// said is a value of an event in a cell.
func said(v any) string {
	list, isList := v.([]any)
	if !isList {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	all := make([]string, len(list))
	for i, value := range list {
		all[i] = said(value)
	}
	return strings.Join(all, ", ")
}

// sheet writes rows as a table, as CSV or as JSON.
type sheet struct {
	out  io.Writer
	head []string
	csv  *csv.Writer
	// A table waits for its last row; sorted puts its rows in order.
	table  *table
	rows   [][]string
	sorted bool
}

func newSheet(out io.Writer, format string, head []string) (*sheet, error) {
	s := &sheet{out: out, head: head}
	switch format {
	case "table":
		titles := make([]string, len(head))
		for i, name := range head {
			titles[i] = strings.ToUpper(strings.ReplaceAll(name, "_", " "))
		}
		s.table = newTable(out, titles...)
	case "csv":
		s.csv = csv.NewWriter(out)
		return s, s.csv.Write(head)
	case "json":
	default:
		return nil, usage(try(fmt.Errorf("--format: %q is not known", format), "table, csv, json"))
	}
	return s, nil
}

func (s *sheet) row(cells ...string) error {
	switch {
	case s.table != nil:
		s.rows = append(s.rows, cells)
		return nil
	case s.csv != nil:
		return s.csv.Write(cells)
	}
	return s.object(cells)
}

// object writes a row as a JSON object with its fields in the order of the columns.
func (s *sheet) object(cells []string) error {
	b := []byte{'{'}
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(s.head[i])
		if err != nil {
			return err
		}
		b = append(append(b, name...), ':')
		b = store.AppendString(b, cell)
	}
	_, err := s.out.Write(append(b, '}', '\n'))
	return err
}

func (s *sheet) end() error {
	switch {
	case s.table != nil:
		if s.sorted {
			slices.SortFunc(s.rows, slices.Compare)
		}
		for _, cells := range s.rows {
			s.table.row(cells...)
		}
		return s.table.end()
	case s.csv != nil:
		s.csv.Flush()
		return s.csv.Error()
	}
	return nil
}
