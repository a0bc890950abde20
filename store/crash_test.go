package store_test

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"rollcall/store"
)

// crashVariable makes the test binary a writer that is killed: see TestKilled.
const crashVariable = "ROLLCALL_STORE_TEST_WRITES"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashVariable); path != "" {
		writeUntilKilled(path)
	}
	if os.Getenv("CI") == "true" { // which judges a change and not the draw; elsewhere every run draws anew
		if err := flag.Set("rapid.seed", "1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestKilled kills a process in the middle of updates, again and again. What it had reported as
// committed is there, and nothing is there by half.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	for range 12 {
		committed := killedWriter(t, path, time.Duration(1+rand.IntN(150))*time.Millisecond)
		db := open(t, path, store.Options{})
		must(t, db.Check())
		must(t, db.View(func(tx *store.Tx) error {
			n, _ := tx.Head()
			if total, _ := tx.CountUsers(); n < committed || uint64(total) > n {
				t.Errorf("%d users at revision %d, %d was committed", total, n, committed)
			}
			return nil
		}))
		shut(t, db)
	}
}

// killedWriter lets a process write for a while and returns the last revision that it committed.
func killedWriter(t *testing.T, path string, after time.Duration) (committed uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"="+path)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &committed); err != nil {
			t.Errorf("the writer says %q", lines.Text())
		}
		if after > 0 {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
			after = 0
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the writer ended by itself")
	}
	return committed
}

// writeUntilKilled puts people, new and known, in batches small and large, and prints the last
// revision after every commit.
func writeUntilKilled(path string) {
	db, err := store.Open(path, store.Options{})
	for err == nil {
		var n uint64
		err = db.Update(func(tx *store.Tx) error {
			begin, size := rand.IntN(5000), 1+rand.IntN(400)
			people := make([]person, size)
			for i := range people {
				people[i] = somebody(begin + i)
			}
			err := putAll(tx, people)
			n, _ = tx.Head()
			return err
		})
		fmt.Println(n)
	}
	fmt.Println(err)
	os.Exit(1)
}
