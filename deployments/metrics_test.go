package deployments_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/rs/zerolog"

	"rollcall/connectors/csv"
	"rollcall/pipeline"
)

// Every alert rule is one, and every metric that a rule, the dashboard or KEDA names is one that a node exports.
func TestMetricsAreExported(t *testing.T) {
	exported := exportedMetrics(t)
	queries := map[string]string{"kubernetes/keda.yaml": scaler(t).Spec.Triggers[0].Metadata.Query}
	promql := parser.NewParser(parser.Options{})
	rules, errs := rulefmt.ParseFile("monitoring/alerts.yaml", false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			queries["alert "+rule.Alert] = rule.Expr
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("alert %s says too little", rule.Alert)
			}
		}
	}
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			queries["panel "+p.Title+" "+target.RefID] = target.Expr
		}
	}
	if len(queries) < 30 {
		t.Fatalf("only %d queries", len(queries))
	}
	for name, query := range queries {
		expr, err := promql.ParseExpr(query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, selector := range parser.ExtractSelectors(expr) {
			for _, m := range selector {
				if m.Name == model.MetricNameLabel && !slices.Contains(exported, m.Value) {
					t.Errorf("%s: nobody exports %s", name, m.Value)
				}
			}
		}
	}
}

// exportedMetrics scrapes a node in all roles that has run its source.
func exportedMetrics(t *testing.T) (names []string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "people.csv"), []byte("FULLNAME;USERNAME\nAlice;alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := pipeline.Source{Name: "people", Enabled: true, Reader: &csv.Config{Path: filepath.Join(dir, "people.csv")}}
	node, err := pipeline.Start(context.Background(), pipeline.Config{DataDir: dir, EventsKeep: time.Hour, MetricsListen: "127.0.0.1:0", Sources: []pipeline.Source{source}}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	}()
	response, err := http.Get("http://" + node.MetricsAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text := expfmt.NewTextParser(model.UTF8Validation)
	families, err := text.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name := range families {
		names = append(names, name, name+"_bucket", name+"_count", name+"_sum")
	}
	return names
}

type board struct {
	Title  string
	Panels []struct {
		ID      int
		Title   string
		Targets []struct{ RefID, Expr string }
	}
}

func dashboard(t *testing.T) (b board) {
	t.Helper()
	text, err := os.ReadFile("monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range b.Panels {
		if seen[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %d %q is there twice, or empty", p.ID, p.Title)
		}
		seen[p.ID] = true
	}
	return b
}
