package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command says in a line what it does and shows how it is called.
func TestHelp(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard}
	var all []string
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		all = append(all, strings.TrimPrefix(c.CommandPath(), "rollcall "))
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no help or no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(a.root())
	for _, contract := range []string{"demo", "init", "serve", "sync", "preview", "test-mapping", "runs", "runs show", "plan", "approve", "reject",
		"cancel", "users list", "users show", "users find", "events", "dead list", "dead show", "dead retry", "dead drop", "check", "status", "version"} {
		if !slices.Contains(all, contract) {
			t.Errorf("there is no command %s", contract)
		}
	}
}
