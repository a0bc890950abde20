package pipeline_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"go.opentelemetry.io/otel/trace"

	"rollcall/pipeline"
	"rollcall/store"
)

// A collector gets the spans of a run's whole way, all in the trace that the run was asked for in, and nothing of people, whatever a
// run failed for. One that is away holds nobody up.
func TestSpans(t *testing.T) {
	var mu sync.Mutex
	names := map[string]map[string]bool{} // by trace
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(body, &request) != nil {
			t.Errorf("%d bytes are no spans: %v", len(body), err)
		}
		if bytes.Contains(body, []byte("p00001")) {
			t.Error("a span names a person")
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					id := trace.TraceID(span.GetTraceId()).String()
					if names[id] == nil {
						names[id] = map[string]bool{}
					}
					names[id][span.GetName()] = true
				}
			}
		}
	}))
	defer server.Close()
	dir := newRoster().people(5)
	c := newCompany(t, dir)
	c.config.TracingEndpoint = server.URL + "/v1/traces"
	c.start()
	asked := trace.TraceID{0: 0xab, 15: 0xcd}
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: asked, SpanID: trace.SpanID{7: 1}}))
	job, err := c.client.Sync(ctx, "people", pipeline.SyncOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.Follow(ctx, "people", job, nil); err != nil {
		t.Fatal(err)
	}
	c.settled()
	dir.after = func() error { return errors.New("uid=p00001,dc=example has no key") }
	if run := c.sync(); run.State != store.Failed {
		t.Errorf("run is %s", run.State)
	}
	dir.after = nil
	c.stop() // which sends what there is
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"run", "ingest", "normalize", "plan", "apply", "relay"} {
		if !names[asked.String()][want] {
			t.Errorf("no span %s in the run's trace; there are %v", want, names)
		}
	}
	server.Close()
	c.start()
	dir.person("alice")
	c.applied("read 6, unchanged 5, created 1")
	c.settled()
}
