package bench

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/applepki"
	simdep "rollcall/sim/dep"
	"rollcall/sim/iphone"
)

// depSite is a server with Apple's service for device enrollment beside it.
type depSite struct {
	*site
	apple *simdep.Cloud
}

// withDEP measures what a server does with devices that Apple lists.
func (b *bench) withDEP(ctx context.Context) error {
	if !b.wants(partADE) && !b.wants(partDEP) {
		return nil
	}
	pki, err := applepki.New()
	if err != nil {
		return err
	}
	s := &depSite{apple: simdep.New(simdep.Options{})}
	if err := s.apple.Start("127.0.0.1:0", pki); err != nil {
		return err
	}
	defer s.apple.Close()
	roots := filepath.Join(b.dir, "dep.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.PushCA().Raw}), 0o600); err != nil {
		return err
	}
	if s.site, err = b.open(ctx, "rollcall_bench_dep", func(o *stage.Options) {
		o.Apple = pki
		o.Change = func(o *app.Options) { o.DEPURL, o.DEPRoots = s.apple.URL(), roots }
	}); err != nil {
		return err
	}
	defer s.close()
	if b.result.Version, err = s.db.look(ctx); err != nil {
		return err
	}
	return b.steps(ctx, []step{{partADE, s.boxes}, {partDEP, s.synchronisations}})
}

// depAccount is an account on both sides.
type depAccount struct {
	name  string
	apple *simdep.Account
	start time.Time // of the last upload of its token
}

// account makes an account with a profile for all of its devices, which are
// those that Apple lists so far, and uploads its token: that begins the first
// synchronisation.
func (s *depSite) account(ctx context.Context, name string, devices ...simdep.Device) (depAccount, error) {
	a := depAccount{name: name}
	var err error
	if a.apple, err = s.apple.AddAccount(name); err != nil {
		return a, err
	}
	if err := a.apple.AddDevices(devices...); err != nil {
		return a, err
	}
	path := "/dep/accounts/" + name
	var made struct {
		Certificate string `json:"certificate_pem"`
	}
	if err := errors.Join(
		s.API(ctx, http.MethodPost, "/dep/accounts", map[string]any{"name": name, "add_as_pre_enrolled": true, "default": map[string]string{"group": name}}, &made),
		s.API(ctx, http.MethodPut, path+"/profiles/Standard", map[string]any{"settings": map[string]any{}}, nil),
		s.API(ctx, http.MethodPatch, path, map[string]any{"default": map[string]string{"group": name, "profile": "Standard"}}, nil)); err != nil {
		return a, err
	}
	file, err := a.apple.TokenFile([]byte(made.Certificate))
	if err != nil {
		return a, err
	}
	a.start = time.Now()
	return a, s.API(ctx, http.MethodPut, path+"/token", stage.Raw{ContentType: "application/pkcs7-mime", Data: file}, nil)
}

// delta lets Apple list more devices of an account, and has it synchronised.
func (s *depSite) delta(ctx context.Context, a depAccount, devices []simdep.Device) (time.Duration, error) {
	if err := a.apple.AddDevices(devices...); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := s.API(ctx, http.MethodPost, "/dep/accounts/"+a.name+"/sync", nil, nil); err != nil {
		return 0, err
	}
	err := s.assigned(ctx, a, devices, start)
	return time.Since(start), err
}

