package main

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

func (a *app) preview() *cobra.Command {
	n := 10
	cmd := &cobra.Command{
		Use:   "preview SOURCE",
		Short: "Show the first records and what they become",
		Long:  "Read the first records of a source and show the directory's attributes beside the properties they become.\nNothing is written.",
		Example: `  rollcall preview people
  rollcall preview corp -n 100 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			s, err := source(c, args[0])
			if err != nil {
				return err
			}
			return pipeline.Preview(cmd.Context(), *s, n, a.commandLog(), a.sample)
		},
	}
	cmd.Flags().IntVarP(&n, "number", "n", n, "how many records")
	return a.jsonFlag(cmd)
}

// sample is a record and what becomes of it.
type sample struct {
	Entry      string              `json:"entry"`
	Key        string              `json:"key"`
	Attributes map[string][]string `json:"attributes"`
	Properties map[string]any      `json:"properties"`
	Disabled   bool                `json:"disabled,omitempty"`
	Unselected bool                `json:"unselected,omitempty"`
	Rejected   string              `json:"rejected,omitempty"`
	Warnings   []string            `json:"warnings,omitempty"`
}

// sample prints a record.
func (a *app) sample(r connectors.Record, c mapping.Change, err error) error {
	one := sample{Entry: r.Name, Key: r.Key, Attributes: map[string][]string{}, Properties: properties(c),
		Disabled: c.Disabled, Unselected: c.Unselected, Rejected: c.Rejected}
	for _, attribute := range r.Attributes {
		one.Attributes[attribute.Name] = attribute.Values
	}
	for _, w := range c.Warnings {
		one.Warnings = append(one.Warnings, w.String())
	}
	if err != nil {
		one.Rejected = err.Error()
	}
	if a.json {
		return line(a.stdout, one)
	}
	return a.describeSample(r, one)
}

// properties are what a change sets, texts and lists.
func properties(c mapping.Change) map[string]any {
	set := map[string]any{}
	for _, p := range store.Properties() {
		switch {
		case !c.Set.Has(p):
		case p == store.PINs:
			set[p.String()] = "(not shown)"
		case c.Loan.Borrows.Has(p) && c.Loan.Lender != "":
			set[p.String()] = "(the manager's)"
		case p.Multi():
			set[p.String()] = c.List[p.List()]
		default:
			set[p.String()] = c.Text[p]
		}
	}
	return set
}

func (a *app) describeSample(r connectors.Record, s sample) error {
	a.say("%s\n", plain(s.Entry))
	var left, right [][2]string
	for _, attribute := range r.Attributes {
		left = append(left, [2]string{attribute.Name, strings.Join(s.Attributes[attribute.Name], ", ")})
	}
	for _, p := range store.Properties() {
		if value, ok := s.Properties[p.String()]; ok {
			right = append(right, [2]string{p.String(), joined(value)})
		}
	}
	t := newTable(a.stdout, "  ATTRIBUTE", "VALUE", "PROPERTY", "VALUE")
	for i := range max(len(left), len(right)) {
		l, r := at(left, i), at(right, i)
		t.row("  "+l[0], cut(l[1]), r[0], cut(r[1]))
	}
	if err := t.end(); err != nil {
		return err
	}
	for _, note := range notes(s) {
		a.say("  %s\n", plain(note))
	}
	a.say("\n")
	return nil
}

func notes(s sample) []string {
	var all []string
	if s.Disabled {
		all = append(all, "disabled: the directory says that this account may not be used")
	}
	if s.Unselected {
		all = append(all, "not selected: select.where leaves this entry out")
	}
	if s.Rejected != "" {
		all = append(all, "rejected: "+s.Rejected)
	}
	for _, w := range s.Warnings {
		all = append(all, "warning: "+w)
	}
	return all
}

func at(rows [][2]string, i int) [2]string {
	if i < len(rows) {
		return rows[i]
	}
	return [2]string{}
}

// cut keeps a long value from breaking the table.
func cut(s string) string {
	const most = 48
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func joined(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ", ")
	case string:
		return v
	}
	text, _ := json.Marshal(v)
	return string(text)
}
