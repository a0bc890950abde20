package pipeline_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"rollcall/connectors/entra"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// A tenant of 100,000 people with twenty properties each, on an emulated Graph in another process on the same processors: the first run
// to store and events, and then a delta round in which nothing changed.
func BenchmarkEntraFirstSync(b *testing.B) {
	reader := startGraphProcess(b, benchPeople)
	first := func() time.Duration {
		node := startBenchNode(b, b.TempDir(), reader, benchGraph())
		defer stopNode(b, node)
		return timed(func() { wantRun(b, benchSync(b, node), "created", benchPeople) })
	}
	first() // the emulator's answers are made once
	var took time.Duration
	busy := processorTime(b)
	for b.Loop() {
		took += first()
	}
	b.ReportMetric(float64(benchPeople*b.N)/took.Seconds(), "users/s")
	b.ReportMetric((processorTime(b)-busy).Seconds()/float64(b.N), "cpu-s")
}

// processorTime is what this process used so far: it says more than the clock where others work beside.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A run that asks a tenant of 100,000 people what changed, and nothing did: its time, and what of it Graph took.
func BenchmarkEntraNothingChanged(b *testing.B) {
	node := startBenchNode(b, b.TempDir(), startGraphProcess(b, benchPeople), benchGraph())
	defer stopNode(b, node)
	wantRun(b, benchSync(b, node), "created", benchPeople)
	var took time.Duration
	var wire float64
	var last store.Run
	busy := processorTime(b)
	for b.Loop() {
		took += timed(func() { last = benchSync(b, node) })
		if last.Kind != "incremental" || last.Pages != 1 || last.Records != 0 {
			b.Fatalf("run is %s, %d pages, %d records", last.Kind, last.Pages, last.Records)
		}
		wire += last.Wire
	}
	b.ReportMetric(1000*(took.Seconds()-wire)/float64(b.N), "own-ms")
	b.ReportMetric(1000*wire/float64(b.N), "graph-ms")
	b.ReportMetric(1000*(processorTime(b)-busy).Seconds()/float64(b.N), "cpu-ms")
}

// benchGraph maps what the emulated people have to as many properties as there are.
func benchGraph() map[string]mapping.Rule {
	rules := map[string]mapping.Rule{"custom_1": {From: []string{"officeLocation"}}, "custom_2": {Template: "%streetAddress%, %postalCode% %city%, %country%"},
		"custom_3": {Template: "%companyName% %givenName% %surname%"}, "alternate_emails": {From: []string{"otherMails"}}}
	for property, attribute := range map[string]string{"user_name": "userPrincipalName", "full_name": "displayName", "email": "mail", "department": "department",
		"phone": "businessPhones", "personal_number": "employeeId", "notes": "jobTitle"} {
		rules[property] = mapping.Rule{From: []string{attribute}}
	}
	return rules
}

// startGraphProcess runs the emulator in a process of its own and returns how it is read.
func startGraphProcess(b *testing.B, n int) *entra.Config {
	b.Helper()
	dir := b.TempDir()
	program := filepath.Join(dir, "graphtest")
	if out, err := exec.Command("go", "build", "-o", program, "rollcall/connectors/entra/graphtest/cmd/graphtest").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	command := exec.Command(program, "-users", strconv.Itoa(n), "-folder", dir)
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = command.Process.Signal(syscall.SIGTERM); _ = command.Wait() })
	var text strings.Builder
	printed := bufio.NewScanner(out)
	for printed.Scan() && printed.Text() != "# ready" {
		text.WriteString(printed.Text() + "\n")
	}
	var file map[string]entra.Config
	if err := yaml.Unmarshal([]byte(text.String()), &file); err != nil {
		b.Fatal(err)
	}
	config := file["cloud"]
	return &config
}
