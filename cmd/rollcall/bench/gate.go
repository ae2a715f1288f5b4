package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"rollcall/enroll"
	"rollcall/storage"
)

// gate measures decisions on a full roll, with the commit that records them:
// one at a time for the latency, eight at a time for the rate.
func (b *bench) gate(ctx context.Context, db *database, store *storage.Store) error {
	gate := enroll.NewGate(store, time.Now)
	if _, err := b.decisions(ctx, gate, 1, b.scale.Decisions/10); err != nil { // warm
		return err
	}
	return b.runs(partGate, func() (map[figure]float64, cost, error) {
		if b.profiling != "" {
			f, err := os.Create(b.profiling)
			if err != nil {
				return nil, cost{}, err
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return nil, cost{}, err
			}
			defer pprof.StopCPUProfile()
		}
		before := cpuOf(os.Getpid(), db.postmaster)
		one, err := b.decisions(ctx, gate, 1, b.scale.Decisions)
		if err != nil {
			return nil, cost{}, err
		}
		c := cost{usage: cpuOf(os.Getpid(), db.postmaster).minus(before), Count: len(one)}
		c.Load = 0 // there is no load generator beside the gate
		start := time.Now()
		eight, err := b.decisions(ctx, gate, 8, b.scale.Decisions)
		if err != nil {
			return nil, cost{}, err
		}
		rate := float64(len(eight)) / time.Since(start).Seconds()
		slices.Sort(one)
		return map[figure]float64{gateP50: quantile(one, 0.50), gateP99: quantile(one, 0.99), gateRate: rate}, c, nil
	})
}

// decisions asks the gate about devices, every fifth of them a stranger, and
// gives the latencies.
func (b *bench) decisions(ctx context.Context, gate *enroll.Gate, workers, n int) ([]time.Duration, error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	var latencies []time.Duration
	var failed error
	for range workers {
		group.Go(func() {
			var own []time.Duration
			var err error
			for i := 0; i < n/workers && err == nil; i++ {
				serial, wanted := rollSerial(rollPlain*(1+rand.IntN(b.scale.Roll/rollPlain))), enroll.AllowListed
				if i%5 == 4 {
					serial, wanted = "STRANGER"+serial, enroll.DenyNotPreEnrolled
				}
				start := time.Now()
				d, e := gate.Decide(ctx, enroll.Attempt{Channel: enroll.ChannelOTA, Platform: enroll.PlatformIOS, Serial: serial, Evidence: enroll.EvidenceSigned,
					Facts: enroll.Facts{UDID: "00008140-" + serial, Product: "iPhone17,2", BuildVersion: "23B85"}, RemoteAddr: "127.0.0.1:1"})
				own = append(own, time.Since(start))
				if err = e; err == nil && d.Code != wanted {
					err = fmt.Errorf("bench: the gate answered %s where %s is right", d.Code, wanted)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
			if failed == nil {
				failed = err
			}
		})
	}
	group.Wait()
	return latencies, failed
}
