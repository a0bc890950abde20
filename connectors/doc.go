// Package connectors is the contract between Rollcall and the directories it reads.
//
// A connector extracts everything that is useful and decides nothing: it does not
// loop, schedule, filter by business rules, log decisions or read environment
// variables. Its one promise above all others: it never returns half a directory.
// Whatever ends a pass early (a lost connection, a limit, a cancelled context, a file
// that changed while it was read) is an error, and such a pass counts for nothing.
//
// # Attributes: three ways
//
// A record says of an attribute that it has values, that it is empty (listed without
// values), or nothing at all (not listed). A missing attribute is not an empty one: a CSV
// file without the column PHONE leaves phones alone, a row with an empty PHONE clears it.
// A connector that asks a directory for named attributes therefore lists each of them in
// every whole record, without values where the directory returned none.
//
// # One bad entry
//
// An entry that is there but cannot be taken over (a row that occurs twice, bytes that are no text) is a
// record with its key and a [Record.Problem]: it stops nobody else and is no absence. Where not even
// the key of an entry can be told, nobody can say who is missing, and the pass ends with an error.
//
// # Design
//
// The interfaces are two, because they have three implementations: [Connector] and
// [Config]. Everything else is plain data. Check is part of the contract (the design's
// proposal had Read and Present only) because `rollcall check` must ask the directory the
// same way as a run does.
package connectors
