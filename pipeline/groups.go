package pipeline

import (
	"context"
	"fmt"
	"slices"

	"rollcall/connectors"
	"rollcall/store"
)

// GroupInfo is a group as the command line shows it. Its JSON is a contract.
type GroupInfo struct {
	ID       string   `json:"id"`
	Path     string   `json:"path"`
	Revision uint64   `json:"revision"`
	Origins  []string `json:"origins"`
	// Members counts the users who are in the group itself, those below not included.
	Members int `json:"members"`
}

// groupsPage is how many groups one answer holds.
const groupsPage = 1000

type groupsRequest struct{ After string }

type groupPage struct {
	Groups []GroupInfo
	After  string
	More   bool
}

type groupRequest struct{ Name string }

// Groups calls fn for every group, in the order of paths.
func (c *Client) Groups(ctx context.Context, fn func(GroupInfo) error) error {
	for after, more := "", true; more; {
		page, err := call[groupPage](ctx, c, "groups.list", groupsRequest{after})
		if err != nil {
			return err
		}
		for _, g := range page.Groups {
			if err := fn(g); err != nil {
				return err
			}
		}
		after, more = page.After, page.More
	}
	return nil
}

// Group returns the group of that path or id, or [ErrNotFound].
func (c *Client) Group(ctx context.Context, name string) (GroupInfo, error) {
	return call[GroupInfo](ctx, c, "groups.get", groupRequest{name})
}

func (s *service) groups(_ context.Context, q groupsRequest) (page groupPage, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		return tx.Groups(q.After, func(g *store.Group) error {
			if len(page.Groups) == groupsPage {
				page.More = true
				return store.ErrStop
			}
			page.Groups, page.After = append(page.Groups, groupInfo(g)), g.Path
			return nil
		})
	})
	return page, err
}

func (s *service) group(_ context.Context, q groupRequest) (info GroupInfo, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		g, err := tx.Group(q.Name)
		if err == nil && g == nil {
			g, err = tx.GroupByID(q.Name)
		}
		if err == nil && g == nil {
			err = connectors.Hint(fmt.Errorf("%w: no group with the path or id %q", ErrNotFound, q.Name), "rollcall groups list")
		}
		if err == nil {
			info = groupInfo(g)
		}
		return err
	})
	return info, err
}

func groupInfo(g *store.Group) GroupInfo {
	return GroupInfo{ID: g.ID, Path: g.Path, Revision: g.Revision, Origins: g.Origins(), Members: g.Members}
}

// usersOfGroup is a page of a group's members, in the order of ids.
func (s *service) usersOfGroup(tx *store.Tx, q usersRequest, page *userPage) error {
	var ids []string
	if err := tx.Members(q.Query.Group, func(id string) error {
		if id > q.After {
			ids = append(ids, id)
		}
		return nil
	}); err != nil {
		return err
	}
	slices.Sort(ids)
	for _, id := range ids {
		if len(page.Users) == usersPage {
			page.More = true
			return nil
		}
		u, err := tx.User(id)
		if err != nil || u == nil {
			return fmt.Errorf("member %s of group %q: %w", id, q.Query.Group, err)
		}
		page.After = id
		if q.Query.matches(u) {
			if err := s.add(tx, q, u, page); err != nil {
				return err
			}
		}
	}
	return nil
}
