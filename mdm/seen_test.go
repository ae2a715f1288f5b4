package mdm

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// seenStore notes batches; nothing else of the interface is called.
type seenStore struct {
	EnrollmentStore
	mu      sync.Mutex
	batches []map[string]time.Time
}

func (s *seenStore) Seen(_ context.Context, at map[string]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := map[string]time.Time{}
	for id, t := range at {
		copied[id] = t
	}
	s.batches = append(s.batches, copied)
	return nil
}

// TestSeen: many requests are few writes, the newest time counts, and nothing
// is lost when the server stops.
func TestSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &seenStore{}
		s := NewSeen(store, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()

		time.Sleep(3*seenInterval + time.Second) // past the tick
		if len(store.batches) != 0 {
			t.Errorf("nothing was seen, and %d batches were written", len(store.batches))
		}
		var last time.Time
		for range 100 {
			last = time.Now()
			s.Mark("one", last)
			s.Mark("two", last)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(seenInterval)
		synctest.Wait()
		if len(store.batches) != 1 || !store.batches[0]["one"].Equal(last) || len(store.batches[0]) != 2 {
			t.Errorf("batches %v", store.batches)
		}
		for i := range maxSeenBatch + 1 {
			s.Mark(fmt.Sprint(i), last)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(store.batches); n != 3 || len(store.batches[1]) != maxSeenBatch || len(store.batches[2]) != 1 {
			t.Errorf("%d batches at the end", n)
		}
	})
}
