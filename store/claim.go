package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrTaken means that a value which must be unique belongs to another user. It comes as a
// [TakenError].
var ErrTaken = errors.New("taken by another user")

// TakenError names a value that a user wants and another one holds.
type TakenError struct {
	Claim Claim
	// User is who wants it, Holder the id of the user who holds it.
	User, Holder string
}

func (e *TakenError) Error() string {
	if e.Claim.Space == PINHashes {
		return fmt.Sprintf("a PIN of user %s is %v %s", e.User, ErrTaken, e.Holder)
	}
	return fmt.Sprintf("%s %q of user %s is %v %s", e.Claim.Space, e.Claim.Value, e.User, ErrTaken, e.Holder)
}

// Unwrap returns [ErrTaken].
func (e *TakenError) Unwrap() error { return ErrTaken }

// ids is the space of user ids, which nobody claims.
const ids Space = 0

// String returns what a value of the space is called in messages.
func (s Space) String() string {
	switch s {
	case Names:
		return "name"
	case CardNumbers:
		return "card"
	case PINHashes:
		return "PIN"
	case PersonalNumbers:
		return "personal number"
	}
	return fmt.Sprintf("value of space %d", uint8(s))
}

// Claims returns the unique values that u holds, folded, sorted and without repetition. An inactive
// user holds the user name and the personal number only (C6).
func Claims(u *User) []Claim {
	all := make([]Claim, 0, 4)
	all = appendClaim(all, Names, u.Text[UserName])
	all = appendClaim(all, PersonalNumbers, u.Text[PersonalNumber])
	if u.Active {
		all = appendClaims(all, Names, u.List[Aliases.List()])
		all = appendClaims(all, CardNumbers, u.List[Cards.List()])
		all = appendClaims(all, PINHashes, u.List[PINs.List()])
	}
	slices.SortFunc(all, compareClaims)
	return slices.Compact(all)
}

// FoldClaim returns c with the value that stands for all its spellings: names and personal numbers
// are compared folded (U1, U4, U9), cards and PINs exactly (U5).
func FoldClaim(c Claim) Claim {
	if c.Space == Names || c.Space == PersonalNumbers {
		c.Value = Fold(c.Value)
	}
	return c
}

// Holder returns the id of the user who holds a value, "" for none.
func (tx *Tx) Holder(c Claim) (string, error) {
	n, err := tx.holder(c)
	if err != nil || n == 0 {
		return "", err
	}
	return tx.userID(n)
}

// Held reports whether anybody holds a value. It reads no user.
func (tx *Tx) Held(c Claim) (bool, error) {
	n, err := tx.holder(c)
	return n != 0, err
}

// holder returns the number of the user who holds a value, 0 for none.
func (tx *Tx) holder(c Claim) (uint64, error) {
	c = FoldClaim(c)
	if c.Value == "" {
		return 0, nil
	}
	index, err := tx.claims()
	if err != nil {
		return 0, err
	}
	return index.get(claimKey(c))
}

// ReleaseClaims gives up values of a user ahead of the [Tx.PutUser] that drops or takes them again,
// so that two users can swap within a run (C5). Values that the user does not hold are passed over.
func (tx *Tx) ReleaseClaims(userID string, claims []Claim) error {
	index, err := tx.claims()
	if err != nil {
		return err
	}
	user, err := index.get(idKey(userID))
	if err != nil || user == 0 {
		return err
	}
	for _, c := range claims {
		key := claimKey(FoldClaim(c))
		if holder, err := index.get(key); err != nil {
			return err
		} else if holder != user {
			continue
		}
		index.delete(key)
		tx.nothingReleased = false
		if err := tx.table(releasedBucket).put(releasedKey(userID, key), []byte{}); err != nil {
			return err
		}
	}
	return nil
}

