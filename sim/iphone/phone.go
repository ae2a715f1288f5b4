package iphone

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/sim/applepki"
	"rollcall/sim/cms"
	"rollcall/sim/plist"
)

// Push is the push service as a device sees it; *apns.Cloud is one.
type Push interface {
	Register(token []byte, magic, topic string, wake func())
	Unregister(token []byte)
}

// Config describes a device. Identity is needed for the OTA Profile Service
// and for Setup Assistant, everything else has a default.
type Config struct {
	Serial       string // default: Identity.Serial
	UDID         string // default: Identity.UDID
	Product      string // default "iPhone17,2"
	OSVersion    string // default "26.1"
	BuildVersion string // default "23B85"
	IMEI         string
	DeviceName   string // default "iPhone"
	Supervised   bool
	Passcode     bool // a passcode is set
	// AwaitingConfiguration holds the device in Setup Assistant until
	// DeviceConfigured. SetupAssistant sets it from its CloudConfiguration.
	AwaitingConfiguration bool

	Identity applepki.Identity
	// Digest signs what the device identity signs; default SHA-256.
	Digest crypto.Hash
	// SCEPDigest and SCEPCipher default to the best the server offers.
	SCEPDigest crypto.Hash
	SCEPCipher cms.Cipher
	// Keys supplies keys for SCEP; by default one of the size the payload
	// asks for is generated.
	Keys func() (*rsa.PrivateKey, error)

	// Roots are the TLS authorities the phone trusts out of the box; nil
	// means those of the system.
	Roots *x509.CertPool
	// Transport replaces all network access. TLS and with it the client
	// certificate are then its business.
	Transport http.RoundTripper

	// Push is where the phone gets its push token; without one it makes up
	// a token and nobody can wake it.
	Push Push
	// AutoConnect runs Connect when a push arrives. A Connect that fails is
	// repeated after RetryDelay (never, if that is zero).
	AutoConnect bool
	RetryDelay  time.Duration

	// Tamper may change any message before it is signed and sent. step is
	// "OTA", "MachineInfo", a check-in MessageType, or "Connect".
	Tamper func(step string, message plist.Dict)

	Logger *slog.Logger // default: silent
}

// Phone is one device. Its methods may be called from any goroutine; those
// that talk to the server run one at a time, as on a device.
type Phone struct {
	cfg     Config
	log     *slog.Logger
	browser *http.Client  // Safari
	system  *http.Client  // everything else without a client certificate
	session chan struct{} // holds one token: the right to talk to the server
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup // wakes

	mu          sync.Mutex
	changed     chan struct{} // closed at the next change; nil if nobody waits
	busy        bool          // the session token is taken
	wakePending bool          // a push came while busy
	pushes      int
	page        string
	name        string
	locked      bool
	passcode    bool
	supervised  bool
	awaiting    bool
	unlockToken []byte
	enrollment  *enrollment
	access      string                // token of the account that the person signed in with
	profiles    map[string]*installed // by PayloadIdentifier
	apps        map[string]*app       // by bundle identifier
	settings    plist.Dict            // last value per Settings item
	reactions   map[string]*reactor
	seen        []string
	timings     Timings
	ddm         declarations
}

// Timings says when things happened; zero times have not.
type Timings struct {
	// EnrolledAt is when the first TokenUpdate was accepted.
	EnrolledAt time.Time
	// LastAcknowledgedAt is when the server took the last Acknowledged result.
	LastAcknowledgedAt time.Time
}

