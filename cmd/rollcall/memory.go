package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector would let the heap grow to twice of what is alive, most of which is the embedded NATS server's:
// half a kilobyte for every entry and user, and caches that live until somebody collects. It is asked to keep to 180 MB while that is
// enough, and to half as much again as is alive while it is not. From 280 MB on it gets more: collecting in a tight limit doubled the
// time of a run of 500,000 users.
const (
	smallHeap = 180 << 20
	largeHeap = 280 << 20
)

// heapLimit is how much memory the runtime may use while so much of it is alive, in bytes.
func heapLimit(alive int64) int64 {
	return max(smallHeap, alive*3/2-45<<20, alive*3/2-45<<20+(alive-largeHeap))
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
