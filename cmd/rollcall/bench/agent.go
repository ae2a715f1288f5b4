package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/sim/android"
)

const (
	agentCheckin = "/android/v1/checkin"
	agentWait    = "/android/v1/wait"
	// agentCeiling bounds the requests that are signed for a run, by second.
	agentCeiling = 8000
)

// agents measures enrollments and idle check-ins of the agent protocol, and the
// server's memory while devices wait for a wake.
func (s *site) agents(ctx context.Context) error {
	fleets := 0
	var phones []*android.Phone
	err := s.runs(partAgent, func() (map[figure]float64, cost, error) {
		for _, p := range phones {
			p.Close()
		}
		fleets++
		var enrolled load
		var err error
		if phones, enrolled, err = s.enrollAgents(ctx, fleets); err != nil {
			return nil, cost{}, err
		}
		l, c, err := s.checkins(ctx, phones)
		return map[figure]float64{agentEnrollRate: enrolled.Rate, agentEnrollP95: enrolled.P95, agentRate: l.Rate, agentP95: l.P95}, c, err
	})
	if err != nil {
		return err
	}
	defer func() {
		for _, p := range phones {
			p.Close()
		}
	}()
	return s.waiting(ctx, phones[0])
}

// enrollAgents lets new phones enroll, each with a token of its own, and get
// their policy.
func (s *site) enrollAgents(ctx context.Context, fleet int) ([]*android.Phone, load, error) {
	phones, tokens := make([]*android.Phone, s.scale.Phones), make([]string, s.scale.Phones)
	for i := range phones {
		serial := fmt.Sprintf("DROID%02d%06d", fleet, i)
		if err := s.API(ctx, http.MethodPut, "/devices/"+serial, map[string]any{"platform": "android", "ownership": "corporate"}, nil); err != nil {
			return nil, load{}, err
		}
		var token struct{ Token string }
		if err := s.API(ctx, http.MethodPost, "/enrollment-tokens", map[string]any{"name": "bench", "serial": serial}, &token); err != nil {
			return nil, load{}, err
		}
		phones[i], tokens[i] = android.New(android.Config{Server: s.URL(), Serial: serial, Roots: s.Roots}), token.Token
	}
	each := func(work func(i int) error) ([]time.Duration, error) {
		latencies, errs := make([]time.Duration, len(phones)), make([]error, len(phones))
		var group sync.WaitGroup
		for w := range enrollers {
			group.Go(func() {
				for i := w; i < len(phones); i += enrollers {
					start := time.Now()
					errs[i] = work(i)
					latencies[i] = time.Since(start)
				}
			})
		}
		group.Wait()
		return latencies, errors.Join(errs...)
	}
	start := time.Now()
	latencies, err := each(func(i int) error { return phones[i].Enroll(ctx, tokens[i]) })
	l := loadOf(latencies, time.Since(start))
	if err != nil {
		return nil, l, err
	}
	err = s.until(ctx, "agents to have their policy", func() (bool, error) {
		if _, err := each(func(i int) error { return phones[i].CheckIn(ctx) }); err != nil {
			return false, err
		}
		for _, p := range phones {
			if p.Done("set_policy") == 0 {
				return false, nil
			}
		}
		return true, nil
	})
	return phones, l, err
}

