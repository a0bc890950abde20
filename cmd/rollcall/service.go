package main

import (
	"path/filepath"

	"github.com/spf13/cobra"
)

func (a *app) service() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Run as a Windows service",
		Long:  "Run the pipeline as a Windows service. On Linux systemd does it: deployments/systemd/rollcall.service.",
		Example: `  rollcall service install -c C:\rollcall\rollcall.yaml
  rollcall service uninstall`,
	}
	steps := []struct {
		name, short string
		do          func(config string) error
	}{
		{"install", "Install the service, which starts with Windows and again after a failure", installService},
		{"uninstall", "Stop and remove the service; its data stays", func(string) error { return uninstallService() }},
		{"run", "What Windows starts", a.runService},
	}
	for _, step := range steps {
		cmd.AddCommand(&cobra.Command{
			Use: step.name, Short: step.short, Args: cobra.NoArgs,
			Example: "  rollcall service " + step.name,
			RunE: func(*cobra.Command, []string) error {
				if err := onWindows(); err != nil {
					return err
				}
				if _, err := a.load(); err != nil && step.name == "install" {
					return err
				}
				file, err := filepath.Abs(a.configFile)
				if err != nil {
					return err
				}
				return step.do(file)
			},
		})
	}
	return cmd
}
