package events

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// SubjectHeader says under which subject a message of LOG and CHANGES was meant to be published.
const SubjectHeader = "Rollcall-Subject"

// directHeader stands in what a NATS server answers from a stream.
const directHeader = "Nats-Stream"

// Genuine reports whether a message of LOG or CHANGES was published under its subject. A NATS server sends an answer to whatever
// reply subject a question names, and a consumer's messages wherever it is told to: also into streams that whoever asks may not
// write. Such copies say that they are copies, were meant for another subject, or bear the subject of another stream.
func Genuine(subject string, h nats.Header) bool {
	return !isCopy(h) && h.Get(SubjectHeader) == subject && (strings.HasPrefix(subject, "rollcall.log.") || strings.HasPrefix(subject, "rollcall.changes."))
}

// GenuineEvent reports the same of a message of USERS. Copies of events themselves a server refuses: they bear the last sequence that
// they were written behind.
func GenuineEvent(subject string, h nats.Header) bool {
	known := strings.HasPrefix(subject, "rollcall.users.") || strings.HasPrefix(subject, "rollcall.groups.")
	return known && !isCopy(h) && h.Get("ce-type")+"."+h.Get("ce-subject") == subject
}

// GenuineResult reports the same of a message of RUNS with the result of a run of that state and source.
func GenuineResult(subject string, h nats.Header, state, source string) bool {
	return !isCopy(h) && subject == RunSubject(state, source)
}

// GenuineRecord reports the same of a message of RAW, whose body says what it belongs to.
func GenuineRecord(h nats.Header) bool { return !isCopy(h) }

// Fetched returns the header of a message that was fetched by its number, as it stands in the stream: a stream that answers directly
// adds its own name.
func Fetched(h nats.Header, direct bool) nats.Header {
	own := cloneHeader(h)
	if names := own[directHeader]; direct && len(names) > 0 {
		own[directHeader] = names[1:]
	}
	return own
}

func isCopy(h nats.Header) bool { return len(h[directHeader]) > 0 }
