package entra

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/connectors"
)

var _ connectors.Merger = (*connector)(nil)

// The attributes of a group's members: all of them, and the changes of them.
const (
	membersName  = "members"
	membersDelta = "members@delta"
)

// Merge lays what a round told over an object's last record: changes of members are carried out, and what is made of other
// attributes is made anew.
func (c *connector) Merge(last, told connectors.Record) (connectors.Record, error) {
	changes := find(told.Attributes, membersDelta)
	told.Attributes = slices.DeleteFunc(slices.Clone(told.Attributes), func(a connectors.Attribute) bool { return a.Name == membersDelta })
	merged := connectors.Merge(last, told)
	if told.Name == told.Key && last.Name != "" {
		merged.Name = last.Name // nothing was told that it is called by
	}
	deriveOnPremises(merged.Attributes)
	if changes == nil {
		return merged, nil
	}
	members := find(merged.Attributes, membersName)
	if members == nil {
		return merged, fmt.Errorf("changes of the members of %s, of whom none are known", last.Name)
	}
	values, err := changeMembers(members.Values, changes.Values)
	members.Values = values
	return merged, err
}

func find(list []connectors.Attribute, name string) *connectors.Attribute {
	for i := range list {
		if strings.EqualFold(list[i].Name, name) {
			return &list[i]
		}
	}
	return nil
}

// changeMembers adds and takes away the ids behind "+" and "-".
func changeMembers(members, changes []string) ([]string, error) {
	is := make(map[string]bool, len(members)+len(changes))
	for _, id := range members {
		is[id] = true
	}
	for _, change := range changes {
		if len(change) < 2 || change[0] != '+' && change[0] != '-' {
			return nil, fmt.Errorf("%q is no change of a member", change)
		}
		is[change[1:]] = change[0] == '+'
	}
	var now []string
	for id, in := range is {
		if in {
			now = append(now, id)
		}
	}
	slices.Sort(now)
	return now, nil
}

// deriveOnPremises makes the attribute that is made of two, of which a round may tell one.
func deriveOnPremises(list []connectors.Attribute) {
	both := find(list, onPremisesName)
	if both == nil {
		return
	}
	user, domain := find(list, "onPremisesSamAccountName"), find(list, "onPremisesDomainName")
	if user == nil || domain == nil || len(user.Values) == 0 || len(domain.Values) == 0 {
		both.Values = nil
		return
	}
	both.Values = []string{user.Values[0] + "@" + domain.Values[0]}
}

var _ connectors.Teller = (*connector)(nil)

// Tell says when the rounds ended where the next ones begin. The links themselves hold tokens.
func (c *connector) Tell(raw connectors.Checkpoint) string {
	point, err := openCheckpoint(raw, c.config.query(c.wanted))
	if err != nil {
		return "of another configuration"
	}
	sets := "users"
	if point.Groups != "" {
		sets = "users and groups"
	}
	return fmt.Sprintf("deltaLink of %s, %s", sets, point.Issued.UTC().Format("2006-01-02 15:04:05Z"))
}
