package main

import "github.com/spf13/cobra"

// addCompletion adds cobra's own command, which refuses words that are no shell like any other command does.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args, cmd.Example = cobra.NoArgs, "  rollcall completion bash"
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		for _, shell := range cmd.Commands() {
			shell.Example = "  rollcall completion " + shell.Name()
		}
	}
}
