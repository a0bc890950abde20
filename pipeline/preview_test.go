package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
)

// A preview shows the first records raw and mapped, and no PIN of them.
func TestPreview(t *testing.T) {
	dir := newRoster().people(5)
	dir.person("p00000", "PIN", "7391746202")
	dir.person("p00001", "PIN", "739174")
	source := pipeline.Source{Name: "people", Reader: dir, Mapping: rosterMapping()}
	source.Mapping.Properties["pins"] = mapping.Rule{From: []string{"pin"}}
	source.Options.PINs.MinimumLength = 8
	var shown []string
	var warnings []mapping.Warning
	err := pipeline.Preview(t.Context(), source, 2, zerolog.Nop(), func(r connectors.Record, c mapping.Change, err error) error {
		shown = append(shown, fmt.Sprint(r, c, err))
		warnings = append(warnings, c.Warnings...)
		return nil
	})
	if err != nil || len(shown) != 2 || !strings.Contains(shown[0], "p00000@example.com") {
		t.Errorf("shown %q, %v", shown, err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Reason, "[P1]") {
		t.Errorf("warnings %v, want one of the PIN that is too short", warnings)
	}
	if strings.Contains(strings.Join(shown, ""), "739174") {
		t.Errorf("the preview shows a PIN: %s", shown[0])
	}
}
