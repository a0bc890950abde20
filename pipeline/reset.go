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

// reset says that the events up to a revision are not what subscribers may go by: an older store was put back, and the log did not
// lead it to the same end, or the stream lost what was published last. The store goes on above them, and its next event tells
// subscribers to begin anew.
type reset struct {
	// After is the last revision that was published, Chain its chain or, of a stream that lost its end, where that is now.
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

// isLost reports whether USERS does not have what the store knows to be published, without having aged empty.
func isLost(position store.RelayPosition, last publishedEvent) bool {
	if position.Created.IsZero() || last.revision >= position.Revision {
		return false
	}
	aged := last.revision == 0 && last.end >= position.Sequence && position.Created.Equal(last.created)
	return !aged
}

// lostChain tells one loss from another.
func lostChain(position store.RelayPosition, last publishedEvent) string {
	return fmt.Sprintf("lost-%d-%d-%d", position.Sequence, last.end, last.created.UnixNano())
}

// errReset means that the store and its events are not one, and that LOG says so now.
var errReset = errors.New("subscribers are told to begin anew")

// reset puts into LOG that subscribers are to begin anew. A store that is behind the log, or not the leader's, says nothing: it only
// does not know yet.
func (r *relay) reset(ctx context.Context, c reset, reason string) error {
	if !r.current(ctx) {
		return fmt.Errorf("revision %d was published, and the store does not know the end of the log yet", c.After)
	}
	r.log.Error().Uint64("published", c.After).Str("published_chain", c.Chain).
		Msg(reason + " The next event is a reset, which tells every subscriber to begin anew")
	_, err := appendLog(ctx, r.bus, events.CommandSubject(commandReset), fmt.Sprintf("reset-%d-%s", c.After, c.Chain), c)
	return errors.Join(err, errReset)
}

// resetMeta is the name under which the store keeps what it was last reset behind.
const resetMeta = "state/reset"

// reset lets the store go on above what was published. What waited to be told is part of what subscribers will read anew.
func (r *reconciler) reset(m logMessage) error {
	var c reset
	if err := m.decode(&c); err != nil {
		return err
	}
	mark := strconv.FormatUint(c.After, 10) + " " + c.Chain
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
		if err := tx.SetRelayPosition(store.RelayPosition{Revision: max(tx.RelayPosition().Revision, c.After)}); err != nil {
			return err
		}
		return tx.SetMeta(resetMeta, []byte(mark))
	})
}

func appendReset(tx *store.Tx, at time.Time, storeID string) error {
	head, chain := tx.Head()
	body := fmt.Appendf(nil, `{"revision":%d,"time":%q,"kind":"reset","cause":{"reason":"the store went back behind its events, or they were lost"}}`, head+1, at.Format(timestamp))
	return tx.AppendRevision(store.Revision{Number: head + 1, Subject: "users.reset." + storeID, Time: at, Chain: store.ChainOf(chain, body), Body: body})
}
