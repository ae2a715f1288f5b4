package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Defaults and limits of the Sender.
const (
	Timeout       = 10 * time.Second // for a whole delivery
	Retention     = 30 * 24 * time.Hour
	pollInterval  = time.Second
	purgeInterval = time.Hour
	claimed       = 8
	lease         = claimed*Timeout + time.Minute
	maxAnswer     = 64 << 10 // of an answer is read, so that the connection can be used again
	firstRetry    = 5 * time.Second
	lastRetry     = time.Hour
	firstPause    = time.Second
	lastPause     = 5 * time.Minute
)

// Sender publishes events and delivers them. Outbox is needed.
type Sender struct {
	Outbox       Outbox
	AllowPrivate bool          // let webhooks lead to addresses that are not public
	Retention    time.Duration // of events; 0: 30 days
	Timeout      time.Duration // 0: 10 s
	Now          func() time.Time
	Logger       *slog.Logger

	once    sync.Once
	kick    chan struct{}
	mu      sync.Mutex
	changed chan struct{} // closed when something was published
	busy    map[string]bool
	lines   sync.WaitGroup
	client  *http.Client
}

func (s *Sender) init() {
	s.once.Do(func() {
		s.kick = make(chan struct{}, 1)
		s.changed = make(chan struct{})
		s.busy = map[string]bool{}
		if s.Retention == 0 {
			s.Retention = Retention
		}
		if s.Timeout == 0 {
			s.Timeout = Timeout
		}
		if s.Now == nil {
			s.Now = time.Now
		}
		if s.Logger == nil {
			s.Logger = slog.Default()
		}
		dialer := &net.Dialer{Timeout: s.Timeout, Control: s.allowed}
		s.client = &http.Client{
			Timeout:       s.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: s.Timeout, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
				MaxResponseHeaderBytes: maxAnswer, ForceAttemptHTTP2: true},
		}
	})
}

// errPrivate: the address is not public.
var errPrivate = errors.New("the address is not public")

// allowed is asked for each address before a connection is made to it.
func (s *Sender) allowed(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !s.AllowPrivate && !public(at.Addr()) {
		return errPrivate
	}
	return nil
}

// Kick makes the Sender look for work now.
func (s *Sender) Kick() {
	s.init()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Changed is closed when more events were published, here or (within a second)
// by another server. Take it before reading.
func (s *Sender) Changed() <-chan struct{} {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Sender) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Run works until ctx ends, and returns when the last delivery has ended too.
func (s *Sender) Run(ctx context.Context) error {
	s.init()
	defer s.client.CloseIdleConnections()
	defer s.lines.Wait()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var purged time.Time
	for {
		s.round(ctx)
		if now := s.Now(); now.Sub(purged) >= purgeInterval {
			purged = now
			if _, err := s.Outbox.PurgeEvents(ctx, now.Add(-s.Retention)); err != nil && ctx.Err() == nil {
				s.Logger.WarnContext(ctx, "old events not deleted", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.announce() // another server may have published
		case <-s.kick:
		}
	}
}

// round publishes what is new and starts a line for each webhook that has
// something to be sent and no line yet.
func (s *Sender) round(ctx context.Context) {
	for {
		n, more, err := s.Outbox.Publish(ctx, s.Now())
		if err != nil {
			if ctx.Err() == nil {
				s.Logger.WarnContext(ctx, "events not published", "error", err)
			}
			break
		}
		if n > 0 {
			s.announce()
		}
		if !more || ctx.Err() != nil {
			break
		}
	}
	ids, err := s.Outbox.DueWebhooks(ctx, s.Now())
	if err != nil {
		if ctx.Err() == nil {
			s.Logger.WarnContext(ctx, "webhooks not looked for", "error", err)
		}
		return
	}
	for _, id := range ids {
		s.mu.Lock()
		running := s.busy[id]
		s.busy[id] = true
		s.mu.Unlock()
		if running {
			continue
		}
		s.lines.Go(func() {
			defer func() {
				s.mu.Lock()
				delete(s.busy, id)
				s.mu.Unlock()
			}()
			if err := s.line(ctx, id); err != nil && ctx.Err() == nil {
				s.Logger.WarnContext(ctx, "webhook not served", "webhook", id, "error", err)
			}
		})
	}
}

// line delivers to one webhook, one after the other, until nothing is due or
// one fails.
func (s *Sender) line(ctx context.Context, id string) error {
	for ctx.Err() == nil {
		w, deliveries, err := s.Outbox.ClaimDeliveries(ctx, id, s.Now(), lease, claimed)
		if err != nil || len(deliveries) == 0 {
			return err
		}
		for i, d := range deliveries {
			result := s.try(ctx, w, d)
			if ctx.Err() != nil {
				return s.release(ctx, deliveries[i:])
			}
			if err := s.Outbox.FinishDelivery(ctx, d, result); err != nil {
				return errors.Join(err, s.release(ctx, deliveries[i+1:]))
			}
			if result.Error != "" {
				return s.release(ctx, deliveries[i+1:])
			}
		}
	}
	return nil
}

// release gives back what was claimed and not tried, also while stopping.
func (s *Sender) release(ctx context.Context, rest []Delivery) error {
	if len(rest) == 0 {
		return nil
	}
	ids := make([]string, len(rest))
	for i, d := range rest {
		ids[i] = d.ID
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return s.Outbox.ReleaseDeliveries(ctx, ids)
}

// try makes one attempt.
func (s *Sender) try(ctx context.Context, w Webhook, d Delivery) Result {
	now := s.Now()
	status, err := s.post(ctx, w, d, now)
	result := Result{At: now, Status: status}
	if err == nil {
		return result
	}
	result.Error = err.Error()
	result.PauseUntil = now.Add(backOff(firstPause, lastPause, w.Failures))
	if retry := now.Add(backOff(firstRetry, lastRetry, d.Attempts)); retry.Before(d.ExpiresAt) {
		result.RetryAt = retry
	}
	return result
}

// backOff doubles with each failure, give or take a quarter, so that many do
// not come back at once.
func backOff(first, last time.Duration, failures int) time.Duration {
	wait := min(first<<min(failures, 20), last)
	return wait*3/4 + rand.N(wait/2)
}

// post sends one delivery. Errors say what an admin needs and nothing of what
// the receiver answered.
func (s *Sender) post(ctx context.Context, w Webhook, d Delivery, now time.Time) (status int, err error) {
	body, err := MessageOf(d.Event).json()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the URL cannot be used")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "rollcall")
	r.Header.Set(HeaderSignature, Sign(w.Secret, now, body))
	r.Header.Set(HeaderDelivery, d.ID)
	r.Header.Set(HeaderEvent, string(d.Event.Type))
	answer, err := s.client.Do(r)
	if err != nil {
		return 0, reason(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // what it says does not matter
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return answer.StatusCode, nil
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return answer.StatusCode, fmt.Errorf("the receiver answered %d; redirects are not followed", answer.StatusCode)
	default:
		return answer.StatusCode, fmt.Errorf("the receiver answered %d", answer.StatusCode)
	}
}

// reason words why there was no answer.
func reason(err error) error {
	var timeout net.Error
	var lookup *net.DNSError
	switch {
	case errors.Is(err, errPrivate):
		return errors.New("the address of the receiver is not public")
	case errors.As(err, &lookup):
		return errors.New("the name of the receiver cannot be looked up")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the receiver did not answer in time")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the receiver refused the connection")
	}
	return errors.New("the connection to the receiver failed")
}
