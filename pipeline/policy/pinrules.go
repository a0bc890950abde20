package policy

import "time"

// PINRules are what an administrator decides about PINs (section P). They are part of what is published under the
// configuration's hash.
type PINRules struct {
	// MinimumLength of PINs, given and generated; 0 counts as 4 (P1).
	MinimumLength int `json:"minimum_length,omitempty"`
	// Generate makes a PIN at synchronization for whoever has none and an e-mail address (P4).
	Generate bool `json:"generate,omitempty"`
	// Mail sends a PIN that was made to its user: its verdict has a letter (P5).
	Mail bool `json:"mail,omitempty"`
	// OnRaise is what happens when the minimum is raised: keep (also for ""), holders or all-active (P6).
	OnRaise string `json:"on_raise,omitempty"`
	// ValidFor makes generated PINs temporary, 0 leaves them persistent; Groups limits that to their members, none means
	// everybody (P7).
	ValidFor time.Duration `json:"valid_for,omitempty"`
	Groups   []string      `json:"groups,omitempty"`
}

// Generated is the origin of what Rollcall made itself (U20).
const Generated = generated
