package admin

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// RateLimit is how much one token may ask, as a bucket that holds Burst
// requests and is filled by PerSecond of them. A zero PerSecond is no limit.
// Each server counts for itself, in memory. Of requests without a valid token
// the remote address is counted; a valid one always passes, since behind a proxy
// all come from one address.
type RateLimit struct {
	PerSecond float64
	Burst     int
}

// maxBuckets bounds the memory; beyond it the ones that are full again go.
const maxBuckets = 10_000

// limiter is one bucket for each key.
type limiter struct {
	limit   RateLimit
	now     func() time.Time
	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter(limit RateLimit) *limiter {
	return &limiter{limit: limit, now: time.Now, buckets: map[string]bucket{}}
}

// take takes one out of a bucket; where it is empty, wait says when there is
// one again.
func (l *limiter) take(key string) (wait time.Duration) {
	if l.limit.PerSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, known := l.buckets[key]
	if !known {
		l.sweep(now)
	}
	b = l.filled(b, known, now)
	if b.tokens < 1 {
		l.buckets[key] = b
		return time.Duration((1 - b.tokens) / l.limit.PerSecond * float64(time.Second))
	}
	b.tokens--
	l.buckets[key] = b
	return 0
}

func (l *limiter) filled(b bucket, known bool, now time.Time) bucket {
	most := float64(max(l.limit.Burst, 1))
	if !known {
		return bucket{most, now}
	}
	return bucket{min(most, b.tokens+now.Sub(b.at).Seconds()*l.limit.PerSecond), now}
}

// sweep makes room for one more bucket. Where all are in use, all are dropped:
// who is over the limit gets a new burst, and the memory stays bounded.
func (l *limiter) sweep(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for key, b := range l.buckets {
		if l.filled(b, true, now).tokens >= float64(max(l.limit.Burst, 1)) {
			delete(l.buckets, key)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}

// remoteKey is the address of a client; of IPv6 the network of one customer.
func remoteKey(remote string) string {
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
