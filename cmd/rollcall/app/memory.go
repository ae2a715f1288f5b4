package app

import (
	"os"
	"runtime/debug"
)

// gcPercent trades memory for time: a request allocates much and keeps nothing,
// and the heap is small. Measured: a fifth less processor time for an Idle or
// an Acknowledge, some 20 MiB more resident memory.
const gcPercent = 400

// TuneMemory sets the garbage collector for a process that is a server and
// nothing else, unless GOGC says otherwise.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
