package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector would let the heap grow to twice of what is alive, most of which is the embedded NATS server's:
// half a kilobyte for every entry and user, and caches that live until somebody collects. It is asked to keep to smallHeap, and
// where more is alive to half more than that, less marginHeap, so that the limit grows from smallHeap on.
const (
	smallHeap  = 180 << 20
	marginHeap = 45 << 20
)

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
		debug.SetMemoryLimit(max(smallHeap, int64(alive[0].Value.Uint64())*3/2-marginHeap))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
