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
	"slices"
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

// BenchmarkRead reads 100,000 users of 20 properties, 200 a page, by the connector, and in turn by what it is compared with:
// net/http, and encoding/json into json.RawMessage.
func BenchmarkRead(b *testing.B) {
	p := start(b, 100_000)
	c := p.open(b)
	read(b, c, nil, nothing) // the emulator's answers are made once
	token, err := c.credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{p.cfg.cloud().scope()}, EnableCAE: true})
	if err != nil {
		b.Fatal(err)
	}
	transport, err := newTransport("", p.cfg.CAFile)
	if err != nil {
		b.Fatal(err)
	}
	link := p.cfg.GraphURL + "/v1.0/users/delta?$select=" + strings.Join(c.wanted.properties, ",")
	var ours, plain meter
	var wall, cpu []float64
	for b.Loop() {
		ours.measure(func() int { return read(b, c, nil, nothing).users })
		plain.measure(func() int { return readPlain(b, &http.Client{Transport: transport}, link, token.Token) })
		wall = append(wall, plain.lastWall.Seconds()/ours.lastWall.Seconds())
		cpu = append(cpu, plain.lastCPU.Seconds()/ours.lastCPU.Seconds())
	}
	b.ReportMetric(float64(ours.users)/ours.wall.Seconds(), "users/s")
	b.ReportMetric(float64(plain.users)/plain.wall.Seconds(), "plain-users/s")
	b.ReportMetric(median(wall), "of-plain")
	b.ReportMetric(median(cpu), "of-plain-cpu")
	b.ReportMetric(float64(ours.cpu.Microseconds())/float64(ours.users), "cpu-µs/user")
	b.ReportMetric(float64(ours.mallocs)/float64(ours.users), "allocs/user")
}

// median is the middle of what pairs of reads gave, whoever else was at work on the machine meanwhile.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// meter adds up what reads cost this process, and keeps what the last one did.
type meter struct {
	users             int
	wall, cpu         time.Duration
	lastWall, lastCPU time.Duration
	mallocs           uint64
}

func (m *meter) measure(f func() int) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := used(), time.Now()
	m.users += f()
	m.lastWall, m.lastCPU = time.Since(began), used()-cpu
	m.wall, m.cpu = m.wall+m.lastWall, m.cpu+m.lastCPU
	runtime.ReadMemStats(&after)
	m.mallocs += after.Mallocs - before.Mallocs
}

// used is the processor time of this process so far.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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

type total struct {
	users   int
	outcome connectors.Outcome
}

func nothing(int) {}

// read makes a pass; each is called after every user.
func read(b *testing.B, c *connector, since connectors.Checkpoint, each func(n int)) (t total) {
	o, err := c.Read(context.Background(), since, func(connectors.Record) error {
		t.users++
		each(t.users)
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
	next := read(b, c, nil, nothing).outcome.Next
	var own time.Duration
	for b.Loop() {
		began := time.Now()
		o := read(b, c, next, nothing).outcome
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
			var m runtime.MemStats
			var most uint64
			for b.Loop() {
				read(b, c, nil, func(n int) {
					if n%20_000 == 0 {
						runtime.GC()
						runtime.ReadMemStats(&m)
						most = max(most, m.HeapAlloc)
					}
				})
			}
			b.ReportMetric(float64(most)/(1<<20), "MiB")
		})
	}
}
