// Package store keeps who is known and what has been applied: users, the origins they come from, sources
// and their runs, and the changes that wait to be told, in one bbolt file with one writer.
//
// Its promises:
//
//   - A transaction happens whole or not at all, durably, whatever kills the process. What belongs together
//     (a user, his claims, his origin, his revision, the checkpoint) is written together by whoever puts it
//     into one [DB.Update].
//   - A value that must be unique has one holder. [Tx.PutUser] refuses a second one with [ErrTaken] and
//     changes nothing.
//   - Indexes and counters are never the caller's business, and [DB.Check] finds every one that is wrong.
//   - Revisions are numbered without gaps and chained: a store that was rolled back can be told from one
//     that was not.
//   - Equal contents have equal digests ([DB.Digest]), whatever the order and size of the transactions that
//     led to them.
//   - A file that is truncated, foreign or of a newer version is refused with a reason and left as it is.
//   - A snapshot ([DB.WriteSnapshot]) is one consistent state, and [Restore] puts it in place only when it is whole and what it
//     was said to be; a store that was there is kept beside it, and one that is in use stays.
//   - Values hold any bytes of any length: a directory's may be no UTF-8.
//
// # Design
//
// Values rest in CBOR's deterministic encoding, under numbers instead of names; a new field takes a new
// number. A change that older versions would misread raises the format, which they refuse.
//
// The file is created beside its place and linked there, because bbolt's first writes do not survive a power
// failure and a rename could replace another process's store. Before bbolt maps a file its size is compared with
// its header: the pages of a truncated file kill the process that touches them.
//
// A first load decides what the store costs, and pages decide what a load costs: bbolt writes a page of
// 4 KiB for every key that has no neighbour in the same transaction. So
//
//   - users lie under numbers in the order of their creation, verdicts of a plan in the order of their
//     arrival, revisions as they come: appending fills pages;
//   - what is looked up by content (user ids, names, cards, PINs, personal numbers; keys of verdicts) is in an
//     index, in which a sorted block takes what large transactions add, and hands ranges of neighbours on to
//     its bucket (index.go, block.go). A transaction pays for the block once, not a page for every key.
//     Everything about it is in the transaction: readers see their own state, and nothing has to be rebuilt
//     after a crash;
//   - a plan and its chunks are dropped as buckets, not key by key.
//
// Measured for 100,000 users with five index entries, an origin and a revision each: BenchmarkFirstLoad.
// Buffering all writes of a transaction and sorting them at its end was tried first and did not pay.
//
// A claim that a run gives up ahead of its user's new state is remembered as released, so that Check can
// tell a run that is being applied from a broken index.
//
// Answers to commands rest in 1,024 slots by their place in the log: bounded without sweeping.
//
// An origin's flags and digest lie in front of its encoding: the baseline of 100,000 entries is read without
// decoding any.
//
// Groups follow from users as indexes do: [Tx.PutUser] joins and leaves, counts for every origin what keeps a group (members,
// groups below, entries) and removes it with the last. A group is a path, compared exactly; its id is a UUIDv5 of the
// store's id and the path, and moves with it when the directory's entry behind it is renamed ([Tx.RenameGroup]). What
// happened to groups is gathered until all users of a run are written, so that a run tells of a group once ([Tx.Regroup]).
//
// A letter (a generated PIN to be mailed) is an outbox entry without the PIN: [Tx.PutLetter] belongs into the transaction that gives
// the PIN to its user. Letters are in no digest, because sending them is nobody's input.
//
// Names are compared by [Fold]. Text that is not UTF-8 is folded in its ASCII part only: replacing what is
// invalid would make one name of two.
package store
