package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/events"
	"rollcall/store"
)

// renameSources asks for the renaming of sources that are known under a former name and not yet under the new one, and
// waits for it: a run that begins earlier would be compared with nothing.
func (s *service) renameSources(ctx context.Context) error {
	for _, source := range s.config.Sources {
		for _, former := range source.Formerly {
			known, err := s.knownOnly(former, source.Name)
			if err != nil {
				return err
			}
			if !known {
				continue
			}
			s.log.Info().Str("source", source.Name).Str("formerly", former).Msg("renaming a source")
			sequence, err := appendLog(ctx, s.bus, events.CommandSubject(commandRenameSource), "", renaming{From: former, To: source.Name})
			if err == nil {
				err = s.awaitHandled(ctx, sequence)
			}
			if err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// knownOnly reports whether the store knows one source and not another.
func (s *service) knownOnly(from, to string) (known bool, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		known = isKnown(tx, from) && !isKnown(tx, to)
		return nil
	})
	return known, err
}

func isKnown(tx *store.Tx, source string) bool { return slices.Contains(tx.SourceNames(), source) }

// rename moves what is known of a source under another name: entries, checkpoint, ownership. It tells nobody: the source's
// next run reads everything anew and tells what it changes. A restart in the middle finds the command again and goes on.
func (r *reconciler) rename(ctx context.Context, m logMessage) error {
	var c renaming
	if err := m.decode(&c); err != nil {
		return err
	}
	m.cause = cause{Source: c.To, Actor: c.Actor}
	possible, err := r.beginRenaming(m, c)
	if err != nil {
		return err
	}
	for more := possible; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.db.Update(func(tx *store.Tx) (err error) { more, err = renameSome(tx, c); return err }); err != nil {
			return err
		}
	}
	if possible && r.leads() {
		if err := r.purgeSource(ctx, c.From); err != nil {
			return err
		}
	}
	return r.update(m, func(tx *store.Tx) error {
		if !possible {
			return nil
		}
		return moveSource(tx, c)
	})
}

// beginRenaming ends what was going on under the old name. There is nothing to do when the old name is not known, or the
// new one is.
func (r *reconciler) beginRenaming(m logMessage, c renaming) (possible bool, err error) {
	m.source = c.From
	err = r.db.Update(func(tx *store.Tx) error {
		if !isKnown(tx, c.From) || isKnown(tx, c.To) {
			return nil
		}
		possible = true
		source, err := tx.Source(c.From)
		if err != nil {
			return err
		}
		if err := r.closeOpen(tx, m, "", "the source is called "+c.To+" now"); err != nil {
			return err
		}
		if err := supersedeHeld(tx, m, source); err != nil {
			return err
		}
		return tx.PutSource(source)
	})
	return possible, err
}

// renameSome moves the next entries.
func renameSome(tx *store.Tx, c renaming) (more bool, err error) {
	var origins []*store.Origin
	err = tx.Origins(c.From, store.Key{}, func(_ store.Key, o *store.Origin) error {
		if len(origins) == retireBatch {
			more = true
			return store.ErrStop
		}
		origins = append(origins, o)
		return nil
	})
	for _, o := range origins {
		if err == nil {
			err = renameOrigin(tx, c, o)
		}
	}
	return more, err
}

func renameOrigin(tx *store.Tx, c renaming, o *store.Origin) error {
	if err := tx.PutOrigin(c.To, o); err != nil {
		return err
	}
	if err := tx.DeleteOrigin(c.From, o.Hash()); err != nil || o.User == "" {
		return err
	}
	u, err := tx.User(o.User)
	if err != nil {
		return err
	}
	if u == nil {
		return fmt.Errorf("rename %s: entry %s belongs to user %s, who is not there", c.From, o.Hash(), o.User)
	}
	renameInUser(u, c, o.Hash())
	return tx.PutUser(u)
}

// renameInUser makes one entry of the user, and all values, the renamed source's.
func renameInUser(u *store.User, c renaming, key store.Key) {
	for i, ref := range u.Origins {
		if ref.Source == c.From && ref.Key == key {
			u.Origins[i].Source = c.To
		}
	}
	slices.SortFunc(u.Origins, func(a, b store.OriginRef) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), bytes.Compare(a.Key[:], b.Key[:]))
	})
	if u.Owner == c.From {
		u.Owner = c.To
	}
	if u.InactiveReason == "source:"+c.From {
		u.InactiveReason = "source:" + c.To
	}
	for _, list := range u.List {
		for i := range list {
			if at := slices.Index(list[i].Origins, c.From); at >= 0 {
				list[i].Origins[at] = c.To
				slices.Sort(list[i].Origins)
				list[i].Origins = slices.Compact(list[i].Origins)
			}
		}
	}
}

// moveSource moves what has been applied. The runs stay under the old name.
func moveSource(tx *store.Tx, c renaming) error {
	source, err := tx.Source(c.From)
	if err != nil {
		return err
	}
	source.Name = c.To
	if err := tx.PutSource(source); err != nil {
		return err
	}
	return tx.DeleteSource(c.From)
}
