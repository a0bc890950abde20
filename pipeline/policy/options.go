package policy

// Options are the decisions an administrator takes for one source (myq-rules.md, section O). They
// are part of what is published under the configuration's hash.
type Options struct {
	// Source is the source's name, Label what users show as their synchronization source (O9).
	Source string `json:"source"`
	Label  string `json:"label"`
	// Domain is the source's authentication domain.
	Domain                      string `json:"domain,omitempty"`
	AddNewUsers                 bool   `json:"add_new_users"`
	DeactivateMissingUsers      bool   `json:"deactivate_missing_users"`
	AbsentFor                   int    `json:"absent_for"`
	IgnoreSynchronizationSource bool   `json:"ignore_synchronization_source"`
	// Ownership is "take" or "contribute" (O3).
	Ownership            string `json:"ownership"`
	PairByPersonalNumber bool   `json:"pair_by_personal_number"`
	PairByObjectID       bool   `json:"pair_by_object_id"`
	AdoptLocalUsers      bool   `json:"adopt_local_users"`
	KeepOldNameAsAlias   bool   `json:"keep_old_name_as_alias"`
	TrustSourceColumn    bool   `json:"trust_source_column"`
	// UseAuthenticationServer is "", "true" (this very server) or the name of one (O8).
	UseAuthenticationServer string `json:"use_authentication_server,omitempty"`
	// AuthenticationServers are all names that a user may carry (U13).
	AuthenticationServers []string `json:"authentication_servers,omitempty"`
	// DisabledAccounts is "deactivate", "missing" or "import" (L6).
	DisabledAccounts string `json:"disabled_accounts"`
	// Memberships is true where groups that are entries say who is in them (G1), MembershipDefault where they make default
	// groups too.
	Memberships       bool `json:"memberships,omitempty"`
	MembershipDefault bool `json:"membership_default,omitempty"`
	// GroupsUnder is the graft point, "" for none (G4).
	GroupsUnder string `json:"groups_under,omitempty"`
	// SelectGroups is true where only people in the selected groups are wanted, SelectNested counts those in groups within
	// them (E2).
	SelectGroups bool `json:"select_groups,omitempty"`
	SelectNested bool `json:"select_nested,omitempty"`
	// Merge is the mode per property name: none, full, if-not-empty, add-new, full-own (O11).
	Merge map[string]string `json:"merge,omitempty"`
	// Precedence are the sources, strongest first, that decide a property which two of them map (O3).
	Precedence []string `json:"precedence,omitempty"`
	// Cards: KeepDefaultGroup is G4's "do not change default group"; MultipleCards is K6.
	KeepDefaultGroup bool  `json:"keep_default_group,omitempty"`
	MultipleCards    bool  `json:"multiple_cards"`
	Guard            Guard `json:"guard"`
	// PINs are the rules of all sources' PINs (section P).
	PINs PINRules `json:"pins,omitzero"`
	// EventCards is how events show cards: full, masked or none.
	EventCards string `json:"event_cards"`
}

// Limit holds a run when more than max(Floor, Percent % of the source's active users) of one
// class of change are planned, or more than Maximum (0: no maximum). Floor and Percent 0 allow nothing, but for
// relinks, which are limited by their maximum alone then.
type Limit struct {
	Floor   int `json:"floor" yaml:"floor"`
	Percent int `json:"percent" yaml:"percent"`
	Maximum int `json:"maximum" yaml:"maximum"`
}

// Guard holds the limits of rule H1.
type Guard struct {
	Deactivate        Limit `json:"deactivate" yaml:"deactivate"`
	Create            Limit `json:"create" yaml:"create"`
	Rename            Limit `json:"rename" yaml:"rename"`
	Blank             Limit `json:"blank" yaml:"blank"`
	Secrets           Limit `json:"secrets" yaml:"secrets"`
	Memberships       Limit `json:"memberships" yaml:"memberships"`
	Relink            Limit `json:"relink" yaml:"relink"`
	HoldOnScopeChange bool  `json:"hold_on_scope_change" yaml:"hold_on_scope_change"`
}

// DefaultGuard returns the limits of rule H1.
func DefaultGuard() Guard {
	return Guard{
		Deactivate:        Limit{Floor: 10, Percent: 5, Maximum: 500},
		Create:            Limit{Floor: 100, Percent: 50},
		Rename:            Limit{Floor: 10, Percent: 5},
		Blank:             Limit{Floor: 10, Percent: 10},
		Secrets:           Limit{Floor: 10, Percent: 25},
		Memberships:       Limit{Floor: 10, Percent: 25},
		Relink:            Limit{Maximum: 10},
		HoldOnScopeChange: true,
	}
}
