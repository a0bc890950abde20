package main

import (
	"context"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) status() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What runs, what waits, what was last done",
		Example: `  rollcall status
  rollcall status --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.client(cmd, func(ctx context.Context, client *pipeline.Client) error {
				s, err := client.Status(ctx)
				if err != nil {
					return err
				}
				return line(a.stdout, s)
			})
		},
	}
	return a.jsonFlag(cmd)
}
