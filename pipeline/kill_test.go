package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/store"
)

// killedDir is the environment variable that makes this test binary a process to be killed: a pipeline on that directory
// which runs its source once and exits.
const killedDir = "ROLLCALL_TEST_KILLED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		if err := runToBeKilled(dir, os.Getenv("ROLLCALL_TEST_ROUND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	for variable, work := range map[string]func(string) error{memberDir: workUntilKilled, natsFile: serveUntilKilled} {
		if given := os.Getenv(variable); given != "" {
			if err := work(given); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// directoryOfRound is the directory as it is in a round: the same whoever asks.
func directoryOfRound(round int) *roster {
	chance := rand.New(rand.NewPCG(1, uint64(round)))
	people := 300
	if round == fullDiskRound {
		people = 15_000
	}
	dir := newRoster().people(people)
	dir.person("fixed", "phone", "+420 0")
	for i := range 40 {
		key := fmt.Sprintf("p%05d", chance.IntN(300))
		switch i % 4 {
		case 0:
			dir.set(key, "phone", fmt.Sprintf("+420 %d", round))
		case 1:
			dir.set(key, "card", fmt.Sprintf("%08X", chance.Uint32()))
		case 2:
			if i < 20 {
				dir.remove(key)
				dir.person(fmt.Sprintf("new%d-%d", round, i))
			}
		case 3:
			if _, there := dir.entries[key]; there {
				dir.set(key, "uid", fmt.Sprintf("%s-%d", key, round))
			}
		}
		if _, there := dir.entries[key]; !there {
			dir.person(key)
		}
	}
	return dir
}

func runToBeKilled(dir, round string) error {
	var n int
	if _, err := fmt.Sscan(round, &n); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	node, err := pipeline.Start(ctx, killedConfig(dir, directoryOfRound(n)), zerolog.New(os.Stderr).Level(zerolog.WarnLevel))
	if err != nil {
		return err
	}
	alive, die := context.WithCancelCause(ctx)
	go func() { die(node.Wait()) }()
	err = editByHand(alive, node.Client(), round)
	if err == nil {
		err = syncToEnd(alive, node.Client())
	}
	return errors.Join(err, node.Stop())
}

// editByHand does what people do: what stays, and what the next run takes back.
func editByHand(ctx context.Context, c *pipeline.Client, round string) error {
	set := map[string]string{"custom_1": round, "phone": "by hand " + round, "aliases": "fixed-" + round}
	_, err := c.SetUser(ctx, pipeline.Edit{ID: "round-" + round, User: "fixed", Set: set})
	if errors.Is(err, pipeline.ErrNotFound) { // before the first run
		return nil
	}
	return err
}

// syncToEnd waits for a run that an earlier process left behind, then runs the source.
func syncToEnd(ctx context.Context, c *pipeline.Client) error {
	for {
		job, err := c.Sync(ctx, "people", pipeline.SyncOptions{})
		if err == nil {
			run, err := c.Follow(ctx, "people", job, nil)
			if err == nil && run.State != store.Applied {
				err = fmt.Errorf("run %d is %s: %s", run.Number, run.State, run.Reason)
			}
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func killedConfig(dir string, reader connectors.Config) pipeline.Config {
	source := pipeline.Source{Name: "people", Enabled: true, Reader: reader, Mapping: rosterMapping(), Options: rosterOptions("people")}
	source.Options.Guard.Deactivate.Floor, source.Options.Guard.Rename.Floor, source.Options.Guard.Create.Floor = 1000, 1000, 1000
	source.Options.Guard.Blank.Floor, source.Options.Guard.Secrets.Floor = 1000, 1000
	return pipeline.Config{DataDir: dir, EventsKeep: time.Hour, JobLease: 2 * time.Second, Sources: []pipeline.Source{source}}
}

// A process killed at random moments, round after round: in the end the store has the users of an undisturbed run, and
// every revision is exactly one event.
func TestKilledAtRandom(t *testing.T) {
	const wanted = 50
	end := soaking(t)
	disturbed, calm := t.TempDir(), t.TempDir()
	chance := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	last := finish(t, calm, 0)
	killed, round := 0, 0
	for ; killed < wanted && round < 4*wanted || time.Now().Before(end); round++ {
		if round == fullDiskRound {
			continue // another size of directory
		}
		if killAt(t, disturbed, round, time.Duration(chance.Int64N(int64(last)))) {
			killed++
		}
		if round%10 == 9 { // let one through, and one on the calm side
			finish(t, disturbed, round)
			last = finish(t, calm, round)
		}
	}
	finish(t, disturbed, round)
	finish(t, calm, round)
	t.Logf("%d of %d rounds were killed before they ended", killed, round)
	if killed < wanted {
		t.Errorf("only %d of %d rounds were killed: the test disturbs too little", killed, round)
	}
	got, want := usersIn(t, disturbed), usersIn(t, calm)
	if !maps.Equal(got, want) {
		t.Errorf("%d users after the kills, %d undisturbed", len(got), len(want))
		for name, body := range got {
			if want[name] == "" {
				t.Errorf("too many, for example %s", body)
			}
		}
		for name, body := range want {
			if got[name] != body {
				t.Fatalf("for example %s:\n%s\nwant\n%s", name, got[name], body)
			}
		}
	}
}

// soakers is how many tests share the time of a soak.
const soakers = 5

// soaking returns until when a test goes on that tries more the longer it runs: it ends after its least unless the environment variable
// ROLLCALL_SOAK says for how long all of them may go on; each takes an equal share.
func soaking(t *testing.T) time.Time {
	t.Helper()
	text := os.Getenv("ROLLCALL_SOAK")
	if text == "" {
		return time.Time{}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("ROLLCALL_SOAK: %v", err)
	}
	return time.Now().Add(d / soakers)
}

// killAt starts a run in another process and kills it after a while. It reports whether the process was still at work.
func killAt(t *testing.T, dir string, round int, after time.Duration) bool {
	t.Helper()
	cmd := toBeKilled(dir, round)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	if err != nil && err.Error() != "signal: killed" {
		t.Errorf("round %d ended by itself, before it was killed: %v\n%s", round, err, said.String())
	}
	return err != nil
}

// finish runs a round to its end and returns how long that took.
func finish(t *testing.T, dir string, round int) time.Duration {
	t.Helper()
	begun := time.Now()
	if out, err := toBeKilled(dir, round).CombinedOutput(); err != nil {
		t.Fatalf("round %d: %v\n%s", round, err, out)
	}
	return time.Since(begun)
}

func toBeKilled(dir string, round int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir, fmt.Sprintf("ROLLCALL_TEST_ROUND=%d", round))
	return cmd
}

// usersIn returns the active users of a data directory and checks it. Those who came and went between the rounds that one
// side finished stay behind as inactive ones on the other.
func usersIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	c := &company{t: t, config: killedConfig(dir, newRoster())}
	c.start()
	defer c.stop()
	return c.users(pipeline.UserQuery{})
}
