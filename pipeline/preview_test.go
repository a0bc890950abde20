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
	source := pipeline.Source{Name: "people", Reader: dir, Mapping: rosterMapping()}
	source.Mapping.Properties["pins"] = mapping.Rule{From: []string{"pin"}}
	var shown []string
	err := pipeline.Preview(t.Context(), source, 2, zerolog.Nop(), func(r connectors.Record, c mapping.Change, err error) error {
		shown = append(shown, fmt.Sprint(r, c, err))
		return nil
	})
	if err != nil || len(shown) != 2 || !strings.Contains(shown[0], "p00000@example.com") {
		t.Errorf("shown %q, %v", shown, err)
	}
	if strings.Contains(strings.Join(shown, ""), "7391746202") {
		t.Errorf("the preview shows a PIN: %s", shown[0])
	}
}
