// Rollcall reads people out of directories, turns them into MyQ user accounts and tells everyone who
// subscribes what changed. This is its one program, a file for every subcommand.
//
// Data goes to standard output: tables for people, one JSON document a line with --json. The log
// and the progress go to standard error, and so do errors: "Error: what happened" and "Try: what helps".
//
// The exit code is 0 when all is done, 1 when something failed, 2 for a wrong command line or configuration,
// 3 when a run is held for approval and 4 when --check found something to change. Of several sources,
// 1 beats 3 and 3 beats 4.
//
// # Design
//
// A command that needs the pipeline asks the server that runs on the data directory (or on an external NATS), and
// where there is none it runs the whole pipeline in this process for as long as the command takes,
// without its schedules. So `rollcall sync` needs no second terminal, and what it does is what a server does.
//
// Values of directories are shown with their control characters escaped: a name in a directory must not be able to
// write on an operator's terminal.
package main
