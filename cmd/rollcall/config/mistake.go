package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/connectors"
	"rollcall/store"
)

// Mistake is one thing wrong in a configuration file, and where.
type Mistake struct {
	File         string
	Line, Column int
	Text         string
	// Try is what would be right.
	Try string
}

// String returns the mistake in a line: "rollcall.yaml:12:5: what is wrong; try what is right".
func (m Mistake) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Text)
	if m.Try != "" {
		s += "; try " + m.Try
	}
	return s
}

// Mistakes are all mistakes of a file, sorted by place.
type Mistakes []Mistake

// Error returns a head line and a line for every mistake.
func (m Mistakes) Error() string {
	var b strings.Builder
	if len(m) == 1 {
		b.WriteString("the configuration has a mistake")
	} else {
		fmt.Fprintf(&b, "the configuration has %d mistakes", len(m))
	}
	for _, one := range m {
		b.WriteString("\n" + one.String())
	}
	return b.String()
}

// HintOf returns what an error says to try, like [connectors.HintOf].
func HintOf(err error) string {
	hint := connectors.HintOf(err)
	if unopened := (*store.OpenError)(nil); hint == "" && errors.As(err, &unopened) {
		hint = unopened.Try // the store is a leaf and has no hints of ours
	}
	return hint
}

func sorted(m []Mistake) Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return slices.Compact(m)
}
