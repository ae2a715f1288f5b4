package app

import (
	"os"
	"runtime"
	"runtime/debug"
	gc "runtime/metrics"
)

// The garbage collector trades memory for time: a request allocates much and
// keeps nothing, and the heap is small. Measured with gcMost: a fifth less
// processor time for an Idle or an Acknowledge, some 20 MiB more resident
// memory. What is kept (10,000 connections of agents that wait) must not be
// kept five times over, so from gcSpare on the heap grows by no more than
// that between two collections, down to gcLeast.
const (
	gcMost  = 400 // percent, as GOGC
	gcLeast = 40
	gcSpare = 64 << 20 // bytes
)

// TuneMemory sets the garbage collector for a process that is a server and
// nothing else, unless GOGC says otherwise.
func TuneMemory() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcMost)
	afterCollection(gcMost)
}

// afterCollection sets the percentage anew after each collection: a cleanup of
// what nothing refers to runs then.
func afterCollection(percent int) {
	type sentinel struct{ _ *byte } // with a pointer, so that it has a block of memory of its own
	runtime.AddCleanup(&sentinel{}, func(percent int) {
		kept := []gc.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
		gc.Read(kept)
		var sum uint64
		for _, k := range kept {
			sum += k.Value.Uint64()
		}
		if next := gcPercent(sum); next != percent {
			debug.SetGCPercent(next)
			percent = next
		}
		afterCollection(percent)
	}, percent)
}

// gcPercent is the percentage for so many bytes that a collection found in use.
func gcPercent(kept uint64) int {
	return int(min(gcMost, max(gcLeast, 100*gcSpare/max(kept, 1))))
}
