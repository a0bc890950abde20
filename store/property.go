package store

// Property is a property of a user that a source may map (myq-rules.md, section U). Its number
// is what rests on disk and in streams: a new property takes a new number at the end.
type Property uint8

// The single-valued properties. Their values are in [Texts].
const (
	UserName Property = iota
	FullName
	Email
	Phone
	Notes
	PersonalNumber
	DefaultLanguage
	Department
	UserStorage
	UseAuthenticationServer // "true", "false" or ""
	AuthenticationServer
	OnPremisesDomain
	OnPremisesUserName
	Custom1
	Custom2
	Custom3
	DefaultGroup // a path as in Groups
	TextCount    // how many there are
)

// The multi-valued properties. Their values are in [Lists].
const (
	Aliases         = listBase + iota
	Cards           // numbers after the transformation chain
	PINs            // keyed hashes, never digits
	AlternateEmails //
	Groups          // paths "Staff|IT|Ops", "\" escapes "," "|" "\" inside a name
	ManagedGroups   //
	Delegates       // user names, with escapes as if they were groups, or paths
	CostCenters     //
	listEnd
)

const (
	listBase = Property(32)
	// ListCount is how many multi-valued properties there are.
	ListCount = listEnd - listBase
)

var propertyNames = map[Property]string{
	UserName: "user_name", FullName: "full_name", Email: "email", Phone: "phone", Notes: "notes",
	PersonalNumber: "personal_number", DefaultLanguage: "default_language", Department: "department",
	UserStorage: "user_storage", UseAuthenticationServer: "use_authentication_server",
	AuthenticationServer: "authentication_server", OnPremisesDomain: "on_premises_domain",
	OnPremisesUserName: "on_premises_user_name", Custom1: "custom_1", Custom2: "custom_2", Custom3: "custom_3",
	DefaultGroup: "default_group",
	Aliases:      "aliases", Cards: "cards", PINs: "pins", AlternateEmails: "alternate_emails", Groups: "groups",
	ManagedGroups: "managed_groups", Delegates: "delegates", CostCenters: "cost_centers",
}

var propertiesByName = func() map[string]Property {
	m := make(map[string]Property, len(propertyNames))
	for p, name := range propertyNames {
		m[name] = p
	}
	return m
}()

// String returns the property's name in configuration, JSON and messages.
func (p Property) String() string { return propertyNames[p] }

// ParseProperty returns the property of that name.
func ParseProperty(name string) (Property, bool) {
	p, ok := propertiesByName[name]
	return p, ok
}

// Multi reports whether p is multi-valued.
func (p Property) Multi() bool { return p >= listBase }

// Properties returns every property: the single-valued ones in order, then the multi-valued.
func Properties() []Property {
	all := make([]Property, 0, int(TextCount)+int(ListCount))
	for p := Property(0); p < TextCount; p++ {
		all = append(all, p)
	}
	for p := listBase; p < listEnd; p++ {
		all = append(all, p)
	}
	return all
}

// PropertySet is a set of properties.
type PropertySet uint64

// With returns the set with p added.
func (s PropertySet) With(p Property) PropertySet { return s | 1<<p }

// Has reports whether p is in the set.
func (s PropertySet) Has(p Property) bool { return s&(1<<p) != 0 }

// Texts holds a value for every single-valued property, "" for none.
type Texts [TextCount]string

// Lists holds the values of every multi-valued property; index it with [Property.List].
type Lists[V any] [ListCount][]V

// List returns p's index in [Lists].
func (p Property) List() int { return int(p - listBase) }
