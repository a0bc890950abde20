package main

import (
	"bytes"
	"regexp"
	"testing"

	"rollcall/pipeline"
)

// The status names who leads and who stands by, with how far each is behind, and every process with its roles.
func TestStatusReconcilers(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	err := a.describeStatus(pipeline.Status{Log: 12, LogEnd: 12, Reconcilers: []pipeline.Reconciler{
		{Name: "a/1", Leads: true, Log: 10}, {Name: "b/2", Log: 12}, {Name: "c/3", Log: 7},
	}, Processes: []pipeline.Process{{Name: "d/4", Roles: []string{"connector", "normalizer"}, Sources: []string{"corp"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`(?m)^leads +a/1, all handled$`, `(?m)^stands by +b/2, all handled$`, `(?m)^stands by +c/3, 5 not yet handled$`,
		`(?m)^process +d/4, connector, normalizer of corp, since `} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("want %s in\n%s", want, out.Bytes())
		}
	}
}
