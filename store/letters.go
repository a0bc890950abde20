package store

// Letter is a generated PIN that waits to be mailed to its user. It does not hold the PIN: who has the key draws it again.
type Letter struct {
	// User is the user's id. A later PIN's letter takes the place of an earlier one's.
	User string `cbor:"1,keyasint"`
	// Issue and Length are what the PIN was drawn with, Hash is what rests of it.
	Issue  uint64 `cbor:"2,keyasint"`
	Length int    `cbor:"3,keyasint"`
	Hash   string `cbor:"4,keyasint"`
	// Failed says why the PIN will not be mailed, "" while it waits.
	Failed string `cbor:"5,keyasint,omitempty"`
}

// PutLetter writes a letter in the place of the user's last one.
func (tx *Tx) PutLetter(l *Letter) error {
	return tx.table(lettersBucket).save([]byte(l.User), l)
}

// Letters returns the letters behind a user's id, in the order of ids and at most limit.
func (tx *Tx) Letters(after string, limit int) (page []Letter, err error) {
	t := tx.table(lettersBucket)
	err = t.each([]byte(after), func(key, value []byte) error {
		if len(page) >= limit {
			return ErrStop
		}
		var l Letter
		if err := t.decode(key, value, &l); err != nil {
			return err
		}
		page = append(page, l)
		return nil
	})
	return page, err
}

// FailLetter notes why a letter will not be mailed, unless a later one took its place.
func (tx *Tx) FailLetter(l *Letter, reason string) error {
	now, err := tx.letter(l)
	if err != nil || now == nil {
		return err
	}
	now.Failed = reason
	return tx.PutLetter(now)
}

// DropLetter forgets a letter, unless a later one took its place.
func (tx *Tx) DropLetter(l *Letter) error {
	now, err := tx.letter(l)
	if err != nil || now == nil {
		return err
	}
	return tx.table(lettersBucket).delete([]byte(l.User))
}

// letter returns a letter as it lies there, nil when it does not any more.
func (tx *Tx) letter(l *Letter) (*Letter, error) {
	var now Letter
	found, err := tx.table(lettersBucket).load([]byte(l.User), &now)
	if err != nil || !found || now.Issue != l.Issue {
		return nil, err
	}
	return &now, nil
}

// letters verifies that letters lie under their users.
func (c *checker) letters() {
	t := c.tx.table(lettersBucket)
	c.failed(t.each(nil, func(key, value []byte) error {
		var l Letter
		c.failed(t.decode(key, value, &l))
		if u, err := c.tx.User(l.User); err != nil || u == nil || l.User != string(key) {
			c.violated("letter to %q lies under %q, or there is no such user (%v)", l.User, key, err)
		}
		return nil
	}))
}
