package config

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/store"
)

// notes are sentences on what is possible and probably not meant.
func (f *file) notes() []string {
	return slices.Concat(f.disputed(), f.both())
}

// disputed names properties that several sources map although nothing says who wins (O3).
func (f *file) disputed() []string {
	if len(f.Precedence) > 0 {
		return nil
	}
	var all []string
	for i, a := range f.Sources {
		for _, b := range f.Sources[i+1:] {
			if names := contested(a, b); len(names) > 0 {
				all = append(all, fmt.Sprintf("the sources %s and %s may both set %s of one person: precedence says who wins",
					a.name, b.name, strings.Join(names, ", ")))
			}
		}
	}
	return all
}

// contested are the single-valued properties that both sources may write on one user.
func contested(a, b *source) []string {
	if !a.Enabled || !b.Enabled || !a.Options.IgnoreSynchronizationSource && !b.Options.IgnoreSynchronizationSource {
		return nil // each leaves the other's users alone
	}
	theirs := b.rules()
	var names []string
	for _, name := range a.rules().names() {
		p, known := store.ParseProperty(name)
		if _, both := theirs[name]; both && known && !p.Multi() && p != store.UserName {
			names = append(names, name)
		}
	}
	return names
}

// both explains the pair of options that deletes other sources' users elsewhere (O4).
func (f *file) both() []string {
	var all []string
	for _, s := range f.Sources {
		if s.Enabled && s.Options.IgnoreSynchronizationSource && s.Options.DeactivateMissingUsers {
			all = append(all, s.name+": ignore_synchronization_source and deactivate_missing_users are both on: "+
				"people are deactivated only when this source owns them, never those of another source")
		}
	}
	return all
}
