// Package broker is the embedded NATS server: the default, when no cluster is configured.
//
// It stores every message durably before it acknowledges it (JetStream's default is up to two minutes
// later, which loses acknowledged messages in a power failure), listens on loopback only unless told otherwise,
// and lets in nobody without the generated credentials.
//
// # Design
//
// The server's store directory has no lock of its own: two servers on one directory would both acknowledge.
// Open the store first (bbolt's file lock) and then the broker.
//
// What it could not write, it refuses from then on, also when there is room on the disk again: [Broker.Watch] ends the process, so that
// whoever starts it again finds streams that work.
package broker
