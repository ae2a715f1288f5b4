package android

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// WakeStore is the outbox of wakes of agents.
type WakeStore interface {
	// DueWakes lists enrollments whose wake came due after a time and until
	// another one.
	DueWakes(ctx context.Context, after, until time.Time) ([]string, error)
	// DropWakes gives up wakes that were due before a time: the agent finds
	// out when it asks. With keep those of devices stay that have registered
	// for FCM.
	DropWakes(ctx context.Context, before time.Time, keep bool) error
	// ClaimWakes leases wakes that were due until a time, of devices that have
	// registered for FCM.
	ClaimWakes(ctx context.Context, until, now time.Time, lease time.Duration, limit int) ([]Wake, error)
	FinishWake(ctx context.Context, w Wake, o WakeOutcome) error
}

// Waits knows the devices that wait for a wake on this server, and wakes them.
// However many wait, the database is asked once in an interval.
type Waits struct {
	// FCM says that it wakes devices, too. Their wakes are its own, however
	// long it takes: after a pause of the server it has not seen them yet.
	FCM bool

	store WakeStore
	now   func() time.Time
	log   *slog.Logger
	kick  chan struct{}

	mu      sync.Mutex
	waiting map[string]waiter
	closed  bool
}

// waiter is a device that waits. It is called once, by whoever has taken it out
// of Waits.
type waiter interface {
	wake()    // there may be something to fetch; does not block
	release() // the server stops; returns when the device has its answer
}

// handler is a waiter within the handler of its request.
type handler chan struct{}

func (h handler) wake()    { close(h) }
func (h handler) release() {} // s.Stopping ends it

const (
	wakeInterval = 500 * time.Millisecond // how soon a wake by another server is noticed
	// wakeOverlap is how late a transaction may commit a wake that came due
	// when it began.
	wakeOverlap = 30 * time.Second
	wakeDropped = 2 * time.Minute
	dropEvery   = time.Minute
)

// NewWaits makes the waker; Run works.
func NewWaits(store WakeStore, now func() time.Time, log *slog.Logger) *Waits {
	return &Waits{store: store, now: now, log: log, kick: make(chan struct{}, 1), waiting: map[string]waiter{}}
}

// Kick makes the worker look for wakes at once.
func (w *Waits) Kick() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// join has a device wait; if it did so already, that ends with a wake.
func (w *Waits) join(id string, by waiter) {
	w.mu.Lock()
	before, closed := w.waiting[id], w.closed
	if !closed {
		w.waiting[id] = by
	}
	w.mu.Unlock()
	if before != nil {
		before.wake()
	}
	if closed {
		by.release()
	}
}

// leave ends a wait, and says whether it had not ended before.
func (w *Waits) leave(id string, by waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[id] != by {
		return false
	}
	delete(w.waiting, id)
	return true
}

// Close ends all waits, and those to come at once: the server stops.
func (w *Waits) Close() {
	w.mu.Lock()
	waiting := w.waiting
	w.waiting, w.closed = map[string]waiter{}, true
	w.mu.Unlock()
	var ended sync.WaitGroup
	for _, by := range waiting {
		ended.Go(by.release)
	}
	ended.Wait()
}

// Waiting is how many devices wait here.
func (w *Waits) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// Run wakes until ctx ends.
func (w *Waits) Run(ctx context.Context) error {
	ticker := time.NewTicker(wakeInterval)
	defer ticker.Stop()
	var dropped time.Time
	for {
		now := clock(w.now)
		if err := w.wake(ctx, now); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "wakes of agents not read", "error", err)
		}
		if now.Sub(dropped) >= dropEvery {
			dropped = now
			if err := w.store.DropWakes(ctx, now.Add(-wakeDropped), w.FCM); err != nil && ctx.Err() == nil {
				w.log.WarnContext(ctx, "old wakes of agents not dropped", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-w.kick:
		}
	}
}

func (w *Waits) wake(ctx context.Context, now time.Time) error {
	if w.Waiting() == 0 {
		return nil
	}
	ids, err := w.store.DueWakes(ctx, now.Add(-wakeOverlap), now)
	if err != nil || len(ids) == 0 {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if by := w.waiting[id]; by != nil {
			delete(w.waiting, id)
			by.wake()
		}
	}
	return nil
}

const maxWait = 55 * time.Second

// ServeWait answers GET /android/v1/wait.
func (s *Server) ServeWait(w http.ResponseWriter, r *http.Request) {
	id, timeout, wake, err := s.wait(r)
	switch {
	case err != nil:
		s.failSigned(w, r, err)
		return
	case !wake && s.park(w, r, id, timeout):
		return
	case wake || s.stay(r.Context(), id, timeout):
		write(w, http.StatusOK, answer{Wake: true})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// wait says who wants to wait for how long, and whether there is something to
// fetch already. What comes due after that look is found by the next round of
// Waits.
func (s *Server) wait(r *http.Request) (id string, timeout time.Duration, wake bool, err error) {
	ctx := r.Context()
	timeout = maxWait
	if text := r.URL.Query().Get("timeout"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 || seconds > int(maxWait/time.Second) {
			return "", 0, false, wrong("timeout_invalid", "The timeout is 1 to 55 seconds.")
		}
		timeout = time.Duration(seconds) * time.Second
	}
	e, counter, err := s.caller(r, nil)
	if err != nil {
		return "", 0, false, err
	}
	if err := s.count(ctx, e.ID, counter, true); err != nil {
		return "", 0, false, err
	}
	s.Seen.Mark(e.ID, clock(s.Now))
	return e.ID, timeout, e.Due || e.Ready, nil
}

// stay waits within the handler, and says whether the device was woken.
func (s *Server) stay(ctx context.Context, id string, timeout time.Duration) bool {
	woken := make(handler)
	s.Waits.join(id, woken)
	defer s.Waits.leave(id, woken)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-woken:
		return true
	case <-timer.C:
	case <-s.Stopping:
	case <-ctx.Done():
	}
	return false
}
