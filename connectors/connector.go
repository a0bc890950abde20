package connectors

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Connector reads one source. Its connections live for one pass.
type Connector interface {
	// Read makes one pass over the source and calls emit for every record, one call
	// behind the other, in any order. since is the checkpoint of the last applied run, nil to read
	// everything; a source that no longer honours it fails with [ErrCheckpointExpired]
	// and the caller starts a full run.
	//
	// Read stops at the first error, its own, the context's or emit's (which it returns
	// wrapped); such a pass counts for nothing and its Outcome is the zero value. It emits
	// each entry of the scope once in a full pass; in an incremental pass the last
	// record of an entry is the one that counts. Outcome.Whole is true only when the source's
	// own end marker was seen and every entry of the scope was emitted.
	//
	// An incremental pass may turn out to be a whole one (a server that tells who is still there instead of who is
	// gone): it then says Outcome.Whole, and of every entry that did not change it emits a bare sighting, a
	// Partial record with nothing but key and kind.
	Read(ctx context.Context, since Checkpoint, emit func(Record) error) (Outcome, error)

	// Present says which of the keys exist in the scope right now, asked over the whole scope
	// of the server that the last Read used. Every key asked for is in the answer. It is
	// asked before anyone is called absent.
	Present(ctx context.Context, keys []string) (map[string]bool, error)

	// Check connects, signs in and looks at the scope without reading it, and returns what an
	// operator should see, a sentence a line.
	Check(ctx context.Context) ([]string, error)
}

// Config is the configuration of one source of one kind.
type Config interface {
	// Kind is "csv", "ldap" or "entra".
	Kind() string
	// Scope describes what is read (places, filter, selection, key), without secrets,
	// addresses or anything else that does not decide who belongs to the source. Two
	// configurations with the same text read the same entries.
	Scope() string
	// Validate returns every mistake in the configuration, joined by [errors.Join].
	Validate() error
	// Open returns a connector. It does not connect.
	Open(Env) (Connector, error)
}

// Env is what a connector gets from its surroundings.
type Env struct {
	// Source is the name of the source in the configuration.
	Source string
	// Attributes are the names that mapping, groups and selection use. A whole record lists
	// each of them (see the package comment), as far as the source knows such an attribute.
	Attributes []string
	Log        zerolog.Logger
	// Waiting is told when the source asks for patience, and for how long; what it returns is called when the wait is over. nil
	// when nobody wants to know.
	Waiting func(time.Duration) (over func())
}

// Kind says what an entry is.
type Kind string

// The kinds of entries.
const (
	User  Kind = "user"
	Group Kind = "group"
)

// Record is one entry as the directory knows it. The slices of an emitted record belong to
// the connector and are overwritten after emit has returned; its strings stay valid.
type Record struct {
	// Key is the entry's stable id: the same in every pass, whatever the entry is called.
	Key string `cbor:"1,keyasint"`
	// Kind is User or Group.
	Kind Kind `cbor:"2,keyasint"`
	// Name is what an operator finds the entry by: a DN, a UPN, "people.csv:12".
	// It is no identity and a change of it alone is no change of the record.
	Name string `cbor:"3,keyasint"`
	// Attributes are sorted by Name, each name once.
	Attributes []Attribute `cbor:"4,keyasint"`
	// Disabled is true when the directory says that the account may not be used.
	Disabled bool `cbor:"5,keyasint,omitempty"`
	// Partial is true when attributes that are not listed did not change (incremental reads). Unless its connector is
	// a [Merger], Disabled and Name are those of the entry as it is now. Without attributes and Name it is a bare
	// sighting: the entry is there and did not change, Disabled included.
	Partial bool `cbor:"6,keyasint,omitempty"`
	// Deleted is true when the entry is gone (incremental reads); it has no attributes then.
	Deleted bool `cbor:"7,keyasint,omitempty"`
	// Problem says in a sentence why the entry cannot be taken over, "" for a good one. The entry is there
	// (it is no absence) and has no attributes.
	Problem string `cbor:"8,keyasint,omitempty"`
}

// Attribute is a directory's attribute and all its values as text: UTF-8 in Unicode form
// as delivered, known binary syntaxes in their textual form, other binary in base64. The
// values of an attribute that is a set are sorted bytewise, so that another order is no change.
type Attribute struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	Values []string
}

// Checkpoint is where the next incremental pass begins. Only its connector reads it.
type Checkpoint []byte

// Outcome is what a complete pass says of itself.
type Outcome struct {
	// Whole is true when the pass read the entire scope and saw the source's end marker.
	Whole bool
	// Next is where the next incremental pass begins, nil when there is none.
	Next Checkpoint
	// Server is the server, replica or file that was read.
	Server string
	// Evidence says in a sentence how the end was proven.
	Evidence string
	// Pages, Bytes and Wire are what the pass cost: round trips, bytes read and time spent
	// waiting for the source.
	Pages int
	Bytes int64
	Wire  time.Duration
	// Warnings are sentences for the operator that concern the source and no single entry.
	Warnings []string
}

// Why a pass ended early.
var (
	// ErrCheckpointExpired means that the source no longer honours the checkpoint.
	ErrCheckpointExpired = errors.New("checkpoint expired")
	// ErrIncomplete means that the source ended before its own end marker.
	ErrIncomplete = errors.New("source was not read to its end")
	// ErrChanged means that the source changed while it was read.
	ErrChanged = errors.New("source changed while it was read")
	// ErrUnreachable means that no server or file of the source could be opened.
	ErrUnreachable = errors.New("source cannot be reached")
	// ErrDenied means that the source refused the credentials or the access.
	ErrDenied = errors.New("source refused access")
	// ErrSecret means that what the source is to be asked with (a password, secret, certificate or key) cannot be had from where the
	// configuration says, or must not be used. The source was not asked.
	ErrSecret = errors.New("the secret cannot be used")
	// ErrScope means that the configured place or column does not exist in the source.
	ErrScope = errors.New("configured scope does not exist")
)

// Hint wraps err with what the operator should try. The text of the error stays err's.
func Hint(err error, try string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, try}
}

// HintOf returns the outermost hint in err's chain, "" if there is none. It goes behind the word "Try", which it does not begin with, and
// has no full stop.
func HintOf(err error) string {
	var h *hinted
	if !errors.As(err, &h) {
		return ""
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(h.try, "Try"), ":")
	return strings.TrimSuffix(strings.TrimSpace(bare), ".")
}

type hinted struct {
	error
	try string
}

func (h *hinted) Unwrap() error { return h.error }
