package main

import (
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/rollcall/config"
	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

//go:embed demo/people.csv
var demoPeople string

//go:embed demo/rollcall.yaml
var demoConfig string

// What the demo changes after the second run: somebody's phone.
const (
	demoPhone    = "+420 222 100 101"
	demoNewPhone = "+420 222 100 999"
)

func (a *app) demo() *cobra.Command {
	dir := "rollcall-demo"
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Synchronize a sample company, to see what Rollcall does",
		Long: "Write a sample company and a configuration into a folder, synchronize it, synchronize it again, change one\n" +
			"person and show the event that tells everyone. Where the folder is there already, nothing in it is\n" +
			"overwritten: it is synchronized once more, and what you changed in it comes out as events.",
		Example: `  rollcall demo
  rollcall demo --dir /tmp/company`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demonstration{app: a, dir: dir}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "the `folder`")
	return cmd
}

// demonstration is one call of the demo.
type demonstration struct {
	*app
	dir    string
	client *pipeline.Client
}

func (d *demonstration) run(ctx context.Context) error {
	fresh, err := d.write()
	if err != nil {
		return err
	}
	c, err := config.Load(d.file("rollcall.yaml"))
	if err != nil {
		return usage(err)
	}
	return d.withPipeline(ctx, c.Pipeline, func(ctx context.Context, client *pipeline.Client) error {
		d.client = client
		if fresh {
			return d.first(ctx, c)
		}
		return d.again(ctx)
	})
}

// write puts the sample there, and reports false when there is one already.
func (d *demonstration) write() (fresh bool, err error) {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return false, err
	}
	wrote, err := create(d.file("people.csv"), demoPeople)
	if err != nil {
		return false, err
	}
	_, err = create(d.file("rollcall.yaml"), demoConfig)
	return wrote, err
}

// create writes a file that is not there yet.
func create(name, text string) (bool, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.WriteString(text)
	return true, errors.Join(err, f.Close())
}

// first is the whole demonstration.
func (d *demonstration) first(ctx context.Context, c *config.Config) error {
	people := strings.Count(strings.TrimSpace(demoPeople), "\n")
	d.head("A sample company of %d people is in %s. The first run creates them:", people, d.file("people.csv"))
	if _, err := d.sync(ctx); err != nil {
		return err
	}
	if err := d.table(ctx); err != nil {
		return err
	}
	d.head("The second run finds nothing new, so it writes no record, no revision and no event:")
	if _, err := d.sync(ctx); err != nil {
		return err
	}
	if err := d.edit(); err != nil {
		return err
	}
	d.head("Now one phone number in the file is another. The third run, and the event that every subscriber gets:")
	run, err := d.sync(ctx)
	if err != nil {
		return err
	}
	if err := d.events(ctx, run); err != nil {
		return err
	}
	d.where(c)
	return nil
}

// again is one run, and its events.
func (d *demonstration) again(ctx context.Context) error {
	run, err := d.sync(ctx)
	if err != nil {
		return err
	}
	return d.events(ctx, run)
}

// sync runs the source to its end; what is not applied is an error here.
func (d *demonstration) sync(ctx context.Context) (store.Run, error) {
	begun := time.Now()
	run, err := d.syncOne(ctx, d.client, "people", pipeline.SyncOptions{Actor: actor()})
	if err != nil {
		return run, err
	}
	if err := d.result(ctx, d.client, run, time.Since(begun)); err != nil {
		return run, err
	}
	if code := runCode(run, false); code != exitDone {
		return run, &exit{code: code}
	}
	return run, nil
}

// shown is how many people the demo prints; the rest is in the store just as well.
const shown = 12

func (d *demonstration) table(ctx context.Context) error {
	var t usersTable
	if err := d.client.Users(ctx, pipeline.UserQuery{}, t.add); err != nil {
		return err
	}
	d.say("\n")
	if err := t.write(d.stdout, shown); err != nil {
		return err
	}
	if more := len(t.rows) - shown; more > 0 {
		d.say("… and %d more\n", more)
	}
	return nil
}

// events prints what the run told the subscribers.
func (d *demonstration) events(ctx context.Context, run store.Run) error {
	if changes(run) == 0 {
		return nil
	}
	return d.client.Events(ctx, pipeline.EventOptions{Since: run.Started}, func(e events.UserChanged) error {
		if e.Cause.Run != run.Number {
			return nil
		}
		_, err := d.stdout.Write(eventJSON(e.ID, e.Type, e.Raw))
		return err
	})
}

// edit gives one person another phone number, in one step, so that no run sees half a file.
func (d *demonstration) edit() error {
	edited := strings.Replace(demoPeople, demoPhone, demoNewPhone, 1)
	half := d.file(".people.csv.new")
	if err := os.WriteFile(half, []byte(edited), 0o644); err != nil {
		return err
	}
	return os.Rename(half, d.file("people.csv"))
}

func (d *demonstration) where(c *config.Config) {
	d.head("Where it is")
	t := newTable(d.stdout)
	t.row("  the people", d.file("people.csv"))
	t.row("  the configuration", d.file("rollcall.yaml"))
	t.row("  the store and the event stream", c.Pipeline.DataDir)
	_ = t.end()
	d.head("What to try")
	d.say("  Change %s as you like and run the same command again: the changes come out as events.\n", d.file("people.csv"))
	command := program() + " -c " + d.file("rollcall.yaml")
	d.say("  %s users show alice\n  %s sync --dry-run\n  %s serve\n", command, command, command)
}

// program is how this program was called.
func program() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/rollcall"
	}
	return os.Args[0]
}

func (d *demonstration) head(format string, args ...any) { d.say("\n"+format+"\n", args...) }

func (d *demonstration) file(name string) string { return filepath.Join(d.dir, name) }