// claim makes the index say that the user of that number holds what u wants and nothing else, and knows
// a new user's id. It changes nothing when another user holds any of it.
func (tx *Tx) claim(u *User, number uint64, held, wanted []Claim) error {
	index, err := tx.claims()
	if err != nil {
		return err
	}
	released := tx.released(u.ID)
	gains := make([][]byte, 0, len(wanted))
	for _, c := range wanted {
		key := claimKey(c)
		if containsClaim(held, c) && !slices.ContainsFunc(released, equal(key)) {
			continue
		}
		if err := tx.free(index, key, c, u, number); err != nil {
			return err
		}
		gains = append(gains, key)
	}
	if err := drop(index, number, held, wanted); err != nil {
		return err
	}
	if held == nil {
		gains = append(gains, idKey(u.ID))
	}
	for _, key := range gains {
		index.put(key, number)
	}
	for _, key := range released {
		if err := tx.table(releasedBucket).delete(releasedKey(u.ID, key)); err != nil {
			return err
		}
	}
	return nil
}

// free fails when another user than the one of that number holds a key.
func (tx *Tx) free(index *index, key []byte, c Claim, u *User, number uint64) error {
	holder, err := index.get(key)
	if err != nil || holder == 0 || holder == number {
		return err
	}
	id, err := tx.userID(holder)
	if err != nil {
		return err
	}
	return &TakenError{Claim: c, User: u.ID, Holder: id}
}

// drop removes what is held and no longer wanted, unless it was released and taken meanwhile.
func drop(index *index, number uint64, held, wanted []Claim) error {
	for _, c := range held {
		if containsClaim(wanted, c) {
			continue
		}
		key := claimKey(c)
		holder, err := index.get(key)
		if err != nil {
			return err
		}
		if holder == number {
			index.delete(key)
		}
	}
	return nil
}

// claims returns the index of what users hold, their ids included.
func (tx *Tx) claims() (*index, error) {
	return tx.index(tx.table(claimsBucket), tx.table(blockBucket))
}

// released returns the index keys of the claims that user has given up.
func (tx *Tx) released(user string) (keys [][]byte) {
	t := tx.table(releasedBucket)
	if !tx.nothingReleased {
		first, _ := t.bucket.Cursor().First()
		tx.nothingReleased = first == nil
	}
	if tx.nothingReleased {
		return nil
	}
	prefix := releasedKey(user, nil)
	// The error is the function's own, which returns none.
	_ = t.each(prefix, func(k, _ []byte) error {
		if !bytes.HasPrefix(k, prefix) {
			return ErrStop
		}
		keys = append(keys, bytes.Clone(k[len(prefix):]))
		return nil
	})
	return keys
}

// claimKey returns the index key of a folded claim. bbolt's keys are short, a hostile value need
// not be: of a long one the key holds a hash, and no short key is as long.
func claimKey(c Claim) []byte {
	const short = 255
	if len(c.Value) <= short {
		return append([]byte{byte(c.Space)}, c.Value...)
	}
	sum := sha256.Sum256([]byte(c.Value))
	return append(append([]byte{byte(c.Space)}, c.Value[:short]...), sum[:]...)
}

// idKey returns the index key of a user's id, in a space of its own before all others.
func idKey(user string) []byte { return append([]byte{byte(ids)}, user...) }

// releasedKey relies on user ids without a zero byte.
func releasedKey(user string, claim []byte) []byte {
	return append(append([]byte(user), 0), claim...)
}

func appendClaims(to []Claim, s Space, values []Value) []Claim {
	for _, v := range values {
		to = appendClaim(to, s, v.V)
	}
	return to
}

func appendClaim(to []Claim, s Space, value string) []Claim {
	c := FoldClaim(Claim{Space: s, Value: value})
	if c.Value == "" {
		return to
	}
	return append(to, c)
}

func containsClaim(sorted []Claim, c Claim) bool {
	_, found := slices.BinarySearchFunc(sorted, c, compareClaims)
	return found
}

func compareClaims(a, b Claim) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), strings.Compare(a.Value, b.Value))
}

func equal(key []byte) func([]byte) bool {
	return func(other []byte) bool { return bytes.Equal(key, other) }
}
