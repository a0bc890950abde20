package events

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/store"
)

// UserChanged is an event: one revision of one user. Its JSON is a contract (interface.md, "Events").
type UserChanged struct {
	// ID is the event's id (ce-id), the same in every delivery.
	ID string `json:"id"`
	// Type is "rollcall.users.created", "….updated", "….deactivated", "….reactivated" or "….anonymized". "….reset"
	// concerns no user: what was told up to here may be wrong, and the subscriber begins anew from the users as they are now.
	Type string `json:"type"`
	// Revision numbers the store's changes without gaps. A subscriber remembers the last one it handled.
	Revision uint64 `json:"revision"`
	// Chain is a hash over all revisions up to this one.
	Chain string `json:"chain"`
	// Time is when the change was accepted, by the log and not by anybody's clock.
	Time    time.Time         `json:"time"`
	Kind    string            `json:"kind"`
	Cause   Cause             `json:"cause"`
	Changed map[string]OldNew `json:"changed"`
	// User is the whole user after the change, without PINs.
	User store.User `json:"user"`
	// Raw is the body as it was published.
	Raw json.RawMessage `json:"-"`
}

// Cause says where a change came from: an entry of a run, or a person's command.
type Cause struct {
	Source string `json:"source,omitempty"`
	Run    uint64 `json:"run,omitempty"`
	Key    string `json:"key,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// OldNew is a property before and after: a string, or a list of strings for multi-valued properties.
type OldNew struct {
	Old any `json:"old"`
	New any `json:"new"`
}

// ParseUserChanged reads an event from a message's headers and body.
func ParseUserChanged(header nats.Header, body []byte) (UserChanged, error) {
	e := UserChanged{Raw: body}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("event %s: %w", header.Get("ce-id"), err)
	}
	e.ID, e.Type = header.Get("ce-id"), header.Get("ce-type")
	return e, nil
}

// cloudEventTime is how ce-time is written.
const cloudEventTime = time.RFC3339Nano

// RevisionMessage returns the event of a revision as it is published: CloudEvents 1.0, NATS binding, binary
// mode. storeID tells stores apart.
func RevisionMessage(storeID string, r store.Revision) Message {
	id := fmt.Sprintf("%s-%d", storeID, r.Number)
	kind, subject := splitRevision(r.Subject)
	return Message{Subject: RevisionSubject(r.Subject), Data: r.Body, Header: nats.Header{
		"ce-specversion": {"1.0"},
		"ce-id":          {id},
		"ce-source":      {"/rollcall/" + storeID},
		"ce-type":        {"rollcall." + kind},
		"ce-subject":     {subject},
		"ce-time":        {r.Time.UTC().Format(cloudEventTime)},
		"ce-sequence":    {fmt.Sprintf("%020d", r.Number)},
		"content-type":   {"application/json"},
		nats.MsgIdHdr:    {id},
	}}
}

// splitRevision cuts "users.updated.<id>" into "users.updated" and "<id>".
func splitRevision(subject string) (kind, id string) {
	for i := len(subject) - 1; i >= 0; i-- {
		if subject[i] == '.' {
			return subject[:i], subject[i+1:]
		}
	}
	return subject, ""
}

// RevisionOf returns the number of the revision that a message carries, 0 when it carries none.
func RevisionOf(header nats.Header) uint64 {
	var n uint64
	_, _ = fmt.Sscanf(header.Get("ce-sequence"), "%d", &n)
	return n
}
