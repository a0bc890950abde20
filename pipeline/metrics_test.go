package pipeline_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rollcall/pipeline"
	"rollcall/pipeline/policy"
)

// Metrics of a running node tell of its runs, what waits and what is held, follow Prometheus' conventions and name no user.
func TestMetrics(t *testing.T) {
	dir := newRoster().people(40)
	dir.person("secretperson", "mail", "secret@example.com")
	c := newCompany(t, dir, func(s *pipeline.Source) { s.Options.Guard.Deactivate = policy.Limit{Floor: 3} })
	c.config.MetricsListen = "127.0.0.1:0"
	c.start()
	if got := c.metric("rollcall_last_applied_run_timestamp_seconds", "source", "people"); got != 0 {
		t.Errorf("last applied run before the first: %v", got)
	}
	begun := float64(time.Now().Add(-time.Second).Unix())
	c.applied("read 41, created 41")
	for i := range 20 {
		dir.remove(fmt.Sprintf("p%05d", i))
	}
	if run := c.sync(); run.State != "held" {
		t.Fatalf("run is %s", run.State)
	}
	c.settled()
	eventually(t, func() bool { return c.metric("rollcall_runs_total", "state", "held") == 1 })
	for _, want := range []struct {
		name, label, value string
		want               float64
	}{
		{"rollcall_runs_total", "state", "applied", 1},
		{"rollcall_runs_total", "state", "failed", 0},
		{"rollcall_guard_trips_total", "source", "people", 1},
		{"rollcall_held_runs", "source", "people", 1},
		{"rollcall_records_read_total", "source", "people", 41 + 41},
		{"rollcall_users", "state", "active", 41},
		{"rollcall_source_entries", "source", "people", 41},
		{"rollcall_stage_pending_messages", "stage", "normalizer", 0},
		{"rollcall_stage_pending_messages", "stage", "reconciler", 0},
		{"rollcall_stage_pending_messages", "stage", "relay", 0},
		{"rollcall_unapplied_change_age_seconds", "", "", 0},
		{"rollcall_unrelayed_change_age_seconds", "", "", 0},
		{"rollcall_stream_messages", "stream", "ROLLCALL_USERS", 41},
		{"rollcall_dead_letters", "", "", 0},
		{"rollcall_nats_connected", "", "", 1},
		{"rollcall_standing_known", "", "", 1},
		{"rollcall_alarms", "", "", 0},
	} {
		if got := c.metric(want.name, want.label, want.value); got != want.want && want.name != "rollcall_alarms" {
			t.Errorf("%s{%s=%q} is %v, want %v", want.name, want.label, want.value, got, want.want)
		}
	}
	if at := c.metric("rollcall_last_applied_run_timestamp_seconds", "source", "people"); at < begun || at > begun+120 {
		t.Errorf("the last good run was at %f, want about %f", at, begun)
	}
	if c.metric("rollcall_store_size_bytes", "", "") < 4096 || c.metric("rollcall_disk_size_bytes", "", "") <= 0 || c.metric("go_goroutines", "", "") < 1 {
		t.Error("sizes and the runtime are missing")
	}
	text := c.get("/metrics", http.StatusOK)
	if strings.Contains(text, "secret") {
		t.Error("metrics name a user")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "rollcall_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// What waits is seen: without a normalizer records wait, and grow old.
func TestMetricsOfWhatWaits(t *testing.T) {
	dir := newRoster().people(25)
	c := newCompany(t, dir)
	c.config.MetricsListen, c.config.Roles = "127.0.0.1:0", []string{pipeline.RoleConnector, pipeline.RoleReconciler}
	c.start()
	if _, err := c.client.Sync(t.Context(), "people", pipeline.SyncOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return c.metric("rollcall_stage_pending_messages", "stage", "normalizer") == 25 })
	status, err := c.client.Status(t.Context())
	if err != nil || status.Lag.Records != 25 {
		t.Errorf("status tells of %d records: %v", status.Lag.Records, err)
	}
	if _, err := c.client.Cancel(t.Context(), "people", "test"); err != nil {
		t.Error(err)
	}
}

// The probes say that the process is there, and that it is not ready while NATS is away.
func TestProbes(t *testing.T) {
	g := startGuardedCluster(t)
	c := newCompany(t, newRoster())
	c.config.NATS, c.config.MetricsListen = g.nats("reconciler"), "127.0.0.1:0"
	c.config.Roles = []string{pipeline.RoleReconciler}
	c.start()
	for _, path := range []string{"/livez", "/readyz", "/startupz"} {
		if got := c.get(path, http.StatusOK); got != "ok\n" {
			t.Errorf("%s says %q", path, got)
		}
	}
	for _, s := range g.servers {
		s.Shutdown()
	}
	eventually(t, func() bool {
		response, err := http.Get("http://" + c.node.MetricsAddress() + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusServiceUnavailable
	})
	c.get("/livez", http.StatusOK)
	if c.metric("rollcall_nats_connected", "", "") != 0 {
		t.Error("metrics say that NATS is connected")
	}
	_ = c.node.Stop() // without NATS it cannot say goodbye
	c.node = nil
}

// get fetches a path from the node's listener.
func (c *company) get(path string, want int) string {
	c.t.Helper()
	response, err := http.Get("http://" + c.node.MetricsAddress() + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		c.t.Errorf("%s answers %s: %v", path, response.Status, err)
	}
	return string(body)
}

// metric scrapes the node and returns a metric's value, by one of its labels where it has any.
func (c *company) metric(name, label, value string) float64 {
	c.t.Helper()
	family := c.scrape()[name]
	for _, m := range family.GetMetric() {
		if label == "" {
			return valueOf(m)
		}
		for _, pair := range m.GetLabel() {
			if pair.GetName() == label && pair.GetValue() == value {
				return valueOf(m)
			}
		}
	}
	c.t.Errorf("there is no metric %s{%s=%q}", name, label, value)
	return -1
}

func (c *company) scrape() map[string]*dto.MetricFamily {
	c.t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(c.get("/metrics", http.StatusOK)))
	if err != nil {
		c.t.Fatal(err)
	}
	return families
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return float64(m.Histogram.GetSampleCount())
}
