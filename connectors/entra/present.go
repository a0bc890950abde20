package entra

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/connectors"
)

// inFilter is how many ids Graph takes in one "in".
const inFilter = 15

// Present asks for each key whether it is in the scope.
func (c *connector) Present(ctx context.Context, keys []string) (map[string]bool, error) {
	c.client.begin()
	present := make(map[string]bool, len(keys))
	var ask []string
	for _, k := range keys {
		present[k] = false
		if id, err := uuid.Parse(k); err == nil && id.String() == k { // anything else was never Graph's
			ask = append(ask, k)
		}
	}
	chosen, err := c.closure(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	if err := c.lookUp(ctx, "users", ask, present, func(id string) bool { return chosen == nil || chosen.users[id] }); err != nil {
		return nil, wrap(err)
	}
	if c.wanted.groups {
		rest := slices.DeleteFunc(ask, func(k string) bool { return present[k] })
		if err := c.lookUp(ctx, "groups", rest, present, func(id string) bool { return chosen == nil || chosen.groups[id] }); err != nil {
			return nil, wrap(err)
		}
	}
	return present, nil
}

// closure reads who is selected now, nil for everybody.
func (c *connector) closure(ctx context.Context) (*closure, error) {
	if !c.config.walks() {
		return nil, nil
	}
	g := newGroups(true, time.Time{})
	r := &round{client: c.client, set: "groups", fields: groupSelect}
	if _, err := r.run(ctx, newPage(), g.take); err != nil {
		return nil, err
	}
	return c.choose(g)
}

// lookUp marks those of the ids that exist and are wanted.
func (c *connector) lookUp(ctx context.Context, set string, ids []string, present map[string]bool, selected func(string) bool) error {
	fields, kind := "id", connectors.Group
	if set == "users" {
		fields, kind = "id,userPrincipalName,userType", connectors.User
	}
	reader, p := newReader(kind, nil), newPage()
	for chunk := range slices.Chunk(ids, inFilter) {
		body, err := c.client.get(ctx, request("{+baseurl}/"+set+"{?%24filter,%24select,%24top}", map[string]string{
			"%24filter": "id in ('" + strings.Join(chunk, "','") + "')", "%24select": fields, "%24top": "100",
		}))
		if err != nil {
			return explainList(set, err)
		}
		err = p.walk(body, func(p *page) error {
			rec, err := reader.read(p, true)
			if err == nil && selected(rec.Key) && (c.config.Select.Guests || !reader.guest) {
				present[rec.Key] = true
			}
			return err
		})
		if err == nil && p.next != "" {
			err = errors.New("an answer of more than one page to a question for a few ids")
		}
		if err != nil {
			return (&round{set: set}).broken(err)
		}
	}
	return nil
}

// explainList names the permission when Graph refuses to list a set.
func explainList(set string, err error) error {
	var f *failure
	if errors.As(err, &f) && !f.signIn && f.status == 403 {
		return missing(set, f)
	}
	return err
}
