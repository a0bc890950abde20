package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector would let the heap grow to twice of what is alive, most of which is the embedded NATS server's:
// half a kilobyte for every entry and user, and caches that live until somebody collects. It is asked to keep to smallHeap. Where
// more than steadyHeap is alive, room grows three times as fast: less, and a run of 500,000 users takes twice the time, collecting.
const (
	smallHeap  = 180 << 20
	steadyHeap = 160 << 20
)

// heapLimit is how much memory the runtime may use while so much of it is alive.
func heapLimit(alive uint64) int64 {
	return smallHeap + 3*max(0, int64(alive)-steadyHeap)
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
		debug.SetMemoryLimit(heapLimit(alive[0].Value.Uint64()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
