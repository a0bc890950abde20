package pipeline

import (
	"bytes"
	"context"
	"strings"

	"rollcall/store"
)

// Unsettled is an entry that the last run of its source refused, ignored or applied in part. Every later run decides it
// again (S5).
type Unsettled struct {
	Source string `json:"source"`
	Entry  string `json:"entry"`
	// Action is what was decided: conflict, rejected, ignored, updated, ….
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"`
	// User is the id of the user whom the entry belongs to, UserName what he is called; "" for none.
	User     string `json:"user,omitempty"`
	UserName string `json:"user_name,omitempty"`
}

// unsettledPage is how many entries one answer holds.
const unsettledPage = 500

type unsettledRequest struct{ Source, After string }

type unsettledAnswer struct {
	Entries []Unsettled
	After   string
	More    bool
}

// Unsettled calls fn for every entry of a source that waits for a later run, in the order of keys.
func (c *Client) Unsettled(ctx context.Context, source string, fn func(Unsettled) error) error {
	for after, more := "", true; more; {
		page, err := call[unsettledAnswer](ctx, c, "entries.waiting", unsettledRequest{source, after})
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		after, more = page.After, page.More
	}
	return nil
}

func (s *service) unsettled(_ context.Context, q unsettledRequest) (page unsettledAnswer, err error) {
	var after store.Key
	if q.After != "" {
		if after, err = store.ParseKey(q.After); err != nil {
			return page, err
		}
	}
	err = s.db.View(func(tx *store.Tx) error {
		return tx.Waiting(q.Source, func(key store.Key, o *store.Origin) error {
			if q.After != "" && bytes.Compare(key[:], after[:]) <= 0 {
				return nil
			}
			if len(page.Entries) == unsettledPage {
				page.More = true
				return store.ErrStop
			}
			action, reason, _ := strings.Cut(o.Verdict, ": ")
			e := Unsettled{Source: q.Source, Entry: o.Entry, Action: action, Reason: reason, User: o.User}
			u, err := tx.User(o.User)
			if u != nil {
				e.UserName = u.Text[store.UserName]
			}
			page.Entries, page.After = append(page.Entries, e), key.String()
			return err
		})
	})
	return page, err
}
