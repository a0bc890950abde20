package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// rules are how properties get their values, by the property's name.
type rules map[string]rule

// rule is written as "attribute", [first, second], "%a template%", none, or with all its parts.
type rule struct {
	mapping.Rule
	merge string
	none  bool // the preset's rule is removed
}

// parts is the long form of a rule.
type parts struct {
	From      words         `yaml:"from"`
	Template  string        `yaml:"template"`
	Value     *string       `yaml:"value"`
	Split     string        `yaml:"split"`
	Skip      int           `yaml:"skip"`
	Take      int           `yaml:"take"`
	Regex     string        `yaml:"regex"`
	Transform words         `yaml:"transform"`
	Default   string        `yaml:"default"`
	Type      string        `yaml:"type"`
	Kind      string        `yaml:"kind"`
	ValidFor  time.Duration `yaml:"valid_for"`
	Merge     string        `yaml:"merge"`
}

// words is a list that may be written as a single word.
type words []string

func (w *words) decodeYAML(d *decoder, path string, n ast.Node) {
	if _, list := n.(*ast.SequenceNode); list {
		decodeInto(d, path, n, (*[]string)(w))
		return
	}
	if text, _, ok := d.text(path, n); ok {
		*w = words{text}
	}
}

func (r *rule) decodeYAML(d *decoder, path string, n ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		var p parts
		decodeInto(d, path, n, &p)
		*r = p.rule()
	case *ast.SequenceNode:
		decodeInto(d, path, n, &r.From)
	default:
		text, _, _ := d.text(path, n)
		*r = short(text)
	}
}

func (p parts) rule() rule {
	return rule{merge: p.Merge, Rule: mapping.Rule{From: p.From, Template: p.Template, Value: p.Value, Split: p.Split,
		Skip: p.Skip, Take: p.Take, Regex: p.Regex, Transform: p.Transform, Default: p.Default,
		Type: p.Type, Kind: p.Kind, ValidFor: p.ValidFor}}
}

// short reads the one-word form of a rule.
func short(text string) rule {
	switch {
	case text == "none":
		return rule{none: true}
	case strings.Contains(text, "%"):
		return rule{Rule: mapping.Rule{Template: text}}
	}
	return rule{Rule: mapping.Rule{From: []string{text}}}
}

// rules are the preset's with the source's own over them, key by key. A rule that says how but not
// from what keeps the preset's attribute.
func (s *source) rules() rules {
	all := s.preset()
	for property, own := range s.Mapping {
		base, preset := all[property]
		switch {
		case own.none:
			delete(all, property)
			continue
		case preset && own.sources() == 0:
			own.From, own.Template, own.Value = base.From, base.Template, base.Value
			own.Split, own.Skip, own.Take = base.Split, base.Skip, base.Take
		}
		all[property] = own
	}
	return all
}

func (r rules) names() []string { return slices.Sorted(maps.Keys(r)) }

// The ways a value may be taken over (O11).
var (
	textModes = []string{"none", "full", "if-not-empty"}
	listModes = []string{"none", "full", "full-own", "if-not-empty", "add-new"}
)

// check notes what the mapping itself does not look at: names, and how values are taken over.
func (r rule) check(d *decoder, path, name string) {
	property, known := store.ParseProperty(name)
	if !known {
		d.at(path, path+": there is no property "+quote(name), nearest(name, propertyNames()))
		return
	}
	modes := textModes
	if property.Multi() {
		modes = listModes
	}
	if r.merge != "" {
		d.oneOf(path+".merge", r.merge, modes...)
	}
}

// sources counts from what the rule takes its value.
func (r rule) sources() int {
	n := 0
	for _, given := range []bool{len(r.From) > 0, r.Template != "", r.Value != nil} {
		if given {
			n++
		}
	}
	return n
}

func propertyNames() []string {
	var names []string
	for _, p := range store.Properties() {
		names = append(names, p.String())
	}
	return names
}
