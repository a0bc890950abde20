//go:build !windows

package main

import "errors"

var errNoService = errors.New("services are for Windows")

func onWindows() error {
	return usage(try(errNoService, "deployments/systemd/rollcall.service"))
}

func installService(string) error { return errNoService }

func uninstallService() error { return errNoService }

func (*app) runService(string) error { return errNoService }
