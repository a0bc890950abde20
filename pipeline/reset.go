package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"rollcall/events"
	"rollcall/store"
)

// reset says that the events up to a revision are not what this store did: an older store was put back, and the log did not lead it
// to the same end, or the stream lost events that it had. The store goes on above them, and its next event tells subscribers to begin anew.
type reset struct {
	// After is the last revision that was published, Chain its chain.
	After uint64 `json:"after"`
	Chain string `json:"chain"`
}

// isOther reports whether the last event is none of this store's, which has caught up with the log.
func isOther(head uint64, chain string, last publishedEvent) bool {
	if last.revision > head {
		return true
	}
	return chain != "" && chain != last.chain
}

// lostTail reports whether USERS ends before what it has acknowledged, and subscribers do not know that yet.
func (r *relay) lostTail(position store.RelayPosition, last publishedEvent) (lost bool, err error) {
	err = r.db.View(func(tx *store.Tx) error {
		lost = last.revision < position.Revision && string(tx.Meta(resetMeta)) != resetMark(last.revision, last.chain)
		return nil
	})
	return lost, err
}

// errReset means that the store and its events are not one, and that LOG says so now.
var errReset = errors.New("the events that were published are not this store's; subscribers are told to begin anew")

// reset puts into LOG that subscribers are to begin anew. A store that is behind the log, or not the leader's, says nothing: it only
// does not know yet.
func (r *relay) reset(ctx context.Context, last publishedEvent, head uint64) error {
	if !r.current(ctx) {
		return fmt.Errorf("revision %d was published, the store ends at %d and does not know the end of the log yet", last.revision, head)
	}
	r.log.Error().Uint64("published", last.revision).Str("published_chain", last.chain).Uint64("store", head).
		Msg("the events that were published are not this store's: was an older store put back, and its log lost, or did the events lose their end? The next event is a reset, which tells every subscriber to begin anew")
	_, err := appendLog(ctx, r.bus, events.CommandSubject(commandReset), fmt.Sprintf("reset-%d-%s", last.revision, last.chain), reset{After: last.revision, Chain: last.chain})
	return errors.Join(err, errReset)
}

// resetMeta is the name under which the store keeps what it was last reset behind.
const resetMeta = "state/reset"

func resetMark(after uint64, chain string) string {
	return strconv.FormatUint(after, 10) + " " + chain
}

// reset lets the store go on above what was published. What waited to be told is part of what subscribers will read anew.
func (r *reconciler) reset(m logMessage) error {
	var c reset
	if err := m.decode(&c); err != nil {
		return err
	}
	mark := resetMark(c.After, c.Chain)
	return r.update(m, func(tx *store.Tx) error {
		if string(tx.Meta(resetMeta)) == mark {
			return nil
		}
		if err := tx.SkipRevisions(c.After); err != nil {
			return err
		}
		if err := appendReset(tx, m.time, r.db.ID()); err != nil {
			return err
		}
		return tx.SetMeta(resetMeta, []byte(mark))
	})
}

func appendReset(tx *store.Tx, at time.Time, storeID string) error {
	head, chain := tx.Head()
	body := fmt.Appendf(nil, `{"revision":%d,"time":%q,"kind":"reset","cause":{"reason":"store and events are not one any more"}}`, head+1, at.Format(timestamp))
	return tx.AppendRevision(store.Revision{Number: head + 1, Subject: "users.reset." + storeID, Time: at, Chain: store.ChainOf(chain, body), Body: body})
}
