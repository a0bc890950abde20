package entra

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/goccy/go-yaml"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/entra/graphtest"
)

// process is the emulator in a process of its own.
type process struct{ cfg Config }

// start builds and runs the emulator with n users. ROLLCALL_BENCH_USERS changes n.
func start(b *testing.B, n int) *process {
	b.Helper()
	if s := os.Getenv("ROLLCALL_BENCH_USERS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	binary := filepath.Join(dir, "graphtest")
	if out, err := exec.Command("go", "build", "-o", binary, "./graphtest/cmd/graphtest").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(binary, "-users", strconv.Itoa(n), "-folder", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	return &process{readConfig(b, out)}
}

// readConfig reads what the emulator prints until it is ready.
func readConfig(b *testing.B, r io.Reader) Config {
	b.Helper()
	var text strings.Builder
	lines := bufio.NewScanner(r)
	for lines.Scan() && lines.Text() != "# ready" {
		text.WriteString(lines.Text() + "\n")
	}
	var file map[string]Config
	if err := yaml.Unmarshal([]byte(text.String()), &file); err != nil {
		b.Fatal(err)
	}
	return file["cloud"]
}

func (p *process) open(b *testing.B) *connector {
	b.Helper()
	c, err := p.cfg.Open(connectors.Env{Attributes: graphtest.PersonProperties(), Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	return c.(*connector)
}

// BenchmarkRead reads 100,000 users of 20 properties, 200 a page, by the connector.
func BenchmarkRead(b *testing.B) {
	p := start(b, 100_000)
	c := p.open(b)
	read(b, c, nil) // the emulator's answers are made once
	users := measure(b, func() int { return read(b, c, nil).users })
	b.Logf("%d users", users)
}

// BenchmarkPlain is what Read is compared with: net/http, and encoding/json into json.RawMessage.
func BenchmarkPlain(b *testing.B) {
	p := start(b, 100_000)
	c := p.open(b)
	read(b, c, nil)
	plain := func() int {
		token, err := c.credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{p.cfg.cloud().scope()}, EnableCAE: true})
		if err != nil {
			b.Fatal(err)
		}
		transport, err := newTransport("", p.cfg.CAFile)
		if err != nil {
			b.Fatal(err)
		}
		return readPlain(b, &http.Client{Transport: transport}, p.cfg.GraphURL+"/v1.0/users/delta?$select="+strings.Join(c.wanted.properties, ","), token.Token)
	}
	measure(b, plain)
}

func readPlain(b *testing.B, client *http.Client, link, token string) (users int) {
	for link != "" {
		req, err := http.NewRequest(http.MethodGet, link, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var page struct {
			Next  string            `json:"@odata.nextLink"`
			Value []json.RawMessage `json:"value"`
		}
		if err != nil || json.Unmarshal(body, &page) != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, err)
		}
		users, link = users+len(page.Value), page.Next
	}
	return users
}

// measure runs f for every iteration and reports users a second and allocations a user.
func measure(b *testing.B, f func() int) int {
	var before, after runtime.MemStats
	users := 0
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	for b.Loop() {
		users += f()
	}
	elapsed := b.Elapsed()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(users)/elapsed.Seconds(), "users/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(users), "allocs/user")
	return users
}

type total struct {
	users   int
	outcome connectors.Outcome
	heap    uint64 // the most that was in use
}

func read(b *testing.B, c *connector, since connectors.Checkpoint) total {
	var t total
	var m runtime.MemStats
	o, err := c.Read(context.Background(), since, func(connectors.Record) error {
		if t.users++; t.users%20_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			t.heap = max(t.heap, m.HeapAlloc)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	t.outcome = o
	return t
}

// BenchmarkNothingChanged is a delta round without changes: one request.
func BenchmarkNothingChanged(b *testing.B) {
	p := start(b, 10_000)
	c := p.open(b)
	next := read(b, c, nil).outcome.Next
	var own time.Duration
	for b.Loop() {
		began := time.Now()
		o := read(b, c, next).outcome
		own += time.Since(began) - o.Wire
		if next = o.Next; o.Pages != 1 {
			b.Fatalf("%d requests", o.Pages)
		}
	}
	b.ReportMetric(float64(own.Microseconds())/float64(b.N), "own-µs/op")
}

// BenchmarkMemory states the most heap in use while many users are read.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{50_000, 500_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := start(b, n).open(b)
			var most uint64
			for b.Loop() {
				most = max(most, read(b, c, nil).heap)
			}
			b.ReportMetric(float64(most)/(1<<20), "MiB")
		})
	}
}
