package policy

import (
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// Action is what becomes of an entry.
type Action string

// The actions. Every entry of a run counts under exactly one of them (S3).
const (
	Unchanged  Action = "unchanged"
	Create     Action = "created"
	Update     Action = "updated"
	Reactivate Action = "reactivated"
	Merge      Action = "merged"   // linked to a user that another source or nobody owned
	Ignore     Action = "ignored"  // unknown and add_new_users is off, or not selected
	Disable    Action = "disabled" // the directory says the account may not be used
	Conflict   Action = "conflict"
	Reject     Action = "rejected"
	Delete     Action = "deletion" // the entry is gone
)

// Verdict is what the run does about one entry (or, where Key is empty, about one user beside). It is
// complete: applying copies it and decides nothing.
type Verdict struct {
	Key    string `cbor:"1,keyasint"`
	Entry  string `cbor:"2,keyasint"`
	Action Action `cbor:"3,keyasint"`
	// Event is the kind of event that User's new state emits: created, updated, deactivated,
	// reactivated, anonymized; "" when the user stays as he is, and User is nil then.
	Event string      `cbor:"4,keyasint,omitempty"`
	User  *store.User `cbor:"5,keyasint,omitempty"`
	// Changed are the properties that differ from the stored user, in the order of
	// store.Properties, "active" last. Of a user who is created they rest in User alone.
	Changed []Changed `cbor:"6,keyasint,omitempty"`
	// Releases and Claims are the unique values that the stored user loses and the new one gains.
	Releases []store.Claim `cbor:"7,keyasint,omitempty"`
	// Claims are for whoever looks at the plan while it is made; they do not rest in it.
	Claims []store.Claim `cbor:"-"`
	// Origin is the entry's new origin; nil when DropOrigin is set or nothing is to be written.
	Origin     *store.Origin `cbor:"9,keyasint,omitempty"`
	DropOrigin bool          `cbor:"10,keyasint,omitempty"`
	// Reason is a sentence for an operator: why refused, who else is concerned.
	Reason   string            `cbor:"11,keyasint,omitempty"`
	Warnings []mapping.Warning `cbor:"12,keyasint,omitempty"`
	// Name is what the user is called now or, where there is none, what the entry says; for people.
	Name string `cbor:"14,keyasint,omitempty"`
	// Absent is true for an entry that the source does not have.
	Absent bool `cbor:"16,keyasint,omitempty"`
	// Forget is where in RAW the entry's records end that are to be purged, 0 for none (U22).
	Forget uint64 `cbor:"15,keyasint,omitempty"`
	// Renamed are the old and the new path of the group that a group's entry stands for, when they differ: it is the same group.
	Renamed []string `cbor:"20,keyasint,omitempty"`
	// Letter tells the user a PIN that was made for him, nil for none (P5).
	Letter *store.Letter `cbor:"40,keyasint,omitempty"`
	// DrawPIN is true while the user is still to get a generated PIN ([Issue]), RaisedPINs when that takes the place of shorter
	// ones (P4, P6).
	DrawPIN    bool `cbor:"30,keyasint,omitempty"`
	RaisedPINs bool `cbor:"31,keyasint,omitempty"`
	// Deactivated is true when an active user becomes inactive.
	Deactivated bool `cbor:"13,keyasint,omitempty"`
}

// Changed is one property's old and new value; values of lists are joined by ", " for people and kept
// apart in OldList and NewList.
type Changed struct {
	_                struct{} `cbor:",toarray"`
	Property         string
	Old, New         string
	OldList, NewList []string
}
