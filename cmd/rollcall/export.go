package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"rollcall/pipeline"
)

func (a *app) export() *cobra.Command {
	var o pipeline.ExportOptions
	var format, file, pins string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the users as a CSV file that a CSV source reads back",
		Long: `Write the users in the columns of a MyQ CSV file. Imported into an empty store, it gives equal users. PINs are left out;
--pins hashed writes those that do not expire as text that only a Rollcall with the same PIN key reads back.
A source writes its own users after every run with "export: {enabled: true, path: …}" in the configuration.`,
		Example: `  rollcall export > users.csv
  rollcall export --source people --inactive -o users.csv
  rollcall export --no-header                    the 15 columns of MyQ, by position`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "csv" {
				return usage(try(fmt.Errorf("--format: %q is not known", format), "csv"))
			}
			if pins != "none" && pins != "hashed" {
				return usage(try(fmt.Errorf("--pins: %q is not known", pins), "none, hashed"))
			}
			o.HashedPINs = pins == "hashed"
			return a.client(cmd, "", func(ctx context.Context, client *pipeline.Client) error {
				if file == "" {
					_, err := client.Export(ctx, a.stdout, o)
					return err
				}
				n, err := client.ExportFile(ctx, file, o)
				if err == nil {
					a.print("%s users in %s\n", thousands(n), file)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "csv", "csv")
	cmd.Flags().StringVar(&pins, "pins", "none", "none, or hashed: for a store with the same PIN key")
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this `file`, put in place when it is complete")
	cmd.Flags().StringVar(&o.Query.Source, "source", "", "only users that this `source` owns")
	cmd.Flags().BoolVar(&o.Query.Inactive, "inactive", false, "deactivated users too")
	cmd.Flags().BoolVar(&o.Positional, "no-header", false, "MyQ's 15 columns without names")
	return cmd
}
