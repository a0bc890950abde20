package connectors_test

import (
	"errors"
	"fmt"
	"testing"

	"rollcall/connectors"
)

func TestHintOf(t *testing.T) {
	failed := errors.New("failed")
	for hint, want := range map[string]string{
		"Try path: with the whole path.": "path: with the whole path", "Try: chmod o-r secret": "chmod o-r secret", "rollcall runs corp": "rollcall runs corp", "": "",
	} {
		if got := connectors.HintOf(fmt.Errorf("read: %w", connectors.Hint(failed, hint))); got != want {
			t.Errorf("of %q: got %q, want %q", hint, got, want)
		}
	}
	if got := connectors.HintOf(failed); got != "" {
		t.Errorf("an error without a hint: got %q", got)
	}
}
