package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"rollcall/connectors/connectorstest/people"
)

// What a first run of the program takes of memory at its highest (RssAnon), the embedded NATS server included.
func BenchmarkMemory(b *testing.B) {
	program := filepath.Join(b.TempDir(), "rollcall")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for _, n := range []int{100_000, 500_000} {
		b.Run(fmt.Sprintf("users=%d", n), func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				writeSource(b, dir, n)
				for _, which := range []string{"first", "second"} {
					u := runProgram(b, program, dir)
					b.ReportMetric(u.most, which+"-MB")
					b.ReportMetric(float64(n)/u.took.Seconds(), which+"-users/s")
					b.ReportMetric(u.busy.Seconds(), which+"-cpu-s")
				}
			}
		})
	}
}

func writeSource(b *testing.B, dir string, n int) {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "people.csv"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := people.New(1).WriteCSV(f, n); err != nil {
		b.Fatal(err)
	}
	configuration := "version: 1\nsources:\n  people: {kind: csv, path: people.csv, options: {add_new_users: true, deactivate_missing_users: true}}\n"
	if err := os.WriteFile(filepath.Join(dir, "rollcall.yaml"), []byte(configuration), 0o600); err != nil {
		b.Fatal(err)
	}
}

// expense is what a run of the program cost: memory at its highest, in megabytes, wall time, processor time.
type expense struct {
	most       float64
	took, busy time.Duration
}

// runProgram runs a sync.
func runProgram(b *testing.B, program, dir string) expense {
	b.Helper()
	most := 0
	command := exec.Command(program, "sync", "--quiet")
	command.Dir = dir
	begun := time.Now()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatal(err)
			}
			return expense{most: float64(most) / 1024, took: time.Since(begun), busy: command.ProcessState.UserTime() + command.ProcessState.SystemTime()}
		case <-time.After(20 * time.Millisecond):
			most = max(most, anonymous(command.Process.Pid))
		}
	}
}

var rssAnon = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

// anonymous is a process's memory that no file stands behind, in kilobytes; 0 where it cannot be read.
func anonymous(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	found := rssAnon.FindSubmatch(status)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(found[1])) // digits
	return n
}