// checkins sends check-ins that were signed beforehand: every phone's in the
// order of their counters.
func (s *site) checkins(ctx context.Context, phones []*android.Phone) (l load, c cost, err error) {
	u, err := url.Parse(s.URL())
	if err != nil {
		return l, c, err
	}
	body := []byte(`{"v":1,"results":[]}`)
	ahead := time.Now().Add(time.Hour).UnixMilli() // larger than any counter so far
	each := int(agentCeiling*(s.scale.Load+s.scale.Warm).Seconds())/workers + 1
	requests := make([][]wire, workers)
	errs := make([]error, workers)
	var group sync.WaitGroup
	for w := range requests {
		group.Go(func() {
			// A phone's requests all go over one line, else they would overtake
			// each other.
			for k := range each {
				if w >= len(phones) {
					return
				}
				phone := phones[w+workers*(k%max(len(phones)/workers, 1))]
				header, err := signAgent(phone.Key(), http.MethodPut, agentCheckin, phone.DeviceID(), ahead+int64(k), body)
				if err != nil {
					errs[w] = err
					return
				}
				requests[w] = append(requests[w], newWire(u.Host, agentCheckin, header, body))
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return l, c, err
	}
	lines, err := s.lines(ctx, min(workers, len(phones)))
	if err != nil {
		return l, c, err
	}
	defer hangUp(lines)
	next := make([]int, len(lines))
	round := func(until time.Time) ([]time.Duration, error) {
		return together(lines, func(i int, l *line) (latencies []time.Duration, err error) {
			for ; next[i] < len(requests[i]); next[i]++ {
				start := time.Now()
				status, answer, err := l.do(requests[i][next[i]])
				if err != nil {
					return nil, err
				}
				if status != http.StatusOK {
					return nil, fmt.Errorf("bench: a check-in was answered %d %.200s", status, answer)
				}
				end := time.Now()
				latencies = append(latencies, end.Sub(start))
				if !end.Before(until) {
					next[i]++
					break
				}
			}
			return latencies, nil
		})
	}
	if _, err := round(time.Now().Add(s.scale.Warm)); err != nil {
		return l, c, err
	}
	c, err = s.timed(func() (int, error) {
		start := time.Now()
		latencies, err := round(start.Add(s.scale.Load))
		l = loadOf(latencies, time.Since(start))
		return len(latencies), err
	})
	return l, c, err
}

// signAgent signs a request as docs/android-agent.md says.
func signAgent(key *ecdsa.PrivateKey, method, path, device string, counter int64, body []byte) (http.Header, error) {
	content := sha256.Sum256(body)
	number := strconv.FormatInt(counter, 10)
	sum := sha256.Sum256([]byte(strings.Join([]string{"rollcall-agent-v1", method, path, device, number, hex.EncodeToString(content[:])}, "\n")))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	return http.Header{"Rollcall-Device": {device}, "Rollcall-Counter": {number}, "Rollcall-Signature": {base64.StdEncoding.EncodeToString(signature)},
		"Content-Type": {"application/json"}}, err
}

// waitFor is how long an agent waits; all have to have begun by its end.
const waitFor = 55 * time.Second

// waiting lets many devices wait at the same time, each over a connection of
// its own. Their enrollments are copies of one phone's, written in bulk.
func (s *site) waiting(ctx context.Context, phone *android.Phone) error {
	if err := s.db.copyAgents(ctx, phone.DeviceID(), s.scale.Waiting); err != nil {
		return err
	}
	u, err := url.Parse(s.URL())
	if err != nil {
		return err
	}
	lines := make([]*line, s.scale.Waiting)
	defer func() { hangUp(slices.DeleteFunc(lines, func(l *line) bool { return l == nil })) }()
	// Each asks at once: the server does not keep connections that say nothing.
	open := func(i int) error {
		header, err := signAgent(phone.Key(), http.MethodGet, agentWait, fmt.Sprintf("waiting-%d", i+1), 1, nil)
		if err != nil {
			return err
		}
		one, err := s.lines(ctx, 1)
		if err != nil {
			return err
		}
		lines[i] = one[0]
		request := strings.Replace(string(newWire(u.Host, fmt.Sprintf("%s?timeout=%.0f", agentWait, waitFor.Seconds()), header, nil)), "PUT ", "GET ", 1)
		_, err = one[0].conn.Write([]byte(request))
		return err
	}
	peak, err := s.peakDuring(ctx, func() error {
		start := time.Now()
		errs := make([]error, enrollers)
		var group sync.WaitGroup
		for w := range enrollers {
			group.Go(func() {
				for i := w; i < len(lines) && errs[w] == nil; i += enrollers {
					errs[w] = open(i)
				}
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		err := s.until(ctx, "all to wait", func() (bool, error) {
			n, err := s.db.count(ctx, `SELECT count(*) FROM agents WHERE counter = 1`)
			return n == s.scale.Waiting, err
		})
		if took := time.Since(start); err == nil && took >= waitFor {
			return fmt.Errorf("bench: the last agents began to wait after %s, when the first had ended", took.Round(time.Second))
		}
		return err
	})
	s.result.Figures[memoryWaiting] = series{peak}
	return err
}

// copyAgents makes n enrollments with the key of one.
func (d *database) copyAgents(ctx context.Context, of string, n int) error {
	id := "'waiting-' || n.i"
	return errors.Join(
		d.multiply(ctx, "enrollments", "id = '"+of+"'", n, map[string]string{"id": id, "device_id": id, "fingerprint": id}),
		d.multiply(ctx, "agents", "enrollment_id = '"+of+"'", n, map[string]string{"enrollment_id": id, "counter": "0"}))
}
