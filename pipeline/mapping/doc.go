// Package mapping makes properties of users out of attributes of directories.
//
// A [Config] says from which attributes a property comes and what becomes of the text on its way:
// from → trim → regex → transform → case (myq-rules.md, K1). [Compile] checks it as a whole and returns a
// [Mapping]; [Mapping.Apply] makes of one record one [Change].
//
// Promises:
//
//   - Pure: no clock, no network, no store. Equal configurations make of equal records equal changes, in
//     equal bytes. A Mapping may be used by any number of goroutines.
//   - Three ways: a property whose attributes the record does not list is not in Change.Set and is left alone; one whose
//     attributes are listed without values is in it and empty.
//   - One bad value costs that value. It becomes a [Warning] that names the rule, and the rest of the record goes on. Only
//     a record without a usable user name is an error.
//   - Bytes from a directory are hostile: control characters and invalid UTF-8 get into no property, nothing
//     is computed of a value beyond its limit, and no record makes Apply panic.
//   - A value that is a PIN, or of an attribute that PINs come from, is in no Warning.
//
// # Design
//
// A single-valued property whose only value was refused is not in Change.Set: bad data never erases good data. A
// value that the regular expression leaves out is different, since there the administrator said that it counts as none.
//
// The record is looked at once: Compile gives every attribute name a number, Apply puts the record's attributes under those numbers,
// and rules, groups and filters read them there. Names compare without case.
//
// mid(l,r) strips l characters from the left and r from the right, so that mid(1,2) makes 234 of 123456: K2 says it in words, and K3's
// example 23, which counts r characters behind the first l, gives way to them; its mid(2,2) is 34 either way.
//
// Group paths and split lists keep "\" escapes until the last moment, because a "," or "|" inside a name is otherwise
// a second group.
//
// Whom a group's entry counts as members is told as the names that people's entries give themselves (Change.Names), each in
// one spelling whatever the directory's: who that is, is found out by policy. A group's place comes from its DN, so a group that
// moves is a change of its record only because the connector lists the DN as an attribute.
//
// What a property takes from the manager's entry (E3) cannot be known from one record. The manager's own change says what he has
// for it, made by the property's rule, and the other's change whose it is; policy brings them together.
//
// A Change is coded by hand: its properties are sparse and a run has millions of them. The bytes are CBOR that any
// decoder reads, in the deterministic encoding of RFC 8949, 4.2.1.
package mapping