// New makes a device that is activated, not enrolled, unlocked and online.
func New(c Config) *Phone {
	defaults := []struct {
		field *string
		value string
	}{
		{&c.Serial, c.Identity.Serial}, {&c.UDID, c.Identity.UDID}, {&c.Product, "iPhone17,2"},
		{&c.OSVersion, "26.1"}, {&c.BuildVersion, "23B85"}, {&c.DeviceName, "iPhone"},
	}
	for _, d := range defaults {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if c.Digest == 0 {
		c.Digest = crypto.SHA256
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Phone{cfg: c, log: c.Logger, session: make(chan struct{}, 1), reactions: map[string]*reactor{}}
	p.life, p.end = context.WithCancel(context.Background())
	p.reset()
	p.browser, p.system = p.newClients()
	return p
}

// reset is the factory state.
func (p *Phone) reset() {
	p.name, p.locked, p.passcode = p.cfg.DeviceName, false, p.cfg.Passcode
	p.supervised, p.awaiting = p.cfg.Supervised, p.cfg.AwaitingConfiguration
	p.enrollment = nil
	p.profiles, p.apps, p.settings = map[string]*installed{}, map[string]*app{}, plist.Dict{}
	p.unlockToken = randomBytes(64)
	p.ddm = declarations{}
}

// Close stops wakes, waits for them, and closes connections.
func (p *Phone) Close() {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	p.running.Wait()
	if e := p.current(); e != nil {
		if p.cfg.Push != nil {
			p.cfg.Push.Unregister(p.Token())
		}
		p.closeIdle(e.http)
	}
	p.closeIdle(p.browser)
}

// begin takes the session; end it with finish.
func (p *Phone) begin(ctx context.Context) error {
	select {
	case p.session <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	p.busy = true
	p.mu.Unlock()
	return nil
}

func (p *Phone) finish() {
	p.mu.Lock()
	p.busy = false
	again := p.wakePending
	p.wakePending = false
	p.mu.Unlock()
	<-p.session
	if again {
		p.wakeSoon(0)
	}
}

// wake is called by the push service.
func (p *Phone) wake() {
	p.mu.Lock()
	p.pushes++
	p.notify()
	auto := p.cfg.AutoConnect
	if auto && p.busy {
		// The running session may have got its last empty answer already.
		p.wakePending, auto = true, false
	}
	p.mu.Unlock()
	if auto {
		p.connectAfterPush()
	}
}

func (p *Phone) connectAfterPush() {
	if p.life.Err() != nil {
		return
	}
	err := p.Connect(p.life)
	if err == nil {
		return
	}
	p.log.Debug("connect after push failed", "error", err)
	if p.cfg.RetryDelay > 0 && p.Enrolled() {
		p.wakeSoon(p.cfg.RetryDelay)
	}
}

// wakeSoon connects in the background after a while.
func (p *Phone) wakeSoon(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life.Err() != nil {
		return
	}
	p.running.Go(func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			p.connectAfterPush()
		case <-p.life.Done():
		}
	})
}

// notify wakes those in WaitFor. The caller holds p.mu.
func (p *Phone) notify() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// WaitFor returns when condition holds, which is looked at after each change
// of the phone, or when ctx ends.
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

// get reads the phone's state.
func get[T any](p *Phone, f func() T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f()
}

// fromEnrollment reads the enrollment; the zero value if there is none.
func fromEnrollment[T any](p *Phone, f func(*enrollment) T) T {
	return get(p, func() (out T) {
		if p.enrollment != nil {
			out = f(p.enrollment)
		}
		return out
	})
}

// change alters the phone's state and tells waiters.
func (p *Phone) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.notify()
}

// Serial is the serial number, UDID the device identifier of the phone.
func (p *Phone) Serial() string { return p.cfg.Serial }

// UDID is the device identifier.
func (p *Phone) UDID() string { return p.cfg.UDID }

// Enrolled tells whether the phone is managed: TokenUpdate was accepted and
// the MDM profile is still there.
func (p *Phone) Enrolled() bool { return get(p, func() bool { return p.enrollment != nil }) }

// Identity returns the MDM identity; nil without enrollment.
func (p *Phone) Identity() (*x509.Certificate, *rsa.PrivateKey) {
	id := fromEnrollment(p, func(e *enrollment) identity { return e.identity })
	return id.cert, id.key
}

// Token returns the push token; nil without enrollment.
func (p *Phone) Token() []byte {
	return fromEnrollment(p, func(e *enrollment) []byte { return slices.Clone(e.token) })
}

// PushMagic returns the push magic; empty without enrollment.
func (p *Phone) PushMagic() string {
	return fromEnrollment(p, func(e *enrollment) string { return e.magic })
}

