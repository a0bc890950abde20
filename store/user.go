package store

import "time"

// User is a MyQ user account.
type User struct {
	// ID is a UUIDv5 of (store id, source, entry key), or random for a user made by hand.
	ID string `cbor:"1,keyasint"`
	// Revision is the number of the user's last revision.
	Revision uint64 `cbor:"2,keyasint"`
	Text     Texts  `cbor:"3,keyasint"`
	// List holds the multi-valued properties, each list sorted by value.
	List   Lists[Value] `cbor:"4,keyasint"`
	Active bool         `cbor:"5,keyasint,omitempty"`
	// InactiveReason names who deactivated the user: "source:<name>" or "manual"; "" while active.
	InactiveReason string `cbor:"6,keyasint,omitempty"`
	// Owner is the name of the source that owns the user, "" for a local one. Only the owner's
	// absence deactivates (S6).
	Owner string `cbor:"7,keyasint,omitempty"`
	// Label is the owning source's label, shown as synchronization_source (U14).
	Label         string `cbor:"8,keyasint,omitempty"`
	Administrator bool   `cbor:"9,keyasint,omitempty"`
	Anonymized    bool   `cbor:"10,keyasint,omitempty"`
	// Origins are the entries linked to this user, sorted: one per source, more where several
	// logins are one person (O5).
	Origins []OriginRef `cbor:"11,keyasint,omitempty"`
	// Overrides are properties set by hand that the owning source maps too: the value that the
	// source had put there, restored by its next run (U15).
	Overrides map[Property]string `cbor:"12,keyasint,omitempty"`
	Created   time.Time           `cbor:"13,keyasint"`
	Updated   time.Time           `cbor:"14,keyasint"`
	// PINsIssued counts the PINs that were generated for the user (P4).
	PINsIssued uint64 `cbor:"30,keyasint,omitempty"`
}

// Value is one value of a multi-valued property with everyone who put it there (U20).
type Value struct {
	_ struct{} `cbor:",toarray"`
	V string
	// Origins are sorted: "manual", "self-registered", "generated" or names of sources. The value
	// disappears with its last origin.
	Origins []string
	// Expires is when a temporary card or PIN ends, zero for a persistent one.
	Expires time.Time
}

// OriginRef names an origin.
type OriginRef struct {
	_      struct{} `cbor:",toarray"`
	Source string
	Key    Key
}

// Origin is what is known of one directory entry: what was last read, what was made of it.
type Origin struct {
	// Key is the entry's stable id in the source, Entry what an operator finds it by.
	Key   string `cbor:"1,keyasint"`
	Entry string `cbor:"2,keyasint"`
	// Digest is of the raw record last taken over, together with the configuration's hash; the
	// zero digest matches nothing.
	Digest Digest `cbor:"3,keyasint"`
	// RawSequence is the record's sequence in RAW.
	RawSequence uint64 `cbor:"4,keyasint"`
	// User is the linked user, "" for an entry that is nobody (ignored, refused, unselected).
	User string `cbor:"5,keyasint,omitempty"`
	// Verdict is what the last run decided for the entry.
	Verdict string `cbor:"6,keyasint,omitempty"`
	// Waiting is true when not all of the entry's change was applied: every later run of the source
	// decides it again (S5).
	Waiting bool `cbor:"7,keyasint,omitempty"`
	// Change is the mapped change last decided, as its producer encoded it.
	Change []byte `cbor:"8,keyasint,omitempty"`
	// Missed counts the whole runs in a row that did not see the entry (O2, absent_for).
	Missed int `cbor:"9,keyasint,omitempty"`
	// Group is true for a group's entry.
	Group bool `cbor:"10,keyasint,omitempty"`
	// Gone is true when the entry was proven to be away. The origin stays, so that the entry is known
	// when it comes back, with the digest of an absence (see DigestOf), which keeps an absence that was
	// dealt with from being proposed again.
	Gone bool `cbor:"11,keyasint,omitempty"`
	// Tombstone is true when the entry's user was made anonymous (U22): Key is then the hash of the key in
	// hexadecimal digits, Entry and Change are empty, Gone is true and the digest that of a tombstone.
	Tombstone bool `cbor:"12,keyasint,omitempty"`
	// Holds is the path of the group that a group's entry keeps although nobody may be in it, "" for none.
	Holds string `cbor:"20,keyasint,omitempty"`
	// Names are hashes of what groups and other entries call this one, Members those of a group's members; both are sorted
	// and can be looked for ([Tx.Named], [Tx.Joined]).
	Names   []Key `cbor:"21,keyasint,omitempty"`
	Members []Key `cbor:"22,keyasint,omitempty"`
	// Default is the default group that the entry gave its user, groups that are entries included.
	Default string `cbor:"23,keyasint,omitempty"`
}

// Hash returns the hash of the entry's key, under which the origin lies.
func (o *Origin) Hash() Key {
	if o.Tombstone {
		if k, err := ParseKey(o.Key); err == nil {
			return k
		}
	}
	return KeyOf(o.Key)
}

// Space is a name space in which a value belongs to one user.
type Space uint8

// The name spaces.
const (
	// Names holds user names of all users and aliases of active ones, folded (U1, U4, C6).
	Names Space = iota + 1
	// CardNumbers holds the cards of active users, exact (U5).
	CardNumbers
	// PINHashes holds the PINs of active users (U6).
	PINHashes
	// PersonalNumbers holds the personal numbers of all users, folded (U9).
	PersonalNumbers
)

// Claim is a value in a name space.
type Claim struct {
	_     struct{} `cbor:",toarray"`
	Space Space
	Value string
}
