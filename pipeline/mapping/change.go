package mapping

import (
	"fmt"

	"rollcall/connectors"
	"rollcall/store"
)

// Change is one entry in MyQ's words: what a run says of it, ready to be decided.
type Change struct {
	// Key is the entry's stable id, Entry what an operator finds it by.
	Key   string          `cbor:"1,keyasint"`
	Entry string          `cbor:"2,keyasint"`
	Kind  connectors.Kind `cbor:"3,keyasint"`
	// Number is the record's place in its run; of several changes of one entry the highest counts.
	Number uint64 `cbor:"4,keyasint"`
	// RawSequence is the record's sequence in RAW.
	RawSequence uint64 `cbor:"5,keyasint"`
	// Digest is the raw record's, as ingest computed it.
	Digest store.Digest `cbor:"6,keyasint"`
	// Absent is true when the entry was proven to be gone: nothing below says anything then.
	Absent bool `cbor:"7,keyasint,omitempty"`
	// Rejected says why the record could not be mapped: the entry was seen, and that is all.
	Rejected string `cbor:"8,keyasint,omitempty"`
	// Disabled is true when the directory says that the account may not be used.
	Disabled bool `cbor:"9,keyasint,omitempty"`
	// Unselected is true when the entry is in the scope but not among the people wanted.
	Unselected bool `cbor:"10,keyasint,omitempty"`
	// Set names the properties that the record says something about. An empty value of a property
	// in Set clears it; a property not in Set is left alone.
	Set  store.PropertySet   `cbor:"11,keyasint"`
	Text store.Texts         `cbor:"12,keyasint"`
	List store.Lists[string] `cbor:"13,keyasint"`
	// SourceLabel is the record's own synchronization source (CSV SYNC_SOURCE), "" for none.
	SourceLabel string `cbor:"14,keyasint,omitempty"`
	// Members are the names of a group's members, as [Change.Names] of theirs say them.
	Members  []string  `cbor:"15,keyasint,omitempty"`
	Warnings []Warning `cbor:"16,keyasint,omitempty"`
	// Names are what groups and other entries may call this one: "dn:…", "uid:…", "key:…", each in one spelling.
	Names []string `cbor:"17,keyasint,omitempty"`
	// Of a group's entry, whose path is the one in List: Nested is true when members of members are in it too, KeepEmpty when
	// it is a group with nobody in it, MakesDefault when it is the default group of its members; Selects when its members
	// are among the people wanted (E2).
	Nested       bool `cbor:"18,keyasint,omitempty"`
	KeepEmpty    bool `cbor:"19,keyasint,omitempty"`
	MakesDefault bool `cbor:"20,keyasint,omitempty"`
	Selects      bool `cbor:"21,keyasint,omitempty"`
	// LaterDefault is true when the default group comes from a rule behind a membership rule that makes one.
	LaterDefault bool `cbor:"22,keyasint,omitempty"`
	Loan         Loan `cbor:"23,keyasint,omitzero"`
	// ShortPINs are hashes of PINs below the minimum, which only whoever has them from before keeps (P6).
	ShortPINs []string `cbor:"24,keyasint,omitempty"`
}

// Warning is a value that was not taken over.
type Warning struct {
	_        struct{} `cbor:",toarray"`
	Property string
	// Value is the value in question, masked where it is a secret.
	Value string
	// Reason is a sentence that names the rule, and who else is concerned.
	Reason string
}

// String says which property, which value and why.
func (w Warning) String() string {
	if w.Value == "" {
		return w.Property + ": " + w.Reason
	}
	return fmt.Sprintf("%s %q: %s", w.Property, w.Value, w.Reason)
}
