package store

import "time"

// The states of a run. Running is the only one that is not final, Held waits for a decision.
const (
	Running   = "running"
	Held      = "held"
	Applied   = "applied"
	Failed    = "failed"
	Cancelled = "cancelled"
	Planned   = "planned" // a dry run: the whole plan, nothing written
)

// Run is one run of a source, from started to its result. Its JSON is a contract (interface.md).
type Run struct {
	Source string `json:"source" cbor:"1,keyasint"`
	// Number is the sequence of the run's "started" message in LOG.
	Number uint64 `json:"run" cbor:"2,keyasint"`
	// Kind is full, incremental, live or replay.
	Kind  string `json:"kind" cbor:"3,keyasint"`
	State string `json:"state" cbor:"4,keyasint"`
	// Reason says why a run is held, failed or cancelled, Try what to do about it.
	Reason string `json:"reason,omitempty" cbor:"5,keyasint,omitempty"`
	Try    string `json:"try,omitempty" cbor:"6,keyasint,omitempty"`
	// Plan is the hash of the plan's content.
	Plan string `json:"plan,omitempty" cbor:"7,keyasint,omitempty"`
	// Read is the sum of the ten counters behind it (S3); Deactivated and Warnings stand beside.
	Read        int `json:"read" cbor:"8,keyasint"`
	Unchanged   int `json:"unchanged" cbor:"9,keyasint"`
	Created     int `json:"created" cbor:"10,keyasint"`
	Updated     int `json:"updated" cbor:"11,keyasint"`
	Deactivated int `json:"deactivated" cbor:"12,keyasint"`
	Reactivated int `json:"reactivated" cbor:"13,keyasint"`
	Merged      int `json:"merged" cbor:"14,keyasint"`
	Ignored     int `json:"ignored" cbor:"15,keyasint"`
	Disabled    int `json:"disabled" cbor:"16,keyasint"`
	Conflicts   int `json:"conflicts" cbor:"17,keyasint"`
	Rejected    int `json:"rejected" cbor:"18,keyasint"`
	Deletions   int `json:"deletions" cbor:"19,keyasint"`
	Warnings    int `json:"warnings" cbor:"20,keyasint"`
	// Seconds is from started to the result, by the times of the LOG's messages.
	Seconds  float64   `json:"seconds" cbor:"21,keyasint"`
	Started  time.Time `json:"started" cbor:"22,keyasint"`
	Finished time.Time `json:"finished,omitzero" cbor:"23,keyasint"`
	// From is the applied run that this one was compared with.
	From     uint64 `json:"from" cbor:"24,keyasint"`
	Server   string `json:"server,omitempty" cbor:"25,keyasint,omitempty"`
	Evidence string `json:"evidence,omitempty" cbor:"26,keyasint,omitempty"`
	Pages    int    `json:"pages,omitempty" cbor:"27,keyasint,omitempty"`
	Bytes    int64  `json:"bytes,omitempty" cbor:"28,keyasint,omitempty"`
	// Wire is how long the connector waited for the source, in seconds.
	Wire float64 `json:"wire_seconds,omitempty" cbor:"29,keyasint,omitempty"`
	// Messages are the first warnings, refusals and conflicts in words, at most a hundred.
	Messages []string `json:"messages,omitempty" cbor:"30,keyasint,omitempty"`
	// Job names the request that the run answers; Config and Scope are hashes.
	Job    string `json:"job,omitempty" cbor:"31,keyasint,omitempty"`
	Config string `json:"config,omitempty" cbor:"32,keyasint,omitempty"`
	Scope  string `json:"scope,omitempty" cbor:"33,keyasint,omitempty"`
	DryRun bool   `json:"dry_run,omitempty" cbor:"34,keyasint,omitempty"`
	// Records is how many records the run published, Next the checkpoint that applying it stores.
	Records         int    `json:"records" cbor:"35,keyasint"`
	Next            []byte `json:"-" cbor:"36,keyasint,omitempty"`
	RequireApproval bool   `json:"-" cbor:"37,keyasint,omitempty"`
	// Again is true for a failed attempt after which another one of the same job follows by itself.
	Again bool `json:"again,omitempty" cbor:"38,keyasint,omitempty"`
	// Revisions is how many users the run changes.
	Revisions int `json:"revisions" cbor:"40,keyasint"`
	// Absent is how many of the entries in Read the source did not have.
	Absent int `json:"-" cbor:"39,keyasint,omitempty"`
	// Whole is true for a run that read its whole source, whatever it was meant to be.
	Whole bool `json:"whole,omitempty" cbor:"50,keyasint,omitempty"`
	// Since and Until say in words which checkpoint the run began at and which one it ended with.
	Since string `json:"since,omitempty" cbor:"51,keyasint,omitempty"`
	Until string `json:"until,omitempty" cbor:"52,keyasint,omitempty"`
	// Deferred is how many absences wait for a second run on the same server.
	Deferred int `json:"deferred,omitempty" cbor:"53,keyasint,omitempty"`
}

// Source is what has been applied of a source.
type Source struct {
	Name string `cbor:"1,keyasint"`
	// Applied is the number of the last applied run, 0 for none.
	Applied uint64 `cbor:"2,keyasint"`
	// Checkpoint is where the next incremental pass begins, nil for none.
	Checkpoint []byte `cbor:"3,keyasint,omitempty"`
	// Config, Scope and Server are the last applied run's.
	Config string `cbor:"4,keyasint,omitempty"`
	Scope  string `cbor:"5,keyasint,omitempty"`
	Server string `cbor:"6,keyasint,omitempty"`
	// Held is the number of the run that waits for a decision, 0 for none.
	Held uint64 `cbor:"7,keyasint,omitempty"`
	// Entries counts the source's origins that are not gone, Active the active users that it owns, Linked those whom an
	// entry of it leads to, or led to while it was there.
	Entries int `cbor:"8,keyasint"`
	Active  int `cbor:"9,keyasint"`
	Linked  int `cbor:"11,keyasint,omitempty"`
	// Reconciled is when the last whole run was applied.
	Reconciled time.Time `cbor:"10,keyasint"`
}

// Revision is one committed change of a user or a group, waiting to be relayed.
type Revision struct {
	Number uint64 `cbor:"1,keyasint"`
	// Subject is what the event is published under, without the prefix: "users.updated.<id>".
	Subject string    `cbor:"2,keyasint"`
	Time    time.Time `cbor:"3,keyasint"`
	// Chain is a hash over all revisions up to this one, in 16 hexadecimal digits.
	Chain string `cbor:"4,keyasint"`
	// Body is the event's JSON.
	Body []byte `cbor:"5,keyasint"`
}
