package apns

import (
	"context"
	"sync"
)

// maxWakes is how many devices are awake at once.
const maxWakes = 64

// wakers runs wakes with bounded concurrency. The queue holds each device at
// most once and is therefore bounded by their number.
type wakers struct {
	limit int

	mu      sync.Mutex
	queue   []*device
	running int
	closed  bool
	idle    chan struct{} // closed when nothing runs; nil if nobody waits
	all     sync.WaitGroup
}

func newWakers(limit int) *wakers { return &wakers{limit: limit} }

func (w *wakers) add(d *device) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.queue = append(w.queue, d)
	if w.running < w.limit {
		w.running++
		w.all.Go(w.run)
	}
}

func (w *wakers) run() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 || w.closed {
			w.running--
			if w.running == 0 && w.idle != nil {
				close(w.idle)
				w.idle = nil
			}
			w.mu.Unlock()
			return
		}
		d := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		// From here on a push means another wake: the device may have had its
		// last answer from the server already.
		d.queued.Store(false)
		if d.goneAt.Load() == 0 {
			d.wake()
		}
	}
}

func (w *wakers) waitIdle(ctx context.Context) error {
	w.mu.Lock()
	if w.running == 0 {
		w.mu.Unlock()
		return nil
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *wakers) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.all.Wait()
}
