package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/pipeline"
)

// memberDir is the environment variable that makes this test binary a member of a crew on that directory until it is killed.
const memberDir = "ROLLCALL_TEST_MEMBER_DIR"

func workUntilKilled(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for {
		err := workOnce(ctx, dir)
		if ctx.Err() != nil || !errors.Is(err, pipeline.ErrBehind) {
			return err
		}
	}
}

func workOnce(ctx context.Context, dir string) error {
	c := crewConfig(os.Getenv("ROLLCALL_TEST_NATS"), dir, os.Getenv("ROLLCALL_TEST_KEY"), rosterFile(os.Getenv("ROLLCALL_TEST_ROSTER")), os.Getenv("ROLLCALL_TEST_ROLE"))
	node, err := pipeline.Start(context.WithoutCancel(ctx), c, zerolog.New(os.Stderr).Level(zerolog.WarnLevel).With().Str("dir", filepath.Base(dir)).Logger())
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	select {
	case err := <-ended:
		return errors.Join(err, node.Stop())
	case <-ctx.Done():
		if err := node.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return nil
	}
}

// member starts a process of the crew on a directory. A connector reads the roster that is in the file.
func (k *crew) member(dir, role string, file rosterFile) {
	k.t.Helper()
	cmd := exec.Command(os.Args[0])
	if network := k.networks[dir]; network != "" {
		cmd = exec.Command("ip", "netns", "exec", network, os.Args[0])
	}
	cmd.Env = append(os.Environ(), memberDir+"="+dir, "ROLLCALL_TEST_ROLE="+role, "ROLLCALL_TEST_NATS="+k.url(), "ROLLCALL_TEST_KEY="+k.key,
		"ROLLCALL_TEST_ROSTER="+string(file))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.processes[dir] = cmd
}

// rosterFile is a file with a roster that other processes read, a millisecond and more for every entry.
type rosterFile string

// hold makes every reader wait in the middle of its read until the returned function is called.
func (f rosterFile) hold(t testing.TB) (release func()) {
	t.Helper()
	if err := os.WriteFile(f.held(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.held()); err != nil {
			t.Error(err)
		}
	}
}

func (f rosterFile) held() string { return string(f) + ".held" }

func (f rosterFile) isHeld() bool {
	_, err := os.Stat(f.held())
	return err == nil
}

// write puts the roster as it is now into the file.
func (f rosterFile) write(r *roster) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := json.Marshal(r.entries)
	if err != nil {
		return err
	}
	if err := os.WriteFile(string(f)+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(string(f)+".new", string(f))
}

// The file is its own configuration and connector.
func (f rosterFile) Kind() string                                      { return "roster" }
func (f rosterFile) Scope() string                                     { return "roster" }
func (f rosterFile) Validate() error                                   { return nil }
func (f rosterFile) Open(connectors.Env) (connectors.Connector, error) { return f, nil }
func (f rosterFile) Check(context.Context) ([]string, error)           { return []string{"there"}, nil }

func (f rosterFile) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	r, err := f.roster()
	if err != nil {
		return connectors.Outcome{}, err
	}
	return r.Read(ctx, since, emit)
}

func (f rosterFile) Present(ctx context.Context, keys []string) (map[string]bool, error) {
	r, err := f.roster()
	if err != nil {
		return nil, err
	}
	return r.Present(ctx, keys)
}

func (f rosterFile) roster() (*roster, error) {
	r := newRoster()
	r.during = func(n int, _ string) error {
		time.Sleep(time.Millisecond)
		for n == len(r.entries)/2 && f.isHeld() {
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	}
	data, err := os.ReadFile(string(f))
	if err == nil {
		err = json.Unmarshal(data, &r.entries)
	}
	return r, err
}
