package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"rollcall/sim/fleet"
	"rollcall/sim/iphone"
	"rollcall/sim/plist"
)

const (
	enrollers   = 8             // phones that enroll at a time
	profilePath = "/enroll/ota" // where the enrollment page leads to
)

// enrollments measures how fast phones enroll. Those of the first run stay for
// what comes after.
func (s *site) enrollments(ctx context.Context) error {
	return s.runs(partEnroll, func() (map[figure]float64, cost, error) {
		l, c, err := s.enrollFleet(ctx)
		return map[figure]float64{enrollRate: l.Rate, enrollP50: l.P50, enrollP95: l.P95}, c, err
	})
}

// somePhones enrolls those that others parts need.
func (s *site) somePhones(ctx context.Context) error {
	_, _, err := s.enrollFleet(ctx)
	return err
}

func (s *site) enrollFleet(ctx context.Context) (l load, c cost, err error) {
	f, err := s.newFleet(ctx, s.scale.Phones, nil)
	if err != nil {
		return l, c, err
	}
	l, c, err = s.enroll(ctx, f)
	if err == nil {
		err = s.quiet(ctx, f)
	}
	if s.phones == nil {
		s.phones = f.Phones()
	} else {
		f.Close()
	}
	return l, c, err
}

// enroll lets phones come in over the air.
func (s *site) enroll(ctx context.Context, f *fleet.Fleet) (l load, c cost, err error) {
	c, err = s.timed(func() (int, error) {
		var mu sync.Mutex
		var latencies []time.Duration
		start := time.Now()
		err := f.Each(ctx, enrollers, func(ctx context.Context, _ int, p *iphone.Phone) error {
			began := time.Now()
			if err := p.OpenLink(ctx, s.URL()+profilePath, iphone.Choice{}); err != nil {
				return err
			}
			mu.Lock()
			latencies = append(latencies, time.Since(began))
			mu.Unlock()
			return nil
		})
		l = loadOf(latencies, time.Since(start))
		return len(latencies), err
	})
	return l, c, err
}

const (
	payloads      = 10
	payloadGroup  = "Bench"
	payloadPolicy = "Ten payloads"
)

// firstCheckIns measures how long a phone waits for its policy.
func (s *site) firstCheckIns(ctx context.Context) error {
	var profiles []map[string]any
	for i := range payloads {
		profiles = append(profiles, map[string]any{"id": fmt.Sprintf("p%d", i), "display_name": fmt.Sprintf("Payload %d", i), "payloads": []any{
			map[string]any{"type": "com.apple.wifi.managed", "content": map[string]any{"SSID_STR": fmt.Sprintf("Network %d", i), "EncryptionType": "WPA2",
				"Password": "correct horse", "AutoJoin": true}}}})
	}
	for _, call := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/groups", map[string]any{"name": payloadGroup}},
		{http.MethodPut, "/policies/" + url.PathEscape(payloadPolicy), map[string]any{"document": map[string]any{"apple": map[string]any{"profiles": profiles}}}},
		{http.MethodPost, "/policies/" + url.PathEscape(payloadPolicy) + "/bindings", map[string]any{"group": payloadGroup}},
	} {
		if err := s.API(ctx, call.method, call.path, call.body, nil); err != nil {
			return fmt.Errorf("%s %s: %w", call.method, call.path, err)
		}
	}
	return s.runs(partFirst, func() (map[figure]float64, cost, error) {
		took, c, err := s.firstCheckIn(ctx)
		return map[figure]float64{firstCheckIn: took.Seconds()}, c, err
	})
}

// firstCheckIn enrolls one phone that answers pushes, and waits until its
// policy is complete.
func (s *site) firstCheckIn(ctx context.Context) (took time.Duration, c cost, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var authenticated time.Time
	f, err := s.newFleet(ctx, 1, func(config *iphone.Config) {
		config.AutoConnect = true
		config.Tamper = func(step string, _ plist.Dict) {
			if step == "Authenticate" {
				authenticated = time.Now()
			}
		}
	})
	if err != nil {
		return 0, c, err
	}
	defer f.Close()
	phone := f.Phones()[0]
	if err := s.API(ctx, http.MethodPost, "/groups/"+payloadGroup+"/members", map[string]any{"add": f.Serials()}, nil); err != nil {
		return 0, c, err
	}
	c, err = s.timed(func() (int, error) {
		if err := phone.OpenLink(ctx, s.URL()+profilePath, iphone.Choice{}); err != nil {
			return 0, err
		}
		return 1, s.until(ctx, "the policy of a phone", func() (bool, error) {
			var receipt struct {
				CompletedAt time.Time `json:"completed_at"`
			}
			err := s.API(ctx, http.MethodGet, "/devices/"+phone.Serial()+"/receipt", nil, &receipt)
			return !receipt.CompletedAt.IsZero(), err
		})
	})
	if err != nil {
		return 0, c, err
	}
	if n := len(phone.InstalledProfiles()); n != payloads+1 { // and the enrollment profile
		return 0, c, fmt.Errorf("bench: the phone has %d profiles after its policy of %d", n, payloads)
	}
	return phone.Timings().LastAcknowledgedAt.Sub(authenticated), c, nil
}
