package pipeline

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"rollcall/events"
	"rollcall/store"
)

// withTrace returns a context in the trace that a message's header names, or, with fresh, in one of its own where it names none. Every
// message that is published with that context carries it on (W3C Trace Context, events.Bus).
func withTrace(ctx context.Context, h nats.Header, fresh bool) context.Context {
	ctx = events.TraceOf(ctx, h)
	if !fresh || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	var config trace.SpanContextConfig
	_, _ = rand.Read(config.TraceID[:]) // never fails
	_, _ = rand.Read(config.SpanID[:])
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(config))
}

// traceBook knows in which trace the revisions that wait to be relayed were made. A rebuild has none (nil). It is memory only: nothing of a trace may reach the
// store, which must be the same whenever the log is read again. A restart forgets it.
type traceBook struct {
	mu    sync.Mutex
	spans []tracedFrom
}

// mostSpans is how many traces are remembered.
const mostSpans = 10_000

// tracedFrom says that the revisions from a number on, up to the next entry's, belong to a trace.
type tracedFrom struct {
	revision uint64
	span     trace.SpanContext
}

// begin notes that what the writer makes from now on belongs to the context's trace, or to none.
func (b *traceBook) begin(ctx context.Context, db *store.DB) error {
	if b == nil {
		return nil
	}
	span := trace.SpanContextFromContext(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !span.IsValid() && (len(b.spans) == 0 || !b.spans[len(b.spans)-1].span.IsValid()) {
		return nil
	}
	return db.View(func(tx *store.Tx) error {
		head, _ := tx.Head()
		b.spans = append(b.spans, tracedFrom{head + 1, span})
		b.spans = b.spans[max(0, len(b.spans)-mostSpans):] // a standby relays nothing
		return nil
	})
}

// of returns the context of the trace in which a revision was made, and forgets all before it.
func (b *traceBook) of(ctx context.Context, revision uint64) context.Context {
	if b == nil {
		return ctx
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.spans) > 1 && b.spans[1].revision <= revision {
		b.spans = b.spans[1:]
	}
	if len(b.spans) == 0 || b.spans[0].revision > revision {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, b.spans[0].span)
}
