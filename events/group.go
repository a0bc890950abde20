package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// GroupChanged is an event: one revision of one group. Its JSON is a contract (interface.md, "Events").
type GroupChanged struct {
	// ID is the event's id (ce-id), the same in every delivery.
	ID string `json:"id"`
	// Type is "rollcall.groups.created", "….updated" or "….deleted".
	Type string `json:"type"`
	// Revision numbers the store's changes without gaps, those of users and those of groups together.
	Revision uint64 `json:"revision"`
	// Chain is a hash over all revisions up to this one.
	Chain string    `json:"chain"`
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Cause Cause     `json:"cause"`
	Group GroupInfo `json:"group"`
	// Members are the ids of the users who joined and left. Of a group with very many, several events tell.
	Members Members `json:"members"`
	// Raw is the body as it was published.
	Raw json.RawMessage `json:"-"`
}

// GroupInfo is a group as an event shows it.
type GroupInfo struct {
	ID   string `json:"id"`
	Path string `json:"path"`
	// OldPath is the path before, when it changed.
	OldPath string   `json:"old_path,omitempty"`
	Origins []string `json:"origins"`
}

// Members are ids of users.
type Members struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
}

// ParseGroupChanged reads an event from a message's headers and body.
func ParseGroupChanged(header nats.Header, body []byte) (GroupChanged, error) {
	e := GroupChanged{Raw: body}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("event %s: %w", header.Get("ce-id"), err)
	}
	e.ID, e.Type = header.Get("ce-id"), header.Get("ce-type")
	return e, nil
}

// SubscribeGroups is [Subscribe] for groups: handle gets every group-changed event and no user's. A run's groups come
// behind its users, so that every member is known.
func SubscribeGroups(ctx context.Context, nc *nats.Conn, o SubscribeOptions, handle func(GroupChanged) error) error {
	return subscribe(ctx, nc, o, groupReader(handle))
}

// ReadAvailableGroups is [ReadAvailable] for groups.
func ReadAvailableGroups(ctx context.Context, nc *nats.Conn, o SubscribeOptions, handle func(GroupChanged) error) error {
	return readAvailable(ctx, nc, o, groupReader(handle))
}

func groupReader(handle func(GroupChanged) error) reader {
	return reader{topic: "groups", handle: func(header nats.Header, body []byte) (parsed bool, err error) {
		e, err := ParseGroupChanged(header, body)
		if err != nil {
			return false, err
		}
		return true, handle(e)
	}}
}
