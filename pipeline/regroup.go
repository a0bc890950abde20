package pipeline

import (
	"strconv"
	"time"

	"rollcall/store"
)

// regroup tells what happened to groups: a revision for each, behind those of the users. It stops when about limit
// members were named and reports whether there is more.
func regroup(tx *store.Tx, at time.Time, c cause, limit int) (more bool, err error) {
	return tx.Regroup(limit, func(change *store.GroupChange) error {
		head, chain := tx.Head()
		change.Group.Revision = head + 1
		body := appendGroupEvent(nil, head+1, at, change, c)
		return tx.AppendRevision(store.Revision{Number: head + 1, Subject: "groups." + change.Kind() + "." + change.Group.ID,
			Time: at, Chain: store.ChainOf(chain, body), Body: body})
	})
}

// regroupAll is regroup to the end.
func regroupAll(tx *store.Tx, at time.Time, c cause) error {
	for {
		if more, err := regroup(tx, at, c, store.MaxGroupMembers); err != nil || !more {
			return err
		}
	}
}

// appendGroupEvent appends the body of a group's event, without the chain that the relay adds. The path of a renamed group
// stands beside its old one.
func appendGroupEvent(b []byte, revision uint64, at time.Time, change *store.GroupChange, c cause) []byte {
	b = append(b, `{"revision":`...)
	b = strconv.AppendUint(b, revision, 10)
	b = append(b, `,"time":"`...)
	b = at.AppendFormat(b, timestamp)
	b = append(b, `","kind":`...)
	b = store.AppendString(b, change.Kind())
	b = append(b, `,"cause":`...)
	b = c.append(b)
	b = append(b, `,"group":{"id":`...)
	b = store.AppendString(b, change.Group.ID)
	b = append(b, `,"path":`...)
	b = store.AppendString(b, change.Group.Path)
	if change.Before != nil && change.Before.Path != change.Group.Path {
		b = append(b, `,"old_path":`...)
		b = store.AppendString(b, change.Before.Path)
	}
	b = append(b, `,"origins":`...)
	b = appendStrings(b, change.Group.Origins())
	b = append(b, `},"members":{"added":`...)
	b = appendStrings(b, change.Added)
	b = append(b, `,"removed":`...)
	b = appendStrings(b, change.Removed)
	return append(b, "}}"...)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = store.AppendString(b, s)
	}
	return append(b, ']')
}
