package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
)

// imports measures how long a CSV file takes that puts new devices on the
// roll, through the API.
func (s *site) imports(ctx context.Context) error {
	run := 0
	return s.runs(partImport, func() (map[figure]float64, cost, error) {
		run++
		serials := make([]string, s.scale.Import)
		for i := range serials {
			serials[i] = fmt.Sprintf("C%d%s", run, rollSerial(i+1))
		}
		var took time.Duration
		c, err := s.timed(func() (int, error) {
			start := time.Now()
			err := s.onRoll(ctx, serials)
			took = time.Since(start)
			return len(serials), err
		})
		return map[figure]float64{importSeconds: took.Seconds()}, c, err
	})
}

// gateFile is the name of the database of the gate, which has no server.
const gateFile = "rollcall_bench_gate"

// gate measures decisions on a full roll, with the commit that records them:
// one at a time for the latency, eight at a time for the rate.
func (b *bench) gate(ctx context.Context) error {
	started := time.Now()
	db, err := b.engine.create(gateFile)
	if err != nil {
		return err
	}
	defer db.drop(b.engine, gateFile)
	o := app.Options{DataDir: filepath.Join(b.dir, "gate"), Database: db.dsn, TLS: app.TLSOwn, MaxConns: 16, LogLevel: "error"}
	if err := o.Check(); err != nil {
		return err
	}
	store, err := app.OpenStore(ctx, o)
	if err != nil {
		return err
	}
	defer store.Close()
	enforce := func(s *enroll.Settings) { s.PreEnrolledDevicesOnly = enroll.ModeEnforce }
	if _, err := enroll.NewRestrictions(store, store, time.Now).ChangeSettings(ctx, enforce); err != nil {
		return err
	}
	platform, ownership := enroll.PlatformIOS, enroll.OwnershipCorporate
	if _, _, _, err := enroll.NewRoll(store, time.Now).Put(ctx, rollTemplate, enroll.DeviceInput{Platform: &platform, Ownership: &ownership}); err != nil {
		return err
	}
	if err := db.roll(ctx, b.scale.Roll); err != nil {
		return err
	}
	if _, err := db.look(ctx); err != nil {
		return err
	}
	gate := enroll.NewGate(store, time.Now)
	if _, err := b.decisions(ctx, gate, 1, b.scale.Decisions/10); err != nil { // warm
		return err
	}
	err = b.runs(partGate, func() (map[figure]float64, cost, error) {
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
	b.say(partGate, started)
	return err
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
				serial, wanted := rollSerial(1+rand.IntN(b.scale.Roll)), enroll.AllowListed
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
