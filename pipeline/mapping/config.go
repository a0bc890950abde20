package mapping

import "time"

// Config is how the attributes of one source become properties. It is part of what is published
// under the configuration's hash: equal configurations encode to equal JSON.
type Config struct {
	// Properties maps a property's name to its rule; a property without a rule is left alone.
	Properties map[string]Rule `json:"properties"`
	// Domain is appended to the user name as "@domain" when AppendDomain is set (O7).
	Domain       string `json:"domain,omitempty"`
	AppendDomain bool   `json:"append_domain,omitempty"`
	// Lowercase lower-cases the user name, after the domain was appended (O7).
	Lowercase bool        `json:"lowercase,omitempty"`
	Groups    []GroupRule `json:"groups,omitempty"`
	// GroupsUnder is the graft point: the path that imported groups hang under (G4).
	GroupsUnder string `json:"groups_under,omitempty"`
	// IgnoreGroups and IgnoreGroupsContaining leave groups out by name and by substring (E3).
	IgnoreGroups           []string `json:"ignore_groups,omitempty"`
	IgnoreGroupsContaining []string `json:"ignore_groups_containing,omitempty"`
	// SelectGroups are the groups whose members are wanted, by name, key or DN; none: everybody (E2).
	SelectGroups []string `json:"select_groups,omitempty"`
	// EntryNames has every entry say what groups and other entries call it: "dn" for its DN and uid, "key" for its key, ""
	// for nothing. A membership rule with base DNs needs "dn".
	EntryNames string `json:"entry_names,omitempty"`
	// Lender is the attribute that names, by its key, the entry whose attributes are written behind it and a dot: "manager" for
	// manager.mail. "" is for none.
	Lender string `json:"lender,omitempty"`
	// StorageTargets are the names that user_storage may use as "target:<name>" (U12).
	StorageTargets []string `json:"storage_targets,omitempty"`
	// Where are RFC 4515 filters over the record's attributes; a record that one of them does not match
	// is unselected.
	Where []string `json:"where,omitempty"`
}

// Rule is how one property gets its value: from → trim → regex → transform → case (K1). Exactly one
// of From, Template and Value is given.
type Rule struct {
	// From names attributes: the first non-empty one for a single-valued property, all values of all
	// for a multi-valued one (L4). An element may be separated further by ";".
	From []string `json:"from,omitempty"`
	// Template is a text with %attribute% in it (K5).
	Template string `json:"template,omitempty"`
	// Value is a constant.
	Value *string `json:"value,omitempty"`
	// Split cuts every value at this separator first (CSV comma lists), "\" escapes it.
	Split string `json:"split,omitempty"`
	// Skip leaves out that many of the values (the user name at the head of USERNAME_ALIASES),
	// Take keeps at most that many (0: all).
	Skip int `json:"skip,omitempty"`
	Take int `json:"take,omitempty"`
	// Regex keeps the first capture group (K4, RE2).
	Regex string `json:"regex,omitempty"`
	// Transform is the card transformation chain (K2).
	Transform []string `json:"transform,omitempty"`
	// Default is the value when there is no other.
	Default string `json:"default,omitempty"`
	// Type is user_storage's: folder, email or target (U12).
	Type string `json:"type,omitempty"`
	// Kind is a card's or PIN's: persistent (also ""), temporary with ValidFor.
	Kind     string        `json:"kind,omitempty"`
	ValidFor time.Duration `json:"valid_for,omitempty"`
}

// GroupRule is one of the ways of a record into groups (G1).
type GroupRule struct {
	// By is template, ou, dn-tree, membership, or attribute (CSV trees, G2).
	By          string   `json:"by"`
	Value       string   `json:"value,omitempty"`
	Index       int      `json:"index,omitempty"`
	StripLeft   int      `json:"strip_left,omitempty"`
	StripRight  int      `json:"strip_right,omitempty"`
	BaseDNs     []string `json:"base_dns,omitempty"`
	Tree        bool     `json:"tree,omitempty"`
	EmptyGroups bool     `json:"empty_groups,omitempty"`
	Nested      bool     `json:"nested,omitempty"`
	MakeDefault bool     `json:"make_default,omitempty"`
}
