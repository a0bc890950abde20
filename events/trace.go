package events

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
)

// Trace writes the context's trace into a header (W3C Trace Context), unless there is one already.
func Trace(ctx context.Context, h nats.Header) {
	if h.Get("traceparent") == "" {
		propagation.TraceContext{}.Inject(ctx, headerCarrier(h))
	}
}

// TraceOf returns a context in the trace that a header names, if it names one.
func TraceOf(ctx context.Context, h nats.Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, headerCarrier(h))
}

// headerCarrier keeps the field's name in small letters, as the W3C writes it: names of NATS headers differ by case.
type headerCarrier nats.Header

func (c headerCarrier) Get(key string) string { return nats.Header(c).Get(key) }
func (c headerCarrier) Set(key, value string) { nats.Header(c).Set(key, value) }
func (c headerCarrier) Keys() (keys []string) {
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}
