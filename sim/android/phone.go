package android

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/sim/androidpki"
)

// Config describes a phone and its agent. Everything has a default but Server,
// which a provisioning payload may bring as well.
type Config struct {
	Server string // https://mdm.example.com

	Serial               string // what the agent says; a personal phone says none
	IMEI, IMEI2, MEID    string
	Manufacturer, Brand  string // default "samsung"
	Model                string // default "SM-A536B"
	OSVersion            string // default "14"
	APILevel             int    // default 34
	SecurityPatch        string // default "2026-10-01"
	Management           string // default "fully_managed"
	EnterpriseSpecificID string
	Package, Version     string // of the agent; default "org.example.agent", "1.4.0"
	PushID               string // Firebase installation id; none by default

	// Keybox is the attestation key of the phone's secure hardware; without one
	// the phone attests nothing. Hardware is what that hardware knows; by
	// default the serial, IMEI and names above.
	Keybox   *androidpki.Keybox
	Hardware androidpki.Device

	// Keys supplies the device key; by default a fresh one on P-256.
	Keys func() (*ecdsa.PrivateKey, error)

	// Unknown are types of commands that the agent does not know.
	Unknown []string
	// CannotApply are pointers into the policy document that the agent cannot
	// carry out, with its reason.
	CannotApply map[string]string

	Roots     *x509.CertPool    // TLS authorities; nil means those of the system
	Transport http.RoundTripper // replaces all network access

	// Tamper may change any message before it is signed and sent; step is
	// "enroll" or "checkin". Alter may change any request after that; step is
	// "nonce", "enroll", "checkin", "wait" or "download".
	Tamper func(step string, message map[string]any)
	Alter  func(step string, r *http.Request)

	// Sleep waits between attempts (Run, EnrollUntil); default a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	Now   func() time.Time

	Logger *slog.Logger // default: silent
}

// Phone is one device. Its methods may be called from any goroutine; those that
// enroll or check in run one at a time.
type Phone struct {
	cfg     Config
	log     *slog.Logger
	client  *http.Client
	session chan struct{} // holds one token: the right to enroll or check in

	mu         sync.Mutex
	changed    chan struct{} // closed at the next change; nil if nobody waits
	offline    bool
	counter    int64
	key        *ecdsa.PrivateKey // from the first attempt to enroll on
	enrollment *enrollment
	results    []map[string]any // that the server has not taken
	told       map[string]any   // what the server knows of the device
	policy     json.RawMessage
	hash       string
	apps       map[string]string
	passcode   string
	lock       *LockScreen
	counts     map[string]int // of commands carried out
	seen       []string
	reactions  map[string]*reactor
	losses     map[string]int
	last       *sent
	osVersion  string
	apiLevel   int
	pushID     string
	timings    Timings
}

// enrollment is what the server gave.
type enrollment struct {
	deviceID     string
	checkinURL   string
	waitURL      string
	poll         time.Duration
	organization string
}

// LockScreen is what a lock shows.
type LockScreen struct{ Message, Phone string }

// Timings says when things happened; zero times have not.
type Timings struct {
	EnrolledAt         time.Time
	LastAcknowledgedAt time.Time // the server took an acknowledged result
	PolicyAt           time.Time // a policy was applied
}

