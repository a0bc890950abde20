package entra

import (
	"slices"
	"strings"
)

// Names that are not properties of Graph but made of some.
const (
	upnPrefix      = "upnPrefix"
	onPremisesName = "onPremisesSamAccountName@onPremisesDomainName"
)

// groupSelect is what is read of a group.
var groupSelect = []string{"createdDateTime", "description", "displayName", "mail", "members"}

// wanted is what is asked of Graph.
type wanted struct {
	// attributes are the names that a whole user record lists, as the configuration spells them.
	attributes []string
	// properties are the names in $select of users.
	properties []string
	// groups is true when group records are wanted.
	groups bool
	// refused are names that are never asked for (U21).
	refused []string
}

// newWanted derives what to ask for from the names that the configuration uses.
func newWanted(attributes []string) wanted {
	w := wanted{attributes: []string{"accountEnabled", "createdDateTime", "displayName", "userPrincipalName", "userType"}}
	for _, name := range attributes {
		lower := strings.ToLower(name)
		switch {
		case lower == "id" || name == "":
		case lower == "members" || lower == "memberof":
			w.groups = true
		case password(lower):
			w.refused = append(w.refused, name)
		default:
			w.attributes = append(w.attributes, name)
			if derived(name) {
				w.attributes = append(w.attributes, propertiesOf(name)...)
			}
		}
	}
	slices.SortFunc(w.attributes, compareFold)
	w.attributes = slices.CompactFunc(w.attributes, strings.EqualFold)
	for _, name := range w.attributes {
		w.properties = append(w.properties, propertiesOf(name)...)
	}
	slices.SortFunc(w.properties, compareFold)
	w.properties = slices.CompactFunc(w.properties, strings.EqualFold)
	return w
}

// plainProperties are those that a plain read takes in $select.
func (w wanted) plainProperties() []string {
	return slices.DeleteFunc(slices.Clone(w.properties), func(p string) bool { return strings.EqualFold(p, "manager") })
}

// propertiesOf returns the properties of Graph that an attribute is made of.
func propertiesOf(attribute string) []string {
	switch {
	case strings.EqualFold(attribute, upnPrefix):
		return []string{"userPrincipalName"}
	case strings.EqualFold(attribute, onPremisesName):
		return []string{"onPremisesDomainName", "onPremisesSamAccountName"}
	}
	property, _, _ := strings.Cut(attribute, ".")
	return []string{property}
}

func derived(attribute string) bool {
	return strings.EqualFold(attribute, upnPrefix) || strings.EqualFold(attribute, onPremisesName)
}

func compareFold(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }

// password says whether a name is of the family that is never requested.
func password(lower string) bool {
	return strings.HasPrefix(lower, "passwordprofile") || lower == "unicodepwd" || lower == "userpassword"
}
