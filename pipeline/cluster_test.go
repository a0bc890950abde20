package pipeline_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"rollcall/events"
)

// cluster is three NATS servers that know each other, with JetStream on all of them.
type cluster struct {
	t       testing.TB
	options []*server.Options
	servers []*server.Server
}

// startCluster starts the servers and waits until they agree.
func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t}
	ports := freePorts(t, 6)
	var routes []*url.URL
	for _, port := range ports[:3] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for i := range 3 {
		c.options = append(c.options, &server.Options{
			ServerName: fmt.Sprintf("n%d", i+1), Host: "127.0.0.1", Port: ports[3+i], NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
			JetStream: true, StoreDir: filepath.Join(t.TempDir(), "streams"), JetStreamMaxStore: 1 << 34, JetStreamMaxMemory: 1 << 28, DisableJetStreamBanner: true,
			Cluster: server.ClusterOpts{Name: "rollcall", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		})
		c.servers = append(c.servers, nil)
		c.startNode(i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.stopNode(i)
		}
	})
	c.awaitAgreement()
	return c
}

func (c *cluster) startNode(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.options[i].Clone())
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	c.servers[i] = s
}

func (c *cluster) stopNode(i int) {
	if s := c.servers[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
		c.servers[i] = nil
	}
}

// awaitAgreement waits until JetStream answers and every server has what it should have.
func (c *cluster) awaitAgreement() {
	c.t.Helper()
	eventually(c.t, func() bool {
		for _, s := range c.servers {
			if s == nil || !s.ReadyForConnections(time.Second) || s.Healthz(nil).StatusCode != 200 {
				return false
			}
		}
		nc, err := nats.Connect(c.url())
		if err != nil {
			return false
		}
		defer nc.Close()
		js, err := nc.JetStream(nats.MaxWait(time.Second))
		if err != nil {
			return false
		}
		_, err = js.AccountInfo()
		return err == nil
	})
}

// url names all servers.
func (c *cluster) url() string {
	var all []string
	for _, o := range c.options {
		all = append(all, fmt.Sprintf("nats://%s:%d", o.Host, o.Port))
	}
	return strings.Join(all, ",")
}

// bus is a connection of the test's own.
func (c *cluster) bus() *events.Bus {
	c.t.Helper()
	bus, err := events.Connect(c.url(), func(error) {})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(bus.Close)
	return bus
}

// leaderOf returns which server leads a stream, -1 when none does.
func (c *cluster) leaderOf(stream string) int {
	for i, s := range c.servers {
		if s != nil && s.JetStreamIsStreamLeader("$G", stream) {
			return i
		}
	}
	return -1
}

func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// writePINKey writes the key that all processes of a pipeline share.
func writePINKey(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pins.key")
	if err := os.WriteFile(path, []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
