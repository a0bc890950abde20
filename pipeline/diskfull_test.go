package pipeline_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A disk that gets full in the middle of a run: the process says so and ends, and with room again the next one goes on; nobody is lost
// and nobody doubled.
func TestDiskFull(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func(options string) error {
		out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput()
		if err != nil {
			t.Logf("mount: %v: %s", err, out)
		}
		return err
	}
	if err := mount("size=18m"); err != nil {
		t.Skip("needs a small disk of its own, and this user may not mount one")
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	for range 2 { // in the middle of a run, and at a start
		if out, err := killedAfter(dir, time.Minute); err == nil || !strings.Contains(out, "no space left on device") {
			t.Fatalf("the process on a full disk ended with %v and says\n%s", err, out)
		}
	}
	if err := mount("remount,size=200m"); err != nil {
		t.Fatal(err)
	}
	finish(t, dir, fullDiskRound)
	finish(t, dir, fullDiskRound) // what is done by hand needs a first run
	calm := t.TempDir()
	finish(t, calm, fullDiskRound)
	finish(t, calm, fullDiskRound)
	if got, want := usersIn(t, dir), usersIn(t, calm); !maps.Equal(got, want) {
		t.Errorf("%d users after the disk was full, %d undisturbed", len(got), len(want))
	}
}

// fullDiskRound is a round whose directory is too large for the disk.
const fullDiskRound = 1000

// killedAfter runs a process until it ends on its own, or is killed because it does not.
func killedAfter(dir string, limit time.Duration) (output string, err error) {
	cmd := toBeKilled(dir, fullDiskRound)
	stop := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	out, err := cmd.CombinedOutput()
	return string(out), err
}