// Topic returns the push topic; empty without enrollment.
func (p *Phone) Topic() string {
	return fromEnrollment(p, func(e *enrollment) string { return e.mdm.topic })
}

// ServerURL returns the URL of the connect endpoint; empty without enrollment.
func (p *Phone) ServerURL() string {
	return fromEnrollment(p, func(e *enrollment) string { return e.mdm.serverURL })
}

// UnlockToken returns what the phone sends as UnlockToken.
func (p *Phone) UnlockToken() []byte {
	return get(p, func() []byte { return slices.Clone(p.unlockToken) })
}

// InstalledProfiles returns the PayloadUUID of each installed profile by its
// PayloadIdentifier.
func (p *Phone) InstalledProfiles() map[string]string {
	return get(p, func() map[string]string {
		out := map[string]string{}
		for id, in := range p.profiles {
			out[id] = in.profile.uuid
		}
		return out
	})
}

// ProfilePayload returns a copy of the payload of the given type in an
// installed profile, and whether there is one.
func (p *Phone) ProfilePayload(identifier, payloadType string) (plist.Dict, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if in := p.profiles[identifier]; in != nil {
		for _, pl := range in.profile.payloads {
			if pl.kind == payloadType {
				return clone(pl.dict).(plist.Dict), true
			}
		}
	}
	return nil, false
}

// InstalledApps returns the bundle identifiers (or "id:<number>" and
// "manifest:<url>" for apps known only by store id or manifest), sorted.
func (p *Phone) InstalledApps() []string {
	return get(p, func() []string {
		out := []string{}
		for id := range p.apps {
			out = append(out, id)
		}
		slices.Sort(out)
		return out
	})
}

// Setting returns the last accepted value of a Settings item, nil if none.
func (p *Phone) Setting(item string) plist.Dict {
	return get(p, func() plist.Dict {
		d, _ := p.settings[item].(plist.Dict)
		return d
	})
}

// DeviceName is the name in Settings > General > About.
func (p *Phone) DeviceName() string { return get(p, func() string { return p.name }) }

// Awaiting tells whether the phone sits in Setup Assistant waiting for
// DeviceConfigured.
func (p *Phone) Awaiting() bool { return get(p, func() bool { return p.awaiting }) }

// Supervised tells whether the phone is supervised.
func (p *Phone) Supervised() bool { return get(p, func() bool { return p.supervised }) }

// Locked tells whether the screen is locked.
func (p *Phone) Locked() bool { return get(p, func() bool { return p.locked }) }

// HasPasscode tells whether a passcode is set.
func (p *Phone) HasPasscode() bool { return get(p, func() bool { return p.passcode }) }

// Pushes is the number of pushes that reached the phone.
func (p *Phone) Pushes() int { return get(p, func() int { return p.pushes }) }

// CommandsSeen lists the RequestType of each command received, in order,
// repetitions included.
func (p *Phone) CommandsSeen() []string {
	return get(p, func() []string { return slices.Clone(p.seen) })
}

// Timings says how fast the server was.
func (p *Phone) Timings() Timings { return get(p, func() Timings { return p.timings }) }

// LastPage is the visible text of the last page Safari showed.
func (p *Phone) LastPage() string { return get(p, func() string { return p.page }) }

// Lock locks the screen: commands that need the data of the user are NotNow.
func (p *Phone) Lock() { p.change(func() { p.locked = true }) }

// Unlock unlocks the screen. If the last connection ended with NotNow, the
// phone connects by itself, as a device does.
func (p *Phone) Unlock(ctx context.Context) error {
	var poll bool
	p.change(func() {
		p.locked = false
		poll = p.enrollment != nil && p.enrollment.endedNotNow
	})
	if poll {
		return p.Connect(ctx)
	}
	return nil
}

func (p *Phone) current() *enrollment { return get(p, func() *enrollment { return p.enrollment }) }

// major is the major OS version.
func (p *Phone) major() int {
	s, _, _ := strings.Cut(p.cfg.OSVersion, ".")
	n, _ := strconv.Atoi(s)
	return n
}
