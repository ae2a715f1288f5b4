package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine is where the figures come from.
type machine struct {
	Cores  int
	CPU    string
	Memory string
	Kernel string
	Go     string
	Disk   string // how long it takes to make 8 KiB durable
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), CPU: "unknown", Memory: "unknown", Kernel: "unknown", Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Disk: diskLatency()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.Memory = fmt.Sprintf("%.0f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + string(bytes.TrimSpace(b))
	}
	return m
}

// diskLatency tells what a commit costs at the least: it writes and syncs a
// page in the folder where the databases will be.
func diskLatency() string {
	f, err := os.CreateTemp("", "rollcall-bench-")
	if err != nil {
		return "unknown"
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var latencies []time.Duration
	page := make([]byte, 8<<10)
	for range 50 {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return "unknown"
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return "unknown"
		}
		latencies = append(latencies, time.Since(start))
	}
	slices.Sort(latencies)
	return fmt.Sprintf("%.2g ms (median of 50)", quantile(latencies, 0.5))
}
