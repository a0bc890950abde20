//go:build soak

// What standby_test.go, workers_test.go and network_test.go try once, at random for as long as ROLLCALL_SOAK says ("10m"): task soak.

package pipeline_test

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/events"
	"rollcall/pipeline"
)

// soakingUntil is [soaking] for a test that has no least.
func soakingUntil(t *testing.T) time.Time {
	t.Helper()
	end := soaking(t)
	if end.IsZero() {
		t.Fatal("ROLLCALL_SOAK says for how long, for example 10m")
	}
	return end
}

// Reconcilers killed, stopped and woken up, servers of the cluster lost,
// leaders of streams moved, while the directory changes from round to round.
func TestTakeoverSoak(t *testing.T) {
	end := soakingUntil(t)
	dir := directoryOfRound(0)
	dirs := []string{t.TempDir(), t.TempDir()}
	k := startCrew(t, dir, dirs...)
	k.settle()
	chance := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	round, faults := 0, [4]int{}
	for time.Now().Before(end) {
		round++
		dir.become(directoryOfRound(round))
		var over sync.WaitGroup
		kind, victim, after := chance.IntN(len(faults)), dirs[chance.IntN(2)], time.Duration(chance.Int64N(int64(3*time.Second)))
		over.Go(func() {
			time.Sleep(after)
			k.disturb(kind, victim, chance.IntN(3))
		})
		faults[kind]++
		k.settle()
		over.Wait()
		k.awaitAgreement()
	}
	k.settle()
	k.standsBy()
	if got, want := k.users(), undisturbed(t, dir); !containsAll(got, want) {
		t.Errorf("%d users, %d in an undisturbed pipeline", len(got), len(want))
	}
	one, head := k.end(dirs[0])
	if other, _ := k.end(dirs[1]); one != other {
		t.Errorf("the same log gave two stores: %x and %x", one, other)
	}
	k.told(head)
	t.Logf("%d rounds, %d kills, %d reconcilers stopped and woken up, %d servers lost, %d leaders moved", round, faults[0], faults[1], faults[2], faults[3])
}

// disturb kills a reconciler, stops it for a while, takes a server of the cluster away for a while, or moves the leader of a stream.
func (k *crew) disturb(kind int, dir string, server int) {
	switch kind {
	case 0:
		k.kill(dir)
		time.Sleep(time.Second)
		k.reconciler(dir)
	case 1:
		k.signal(dir, syscall.SIGSTOP)
		time.Sleep(6 * time.Second)
		k.signal(dir, syscall.SIGCONT)
	case 2:
		k.stopNode(server)
		time.Sleep(2 * time.Second)
		k.startNode(server)
	case 3:
		stream := []string{events.LogStream, events.RawStream, events.UsersStream}[server]
		_, _ = k.bus().Conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 5*time.Second) // none to move is as good
	}
}

// One of the workers is killed, or stopped for a while, in every run.
func TestWorkersSoak(t *testing.T) {
	end := soakingUntil(t)
	w := startWorkforce(t, directoryOfRound(0))
	chance := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	done := map[string]int{}
	for round := 1; time.Now().Before(end); round++ {
		w.dir.become(directoryOfRound(round))
		w.write()
		role := []string{pipeline.RoleConnector, pipeline.RoleNormalizer}[chance.IntN(2)]
		victim := w.in(role)[chance.IntN(2)]
		stop, after := chance.IntN(2) == 0, time.Duration(chance.Int64N(int64(time.Second)))
		var over sync.WaitGroup
		over.Go(func() {
			time.Sleep(after)
			if stop {
				w.signal(victim, syscall.SIGSTOP)
				time.Sleep(4 * time.Second)
				w.signal(victim, syscall.SIGCONT)
				return
			}
			w.lose(victim)
			w.hire(role)
		})
		w.settle()
		over.Wait()
		done[role+map[bool]string{true: " stopped", false: " killed"}[stop]]++
	}
	w.settle()
	w.finish(t)
	t.Log(done)
}

// Cables are pulled for a while, and single ways between two hosts, in every run.
func TestNetworkSoak(t *testing.T) {
	end := soakingUntil(t)
	dir := directoryOfRound(0)
	n, k := startHosts(t, dir)
	k.settle()
	chance := rand.New(rand.NewPCG(11, uint64(time.Now().UnixNano())))
	cables, ways := 0, 0
	for round := 1; time.Now().Before(end); round++ {
		dir.become(directoryOfRound(round))
		one := chance.IntN(3)
		other := (one + chance.IntN(2)*(1+chance.IntN(2))) % 3 // itself half the time
		after, long := time.Duration(chance.Int64N(int64(time.Second))), time.Duration(chance.Int64N(int64(40*time.Second)))
		var over sync.WaitGroup
		over.Go(func() {
			time.Sleep(after)
			if one == other {
				n.pull(n.hosts[one])
				time.Sleep(long)
				n.plug(n.hosts[one])
				cables++
				return
			}
			n.way(one, other, "add")
			time.Sleep(long)
			n.way(one, other, "del")
			ways++
		})
		k.settle()
		over.Wait()
	}
	k.settle()
	k.standsBy()
	k.agree(t, dir)
	t.Logf("%d cables pulled, %d ways between two hosts cut", cables, ways)
}

// way takes a way from one host to another away ("add" what swallows it), or gives it back ("del").
func (n *network) way(from, to int, what string) {
	n.t.Helper()
	if err := n.ip("-n", n.hosts[from], "route", what, "blackhole", n.address(to+1)+"/32"); err != nil {
		n.t.Error(err)
	}
}
