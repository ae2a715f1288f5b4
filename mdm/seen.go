package mdm

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Seen collects when devices were last heard of and writes it in batches: a
// last-seen time is not worth a synchronous commit for each request, and may be
// lost with the process.
type Seen struct {
	store EnrollmentStore
	log   *slog.Logger
	mu    sync.Mutex
	at    map[string]time.Time
}

// seenInterval is how old a last-seen time gets before it is written.
const seenInterval = 5 * time.Second

// maxSeenBatch bounds one write.
const maxSeenBatch = 1000

// NewSeen makes the collector; Run writes what it has collected.
func NewSeen(store EnrollmentStore, log *slog.Logger) *Seen {
	return &Seen{store: store, log: log, at: map[string]time.Time{}}
}

// Mark notes that an enrollment was heard of.
func (s *Seen) Mark(enrollmentID string, at time.Time) {
	s.mu.Lock()
	s.at[enrollmentID] = at
	s.mu.Unlock()
}

// Run writes in intervals until ctx ends, and once more then.
func (s *Seen) Run(ctx context.Context) error {
	ticker := time.NewTicker(seenInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), seenInterval)
			defer cancel()
			s.flush(last)
			return nil
		}
	}
}

func (s *Seen) flush(ctx context.Context) {
	s.mu.Lock()
	all := s.at
	s.at = make(map[string]time.Time, len(all))
	s.mu.Unlock()
	batch := make(map[string]time.Time, min(len(all), maxSeenBatch))
	write := func() {
		if len(batch) == 0 {
			return
		}
		if err := s.store.Seen(ctx, batch); err != nil {
			s.log.WarnContext(ctx, "last-seen times not written", "error", err)
		}
		clear(batch)
	}
	for id, at := range all {
		if batch[id] = at; len(batch) == maxSeenBatch {
			write()
		}
	}
	write()
}
