package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

func (a *app) testMapping() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test-mapping SOURCE PROPERTY VALUE",
		Short: "Show what becomes of one value, step by step",
		Long: "Send one value of an attribute through a source's rule for a property (split, trim, regex, transformation,\n" +
			"case) and show it after each step. The source is not asked.",
		Example: `  rollcall test-mapping corp cards 1000AB
  rollcall test-mapping corp personal_number E4711 --json`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: a.completeSource,
		RunE: func(_ *cobra.Command, args []string) error {
			steps, err := a.trace(args[0], args[1], args[2])
			if err != nil {
				return err
			}
			return a.showSteps(steps)
		},
	}
	return a.jsonFlag(cmd)
}

func (a *app) trace(name, property, value string) ([]mapping.Step, error) {
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	s, err := source(c, name)
	if err != nil {
		return nil, err
	}
	p, known := store.ParseProperty(property)
	if !known {
		return nil, usage(try(fmt.Errorf("there is no property %q", property), "user_name, full_name, cards, …: rollcall preview "+name+" shows them"))
	}
	m, err := mapping.Compile(s.Mapping)
	if err != nil {
		return nil, err
	}
	steps, err := m.Trace(p, value)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", name, err))
	}
	return steps, nil
}

func (a *app) showSteps(steps []mapping.Step) error {
	if a.json {
		for _, s := range steps {
			shown := struct {
				Step  string `json:"step"`
				Value string `json:"value"`
				Note  string `json:"note,omitempty"`
			}{s.Name, s.Value, s.Note}
			if err := line(a.stdout, shown); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(a.stdout)
	for _, s := range steps {
		t.row(s.Name, strconv.Quote(s.Value), s.Note)
	}
	return t.end()
}
