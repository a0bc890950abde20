package pipeline

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"rollcall/connectors"
	"rollcall/store"
)

// rawRecord is a message of RAW: one record of one run, whole.
type rawRecord struct {
	_      struct{} `cbor:",toarray"`
	Source string
	Run    uint64
	// Number is the record's place in its run.
	Number uint64
	// Config is the hash of the rules that the run was started with.
	Config string
	Digest store.Digest
	// Absent is true for an entry that was proven to be gone.
	Absent bool
	// Entry is what an operator finds the entry by. It stands beside the record because it is no part
	// of its digest.
	Entry  string
	Record cbor.RawMessage
}

var encoding = func() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// canonical appends the bytes that stand for a record: the same for the same content, whatever the entry's name is.
func canonical(r *connectors.Record) ([]byte, error) {
	c := *r
	c.Name = ""
	data, err := encoding.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encode the record of %s: %w", r.Name, err)
	}
	return data, nil
}

// absence is the digest of an entry that is gone: an absence that was dealt with is not proposed again.
func absence(config string) store.Digest { return store.DigestOf(config, []byte("absent")) }
