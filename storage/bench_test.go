package storage_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

// engines runs a benchmark on both engines, with one worker and with 16. setup
// prepares a store for n operations and gives the work of a worker.
func engines(b *testing.B, setup func(b *testing.B, s *storage.Store, n int) func(worker int) (once func())) {
	dsns := map[string]func(b *testing.B) string{
		"sqlite": func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "rollcall.db") },
	}
	if !pgtest.Skipped() {
		dsns["postgres"] = func(b *testing.B) string { return pgtest.Database(b, "") }
	}
	for name, dsn := range dsns {
		for _, workers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", name, workers), func(b *testing.B) {
				work := setup(b, storagetest.Open(b, dsn(b)), b.N)
				b.ResetTimer()
				var wg sync.WaitGroup
				for worker := range workers {
					wg.Go(func() {
						once := work(worker)
						for i := worker; i < b.N; i += workers {
							once()
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			})
		}
	}
}

// enrolled makes n enrolled devices with a history and some open commands.
func enrolled(b *testing.B, s *storage.Store, n, finished, open int) []mdm.Enrollment {
	b.Helper()
	all := make([]mdm.Enrollment, n)
	for i := range all {
		all[i] = storagetest.Enroll(b, s, fmt.Sprintf("S%06d", i), fmt.Sprintf("%064d", i))
		storagetest.History(b, s, all[i].ID, finished)
		commands := make([]mdm.Command, open)
		for j := range commands {
			commands[j] = mdm.Command{ID: enroll.NewID(), RequestType: "InstallProfile", Body: make([]byte, 4000)}
		}
		if err := s.Enqueue(b.Context(), all[i].ID, commands, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	return all
}

// BenchmarkPoll is an idle connect.
func BenchmarkPoll(b *testing.B) {
	engines(b, func(b *testing.B, s *storage.Store, _ int) func(int) func() {
		devices := enrolled(b, s, 50, 50, 0)
		return func(worker int) func() {
			i := worker
			return func() {
				i++
				if _, _, err := s.Poll(b.Context(), devices[i%len(devices)].Fingerprint, ""); err != nil {
					b.Error(err)
				}
			}
		}
	})
}

// BenchmarkReport is an acknowledgement that is answered with the next command.
func BenchmarkReport(b *testing.B) {
	engines(b, func(b *testing.B, s *storage.Store, n int) func(int) func() {
		devices := enrolled(b, s, 16, 50, n+1)
		return func(worker int) func() {
			e := devices[worker]
			c, err := s.HandOut(b.Context(), e.ID, time.Now(), time.Minute)
			if err != nil {
				b.Error(err)
			}
			return func() {
				r, err := s.Report(b.Context(), mdm.Report{EnrollmentID: e.ID, CommandID: c.ID, State: policy.CommandAcknowledged, Result: make([]byte, 500), At: time.Now()}, time.Minute)
				if err != nil || r.Next == nil {
					b.Error(r, err)
					return
				}
				c = r.Next
			}
		}
	})
}
