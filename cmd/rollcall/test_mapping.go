package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

func (a *app) testMapping() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test-mapping SOURCE PROPERTY VALUE",
		Short: "Show what becomes of one value, step by step",
		Long: "Send one value through a source's rule for a property (from, regex, transformation, case) and show it after\n" +
			"each step. The source is not asked.",
		Example: `  rollcall test-mapping corp cards 1000AB
  rollcall test-mapping corp personal_number E4711 --json`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: a.completeSource,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			s, err := source(c, args[0])
			if err != nil {
				return err
			}
			steps, err := journey(s, args[1], args[2])
			if err != nil {
				return err
			}
			return a.showSteps(steps)
		},
	}
	return a.jsonFlag(cmd)
}

// step is a value after one part of a rule.
type step struct {
	Step     string   `json:"step"`
	Values   []string `json:"values"`
	Warnings []string `json:"warnings,omitempty"`
}

// journey applies ever more of a property's rule to a value: each step is a mapping of its own, so what is shown
// is what a run does.
func journey(s *pipeline.Source, property, value string) ([]step, error) {
	p, known := store.ParseProperty(property)
	rule, mapped := s.Mapping.Properties[property]
	switch {
	case !known:
		return nil, usage(try(fmt.Errorf("there is no property %q", property), "user_name, full_name, cards, …: rollcall preview "+s.Name+" shows them"))
	case !mapped:
		return nil, usage(try(fmt.Errorf("%s does not map %s", s.Name, property), "mapping: {"+property+": attribute}"))
	case p == store.PINs:
		return nil, usage(try(errors.New("PINs belong on no command line"), "cards, which go through the same chain"))
	}
	steps := []step{{Step: "value", Values: []string{value}}}
	for _, part := range partsOf(rule, s.Mapping, p) {
		one, err := apply(part.config, p, value)
		if err != nil {
			return nil, err
		}
		one.Step = part.name
		steps = append(steps, one)
	}
	return steps, nil
}

// part is a mapping up to one step.
type part struct {
	name   string
	config mapping.Config
}

// partsOf cuts a rule into mappings that each do one step more (K1).
func partsOf(rule mapping.Rule, whole mapping.Config, p store.Property) []part {
	var parts []part
	so := mapping.Rule{From: rule.From, Template: rule.Template, Value: rule.Value, Split: rule.Split, Skip: rule.Skip, Take: rule.Take,
		Type: rule.Type, Kind: rule.Kind, ValidFor: rule.ValidFor}
	config := mapping.Config{StorageTargets: whole.StorageTargets}
	add := func(name string) {
		c := config
		c.Properties = map[string]mapping.Rule{p.String(): so}
		parts = append(parts, part{name, c})
	}
	add(origin(rule))
	if rule.Regex != "" {
		so.Regex = rule.Regex
		add("regex " + rule.Regex)
	}
	for i, command := range rule.Transform {
		so.Transform = rule.Transform[:i+1]
		add("transform " + command)
	}
	if rule.Default != "" {
		so.Default = rule.Default
		add("default " + rule.Default)
	}
	if p == store.UserName && whole.AppendDomain {
		config.AppendDomain, config.Domain = true, whole.Domain
		add("append_domain_to_user_name")
	}
	if p == store.UserName && whole.Lowercase {
		config.Lowercase = true
		add("user_name_lowercase")
	}
	return parts
}

// origin says from what a rule takes its value.
func origin(rule mapping.Rule) string {
	switch {
	case rule.Value != nil:
		return "constant"
	case rule.Template != "":
		return "template " + rule.Template
	}
	text := "from " + strings.Join(rule.From, ", ")
	if rule.Split != "" {
		text += ", split at " + rule.Split
	}
	return text
}

// apply maps a record that has the value in the first attribute of the rule, or in all of a template.
func apply(c mapping.Config, p store.Property, value string) (step, error) {
	rule := c.Properties[p.String()]
	if p != store.UserName { // no user without a name
		name := "somebody"
		c.Properties[store.UserName.String()] = mapping.Rule{Value: &name}
	}
	m, err := mapping.Compile(c)
	if err != nil {
		return step{}, err
	}
	r := connectors.Record{Key: "test", Kind: connectors.User, Name: "test"}
	for _, name := range m.Attributes() {
		attribute := connectors.Attribute{Name: name}
		if rule.Template != "" || strings.EqualFold(name, firstAttribute(rule)) {
			attribute.Values = []string{value}
		}
		r.Attributes = append(r.Attributes, attribute)
	}
	change, err := m.Apply(&r)
	one := step{Values: []string{}}
	if err != nil {
		one.Warnings = append(one.Warnings, err.Error())
	}
	for _, w := range change.Warnings {
		one.Warnings = append(one.Warnings, w.Reason)
	}
	if p.Multi() {
		one.Values = slices.Concat(one.Values, change.List[p.List()])
	} else if text := change.Text[p]; text != "" {
		one.Values = append(one.Values, text)
	}
	return one, nil
}

func firstAttribute(rule mapping.Rule) string {
	if len(rule.From) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(rule.From[0], ";")
	return strings.TrimSpace(name)
}

func (a *app) showSteps(steps []step) error {
	if a.json {
		for _, s := range steps {
			if err := line(a.stdout, s); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(a.stdout)
	for _, s := range steps {
		shown := strings.Join(s.Values, ", ")
		if len(s.Values) == 0 {
			shown = "(nothing)"
		}
		for _, w := range s.Warnings {
			shown += "  warning: " + w
		}
		t.row(s.Step, shown)
	}
	return t.end()
}