// assigned waits until devices have their profile at Apple and a
// synchronisation that began after a time has gone through.
func (s *depSite) assigned(ctx context.Context, a depAccount, devices []simdep.Device, after time.Time) error {
	serials := make([]string, len(devices))
	for i, d := range devices {
		serials[i] = d.Serial
	}
	slices.Sort(serials) // the order in which they are assigned
	var asked time.Time
	for next := 0; ; {
		for next < len(serials) {
			if d, _ := s.apple.Device(serials[next]); d.ProfileStatus != simdep.ProfileAssigned {
				break
			}
			next++
		}
		if next == len(serials) || time.Since(asked) > time.Second {
			asked = time.Now()
			var now struct {
				Sync struct {
					Running bool
					DoneAt  time.Time `json:"done_at"`
					Problem *struct{ Code string }
				}
			}
			if err := s.API(ctx, http.MethodGet, "/dep/accounts/"+a.name, nil, &now); err != nil {
				return err
			}
			if now.Sync.Problem != nil {
				return fmt.Errorf("bench: the DEP account has the problem %s%s", now.Sync.Problem.Code, tail(s.log))
			}
			if next == len(serials) && !now.Sync.Running && now.Sync.DoneAt.After(after) {
				return nil
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("bench: %d of %d devices have a profile: %w", next, len(serials), err)
		}
	}
}

// synchronisations measures the first list of an account, once, with the memory
// that it takes, and then what changes.
func (s *depSite) synchronisations(ctx context.Context) error {
	// What was measured before has left the server with a heap of its own.
	if err := s.Restart(ctx); err != nil {
		return err
	}
	tenth, _, err := s.first(ctx, "Tenth", simdep.Fixture("DT0", s.scale.Listed/10))
	if err != nil {
		return err
	}
	whole, a, err := s.first(ctx, "Whole", simdep.Fixture("DW0", s.scale.Listed))
	if err != nil {
		return err
	}
	s.result.Figures[depFirst], s.result.Figures[memoryDEP], s.result.Figures[memoryDEPFlat] = series{whole.took.Seconds()}, series{whole.memory}, series{whole.memory / tenth.memory}
	// Apple tells of each assignment as a modification, which is no delta.
	if _, err := s.delta(ctx, a, nil); err != nil {
		return err
	}
	n := 0
	return s.runs(partDEP, func() (map[figure]float64, cost, error) {
		n++
		devices := simdep.Fixture(fmt.Sprintf("D%02d", n), s.scale.Changed)
		var took time.Duration
		c, err := s.timed(func() (_ int, err error) {
			took, err = s.delta(ctx, a, devices)
			return len(devices), err
		})
		return map[figure]float64{depDelta: took.Seconds()}, c, err
	})
}

// firstSync is what a first synchronisation takes; memory in MiB.
type firstSync struct {
	took   time.Duration
	memory float64
}

// first measures a first synchronisation, from the upload of the token.
func (s *depSite) first(ctx context.Context, name string, devices []simdep.Device) (f firstSync, a depAccount, err error) {
	f.memory, err = s.peakDuring(ctx, func() (err error) {
		if a, err = s.account(ctx, name, devices...); err != nil {
			return err
		}
		err = s.assigned(ctx, a, devices, a.start)
		f.took = time.Since(a.start)
		return err
	})
	return f, a, err
}

// boxes measures devices out of their box beside as many that come over the
// air, on the same server.
func (s *depSite) boxes(ctx context.Context) error {
	a, err := s.account(ctx, "Boxes")
	if err != nil {
		return err
	}
	return s.runs(partADE, func() (map[figure]float64, cost, error) {
		beside, err := s.newFleet(ctx, s.scale.Phones, nil)
		if err != nil {
			return nil, cost{}, err
		}
		defer beside.Close()
		air, _, err := s.enroll(ctx, beside)
		if err != nil {
			return nil, cost{}, err
		}
		if err := s.quiet(ctx, beside); err != nil {
			return nil, cost{}, err
		}
		l, c, err := s.unbox(ctx, a)
		return map[figure]float64{adeRate: l.Rate, adeP50: l.P50, adeP95: l.P95, adeBeside: l.Rate / air.Rate}, c, err
	})
}

// unbox lets a fleet of phones through Setup Assistant.
func (s *depSite) unbox(ctx context.Context, a depAccount) (l load, c cost, err error) {
	f, err := s.newFleet(ctx, s.scale.Phones, nil)
	if err != nil {
		return l, c, err
	}
	defer f.Close()
	devices := make([]simdep.Device, 0, s.scale.Phones)
	for _, serial := range f.Serials() {
		devices = append(devices, simdep.Device{Serial: serial, Family: "iPhone", Model: "iPhone 17", Description: "IPHONE 17 256GB BLACK", Color: "BLACK"})
	}
	if _, err := s.delta(ctx, a, devices); err != nil {
		return l, c, err
	}
	c, err = s.timed(func() (int, error) {
		var mu sync.Mutex
		var latencies []time.Duration
		start := time.Now()
		err := f.Each(ctx, enrollers, func(ctx context.Context, _ int, p *iphone.Phone) error {
			began := time.Now()
			found, ok := s.apple.Activate(p.Serial())
			if !ok {
				return fmt.Errorf("bench: Apple has no profile for %s", p.Serial())
			}
			if err := p.SetupAssistant(ctx, iphone.CloudConfiguration{URL: found.URL}); err != nil {
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
	if err != nil {
		return l, c, err
	}
	return l, c, s.quiet(ctx, f)
}
