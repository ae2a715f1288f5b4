package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"rollcall/sim/iphone"
)

// workers is how many connections the load comes over.
const workers = 16

// load is what came of a number of connections that asked as fast as they
// could.
type load struct {
	Rate     float64 // a second
	P50, P95 float64 // milliseconds
}

// loadOf sums up the latencies of requests that took a time together.
func loadOf(latencies []time.Duration, took time.Duration) load {
	slices.Sort(latencies)
	return load{Rate: float64(len(latencies)) / took.Seconds(), P50: quantile(latencies, 0.50), P95: quantile(latencies, 0.95)}
}

// together runs one function for each line and joins the latencies they give.
func together(lines []*line, work func(i int, l *line) ([]time.Duration, error)) ([]time.Duration, error) {
	parts, errs := make([][]time.Duration, len(lines)), make([]error, len(lines))
	var group sync.WaitGroup
	for i, l := range lines {
		group.Go(func() { parts[i], errs[i] = work(i, l) })
	}
	group.Wait()
	return slices.Concat(parts...), errors.Join(errs...)
}

// idles measures the Idle connect without and with past commands, and the
// server's memory at rest and under that load.
func (s *site) idles(ctx context.Context) error {
	requests, err := s.idleRequests()
	if err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	// The runs without history come to their end before there is some.
	without := map[figure]series{}
	for range s.scale.Runs {
		l, _, peak, err := s.idle(ctx, requests, workers, s.scale.Load)
		if err != nil {
			return err
		}
		for f, v := range map[figure]float64{idleRate: l.Rate, idleP50: l.P50, idleP95: l.P95, memoryLoad: peak} {
			without[f] = append(without[f], v)
		}
	}
	if s.engine.name == postgres {
		for _, n := range s.scale.Peer {
			l, _, _, err := s.idle(ctx, requests, n, s.scale.PeerLoad)
			if err != nil {
				return err
			}
			s.result.Peer[n] = l
		}
		s.result.Peer[workers] = load{Rate: without[idleRate].median(), P50: without[idleP50].median(), P95: without[idleP95].median()}
	}
	for f, v := range without {
		s.result.Figures[f] = v
	}
	if err := s.db.history(ctx, udidPrefix(1), s.scale.Past); err != nil {
		return err
	}
	return s.runs(partIdle, func() (map[figure]float64, cost, error) {
		l, c, _, err := s.idle(ctx, requests, workers, s.scale.Load)
		return map[figure]float64{idlePastRate: l.Rate, idlePastP50: l.P50, idlePastP95: l.P95, idleFlat: l.Rate / without[idleRate].median()}, c, err
	})
}

// idleRequests is the Idle message of each phone, signed.
func (s *site) idleRequests() ([]wire, error) {
	var out []wire
	for _, p := range s.phones {
		w, err := s.signed(p, p.Idle())
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

func (s *site) signed(p *iphone.Phone, message map[string]any) (wire, error) {
	host, path, err := s.target(p)
	if err != nil {
		return nil, err
	}
	header, body, err := p.SignBody(message)
	if err != nil {
		return nil, err
	}
	return newWire(host, path, header, body), nil
}

// rest starts the server anew on its database and looks at its memory when it
// has nothing to do.
func (s *site) rest(ctx context.Context) error {
	if err := s.Restart(ctx); err != nil {
		return err
	}
	if err := s.API(ctx, http.MethodGet, "/devices?limit=1", nil, nil); err != nil {
		return err
	}
	var peak int64
	for end := time.Now().Add(s.scale.Load / 2); time.Now().Before(end); {
		n, err := residentBytes(s.server.pid())
		if err != nil {
			return err
		}
		peak = max(peak, n)
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	s.result.Figures[memoryRest] = series{float64(peak) / (1 << 20)}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// idle sends the requests round robin over n connections for a while, after
// warming up. peak is the greatest memory of the server, in MiB.
func (s *site) idle(ctx context.Context, requests []wire, n int, during time.Duration) (l load, c cost, peak float64, err error) {
	lines, err := s.lines(ctx, n)
	if err != nil {
		return l, c, 0, err
	}
	defer hangUp(lines)
	// Each worker starts where the phones of the one before it end.
	round := func(until time.Time) ([]time.Duration, error) {
		return together(lines, func(i int, l *line) ([]time.Duration, error) {
			var latencies []time.Duration
			for k := i * len(requests) / n; ; k++ {
				start := time.Now()
				status, body, err := l.do(requests[k%len(requests)])
				if err != nil {
					return nil, err
				}
				if status != http.StatusOK || len(body) != 0 {
					return nil, fmt.Errorf("bench: Idle was answered %d %.200s", status, body)
				}
				end := time.Now()
				latencies = append(latencies, end.Sub(start))
				if !end.Before(until) {
					return latencies, nil
				}
			}
		})
	}
	if _, err := round(time.Now().Add(s.scale.Warm)); err != nil {
		return l, c, 0, err
	}
	peak, err = s.peakDuring(ctx, func() error {
		c, err = s.timed(func() (int, error) {
			start := time.Now()
			latencies, err := round(start.Add(during))
			l = loadOf(latencies, time.Since(start))
			return len(latencies), err
		})
		return err
	})
	return l, c, peak, err
}

// peakDuring is the greatest memory of the server while something is done, in
// MiB.
func (s *site) peakDuring(ctx context.Context, work func() error) (float64, error) {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan float64)
	go func() { watched <- s.peakMemory(watch) }()
	err := work()
	stop()
	return <-watched, err
}

// peakMemory is the greatest memory of the server until ctx ends, in MiB.
func (s *site) peakMemory(ctx context.Context) float64 {
	var peak int64
	for {
		if n, err := residentBytes(s.server.pid()); err == nil {
			peak = max(peak, n)
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return float64(peak) / (1 << 20)
		}
	}
}
