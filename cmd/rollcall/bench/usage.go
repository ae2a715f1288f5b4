package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is CPU time by who used it, over a span of time.
type usage struct {
	Wall     time.Duration
	Server   time.Duration
	Postgres time.Duration // 0 on SQLite, or where the cluster is not on this machine
	Load     time.Duration // this process: phones, load generator, push service
	All      time.Duration // the whole machine, whatever else it did included
}

func (u usage) minus(v usage) usage {
	return usage{u.Wall - v.Wall, u.Server - v.Server, u.Postgres - v.Postgres, u.Load - v.Load, u.All - v.All}
}

func (u usage) plus(v usage) usage {
	return usage{u.Wall + v.Wall, u.Server + v.Server, u.Postgres + v.Postgres, u.Load + v.Load, u.All + v.All}
}

// tick is the unit of /proc: USER_HZ, which Linux fixes at 100 for programs.
const tick = 10 * time.Millisecond

// cpuOf is what the server process, a postmaster's family (0: none) and this
// process have used so far.
func cpuOf(server, postmaster int) usage {
	u := usage{Wall: time.Duration(time.Now().UnixNano()), All: busy()}
	u.Server, _ = cpuTime(server)
	if postmaster != 0 {
		u.Postgres = familyTime(postmaster)
	}
	var self syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &self) == nil {
		u.Load = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	}
	return u
}

// stat gives the fields of /proc/PID/stat after the name, from the state on.
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return nil, errors.New("bench: /proc/PID/stat is too short")
	}
	return fields, nil
}

func cpuTime(pid int) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return ticks(fields[11]) + ticks(fields[12]), nil // utime, stime
}

func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64) // the kernel wrote it
	return time.Duration(n) * tick
}

func parent(pid int) int {
	fields, err := stat(pid)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}

// familyTime adds up a process and its living children.
func familyTime(pid int) time.Duration {
	total, _ := cpuTime(pid)
	entries, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, e := range entries {
		child, err := strconv.Atoi(filepath.Base(e))
		if err != nil || parent(child) != pid {
			continue
		}
		t, _ := cpuTime(child) // it may have ended since
		total += t
	}
	return total
}

// busy is the time all cores have not idled.
func busy() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var total time.Duration
	for i, f := range strings.Fields(line) {
		switch i {
		case 1, 2, 3, 6, 7, 8: // user, nice, system, irq, softirq, steal
			total += ticks(f)
		}
	}
	return total
}

// residentBytes is the memory a process has in RAM (VmRSS).
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("bench: /proc/PID/status names no VmRSS")
}
