package store

import "time"

// Position is how far the log has been applied.
type Position struct {
	Sequence uint64 `cbor:"1,keyasint"`
	// Created is when the stream was created: another time, another stream.
	Created time.Time `cbor:"2,keyasint"`
	// Fingerprint is of the message at the position: another one means that the stream lost its tail.
	Fingerprint Digest `cbor:"3,keyasint"`
}

// RelayPosition is how far the revisions have been relayed.
type RelayPosition struct {
	// Revision is the last one relayed, Sequence its place in the stream.
	Revision uint64 `cbor:"1,keyasint"`
	Sequence uint64 `cbor:"2,keyasint"`
	// Created and Fingerprint are as in [Position].
	Created     time.Time `cbor:"3,keyasint"`
	Fingerprint Digest    `cbor:"4,keyasint"`
}

// Applying says which run is being applied, and how far.
type Applying struct {
	Source string `cbor:"1,keyasint"`
	Run    uint64 `cbor:"2,keyasint"`
	// Phase and After are the applier's: its step and the last key of the plan done in it.
	Phase int    `cbor:"3,keyasint"`
	After []byte `cbor:"4,keyasint"`
	// LogSequence and Time are those of the message that let the run be applied.
	LogSequence uint64    `cbor:"5,keyasint"`
	Time        time.Time `cbor:"6,keyasint"`
}

// LogPosition returns how far the log has been applied.
func (tx *Tx) LogPosition() (p Position) {
	_ = tx.meta(metaLog, &p)
	return p
}

// SetLogPosition writes how far the log has been applied.
func (tx *Tx) SetLogPosition(p Position) error { return tx.setMeta(metaLog, p) }

// RelayPosition returns how far the revisions have been relayed.
func (tx *Tx) RelayPosition() (p RelayPosition) {
	_ = tx.meta(metaRelay, &p)
	return p
}

// SetRelayPosition writes how far the revisions have been relayed.
func (tx *Tx) SetRelayPosition(p RelayPosition) error { return tx.setMeta(metaRelay, p) }

// Applying returns the run that is being applied, nil for none.
func (tx *Tx) Applying() (*Applying, error) {
	var a *Applying
	err := tx.meta(metaApplying, &a)
	return a, err
}

// SetApplying writes the run that is being applied, nil for none.
func (tx *Tx) SetApplying(a *Applying) error {
	if a == nil {
		return tx.keep(tx.table(metaBucket).delete([]byte(metaApplying)))
	}
	return tx.setMeta(metaApplying, a)
}
