package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/cmd/rollcall/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	go boundMemory(ctx)
	a := &app{stdout: os.Stdout, stderr: os.Stderr, terminal: term.IsTerminal(int(os.Stderr.Fd()))}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// app is what all subcommands share.
type app struct {
	stdout, stderr io.Writer
	terminal       bool // somebody watches standard error

	configFile           string
	quiet, verbose, json bool
	started              bool   // the command line was understood
	level                string // of the log, in the configuration; "" before it was read
	// commands matches rollcall's commands in a text, nil when the command line named no configuration.
	commands *regexp.Regexp
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = usage(try(err, cmd.CommandPath()+" --help"))
	}
	a.complain(err)
	return exitCode(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "rollcall",
		Short: "Synchronize people from directories into MyQ user accounts",
		Long: "Rollcall reads people out of directories (LDAP, Active Directory, Microsoft Entra ID, CSV), turns them into MyQ\n" +
			"user accounts in a store of its own, and tells everyone who subscribes what changed.",
		Example: `  rollcall demo                          a sample company, to see what it does
  rollcall init ldap                     write a configuration
  rollcall check                         is it right, and do the directories answer?
  rollcall sync --dry-run                what would change?
  rollcall sync                          do it
  rollcall serve                         do it on schedule from now on`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			a.started = true
			a.findCommands(cmd)
		},
	}
	file := "rollcall.yaml"
	if named := os.Getenv("ROLLCALL_CONFIG"); named != "" {
		file = named
	}
	root.PersistentFlags().StringVarP(&a.configFile, "config", "c", file, "the configuration `file` (or ROLLCALL_CONFIG)")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no log and no progress")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "the whole log")
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(a.demo(), a.init(), a.check(), a.preview(), a.testMapping(), a.sync(), a.replay(), a.rebuild(), a.serve(), a.status(), a.runs(), a.plan(),
		a.approve(), a.reject(), a.cancel(), a.users(), a.cards(), a.pins(), a.sources(), a.groups(), a.events(), a.export(), a.report(), a.dead(), a.store(), a.service(), a.version())
	addCompletion(root)
	return root
}

// The exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitHeld
	exitChanges
)

// exit is an end with a code of its own; err is nil when everything was said already.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func exitCode(err error) int {
	var e *exit
	var mistakes config.Mistakes
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &mistakes):
		return exitUsage
	}
	return exitFailed
}

// usage is a mistake on the command line.
func usage(err error) error { return &exit{code: exitUsage, err: err} }

// complain prints an error and what to try.
func (a *app) complain(err error) {
	if err == nil || err.Error() == "" {
		return
	}
	a.print("Error: %s\n", strings.TrimSpace(err.Error()))
	hint := config.HintOf(err)
	if hint == "" && strings.Contains(err.Error(), syscall.ENOSPC.Error()) { // NATS passes the text on, not the error
		hint = "make room on that disk and run it again: it goes on where it was, nothing is lost"
	}
	if hint != "" {
		a.print("Try: %s\n", a.pasteable(hint))
	}
}
