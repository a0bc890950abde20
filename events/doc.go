// Package events is what travels: subjects, streams, the bus that writes and reads them, and the
// user-changed events that everyone may subscribe to.
//
// [Subscribe] is for Go programs that want to know what changed; it needs a NATS connection and nothing
// else. Any other NATS client reads the stream ROLLCALL_USERS: CloudEvents 1.0 in the binary mode of the NATS
// binding, body JSON, each revision of the store once, per user in order, delivered at least once.
//
// [SubscribeGroups] is the same for groups. Users and groups share one sequence of revisions, so a subscriber of the one
// sees gaps where the other changed; a run's groups come behind its users.
//
// [Bootstrap] is for programs that keep a copy: all users and groups as of a revision, and then every change behind it without
// gaps. One that is slow, or away, holds nobody up: where events are missing or a reset tells it to, it begins anew. The bodies of events
// and the lines of a snapshot are described by JSON Schemas ([Schemas]).
//
// # Design
//
// What a new consumer begins with is an object in JetStream's object store, in JSON lines, and not a stream of answers: the
// store's transaction ends when the object is written, whoever reads it how slowly, any NATS client can fetch it, and
// consumers that come together share it. It is the events' view of a user, cards masked as events mask them.
//
// Records and changes travel in CBOR (RFC 8949, core deterministic encoding), because a record's digest is
// over its encoded bytes and values are arbitrary text; what people and foreign programs read (LOG, RUNS, USERS,
// DEAD) is JSON. A message of CHANGES carries the changes of many records of one run (facts.md: a publish
// costs more than a mapping), with their numbers in a header, so that ingest counts without decoding.
//
// In a cluster, a server that knows no leader of a stream answers questions about it from its own copy, and one that was cut off goes on
// doing so for 20 seconds and more after its cable is back in (NATS 2.15; pipeline/network_test.go shows it). [Bus.Stream] believes only a
// leader that most others have listened to within the time that they need to choose another one.
package events
