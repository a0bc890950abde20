package entra

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"

	"rollcall/connectors"
)

// inPart says whether Graph told too little of a user to make a record of it: in a first round less than its
// standard representation, in a later one not whether the account is disabled, or nothing of what a user who is perhaps new
// never had, or a second part of the same user's changes, of which only the last would count. again are the users of whom this round told before.
//
// Every user has a name and is enabled or not, so a representation without either is not the standard one.
func (p *pass) inPart(r *reader, rec connectors.Record, again map[string]bool) bool {
	if rec.Deleted {
		return false
	}
	stateless := !r.mentioned(r.known.enabled)
	if p.whole {
		return stateless || !r.mentioned(r.known.upn)
	}
	before := again[rec.Key]
	again[rec.Key] = true
	return stateless || rec.Partial && (before || r.unclear)
}

// complete asks Graph for the whole user, and lays what the round said over it: the answer may come from a replica that is
// behind. Of somebody who is not found, because he is gone by now, the next round will tell.
func (p *pass) complete(ctx context.Context, r *reader, told connectors.Record) (rec connectors.Record, isGuest, found bool, err error) {
	body, err := p.client.get(ctx, p.single(told.Key))
	if f, ok := errors.AsType[*failure](err); ok && f.status == http.StatusNotFound {
		return rec, false, false, nil
	}
	if err != nil {
		return rec, false, false, &outside{explainList("users", err)}
	}
	page, now := newPage(), newReader(connectors.User, p.wanted.attributes)
	page.load(body)
	whole, err := now.read(page, true)
	if err != nil || whole.Key != told.Key {
		return rec, false, false, &outside{(&round{set: "users"}).incomplete("a single user is not the one asked for")}
	}
	rec = connectors.Record{Key: whole.Key, Kind: whole.Kind, Name: told.Name, Attributes: overlay(whole, told), Disabled: told.Disabled}
	if !r.mentioned(r.known.enabled) {
		rec.Disabled = whole.Disabled
	}
	if !r.mentioned(r.known.upn) {
		rec.Name = whole.Name
	}
	userType := r.userType
	if !r.mentioned(r.known.userType) {
		userType = now.userType
	}
	return rec, guest(userType, rec.Name), true, nil
}

// single is the request for one user with everything that a round asks for.
func (p *pass) single(id string) *abstractions.RequestInformation {
	query := map[string]string{"%24select": "id," + strings.Join(p.wanted.plainProperties(), ",")}
	if len(p.wanted.plainProperties()) < len(p.wanted.properties) {
		query["%24expand"] = "manager($select=id)"
	}
	r := request("{+baseurl}/users/{user%2Did}{?%24expand,%24select}", query)
	r.PathParameters["user%2Did"] = id
	return r
}

// overlay returns the whole record's attributes with what was told over them. What a record of a first round lists as
// empty was perhaps not told.
func overlay(whole, told connectors.Record) (list []connectors.Attribute) {
	byName := map[string][]string{}
	for _, a := range whole.Attributes {
		byName[a.Name] = a.Values
	}
	for _, a := range told.Attributes {
		if len(a.Values) > 0 || told.Partial {
			byName[a.Name] = a.Values
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, connectors.Attribute{Name: name, Values: byName[name]})
	}
	return list
}

// guest says whether somebody is one (rule E2).
func guest(userType, upn string) bool {
	return strings.EqualFold(userType, "Guest") || strings.Contains(upn, "#") && strings.Contains(strings.ToUpper(upn), "#EXT#")
}
