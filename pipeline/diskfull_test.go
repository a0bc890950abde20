package pipeline_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/connectors/connectorstest"
)

// A disk that gets full in the middle of a run, under everything, under the streams alone or under the store alone: the process says so
// and ends, and with room again the next one goes on; nobody is lost and nobody doubled.
func TestDiskFull(t *testing.T) {
	calm := t.TempDir()
	finish(t, calm, fullDiskRound)
	finish(t, calm, fullDiskRound) // what is done by hand needs a first run
	want := usersIn(t, calm)
	for _, disk := range []struct{ under, small, streams string }{
		{"everything", "18m", ""}, {"the streams", "4m", "small"}, {"the store", "22m", "large"},
	} {
		t.Run(disk.under, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "disk")
			streams := filepath.Join(dir, "nats")
			small := dir
			if disk.streams == "small" {
				small = streams
			} else {
				mount(t, dir, disk.small)
			}
			switch disk.streams {
			case "small":
				mount(t, streams, disk.small)
			case "large":
				mount(t, streams, "300m")
			}
			for range 2 { // in the middle of a run, and at a start
				if out, err := killedAfter(dir, 3*time.Minute); err == nil || err.Error() == "signal: killed" || !strings.Contains(out, "no space left on device") {
					t.Fatalf("the process on a full disk ended with %v and says\n%s", err, out)
				}
			}
			if err := remount(t, small, "remount,size=300m"); err != nil {
				t.Fatal(err)
			}
			finish(t, dir, fullDiskRound)
			finish(t, dir, fullDiskRound)
			if got := usersIn(t, dir); !maps.Equal(got, want) {
				t.Errorf("%d users after the disk was full, %d undisturbed", len(got), len(want))
			}
		})
	}
}

// mount makes a folder that is a disk of its own until the test ends.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := remount(t, dir, "size="+size); err != nil {
		connectorstest.Missing(t, "a small disk: ", err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

func remount(t *testing.T, dir, options string) error {
	t.Helper()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput()
	if err != nil {
		t.Logf("mount: %v: %s", err, out)
	}
	return err
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
