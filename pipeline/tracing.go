package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// openTracing returns a context whose spans go to the endpoint of the configuration, if it names one. A collector that does not take
// them holds nobody up.
func (n *Node) openTracing(ctx context.Context) (context.Context, error) {
	if n.config.TracingEndpoint == "" {
		return ctx, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(n.config.TracingEndpoint), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return ctx, fmt.Errorf("tracing.endpoint: %w", err)
	}
	about := resource.NewSchemaless(attribute.String("service.name", "rollcall"), attribute.String("service.instance.id", processName()))
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithBatcher(&spanExporter{SpanExporter: exporter, log: n.log}, sdktrace.WithBatchTimeout(2*time.Second)))
	n.closers = append(n.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = provider.Shutdown(ctx) // spans that nobody takes are lost
		return nil
	})
	return context.WithValue(ctx, tracerKey{}, provider.Tracer("rollcall")), nil
}

// spanExporter tells our log what a collector refuses.
type spanExporter struct {
	sdktrace.SpanExporter
	log zerolog.Logger
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.Warn().Err(err).Int("spans", len(spans)).Msg("the collector of traces takes no spans")
	}
	return nil
}

// tracerKey is where a context keeps what spans are made with.
type tracerKey struct{}

// span begins a span in the context's trace; end ends it, as failed where there is an error. Without an endpoint nothing is made, and the context's
// trace is carried on as it is.
func span(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, func(error)) {
	tracer, ok := ctx.Value(tracerKey{}).(trace.Tracer)
	if !ok {
		return ctx, func(error) {}
	}
	ctx, one := tracer.Start(ctx, name, trace.WithAttributes(about...))
	return ctx, func(err error) {
		if err != nil {
			one.SetStatus(codes.Error, "") // why stands in the run, and may name people
		}
		one.End()
	}
}
