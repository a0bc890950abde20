package store

import (
	"errors"
	"slices"
)

// Named returns the keys of a source's entries that are called so (the hash of a name, see [Origin.Names]), in order.
func (tx *Tx) Named(source string, name Key) ([]Key, error) {
	return tx.linked(tx.table(namedBucket, source), name)
}

// Joined returns the keys of a source's entries that count the one of that name among their members, in order.
func (tx *Tx) Joined(source string, member Key) ([]Key, error) {
	return tx.linked(tx.table(joinedBucket, source), member)
}

func (tx *Tx) linked(t *table, to Key) (keys []Key, err error) {
	err = t.each(to[:], func(key, _ []byte) error {
		if Key(key[:16]) != to {
			return ErrStop
		}
		keys = append(keys, Key(key[16:]))
		return nil
	})
	return keys, err
}

// linkOrigin brings the indexes of names and members from an origin's old value, nil for none, to the new origin.
func (tx *Tx) linkOrigin(source string, k Key, old []byte, o *Origin) error {
	var before Origin
	if len(old) > originHead && old[0]&flagLinks != 0 {
		if err := decoding.Unmarshal(old[originHead:], &before); err != nil {
			return err
		}
	}
	return errors.Join(
		tx.relink(namedBucket, source, k, before.Names, o.Names),
		tx.relink(joinedBucket, source, k, before.Members, o.Members),
	)
}

func (tx *Tx) relink(bucket, source string, k Key, before, after []Key) error {
	if slices.Equal(before, after) {
		return nil
	}
	t, err := tx.room(bucket, source)
	if err != nil {
		return err
	}
	for _, name := range before {
		if _, kept := slices.BinarySearchFunc(after, name, compareKeys); !kept {
			err = errors.Join(err, t.delete(linkKey(name, k)))
		}
	}
	for _, name := range after {
		if _, had := slices.BinarySearchFunc(before, name, compareKeys); !had {
			err = errors.Join(err, t.put(linkKey(name, k), []byte{}))
		}
	}
	return err
}

func linkKey(name, entry Key) []byte {
	return append(append(make([]byte, 0, 32), name[:]...), entry[:]...)
}

func compareKeys(a, b Key) int { return slices.Compare(a[:], b[:]) }

// HashNames returns the hashes of names as [Origin.Names] and [Origin.Members] keep them: sorted, each once.
func HashNames(names []string) []Key {
	if len(names) == 0 {
		return nil
	}
	keys := make([]Key, len(names))
	for i, name := range names {
		keys[i] = KeyOf(name)
	}
	slices.SortFunc(keys, compareKeys)
	return slices.Compact(keys)
}
