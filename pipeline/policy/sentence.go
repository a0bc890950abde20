package policy

import (
	"slices"
	"strings"

	"rollcall/store"
)

// Sentence returns a verdict as an operator reads it: "update bob: phone +420 1 → +420 2".
func Sentence(v *Verdict) string {
	said := verb(v) + " " + subject(v)
	parts := make([]string, 0, len(v.Changed)+1)
	if v.Event != "created" && !v.Deactivated {
		for _, c := range v.Changed {
			if text := c.text(); text != "" {
				parts = append(parts, text)
			}
		}
	}
	if v.Reason != "" {
		parts = append(parts, v.Reason)
	}
	for _, w := range v.Warnings {
		parts = append(parts, "warning: "+w.String())
	}
	if len(parts) == 0 {
		return said
	}
	return said + ": " + strings.Join(parts, ", ")
}

// Who names a verdict's user and its entry, whichever there are.
func (v *Verdict) Who() string {
	switch {
	case v.Name == "" || v.Name == v.Entry:
		return v.Entry
	case v.Entry == "":
		return v.Name
	}
	return v.Name + " (" + v.Entry + ")"
}

func verb(v *Verdict) string {
	switch {
	case v.Event == "anonymized":
		return "anonymize"
	case v.Deactivated:
		return "deactivate"
	case v.Action == Create:
		return "create"
	case v.Action == Reactivate:
		return "reactivate"
	case v.Action == Merge:
		return "merge"
	case v.Action == Unchanged:
		return "leave"
	case v.Action == Ignore:
		return "ignore"
	case v.Action == Conflict:
		return "conflict"
	case v.Action == Reject:
		return "reject"
	case v.User != nil, v.Origin != nil && v.Origin.Group && v.Action == Update:
		return "update"
	case v.Action == Update:
		return "link"
	case v.Action == Disable:
		return "leave out"
	case v.Action == Delete:
		return "forget"
	}
	return string(v.Action)
}

func subject(v *Verdict) string {
	switch {
	case v.Event == "created":
		return nameOf(v.User) + " (" + v.User.Text[store.FullName] + ")"
	case v.Origin != nil && v.Origin.Group:
		return "group " + v.Entry
	case v.User == nil || v.Name == "":
		return v.Who()
	}
	return v.Name
}

// text says a change in words: "phone 1 → 2", "cards +0042 −0041".
func (c Changed) text() string {
	if c.OldList == nil && c.NewList == nil {
		return c.Property + " " + orNothing(c.Old) + " → " + orNothing(c.New)
	}
	if c.Property == store.PINs.String() {
		return c.Property + " changed"
	}
	var moved []string
	for _, v := range c.NewList {
		if !slices.Contains(c.OldList, v) {
			moved = append(moved, "+"+v)
		}
	}
	for _, v := range c.OldList {
		if !slices.Contains(c.NewList, v) {
			moved = append(moved, "−"+v)
		}
	}
	return c.Property + " " + strings.Join(moved, " ")
}

func orNothing(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
