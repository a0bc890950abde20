package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector would let the heap grow to twice of what is alive, and what is alive grows with the embedded NATS server's:
// half a kilobyte for every entry and user, and caches that live until somebody collects. It is asked to keep to smallHeap while no
// more than smallAlive is alive; behind that it gets room at once. A limit that is too near to what is alive doubles the time of a run:
// it collects all the time.
const (
	smallHeap  = 235 << 20
	smallAlive = 195 << 20
	marginHeap = 40 << 20
)

// heapLimit is how much memory the runtime may use while so much of it is alive, in bytes.
func heapLimit(alive int64) int64 {
	if alive <= smallAlive {
		return smallHeap
	}
	return 2*alive - marginHeap
}

// boundMemory keeps the runtime's memory limit a little above what is alive, unless the operator has set one of his own.
func boundMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics.Read(alive)
		debug.SetMemoryLimit(heapLimit(int64(alive[0].Value.Uint64())))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
