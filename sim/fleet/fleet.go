package fleet

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"rollcall/sim/applepki"
	"rollcall/sim/iphone"
)

// Config says what phones to make.
type Config struct {
	N   int
	PKI *applepki.PKI
	// Keys is the pool of device and SCEP keys; default: a new one of 16.
	Keys *KeyPool
	// Base is the template of all phones; Serial, UDID, IMEI, DeviceName,
	// Identity and Keys are filled in for each.
	Base iphone.Config
	// SerialPrefix starts the serial numbers, three capital letters or
	// digits; default "SIM".
	SerialPrefix string
	// Customize may change the configuration of phone i.
	Customize func(i int, c *iphone.Config)
}

// Fleet is a number of phones.
type Fleet struct{ phones []*iphone.Phone }

// New makes the phones.
func New(c Config) (*Fleet, error) {
	if c.Keys == nil {
		var err error
		if c.Keys, err = NewKeyPool(16, 2048); err != nil {
			return nil, err
		}
	}
	if c.SerialPrefix == "" {
		c.SerialPrefix = "SIM"
	}
	f := &Fleet{phones: make([]*iphone.Phone, c.N)}
	for i := range f.phones {
		key, err := c.Keys.Next()
		if err != nil {
			return nil, err
		}
		conf := c.Base
		conf.Serial, conf.UDID = Serial(c.SerialPrefix, i), fmt.Sprintf("00008140-%016X", i)
		conf.IMEI, conf.DeviceName, conf.Keys = imei(i), fmt.Sprintf("iPhone %d", i), c.Keys.Next
		if conf.Identity, err = c.PKI.IssueDeviceKey(conf.UDID, conf.Serial, key); err != nil {
			return nil, err
		}
		if c.Customize != nil {
			c.Customize(i, &conf)
		}
		f.phones[i] = iphone.New(conf)
	}
	return f, nil
}

// Serial is the serial number of phone i of a fleet: 12 characters.
func Serial(prefix string, i int) string { return fmt.Sprintf("%s%09d", prefix, i) }

// imei makes a 15-digit IMEI with its Luhn check digit.
func imei(i int) string {
	digits := fmt.Sprintf("35693803%06d", i%1_000_000)
	sum := 0
	for n, r := range digits {
		d := int(r - '0')
		if n%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return fmt.Sprintf("%s%d", digits, (10-sum%10)%10)
}

// Phones returns the phones in order.
func (f *Fleet) Phones() []*iphone.Phone { return f.phones }

// Serials returns the serial numbers in order.
func (f *Fleet) Serials() []string {
	out := make([]string, len(f.phones))
	for i, p := range f.phones {
		out[i] = p.Serial()
	}
	return out
}

// maxErrors is how many errors Each reports one by one.
const maxErrors = 10

// Each calls do for every phone, at most workers at a time, and returns when
// all calls have returned. An error does not stop the others; the first ones
// are joined. Phones that were not started when ctx ended are not.
func (f *Fleet) Each(ctx context.Context, workers int, do func(ctx context.Context, i int, p *iphone.Phone) error) error {
	var next, failed atomic.Int64
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	for range min(workers, len(f.phones)) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(f.phones) {
					return
				}
				err := do(ctx, i, f.phones[i])
				if err == nil {
					continue
				}
				if failed.Add(1) <= maxErrors {
					mu.Lock()
					errs = append(errs, fmt.Errorf("phone %d: %w", i, err))
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	if n := failed.Load(); n > maxErrors {
		errs = append(errs, fmt.Errorf("and %d more", n-maxErrors))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// WaitAll returns when condition holds for every phone, or ctx ends.
func (f *Fleet) WaitAll(ctx context.Context, condition func(*iphone.Phone) bool) error {
	for i, p := range f.phones {
		if err := p.WaitFor(ctx, condition); err != nil {
			return fmt.Errorf("phone %d: %w", i, err)
		}
	}
	return nil
}

// Close closes all phones.
func (f *Fleet) Close() {
	for _, p := range f.phones {
		p.Close()
	}
}

// KeyPool hands out the same few keys over and over.
type KeyPool struct {
	keys []*rsa.PrivateKey
	next atomic.Uint64
}

// NewKeyPool generates n RSA keys.
func NewKeyPool(n, bits int) (*KeyPool, error) {
	p := &KeyPool{keys: make([]*rsa.PrivateKey, n)}
	for i := range p.keys {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, fmt.Errorf("fleet: %w", err)
		}
		p.keys[i] = key
	}
	return p, nil
}

// Next returns the next key. It is an iphone.Config.Keys.
func (p *KeyPool) Next() (*rsa.PrivateKey, error) {
	return p.keys[int((p.next.Add(1)-1)%uint64(len(p.keys)))], nil
}
