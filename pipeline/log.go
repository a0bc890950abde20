package pipeline

import (
	"context"
	"encoding/json"
	"fmt"

	"rollcall/events"
	"rollcall/pipeline/policy"
)

// The kinds of messages in LOG, after the source's name.
const (
	logStarted  = "started"
	logFinished = "finished"
	logAborted  = "aborted"
	logFailed   = "failed"
)

// The commands in LOG.
const (
	commandApprove = "approve"
	commandReject  = "reject"
	commandCancel  = "cancel"
	commandForget  = "forget"
)

// The commands in LOG that concern a source as such.
const (
	commandRetireSource = "retire-source"
	commandRenameSource = "rename-source"
)

// The commands in LOG that concern one user: what [manual] says.
const (
	commandSetUser        = "set-user"
	commandDeactivateUser = "deactivate-user"
	commandReactivateUser = "reactivate-user"
	commandAnonymizeUser  = "anonymize-user"
	commandAddCard        = "add-card"
	commandRemoveCard     = "remove-card"
	commandAddPIN         = "add-pin"
	commandGeneratePIN    = "generate-pin"
	commandRemovePIN      = "remove-pin"
)

// commandMailed says that a generated PIN was mailed, or why it will not be: [mailed] (P5).
const commandMailed = "mailed"

// commandReset says that subscribers have heard events that are not this store's: [reset].
const commandReset = "reset"

// commandTick says that something may have ended.
const commandTick = "tick"

// commandEnd says that LOG ended before it. It changes nothing.
const commandEnd = "end"

// Job asks for a run of a source.
type Job struct {
	ID              string `json:"id"`
	Source          string `json:"source"`
	Full            bool   `json:"full,omitempty"`
	DryRun          bool   `json:"dry_run,omitempty"`
	RequireApproval bool   `json:"require_approval,omitempty"`
	// Live asks for a session instead: runs one behind the other, as the source tells what changes.
	Live  bool   `json:"live,omitempty"`
	Actor string `json:"actor,omitempty"`
	// Replay asks for the records of a run that RAW has, instead of the source's: those of run Of, 0 for the last one, decided by
	// the rules with the hash Config.
	Replay bool   `json:"replay,omitempty"`
	Of     uint64 `json:"of,omitempty"`
	Config string `json:"config,omitempty"`
}

// started opens a run. The message's sequence is the run's number.
type started struct {
	Job    Job    `json:"job"`
	Kind   string `json:"kind"`
	Config string `json:"config"`
	Worker string `json:"worker"`
}

// finished says that a run read its source to the proven end and that all its changes are in CHANGES.
type finished struct {
	Run uint64 `json:"run"`
	// From is the number of the applied run that the read was compared with.
	From uint64 `json:"from"`
	// Changes is how many distinct changes the run has, Read how many entries it saw.
	Changes int  `json:"changes"`
	Read    int  `json:"read"`
	Whole   bool `json:"whole"`
	// Deferred is how many absences wait for a second run on this server.
	Deferred int    `json:"deferred,omitempty"`
	Next     []byte `json:"next,omitempty"`
	// Since and Until are the checkpoints before and behind the run in words.
	Since    string   `json:"since,omitempty"`
	Until    string   `json:"until,omitempty"`
	Scope    string   `json:"scope"`
	Server   string   `json:"server"`
	Evidence string   `json:"evidence"`
	Pages    int      `json:"pages,omitempty"`
	Bytes    int64    `json:"bytes,omitempty"`
	Wire     float64  `json:"wire_seconds,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// aborted says that nothing comes of a run.
type aborted struct {
	Run    uint64 `json:"run"`
	Reason string `json:"reason"`
	Try    string `json:"try,omitempty"`
	// Again is true when the job's next attempt follows by itself.
	Again bool `json:"again,omitempty"`
}

// command is a person's decision.
type command struct {
	Source string `json:"source"`
	Run    uint64 `json:"run,omitempty"`
	Plan   string `json:"plan,omitempty"`
	Key    string `json:"key,omitempty"`
	Actor  string `json:"actor,omitempty"`
}

// renaming is the command that gives a source another name, with all that is known of it (S6).
type renaming struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Actor string `json:"actor,omitempty"`
}

// manual is what a person wants done to one user. Whatever of the configuration decides about it stands in it.
type manual struct {
	// User is the user's id.
	User   string              `json:"user"`
	Set    []policy.Assignment `json:"set,omitempty"`
	Card   *policy.Card        `json:"card,omitempty"`
	PIN    *policy.PIN         `json:"pin,omitempty"`
	Actor  string              `json:"actor,omitempty"`
	Reason string              `json:"reason,omitempty"`
	// EventCards is how the event shows cards: full, masked or none.
	EventCards string `json:"event_cards,omitempty"`
}

// appendLog writes a message to LOG and returns its sequence. The same id twice is one message.
func appendLog(ctx context.Context, bus *events.Bus, subject, id string, body any) (uint64, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, fmt.Errorf("encode %s: %w", subject, err)
	}
	return bus.Publish(ctx, subject, id, data)
}
