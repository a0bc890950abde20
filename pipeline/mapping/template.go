package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/connectors"
)

// template is a text with attributes in it (K5). "%%" is a percent sign.
type template struct {
	parts []part
	// slots are the attributes, each once.
	slots []int
}

// part is a literal, or the attribute slot when literal is "".
type part struct {
	literal string
	slot    int
}

func compileTemplate(text string, n *names) (*template, error) {
	t := &template{}
	pieces := strings.Split(text, "%")
	if len(pieces)%2 == 0 {
		return nil, connectors.Hint(fmt.Errorf("template %q: a %% is not closed", text), "%% for a percent sign")
	}
	for i, piece := range pieces {
		switch {
		case i%2 == 0:
			t.add(piece)
		case piece == "":
			t.add("%")
		default:
			slots, err := n.list([]string{piece})
			if err != nil || len(slots) != 1 {
				return nil, errors.Join(fmt.Errorf("template %q: %%%s%% is not one attribute", text, piece), err)
			}
			t.parts = append(t.parts, part{slot: slots[0]})
			t.slots = append(t.slots, slots[0])
		}
	}
	slices.Sort(t.slots)
	t.slots = slices.Compact(t.slots)
	if len(t.parts) == 0 {
		return nil, errors.New("the template is empty")
	}
	return t, nil
}

func (t *template) add(literal string) {
	if literal != "" {
		t.parts = append(t.parts, part{literal: literal})
	}
}

// expand appends the texts that a record gives: one for each value when the template has one attribute, else one
// of the first values of all. Nothing comes of attributes that are all empty (K5). With paths, a "|" of the
// template is a level and one of a value is not (G7).
func (t *template) expand(into []string, v view, paths bool) []string {
	if len(t.slots) != 1 {
		if len(t.slots) > 0 && !slices.ContainsFunc(t.slots, func(slot int) bool { return v.first(slot) != "" }) {
			return into
		}
		return append(into, t.text(func(slot int) string { return v.first(slot) }, paths))
	}
	for _, value := range v.values(t.slots[0]) {
		if value = trim(value); value != "" {
			into = append(into, t.text(func(int) string { return value }, paths))
		}
	}
	return into
}

func (t *template) text(value func(slot int) string, paths bool) string {
	if len(t.parts) == 1 && t.parts[0].literal != "" {
		return t.parts[0].literal
	}
	var room [256]byte
	b := room[:0]
	for _, p := range t.parts {
		switch {
		case p.literal != "":
			b = append(b, p.literal...)
		case paths:
			b = append(b, Escape(value(p.slot))...)
		default:
			b = append(b, value(p.slot)...)
		}
	}
	return string(b)
}

// listed reports whether a record says anything that the template uses.
func (t *template) listed(v view) bool { return len(t.slots) == 0 || v.listed(t.slots) }
