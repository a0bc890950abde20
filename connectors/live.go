package connectors

import "context"

// Live is a connector that can stay connected and tell changes as they happen.
type Live interface {
	Connector

	// Stay goes on from since, which is never nil, and stays connected until ctx is done, the source ends the
	// connection or an error occurs; it never returns nil. Records are emitted as by an incremental Read.
	//
	// mark says that everything up to Outcome.Next was emitted: a run may end there, and the next session may begin
	// there. Its cost counts from the mark before. It is called with every checkpoint that the source gives (at the end of
	// the refresh, then with each change or group of changes that belongs together), from the goroutine of emit,
	// and costs little: not every mark becomes a run. What was emitted behind the last mark is dropped when the session
	// ends. Outcome.Whole may be true in the first mark only.
	//
	// emit and mark block while the pipeline cannot keep up: the connector stops receiving and keeps nothing. An error of
	// theirs ends the session; Stay returns it wrapped. [ErrCheckpointExpired] asks for a whole run, after which the session
	// begins anew; after any other error the pipeline waits a little, longer each time, and calls Stay again with the
	// last mark that was applied. A source that is polled calls mark after every poll that brought something.
	Stay(ctx context.Context, since Checkpoint, emit func(Record) error, mark func(Outcome) error) error
}

// Merger is a connector whose partial records need more than their attributes laid over the last ones: values added and
// taken away, attributes made of others, Disabled.
type Merger interface {
	// Merge returns the whole record: last, which was whole, with what told says. It is pure, changes neither and is
	// called for Partial records that are not Deleted. It fails when told does not go with last; the source is then
	// read from the beginning.
	Merge(last, told Record) (Record, error)
}

// Teller is a connector that can show a checkpoint to an operator.
type Teller interface {
	// Tell says in one short line which checkpoint it is. Whoever reads it learns no token from it.
	Tell(c Checkpoint) string
}
