// Package policy decides what a change in a directory does to a user. It is pure: it reads the store
// through [View], knows no clock, no chance and no network, and every answer is a [Verdict] that
// somebody else writes.
//
// # Promises
//
// The verdict of an entry depends on the store, the options and the run's changes, never on the
// order in which they were noted or decided. Applying the releases of a whole run first and its
// claims afterwards never gives one value to two users. A change that is decided again against a
// store that already shows its outcome writes nothing. A person's decision is not undone, a user whose
// name begins with "*" is not touched, and the last active administrator stays active.
//
// # Design
//
// A run is folded in two passes over its changes. The first one keeps hashes only: what an entry touches (the
// values it claims, the users it leads to, the users who hold what it claims). Entries that share a touched thing
// with another entry are contested: the second pass puts them aside and [Fold.Rest] decides them
// together. All others have nothing to do with each other and are decided as they come. A
// collision of hashes therefore makes an entry contested that is not, which costs memory and changes no verdict.
//
// Contested entries are settled by refusing: everybody gets what he wants, then those are refused whose wish is
// held by somebody who keeps it, or is wished for twice; who is refused keeps what he has, which
// may refuse others. Refusals only grow, so this ends, and the end does not depend on the order.
// Cards and PINs come after names and numbers, because a user who does not get a card is not refused.
//
// Groups that are entries say who is in them. The first pass keeps the run's groups with hashes of their members; Settle
// compares them with the store, finds whom a change concerns, down through groups within groups, and brings just those people into
// the run with what their entries said last ([Fold.Concerned]). So a membership depends on groups alone, and no record of a person
// is needed for it; selection by groups is the same question. A group is gone, renamed or has other members for everybody at once, because
// no verdict on a person changes a group. What an entry may be called (DN, uid, key) is compared as hashes, in one spelling.
//
// Who names others (delegates, managed groups by DN) is decided last, once it is known what those are called; nobody
// else's verdict depends on it. That a named group is no more is seen in the next run.
//
// What a person takes from his manager's entry (E3) is that entry's own word, never what became of its user: it rests in the entry's
// change beside what it says of itself, and the fold keeps what those of the run say, with the run's number of entries in memory where
// such properties are mapped. An entry whose word changed calls those who take it into the run, as one does who is renamed.
// What was taken rests in the taker's change like his own words.
//
// A user belongs to the first source that took him. A waiting entry keeps the digest of its record, so
// that a second identical run publishes nothing; that it waits brings it into the next run.
//
// A [Hand] decides what a person does, on the same [View], and its [Deed] is written like a verdict. A list that is set by
// hand keeps the origins of values that were there; new ones are manual. What a person set stays where the source's
// merge mode leaves it, and only the memory of what was overridden goes: nobody is told of that, nor of entries that are
// linked without changing anything.
//
// The reason of a refusal stands in the verdict's text of the origin ("conflict: …"), because the
// same refusal for another reason is news.
package policy
