package amapi

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options say how the cloud behaves. The zero value is good but for Schema.
type Options struct {
	// Schema is what requests are held against; nil: they are not validated.
	Schema *Schema
	// Project is the Google Cloud project; default "sim-project".
	Project string
	// Approved projects may set factoryResetDisabled and frpAdminEmails, which
	// others get back as PROJECT_NOT_PERMITTED.
	Approved bool
	// PerMinute is the quota of calls to the Android Management API; default
	// 600, negative: none.
	PerMinute int
	// PullWait is how long an empty pull waits for a message; default 20 s.
	PullWait time.Duration
	// PushRetry is the pause before a push that was not accepted is sent again,
	// and doubles up to 60 times; default 10 s.
	PushRetry time.Duration
	// Client opens sign-in pages and delivers pushes; default
	// http.DefaultClient. Redirects are handled here.
	Client *http.Client
	// Control serves the control endpoint under /sim/.
	Control bool
	// Now is the clock of all that expires; default time.Now.
	Now func() time.Time
}

// Cloud is Google as one project sees it. It is an http.Handler; Start serves
// it on an address of its own. Close it.
type Cloud struct {
	options Options
	account serviceAccount
	pushKey *rsa.PrivateKey
	control http.Handler

	url     string
	server  *http.Server
	done    chan struct{} // closed by Close
	closed  sync.Once
	workers sync.WaitGroup

	mu            sync.Mutex
	changed       chan struct{} // closed and replaced when messages may be due
	tokens        map[string]accessToken
	window        []time.Time // calls within the last minute
	signups       map[string]*signup
	enterprises   map[string]*enterprise // by id
	provisionings map[string]*provisioning
	topics        map[string]*topic        // by name
	subscriptions map[string]*subscription // by name
	held          map[string][]*message    // by topic: what comes after the next
	customers     map[string]*customer
	devices       []*Device
	serials       map[string]*Device
	waiting       map[*record]bool // for a policy, at most five minutes
	pending       map[*operation]bool
	faults        []*Fault
	spoiling      []*MessageFault
	calls         map[string]int
	warnings      []string
	messages      int // numbers message ids
	keyID         string
	pushing       int // deliveries under way
}

// The keys of all clouds of a process are the same: keys take long to make.
var (
	accountKey = sync.OnceValues(newKey)
	pushKey    = sync.OnceValues(newKey)
)

func newKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// New makes the cloud without a listener.
func New(o Options) (*Cloud, error) {
	if o.Project == "" {
		o.Project = "sim-project"
	}
	if o.PerMinute == 0 {
		o.PerMinute = 600
	}
	if o.PullWait == 0 {
		o.PullWait = 20 * time.Second
	}
	if o.PushRetry == 0 {
		o.PushRetry = 10 * time.Second
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	account, err := accountKey()
	if err != nil {
		return nil, fmt.Errorf("amapi: %w", err)
	}
	push, err := pushKey()
	if err != nil {
		return nil, fmt.Errorf("amapi: %w", err)
	}
	c := &Cloud{
		options: o, account: newServiceAccount(o.Project, account), pushKey: push, keyID: random(20), done: make(chan struct{}), changed: make(chan struct{}),
		tokens: map[string]accessToken{}, signups: map[string]*signup{}, enterprises: map[string]*enterprise{},
		provisionings: map[string]*provisioning{}, topics: map[string]*topic{}, subscriptions: map[string]*subscription{}, held: map[string][]*message{},
		customers: map[string]*customer{}, serials: map[string]*Device{}, waiting: map[*record]bool{}, pending: map[*operation]bool{}, calls: map[string]int{},
	}
	if o.Control {
		c.control = c.controls()
	}
	return c, nil
}

// Start listens on an address, "127.0.0.1:0" for a free port, and delivers
// pushes from then on.
func (c *Cloud) Start(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("amapi: %w", err)
	}
	c.url = "http://" + ln.Addr().String()
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	c.workers.Go(func() {
		// Serve returns ErrServerClosed after Close; there is no other way out.
		if err := c.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("amapi: %v", err))
		}
	})
	c.workers.Go(c.deliver)
	return nil
}

// URL is the base address after Start, without a path: of the Android
// Management API, Pub/Sub, and zero-touch alike.
func (c *Cloud) URL() string { return c.url }

// Project is the Google Cloud project.
func (c *Cloud) Project() string { return c.options.Project }

// Close ends hanging calls, deliveries and the listener.
func (c *Cloud) Close() error {
	c.closed.Do(func() { close(c.done) })
	if c.server == nil {
		return nil
	}
	err := c.server.Close()
	c.workers.Wait()
	return err
}

// Calls returns how often each call was made, by the id of the discovery
// document: "enterprises.devices.patch", "pubsub.subscriptions.pull",
// "zerotouch.customers.devices.list", "oauth.token". Refused and spoiled calls
// count.
func (c *Cloud) Calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}

// Warnings are the fields sent so far that Google reads past: "policies.patch:
// cameraDisabled is deprecated".
func (c *Cloud) Warnings() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.warnings)
}

// Settle carries out what the clock has made due: devices without a policy are
// reset, commands expire. Every request does it first, and so does the cloud
// by itself after Start.
func (c *Cloud) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
}

func (c *Cloud) settle() {
	now := c.now()
	for r := range c.waiting {
		switch {
		case r.state != provisioningState:
			delete(c.waiting, r)
		case !now.Before(r.enrolled.Add(holdTime)):
			c.giveUp(r)
		}
	}
	for o := range c.pending {
		if !now.Before(o.expires) {
			c.finish(o, codeDeadlineExceeded, "The command expired before the device could execute it.")
		}
	}
}

func (c *Cloud) now() time.Time { return c.options.Now().UTC() }

// signal wakes who waits for messages.
func (c *Cloud) signal() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// random returns n random bytes in hex.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