// New makes a phone that is set up, not enrolled, and online.
func New(c Config) *Phone {
	for field, value := range map[*string]string{&c.Manufacturer: "samsung", &c.Brand: "samsung", &c.Model: "SM-A536B", &c.OSVersion: "14",
		&c.SecurityPatch: "2026-10-01", &c.Management: "fully_managed", &c.Package: "org.example.agent", &c.Version: "1.4.0"} {
		if *field == "" {
			*field = value
		}
	}
	if c.APILevel == 0 {
		c.APILevel = 34
	}
	if c.Hardware == (androidpki.Device{}) {
		c.Hardware = androidpki.Device{Serial: c.Serial, IMEI: c.IMEI, IMEI2: c.IMEI2, MEID: c.MEID, Brand: c.Brand, Manufacturer: c.Manufacturer, Model: c.Model}
	}
	if c.Keys == nil {
		c.Keys = func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Server = strings.TrimSuffix(c.Server, "/")
	p := &Phone{cfg: c, log: c.Logger, client: newClient(c), session: make(chan struct{}, 1), reactions: map[string]*reactor{}, losses: map[string]int{},
		osVersion: c.OSVersion, apiLevel: c.APILevel, pushID: c.PushID}
	p.reset()
	return p
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reset is the factory state. The caller holds p.mu, or nobody else has p.
func (p *Phone) reset() {
	p.key, p.enrollment, p.results, p.told, p.counter, p.last = nil, nil, nil, nil, 0, nil
	p.policy, p.hash, p.passcode, p.lock = nil, "", "", nil
	p.apps = map[string]string{p.cfg.Package: p.cfg.Version}
	p.counts = map[string]int{}
}

// depart is what the action unenroll asks for: the agent gives up the policy
// and its rights. The caller holds p.mu.
func (p *Phone) depart() {
	p.key, p.enrollment, p.results, p.told, p.counter = nil, nil, nil, nil, 0
	p.policy, p.hash = nil, ""
}

// Close closes connections.
func (p *Phone) Close() {
	if p.cfg.Transport == nil {
		p.client.CloseIdleConnections()
	}
}

// begin takes the session; end it with finish.
func (p *Phone) begin(ctx context.Context) error {
	select {
	case p.session <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Phone) finish() { <-p.session }

// notify wakes those in WaitFor. The caller holds p.mu.
func (p *Phone) notify() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// WaitFor returns when condition holds, which is looked at after each change of
// the phone, or when ctx ends.
func (p *Phone) WaitFor(ctx context.Context, condition func(*Phone) bool) error {
	for {
		p.mu.Lock()
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		if condition(p) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func get[T any](p *Phone, f func() T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f()
}

// change alters the phone's state and tells waiters.
func (p *Phone) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.notify()
}

func (p *Phone) current() *enrollment { return get(p, func() *enrollment { return p.enrollment }) }

// nextCounter is larger than every one before, and near the clock.
func (p *Phone) nextCounter() int64 {
	return get(p, func() int64 {
		p.counter = max(p.counter+1, p.cfg.Now().UnixMilli())
		return p.counter
	})
}

// SetCounter makes the next signed request carry n+1, if the clock does not ask
// for more; a phone whose clock was set back.
func (p *Phone) SetCounter(n int64) { p.change(func() { p.counter = n }) }

// Serial is what the agent says.
func (p *Phone) Serial() string { return p.cfg.Serial }

// Enrolled tells whether the agent has a device id.
func (p *Phone) Enrolled() bool { return p.current() != nil }

// DeviceID is what the server calls the phone; empty without enrollment.
func (p *Phone) DeviceID() string {
	if e := p.current(); e != nil {
		return e.deviceID
	}
	return ""
}

// PollSeconds is how often the server wants to be asked; 0 without enrollment.
func (p *Phone) PollSeconds() int {
	if e := p.current(); e != nil {
		return int(e.poll / time.Second)
	}
	return 0
}

// Organization is the name that the server gave with the enrollment.
func (p *Phone) Organization() string {
	if e := p.current(); e != nil {
		return e.organization
	}
	return ""
}

// Key is the device key; nil before the first attempt to enroll.
func (p *Phone) Key() *ecdsa.PrivateKey {
	return get(p, func() *ecdsa.PrivateKey { return p.key })
}

// Policy is the policy document that is applied, and its hash; nil if none was.
func (p *Phone) Policy() (document json.RawMessage, hash string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.policy), p.hash
}

// Apps are the packages on the phone with their versions.
func (p *Phone) Apps() map[string]string {
	return get(p, func() map[string]string { return maps.Clone(p.apps) })
}

// Passcode is what reset_passcode set last.
func (p *Phone) Passcode() string { return get(p, func() string { return p.passcode }) }

// Locked is what the last lock shows; nil if it was not locked.
func (p *Phone) Locked() *LockScreen { return get(p, func() *LockScreen { return p.lock }) }

// Done is how often a command of this type was carried out since the phone was
// new or reset.
func (p *Phone) Done(kind string) int { return get(p, func() int { return p.counts[kind] }) }

// CommandsSeen lists the type of each command received, in order, repetitions
// included.
func (p *Phone) CommandsSeen() []string {
	return get(p, func() []string { return slices.Clone(p.seen) })
}

// Timings says how fast the server was.
func (p *Phone) Timings() Timings { return get(p, func() Timings { return p.timings }) }

// UserReset resets the phone by hand: the agent is gone without a word.
func (p *Phone) UserReset() { p.change(p.reset) }

// Update installs a new system, which the next check-in tells.
func (p *Phone) Update(osVersion string, apiLevel int) {
	p.change(func() { p.osVersion, p.apiLevel = osVersion, apiLevel })
}

// SetPushID registers with another Firebase installation, which the next
// check-in tells.
func (p *Phone) SetPushID(id string) { p.change(func() { p.pushID = id }) }
