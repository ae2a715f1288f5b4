package admin

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// RateLimit is how much one client may ask, as a bucket that holds Burst
// requests and is filled by PerSecond of them. A zero PerSecond is no limit.
// Each server counts for itself, in memory.
//
// To the API a client is a token or an administrator. Of requests without a valid token the remote
// address is counted; a valid one always passes, since many may come from one
// address.
type RateLimit struct {
	PerSecond float64
	Burst     int
}

// maxBuckets bounds the memory; beyond it the ones that are full again go.
const maxBuckets = 10_000

// Limiter is one bucket for each client. Safe for concurrent use.
type Limiter struct {
	limit   RateLimit
	now     func() time.Time
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// NewLimiter makes a limiter whose clients have not asked yet.
func NewLimiter(limit RateLimit) *Limiter {
	limit.Burst = max(limit.Burst, 1)
	return &Limiter{limit: limit, now: time.Now, buckets: map[string]*rate.Limiter{}}
}

// Take takes one out of a client's bucket; where it is empty, wait says when
// there is one again.
func (l *Limiter) Take(client string) (wait time.Duration) {
	if l.limit.PerSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, known := l.buckets[client]
	if !known {
		l.sweep(now)
		b = rate.NewLimiter(rate.Limit(l.limit.PerSecond), l.limit.Burst)
		l.buckets[client] = b
	}
	r := b.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// sweep makes room for more buckets. Where most are in use, all are dropped:
// who is over the limit gets a new burst, and memory and time stay bounded.
func (l *Limiter) sweep(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for client, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.limit.Burst) {
			delete(l.buckets, client)
		}
	}
	if len(l.buckets) > maxBuckets/2 {
		clear(l.buckets)
	}
}

// RemoteClient is the client that a remote address, with its port, stands for:
// the address; of IPv6 the network of one customer.
func RemoteClient(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap(); addr.Is6() {
		p, _ := addr.WithZone("").Prefix(64) // 64 bits always fit
		return p.String()
	}
	return addr.String()
}

func tooMany(wait time.Duration, what string) *Problem {
	p := newProblem(http.StatusTooManyRequests, "rate_limited", what, "Wait for as long as Retry-After says.")
	p.retryAfter = wait
	return p
}
