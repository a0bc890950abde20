package policy

import (
	"time"

	"rollcall/store"
)

// View is what a fold reads of the store. It must show the same state from the first Note to the end.
type View struct {
	// Origin returns what is known of an entry, nil for nothing.
	Origin func(source string, key store.Key) (*store.Origin, error)
	// User returns a user, nil for none. The fold does not change what it gets.
	User func(id string) (*store.User, error)
	// Holder returns the id of the user who holds a unique value, "" for nobody.
	Holder func(c store.Claim) (string, error)
	// Group reports whether there is a group of that path; nil stands for no.
	Group func(path string) (bool, error)
	// Named returns the entries that are called so, Joined the groups' entries that count whoever is called so among their
	// members. They are needed where groups are entries.
	Named, Joined func(source string, name store.Key) ([]store.Key, error)
}

// Run is what a fold knows of the run that it decides.
type Run struct {
	Number uint64
	// Time is the run's own time, never a clock's.
	Time time.Time
	// Whole is true for a read of everything, First when the source has no applied run yet.
	Whole, First bool
	// ScopeChanged is true when the last applied run read another scope.
	ScopeChanged bool
	// Read counts the entries seen, Known those of the source known before and not gone.
	Read, Known int
	// ActiveOwned counts the active users that the source owns, ActiveLinked those whom an entry of it leads to,
	// Administrators all active administrators, before the run.
	ActiveOwned, ActiveLinked, Administrators int
	// ValidFor says how long the cards and PINs that the source brings are good, where they are temporary (K6, P7).
	ValidFor map[store.Property]time.Duration
	// PINsRaised is true when PINs are longer from this run on (P6).
	PINsRaised bool
	// NewID returns the id of the user made for an entry.
	NewID func(key string) string
	// Enabled reports whether a source is configured and enabled; nil stands for yes.
	Enabled func(source string) bool
	// Contributes reports whether a source never owns a user (O3); nil stands for no.
	Contributes func(source string) bool
	// Label returns the label of a source; nil stands for its name.
	Label func(source string) string
}

func (r Run) enabled(source string) bool { return r.Enabled == nil || r.Enabled(source) }

// canOwn reports whether a user may pass over to a source.
func (r Run) canOwn(source string) bool {
	return r.enabled(source) && (r.Contributes == nil || !r.Contributes(source))
}

func (r Run) label(source string) string {
	if r.Label == nil {
		return source
	}
	return r.Label(source)
}
