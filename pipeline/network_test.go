package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"rollcall/connectors/connectorstest"
	"rollcall/events"
	"rollcall/store"
)

// natsFile is the environment variable that makes this test binary a NATS server with that configuration until it is killed.
const natsFile = "ROLLCALL_TEST_NATS_FILE"

func serveUntilKilled(file string) error {
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// network is a switch with three hosts on it: network namespaces, each with a NATS server of one cluster. This process is on the switch too.
type network struct {
	t      *testing.T
	number int    // of the process and of this one of its two: keeps names and addresses apart
	name   string // of the switch, and what the names of the hosts begin with
	hosts  []string
	*cluster
}

var networks atomic.Int32

// startNetwork builds a network, and takes it away when the test ends. Where this user may not, the test is skipped; under CI it
// fails.
func startNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, number: os.Getpid()<<1 | int(networks.Add(1)&1), cluster: &cluster{t: t}}
	n.name = fmt.Sprintf("rc%d", n.number)
	t.Cleanup(n.remove)
	if err := n.build(); err != nil {
		connectorstest.Missing(t, "a network whose cables can be pulled: ", err)
	}
	for i, host := range n.hosts {
		n.serve(i, host)
	}
	eventually(t, func() bool {
		nc, err := nats.Connect(n.url(), nats.Timeout(time.Second))
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
	return n
}

func (n *network) build() error {
	err := errors.Join(n.ip("link", "add", n.name, "type", "bridge"), n.ip("addr", "add", n.address(254)+"/24", "dev", n.name), n.ip("link", "set", n.name, "up"))
	for i := range 3 {
		host := fmt.Sprintf("%s-%d", n.name, i+1)
		n.hosts = append(n.hosts, host)
		err = errors.Join(err, n.ip("netns", "add", host), n.ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", host),
			n.ip("link", "set", host, "master", n.name, "up"), n.ip("-n", host, "addr", "add", n.address(i+1)+"/24", "dev", "eth0"),
			n.ip("-n", host, "link", "set", "eth0", "up"), n.ip("-n", host, "link", "set", "lo", "up"))
	}
	return err
}

func (n *network) remove() {
	for _, host := range n.hosts {
		_ = n.ip("netns", "del", host)
	}
	_ = n.ip("link", "del", n.name)
}

func (n *network) ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// address is a host's address.
func (n *network) address(host int) string {
	return fmt.Sprintf("10.%d.%d.%d", 64+n.number>>8%64, n.number%256, host)
}

// serve starts the NATS server of a host.
func (n *network) serve(i int, host string) {
	n.t.Helper()
	routes := make([]string, 3)
	for r := range routes {
		routes[r] = fmt.Sprintf("nats://%s:6222", n.address(r+1))
	}
	dir := n.t.TempDir()
	file, own := filepath.Join(dir, "nats.conf"), n.address(i+1)
	text := fmt.Sprintf("server_name: n%d\nlisten: \"%s:4222\"\nmax_payload: 8MB\njetstream { store_dir: %q, max_file_store: 1GB }\n"+
		"cluster { name: rollcall, listen: \"%s:6222\", routes: [%s] }\n", i+1, own, dir, own, strings.Join(routes, ", "))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", host, os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), natsFile+"="+file), os.Stderr
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	n.options = append(n.options, &server.Options{Host: own, Port: 4222})
}

// pull pulls a host's cable; plug puts it back.
func (n *network) pull(host string) { n.cable(host, "down") }

func (n *network) plug(host string) { n.cable(host, "up") }

func (n *network) cable(host, state string) {
	n.t.Helper()
	if err := n.ip("link", "set", host, state); err != nil {
		n.t.Error(err)
	}
}

// The cable of the leader's host is pulled in the middle of a run, with the NATS server on it: the others finish the run. When it is
// plugged in again, who led stands by with the same store, and no event is lost or told twice.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	dir := newRoster().people(400)
	n, k := startHosts(t, dir)
	k.settle()
	k.standsBy()
	cut := k.leader()
	dir.set("p00001", "phone", "+420 1")
	var over sync.WaitGroup
	dir.during = func(i int, _ string) error {
		if i == 200 {
			dir.during = nil
			n.pull(k.networks[cut])
			over.Go(func() { k.takenOver(cut) })
		}
		return nil
	}
	k.settle()
	over.Wait()
	dir.set("p00002", "phone", "+420 2")
	k.settle()
	if k.leader() == cut {
		t.Error("who is cut off leads")
	}
	n.plug(k.networks[cut])
	dir.set("p00003", "phone", "+420 3")
	k.settle()
	k.standsBy()
	k.agree(t, dir)
}

// A server that was cut off for long tells for seconds afterwards where its own copy of a stream ends. Nobody believes it.
func TestAnswersAfterACut(t *testing.T) {
	t.Parallel()
	n := startNetwork(t)
	bus := n.bus()
	if err := bus.EnsureStreams(t.Context(), events.StreamOptions{Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	say := func() (end uint64) {
		t.Helper()
		end, err := bus.Publish(t.Context(), events.CommandSubject("end"), "", []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	say()
	stream, err := bus.Stream(t.Context(), events.LogStream)
	if err != nil {
		t.Fatal(err)
	}
	cut := n.hosts[0]
	if stream.CachedInfo().Cluster.Leader == "n1" {
		cut = n.hosts[1]
	}
	n.pull(cut)
	time.Sleep(30 * time.Second) // NATS finds within 20 s that a server hears nobody
	end := say()
	n.plug(cut)
	old := 0
	for begun := time.Now(); time.Since(begun) < 15*time.Second; time.Sleep(time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if s, err := bus.JetStream.Stream(ctx, events.LogStream); err == nil && s.CachedInfo().State.LastSeq < end {
			old++
		}
		cancel()
		stream, err := bus.Stream(t.Context(), events.LogStream)
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().State.LastSeq; got != end {
			t.Fatalf("the log ends at %d, want %d", got, end)
		}
	}
	t.Logf("%d answers of NATS were old", old)
}

// takenOver waits until another reconciler than that one leads.
func (k *crew) takenOver(from string) {
	begun := time.Now()
	eventually(k.t, func() bool { l := k.leader(); return l != "" && l != from })
	k.t.Logf("another one led after %s", time.Since(begun).Round(time.Millisecond))
}

// startHosts starts a network with a reconciler on every host and the workers in this process.
func startHosts(t *testing.T, dir *roster) (*network, *crew) {
	t.Helper()
	n := startNetwork(t)
	k := newCrew(t, n.cluster)
	for _, host := range n.hosts {
		reconciler := t.TempDir()
		k.networks[reconciler] = host
		k.reconciler(reconciler)
	}
	k.workHere(dir)
	return n, k
}

// agree ends all reconcilers and fails the test unless they have the store of an undisturbed pipeline and told all of it once.
func (k *crew) agree(t *testing.T, dir *roster) {
	k.t.Helper()
	if got, want := k.users(), undisturbed(t, dir); !containsAll(got, want) {
		k.t.Errorf("%d users, %d in an undisturbed pipeline", len(got), len(want))
	}
	digests := map[store.Digest][]string{}
	var head uint64
	for dir := range maps.Clone(k.processes) {
		digest, revision := k.end(dir)
		digests[digest], head = append(digests[digest], dir), max(head, revision)
	}
	if len(digests) != 1 {
		k.t.Errorf("the same log gave several stores: %v", digests)
	}
	k.told(head)
}
