package store

import "fmt"

// Source returns what has been applied of a source; of one never heard of, only the name.
func (tx *Tx) Source(name string) (*Source, error) {
	s := &Source{}
	if _, err := tx.table(sourcesBucket).load([]byte(name), s); err != nil {
		return nil, err
	}
	counts, err := tx.tally(name)
	if err != nil {
		return nil, err
	}
	linked, err := tx.tally(linkedTo(name))
	if err != nil {
		return nil, err
	}
	s.Name, s.Entries, s.Active, s.Linked = name, counts.All, counts.Active, linked.Active
	return s, nil
}

// PutSource writes what has been applied of a source. The counters Entries, Active and Linked are the
// store's own: what s says of them is passed over.
func (tx *Tx) PutSource(s *Source) error {
	kept := *s
	kept.Entries, kept.Active, kept.Linked = 0, 0, 0
	return tx.table(sourcesBucket).save([]byte(s.Name), &kept)
}

// SourceNames returns the names of all sources that were put, sorted.
func (tx *Tx) SourceNames() (names []string) {
	_ = tx.keep(tx.table(sourcesBucket).each(nil, func(key, _ []byte) error {
		names = append(names, string(key))
		return nil
	}))
	return names
}

// DeleteSource forgets what has been applied of a source. Its origins must be gone; its runs stay.
func (tx *Tx) DeleteSource(name string) error {
	counts, err := tx.tally(name)
	if err != nil {
		return err
	}
	if counts.All != 0 || counts.Active != 0 {
		return fmt.Errorf("delete source %s: %d entries and %d active users are left", name, counts.All, counts.Active)
	}
	return tx.table(sourcesBucket).delete([]byte(name))
}
