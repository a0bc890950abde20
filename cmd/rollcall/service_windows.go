package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"rollcall/cmd/rollcall/config"
)

// serviceName is what Windows knows the service by.
const serviceName = "rollcall"

// onWindows reports that services are possible here.
func onWindows() error { return nil }

// installService installs the service for a configuration file and starts it.
func installService(file string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return withManager(func(m *mgr.Mgr) error {
		s, err := m.CreateService(serviceName, program, mgr.Config{
			DisplayName: "Rollcall", Description: "Synchronizes people from directories into MyQ user accounts.",
			StartType: mgr.StartAutomatic, DelayedAutoStart: true,
		}, "service", "run", "-c", file)
		if err != nil {
			return try(fmt.Errorf("install the service: %w", err), "an administrator's prompt; rollcall service uninstall first, where it is installed already")
		}
		defer s.Close()
		again := []mgr.RecoveryAction{{Type: mgr.ServiceRestart, Delay: 5 * time.Second}, {Type: mgr.ServiceRestart, Delay: 30 * time.Second}, {Type: mgr.ServiceRestart, Delay: time.Minute}}
		if err := s.SetRecoveryActions(again, uint32((24 * time.Hour).Seconds())); err != nil {
			return fmt.Errorf("install the service: %w", err)
		}
		return s.Start()
	})
}

// uninstallService stops the service and removes it.
func uninstallService() error {
	return withManager(func(m *mgr.Mgr) error {
		s, err := m.OpenService(serviceName)
		if err != nil {
			return fmt.Errorf("uninstall the service: %w", err)
		}
		defer s.Close()
		if _, err := s.Control(svc.Stop); err == nil {
			awaitStopped(s)
		}
		return s.Delete()
	})
}

// awaitStopped waits half a minute at most: Windows removes a service that still runs when it has ended.
func awaitStopped(s *mgr.Service) {
	for range 60 {
		if status, err := s.Query(); err != nil || status.State == svc.Stopped {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func withManager(fn func(*mgr.Mgr) error) error {
	m, err := mgr.Connect()
	if err != nil {
		return try(fmt.Errorf("the service manager: %w", err), "an administrator's prompt")
	}
	return errors.Join(fn(m), m.Disconnect())
}

// runService is what Windows starts. A service has no standard error: its log goes to rollcall.log in the data directory.
func (a *app) runService(file string) error {
	a.configFile = file
	c, err := a.load()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Pipeline.DataDir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.Pipeline.DataDir, "rollcall.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	a.stderr, a.terminal = log, false
	return svc.Run(serviceName, &windowsService{app: a, config: c})
}

// windowsService is the pipeline as the service manager sees it.
type windowsService struct {
	app    *app
	config *config.Config
}

// Execute implements svc.Handler.
func (w *windowsService) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (specific bool, code uint32) {
	changes <- svc.Status{State: svc.StartPending}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.app.runPipeline(ctx, w.config) }()
	changes <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case err := <-ended:
			w.app.complain(err)
			return true, uint32(exitCode(err))
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				changes <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				changes <- svc.Status{State: svc.StopPending}
				stop()
			}
		}
	}
}
