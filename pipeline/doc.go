// Package pipeline carries what a directory says to the users in the store and on to whoever listens. `ls` prints the
// journey of a record:
//
//	schedule   asks for a run of a source: a job
//	worker     takes the job and opens the run: its number is the sequence of "started" in LOG
//	ingest     reads the source through its connector and publishes to RAW what the store has not applied: all that differs from
//	           the baseline, or (increment) what an incremental read tells, or (session) what a live source pushes; replay takes
//	           what RAW has instead of asking the source
//	normalize  maps each record to a change, in CHANGES
//	reconcile  follows LOG; at "finished" it makes the plan (plan), and applies it (apply) or holds it
//	relay      publishes the store's revisions to USERS and results of runs to RUNS, and logs them (diary)
//	lead       starts what only one of several reconcilers does (lease); the others stand by (standby)
//	notify     mails results of runs, postman the PINs that were made
//
// Beside the journey stand service and client (requests and commands from the command line and other programs), anchor (is
// this the log that the store knows?), preview and status. What people do by hand takes the same road: edit (a request
// becomes a command in LOG), manual (the reconciler carries it out), anonymize, sources, retire and rename for what is more than one user's
// new state, and identify, which only asks. Packages show and console are what operators see.
//
// # Promises
//
// Absence is proven, never assumed. The store is the only truth about what has been applied. A run that finds nothing
// new leaves no record, no revision and no event. One writer applies one ordered log. No event without a commit, no
// commit without an event. One bad record never stops the others and never looks like an absence. Secrets do not travel.
// promises_test.go holds a test for each.
//
// # Design
//
// It follows the design notes, with these differences:
//
//   - A message of CHANGES carries the changes of up to 500 records instead of one: publishing, counting and reading
//     twice costs by the message. Which records a message carries stands in its header, so ingest counts distinct records
//     without decoding, and redelivered batches that are cut differently do no harm.
//   - The plan is made by reading CHANGES twice (who claims what; then a verdict for each) instead of sorting the
//     changes in the store first: the fold gives the same verdicts in any order, so only the plan itself is written.
//     The plan's hash is a sum over its verdicts' hashes for the same reason.
//   - A waiting entry (refused, ignored, partly applied) keeps its record's digest. Its mapped change rests in its
//     origin and is folded into every later run from there; without a digest its record would be published again in every
//     run, against promise 3.
//   - An entry that is gone keeps its origin, with the digest of an absence, so that an absence that was dealt with is
//     not proposed again, and whoever comes back is known.
//   - cancel works until "finished" is in the log, not until the first batch is applied: what is decided must
//     depend on the log's order alone.
//   - What is nobody's own cannot be written by way of an answer: NATS sends answers to any reply subject, also into streams that
//     who asks may not write. Messages of LOG and CHANGES name their subject in a header, events in ce-type and ce-subject, results in
//     their body, and what bears another one, the subject of another stream, or the mark of a direct get, counts for nothing. Nor does an
//     event with a number that no store can have given. Rules must hash to their name, and name the source that
//     they are used for. Each source has a consumer of JOBS of its own, and workers ask under subjects that end with the source.
//   - Trace context travels in headers and in the relay's memory, never in the store: the same log gives the same store.
//   - Groups follow from users in the store. What happened to them is told when all users of a run (or of a command) are
//     written: a revision for each group, several for one with more than 10,000 members changed.
//   - The relay adds the chain hash to an event's body when it publishes it; the body in the store is what the hash is over.
//   - A connector's partial records are completed by ingest, and by the exact record in RAW that the store applied last; where that is
//     gone, or the source forgot the checkpoint, the attempt is aborted and the job goes on with a full one.
//   - A live session is a job like a run, so there is one at most; a run that is asked for asks it to end, and it comes back by itself.
//     Its small runs are opened with their first record that is new, one behind the other: "started" of the next never stands before
//     "finished" of the one before, and From names the run before, applied or not. A run that is not applied therefore
//     fails all that follow, and the session ends. A failed session begins again after 0.5 s, doubling to a minute. Marks behind which nothing
//     new was told leave no run; their checkpoint is saved every ten minutes. The schedule of a live source does nothing while it is in session.
//   - Attributes that are mapped to PINs are sealed by AES-SIV before the record's digest is computed, with the entry's key as
//     associated data: an unchanged record keeps its digest, and equal PINs of two entries look different. Normalizers open
//     them and pass on keyed hashes; PINs of a length that terminals take can be guessed by whoever has the key, so
//     it lies beside the store and not in it.
//   - A PIN is generated when all other verdicts of the run are known, in the order of the users' ids: it must be nobody
//     else's, and the plan must not depend on the order of changes. It is a keyed function of the user's id and of how many
//     were drawn for him before, so it can be drawn again to be shown or mailed, and rests nowhere. Users whom a run decides nothing
//     about get none: cost follows change. The guard does not count generated PINs. When the minimum is raised (P6), the next
//     run of a user's owner replaces what no source gave him; those of users of no source are replaced by the run of the first source by
//     name. With keep, a PIN that a source says again stays although it is too short by now.
//   - What is temporary ends by a tick in the log, which is sent only when the store's index says that something has ended, and
//     decided by the tick's own time. A temporary value that ended is not taken from the same record again.
//   - A command names its user by id, and carries what of the configuration decides about it (how events show cards,
//     whether a user has but one), so that it means the same when the log is read again. Its answer rests in the store under the command's
//     sequence: who repeats a request with its id is told the same.
//   - What a person overrides makes the entries wait that say otherwise (S5, U15): the next run decides them again, although
//     their records did not change. Waiting is an index; nobody looks through all users for overrides.
//   - Anonymizing purges RAW and the dead letters before the store is written: a crash in between repeats it. The entry's
//     tombstone has a digest of its own, at which ingest lets the record lie: nothing of it travels again. Free pages of
//     the store's file and of the streams' keep bytes until they are used again; LOG, CHANGES, USERS and snapshots until they age
//     out.
//   - Renaming a source tells nobody: its configuration has another hash, so its next run proposes everybody anew and tells what
//     that changes, the label for one.
//   - Retiring a source goes through LOG with the hash of a plan that a person saw, like an approval, and in batches that a
//     restart goes on with.
//   - A caller's wrong PINs are counted in memory: they decide nothing about users, and a restart forgives them.
//   - A generated PIN that is to be mailed leaves a letter in the store, in the transaction that gives it to its user, until the
//     mail server took it. The letter holds how the PIN was drawn and its hash; the postman draws it again at the door. Letters
//     are an outbox like revisions and results, no part of the store's digest. That one was taken, or never will be, travels through
//     LOG, so a standby and a log that is read again know it. A crash between the server's answer and the log mails a PIN once more,
//     under the same Message-ID.
//   - Results of runs are mailed from RUNS by a durable consumer: where nobody is to be told it is deleted, so that nobody gets
//     old news when that changes. A process waits for mail on its way, ten seconds at most, before it ends: "rollcall sync" has no later.
//   - A replay maps the records itself and leaves RAW alone: published there once more, eight tries of a mapping would push out
//     what they are tried on. It proposes the record last applied of every entry (or the last one of a run up to N), and as gone only
//     who is gone already. Under the rules that were applied last the source's checkpoint stays; otherwise it is dropped, because
//     new rules may ask for attributes that were never read, so the next run reads everything. The scope stays the one that was read.
//     A client brings the rules along, so that new ones are tried beside a server that runs on the old ones; they are applied only
//     where they are the server's own.
//   - A rebuild is the reconciler reading LOG into a store of its own, which writes to no stream. It is compared with a snapshot taken
//     for that, so a server may be at work. Left out are what is no function of the log: positions, plans, and what waits to be told or
//     mailed; the rebuilt store takes over from the live one what was told already, so that it could stand in for it.
//   - A scheduled job names its due time, and JetStream takes it once: at a takeover two schedulers may ask for the same one, and the first
//     one's run may be over when the second asks.
//   - A run is compared with the store by its number and must still be open: a run whose worker was overtaken is
//     failed at the moment when the next attempt starts.
//   - Several reconcilers on one NATS: each follows LOG into a store of its own, so a takeover is only switching on what the leader does
//     alone (relay, service, schedule, ticks, mail, snapshots), when the store holds all of LOG. The lease is a key in JetStream that
//     expires after 4 s; its holder trusts it for 3 s from before it was renewed, by its own clocks, so a process that was stopped
//     knows at once that it leads no more. Clients are answered by whoever leads, outside of any queue group: a stopped
//     process takes no question away. What decides about what is written is not the lease but the streams: USERS and RUNS take
//     a message only behind the one that its writer knows, and revisions and results carry the store's numbers.
//   - All of them have the first one's store id, published beside the rules, because user ids derive from it, and need the same key of the PINs.
//   - One that has no store, or whose store ends before LOG begins, starts from the latest snapshot that LOG goes on from, also when
//     LOG is trimmed while it is behind (ErrBehind; serve starts again). Where there is no such snapshot, or LOG is another than the
//     store's or lost its end, it waits and says so: going on at what LOG has is the leader's decision. A store that missed a message would
//     be another one, and one that has what LOG lost is the only one that has it. That LOG lost its end is also noticed while it is
//     followed, whenever NATS was away and every few seconds; a standby whose store ends where the leader has moved it to goes on there.
//     The leader moves it behind a message that LOG takes only at the end that was told: what it is told may be old by then.
//   - A run whose changes are gone from CHANGES is failed in LOG with the place in it where that was found out, and what LOG says is
//     looked up before that place is handled again. A standby that misses changes waits for the leader's word.
//   - What purges RAW and dead letters is done by standbys too: it is the same for whoever repeats it. Only purging a whole source,
//     when it was renamed, is left to the leader: the name may be in use again.
//   - A store that went back (a snapshot was restored) catches up with LOG before anybody is answered, and makes the same revisions again;
//     the relay drops those that USERS has. Where USERS has more, another chain, or less than it has acknowledged, a reset goes through LOG: the store numbers on above what
//     was published, and its next event, "rollcall.users.reset.<store id>", tells subscribers to begin anew. It keeps its id, against the
//     design notes: user ids derive from it, and numbers are not used twice.
//   - Snapshots are copied to a file before they are sent, so that the copied state is held in the store for as short as possible. They are
//     taken by the leader, every six hours of a store that moved and after 10,000 revisions and a tenth of the users, and at once when LOG
//     does not lead on from the latest one. A standby that begins from one keeps the store that it had as store.db.behind.
package pipeline
