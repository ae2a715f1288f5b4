package storage_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/storage"
	"rollcall/storage/pgtest"
	"rollcall/storage/storagetest"
)

// engines runs a benchmark on both engines, by one worker and by 16.
func engines(b *testing.B, run func(b *testing.B, s *storage.Store)) {
	dsns := map[string]func(b *testing.B) string{
		"sqlite": func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "rollcall.db") },
	}
	if !pgtest.Skipped() {
		dsns["postgres"] = func(b *testing.B) string { return pgtest.Database(b, "") }
	}
	for name, dsn := range dsns {
		for _, workers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", name, workers), func(b *testing.B) {
				s := storagetest.Open(b, dsn(b))
				if workers == 1 {
					b.SetParallelism(0)
				} else {
					b.SetParallelism(8)
				}
				run(b, s)
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
	engines(b, func(b *testing.B, s *storage.Store) {
		devices := enrolled(b, s, 200, 50, 0)
		var next atomic.Int64
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := s.Poll(b.Context(), devices[int(next.Add(1))%len(devices)].Fingerprint, ""); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkReport is an acknowledgement that is answered with the next command.
func BenchmarkReport(b *testing.B) {
	engines(b, func(b *testing.B, s *storage.Store) {
		devices := enrolled(b, s, 32, 50, b.N/32+40)
		var next atomic.Int64
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			e := devices[next.Add(1)%32]
			c, err := s.HandOut(b.Context(), e.ID, time.Now(), time.Minute)
			if err != nil {
				b.Error(err)
			}
			for pb.Next() {
				if c == nil {
					e = devices[next.Add(1)%32]
					if c, err = s.HandOut(b.Context(), e.ID, time.Now(), 0); err != nil {
						b.Error(err)
					}
					continue
				}
				r, err := s.Report(b.Context(), mdm.Report{EnrollmentID: e.ID, CommandID: c.ID, State: policy.CommandAcknowledged, Result: make([]byte, 500), At: time.Now()}, time.Minute)
				if err != nil {
					b.Error(err)
				}
				c = r.Next
			}
		})
	})
}
