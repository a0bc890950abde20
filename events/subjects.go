package events

import (
	"fmt"
	"strings"

	"rollcall/store"
)

// The streams.
const (
	JobsStream    = "ROLLCALL_JOBS"
	RawStream     = "ROLLCALL_RAW"
	ChangesStream = "ROLLCALL_CHANGES"
	LogStream     = "ROLLCALL_LOG"
	UsersStream   = "ROLLCALL_USERS"
	RunsStream    = "ROLLCALL_RUNS"
	DeadStream    = "ROLLCALL_DEAD"
	// ConfigBucket is the key-value bucket of configurations under their hashes.
	ConfigBucket = "rollcall_config"
	// LeaderBucket is the key-value bucket in which reconcilers agree who leads.
	LeaderBucket = "rollcall_leader"
	// SnapshotsBucket is the object store of snapshots of the store.
	SnapshotsBucket = "ROLLCALL_SNAPSHOTS"
)

// JobSubject is where a run of a source is asked for.
func JobSubject(source string) string { return "rollcall.jobs." + source }

// RawSubject is where an entry's raw records go.
func RawSubject(source string, key store.Key) string {
	return "rollcall.raw." + source + "." + key.String()
}

// ParseRawSubject returns the source of a subject of RAW.
func ParseRawSubject(subject string) (source string) {
	source, _, _ = strings.Cut(strings.TrimPrefix(subject, "rollcall.raw."), ".")
	return source
}

// RawSubjects is where all records of a source go.
func RawSubjects(source string) string { return "rollcall.raw." + source + ".*" }

// ParseRawKey returns the key that RawSubject was made of.
func ParseRawKey(subject string) (key store.Key, ok bool) {
	key, err := store.ParseKey(subject[strings.LastIndexByte(subject, '.')+1:])
	return key, err == nil && strings.HasPrefix(subject, "rollcall.raw.")
}

// ChangesSubject is where the mapped changes of a run go.
func ChangesSubject(source string, run uint64) string {
	return fmt.Sprintf("rollcall.changes.%s.%d", source, run)
}

// LogSubject is where a run's started, finished, aborted or failed goes.
func LogSubject(source, what string) string { return "rollcall.log." + source + "." + what }

// CommandSubject is where a command of that kind goes. "command" is no name for a source.
func CommandSubject(kind string) string { return "rollcall.log.command." + kind }

// ParseLogSubject returns what LogSubject or CommandSubject was made of.
func ParseLogSubject(subject string) (source, what string, ok bool) {
	rest, ok := strings.CutPrefix(subject, "rollcall.log.")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ".")
}

// RevisionSubject is where the event of a revision goes: "users.updated.<id>" after the prefix.
func RevisionSubject(tail string) string { return "rollcall." + tail }

// SnapshotRequest is where a [Snapshot] of the users is asked for, and ResetSubjects begins the subjects of events that tell consumers to
// take a new one.
const (
	SnapshotRequest = "rollcall.api.users.snapshot"
	ResetSubjects   = "rollcall.users.reset."
)

// RunSubject is where a run's result goes.
func RunSubject(state, source string) string { return "rollcall.runs." + state + "." + source }

// DeadSubject is where a stage puts what it rejected.
func DeadSubject(stage, source string) string { return "rollcall.dead." + stage + "." + source }

// SessionSubject is where a source's live session is asked to end, outside of any stream.
func SessionSubject(source string) string { return "rollcall.session." + source + ".end" }

// PresenceSubject is where every process tells that it is there, outside of any stream.
const PresenceSubject = "rollcall.presence"

// ProgressSubject is where a run's progress is told, outside of any stream.
func ProgressSubject(source string) string { return "rollcall.progress." + source }
