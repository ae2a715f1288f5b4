package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"rollcall/admin"
	"rollcall/admin/mail"
	"rollcall/admin/webhook"
	"rollcall/android"
	"rollcall/android/amapi"
	"rollcall/android/zerotouch"
	"rollcall/certs"
	"rollcall/certs/attestation"
	"rollcall/dep"
	"rollcall/enroll"
	"rollcall/enroll/importer"
	"rollcall/mdm"
	"rollcall/mdm/apns"
	"rollcall/policy"
	"rollcall/storage"
)

// App is a running server. New opens what it needs, Start listens and starts
// the workers, Stop ends all in reverse order.
type App struct {
	opts  Options
	ctx   context.Context // of set-up and workers; ends with Stop
	end   context.CancelFunc
	log   *slog.Logger
	now   func() time.Time
	store *storage.Store

	publicURL      string
	firstToken     string
	setUpCode      string
	administrators *admin.Administrators
	ca             *certs.Authority
	signing        *mdm.Signer // nil: profiles go unsigned
	tls            *tls.Config // of main; nil: plain HTTP
	startedAt      time.Time
	certificates   *apns.Certificates
	pusher         *apns.Pusher
	deliverer      *policy.Deliverer
	evaluator      *enroll.Evaluator
	seen           *mdm.Seen
	commander      *mdm.Commander
	sender         *mail.Sender
	hooks          *webhook.Sender
	requests       *enroll.Requests
	accounts       *dep.Accounts
	syncer         *dep.Syncer
	agents         *android.Server
	connector      *amapi.Connector
	enterprises    *amapi.Enterprises
	zeroTouch      *zerotouch.Accounts
	sweeper        *zerotouch.Syncer
	waits          *android.Waits
	fcm            *android.FCM                // nil: not configured
	revoked        *attestation.RevocationList // nil: not configured
	provisioning   android.Provisioning
	codes          *enroll.Codes
	imports        *importer.Imports
	restrictions   *enroll.Restrictions
	metrics        *metrics
	figures        *admin.FigureKeeper
	dailyDone      time.Time // day of the last daily upkeep; upkeep only

	stopping chan struct{} // closed when Stop begins
	stopOnce sync.Once

	main, ops net.Listener
	resumed   *resumed // of main
	servers   []*http.Server
	workers   sync.WaitGroup
	failed    chan error // first worker or listener that ended by itself
	cleanups  []func()   // in the order of set-up
}

// Limits and time-outs at the door.
const (
	maxHeaderBytes    = 64 << 10
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 5 * time.Minute // an import of 64 MiB over a slow line
	writeTimeout      = 5 * time.Minute
	idleTimeout       = 2 * time.Minute
	stopTimeout       = 15 * time.Second
)

// New opens the database, the keys and the listeners. On an error nothing is
// left open.
func New(ctx context.Context, opts Options) (*App, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	a := &App{opts: opts, now: opts.Now, log: opts.logger(), metrics: newMetrics(), failed: make(chan error, 8), stopping: make(chan struct{})}
	if a.now == nil {
		a.now = time.Now
	}
	a.ctx, a.end = context.WithCancel(context.WithoutCancel(ctx))
	a.cleanups = append(a.cleanups, a.end)
	a.startedAt = a.now()
	if err := a.open(); err != nil {
		a.cleanup()
		return nil, err
	}
	return a, nil
}

func (a *App) open() error {
	var err error
	if a.store, err = OpenStore(a.ctx, a.opts); err != nil {
		return err
	}
	a.cleanups = append(a.cleanups, func() { a.store.Close() })
	if a.ca, err = a.authority(); err != nil {
		return err
	}
	if a.firstToken, _, err = admin.FirstToken(a.ctx, a.store); err != nil {
		return fmt.Errorf("make the first admin token: %w", err)
	}
	if a.main, err = a.listen(a.opts.Listen, "--listen"); err != nil {
		return err
	}
	a.resumed = newResumed(a.main.Addr())
	if a.opts.MetricsListen != "" {
		if a.ops, err = a.listen(a.opts.MetricsListen, "--metrics-listen"); err != nil {
			return err
		}
	}
	if a.publicURL = a.opts.PublicURL; a.publicURL == "" {
		a.publicURL = defaultURL(a.main.Addr())
	}
	if err := a.newAdministrators(); err != nil {
		return err
	}
	return a.wire()
}

func (a *App) listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	a.cleanups = append(a.cleanups, func() { l.Close() })
	return l, nil
}

// wire builds the rooms from the bottom up and mounts their doors.
func (a *App) wire() error {
	var err error
	if a.signing, err = a.opts.signer(); err != nil {
		return err
	}
	proxies, err := a.opts.proxies()
	if err != nil {
		return err
	}
	if a.tls, err = a.opts.tlsConfig(a.ca, a.publicURL, a.now); err != nil {
		return err
	}
	deviceCA, err := a.opts.deviceCA()
	if err != nil {
		return err
	}
	pushRoots, err := a.opts.pushRoots()
	if err != nil {
		return err
	}
	gate := countedGate{enroll.NewGate(a.store, a.now), a.metrics}
	gate.Log = a.log
	roll := enroll.NewRoll(a.store, a.now)
	a.imports = importer.New(a.store, a.now, a.log)
	a.requests = enroll.NewRequests(a.store, a.store, a.now)
	if a.sender, err = a.newSender(); err != nil {
		return err
	}
	a.requests.Channels = a.sender.Channels()
	a.hooks = a.newHooks()
	a.restrictions = enroll.NewRestrictions(a.store, a.store, a.now)
	identities := certs.NewIdentities(a.ca, a.store, a.now)
	if err := a.newDEP(); err != nil {
		return err
	}
	a.certificates = apns.NewCertificates(a.store, a.now)

	profiles := &mdm.Profiles{Organization: a.opts.Organization, SCEPURL: a.publicURL + pathSCEP, ServerURL: a.publicURL + pathConnect,
		CheckInURL: a.publicURL + pathCheckIn, OTAURL: a.publicURL + pathAttributes, Authority: a.ca, Challenges: identities,
		Topic: (&topic{certificates: a.certificates, now: a.now}).of, Signer: a.signing}
	if a.opts.OneURL {
		profiles.CheckInURL = ""
	}
	if a.opts.TLS == TLSOwn {
		profiles.Anchor = a.ca.Certificate()
	}

	profiles.Current = a.currentBinding
	entrances, err := a.newDoors(gate, roll, profiles, deviceCA)
	if err != nil {
		return err
	}

	if a.pusher, err = apns.NewPusher(apns.Options{Outbox: a.store, Certificates: a.certificates, Host: a.opts.APNSHost,
		RootCAs: pushRoots, Now: a.now, Logger: a.log, Observe: a.metrics.push}); err != nil {
		return fmt.Errorf("--apns-host: %w", err)
	}
	a.deliverer = policy.NewDeliverer(a.store, mdm.Encoder{Profiles: profiles}, policy.Options{Queued: a.wakeAll, Encoders: androidEncoders(), Now: a.now, Log: a.log, Organization: a.opts.Organization, AwaitTimeout: a.opts.AwaitTimeout})
	a.evaluator = enroll.NewEvaluator(a.store, a.deliverer.Kick, a.log)
	a.seen = mdm.NewSeen(a.store, a.log)
	a.commander = &mdm.Commander{Enrollments: a.store, Queue: a.store, Profiles: profiles, Kick: a.pusher.Kick, Now: a.now}

	guard := strangers{admin.NewLimiter(admin.RateLimit{PerSecond: a.opts.StrangerRate, Burst: a.opts.StrangerBurst})}
	if err := a.newAndroid(gate, guard); err != nil {
		return err
	}
	google, err := a.newAMAPI(gate, guard)
	if err != nil {
		return err
	}
	if err := a.newZeroTouch(); err != nil {
		return err
	}
	api := a.newAPI(roll, gate.Gate)
	pages, err := a.newConsole(api)
	if err != nil {
		return err
	}
	router := newRouter(observe(a.log, a.metrics, proxies), rooms{
		device: &mdm.Server{
			Identity: mdm.ClientIdentity{Authority: a.ca, ProxyHeader: a.opts.ClientHeader, Proxies: proxies},
			Gate:     gate, Issued: a.store, Enrollments: a.store, Queue: a.store, Declarations: a.store, Accounts: a.accessTokens(), Returns: entrances.ade, Seen: a.seen, Strangers: guard.heard, Kick: a.deliverer.Kick, Now: a.now, Log: a.log},
		door:      &mdm.Door{Gate: gate, Invitations: a.requests, Issued: a.store, Authority: a.ca, DeviceCA: deviceCA, Profiles: profiles, Now: a.now, Log: a.log},
		scep:      newSCEP(a.ca, identities, a.log),
		portal:    newPortal(a.requests, a.androidEntry, a.opts.Organization, a.opts.TLS == TLSOwn, a.log),
		api:       api,
		console:   pages,
		entrances: entrances,
		strangers: guard,
		agents:    a.agents,
		google:    google,
	})
	a.serve(a.main, router, a.tls)
	if a.ops != nil {
		a.serve(a.ops, a.opsHandler(), nil)
	}
	return nil
}

func (a *App) serve(l net.Listener, h http.Handler, config *tls.Config) {
	s := &http.Server{Handler: h, TLSConfig: config, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: log.New(quiet{a.log}, "", 0), BaseContext: func(net.Listener) context.Context { return a.ctx }}
	a.servers = append(a.servers, s)
}

// quiet takes what net/http says of broken connections and handshakes down to
// debug: on the open internet that is noise.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(b []byte) (int, error) {
	q.log.Debug("http", "message", string(b))
	return len(b), nil
}

// Start begins to serve and to work.
func (a *App) Start() {
	listeners := []net.Listener{a.main, a.ops}
	for i, s := range a.servers {
		l := listeners[i]
		a.spawn("listener", func(context.Context) error {
			var err error
			if s.TLSConfig != nil {
				err = s.ServeTLS(l, "", "")
			} else {
				err = s.Serve(l)
			}
			return served(err)
		})
	}
	a.spawn("listener of devices that have waited", func(context.Context) error { return served(a.servers[0].Serve(a.resumed)) })
	a.spawn("push", a.pusher.Run)
	a.spawn("messages", a.sender.Run)
	a.spawn("webhooks", a.hooks.Run)
	a.spawn("delivery", a.deliverer.Run)
	a.spawn("rule groups", a.evaluator.Run)
	a.spawn("last seen", a.seen.Run)
	a.spawn("imports", a.imports.Run)
	a.spawn("DEP", a.syncer.Run)
	a.spawnAndroid()
	a.spawn("Android Management API", a.connector.Run)
	a.spawn("zero-touch", a.sweeper.Run)
	a.spawn("overview", a.figures.Run)
	a.spawn("upkeep", a.upkeep)
}

// served is the error of a server that was not told to stop.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *App) spawn(name string, run func(context.Context) error) {
	a.workers.Add(1)
	go func() {
		defer a.workers.Done()
		if err := run(a.ctx); err != nil && a.ctx.Err() == nil {
			a.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
}

const (
	upkeepInterval = time.Minute
	staleAfter     = 30 * time.Minute // open commands older than this are pushed again
)

// upkeep expires requests and wakes devices whose push was lost.
func (a *App) upkeep(ctx context.Context) error {
	ticker := time.NewTicker(upkeepInterval)
	defer ticker.Stop()
	for {
		now := a.now().UTC()
		if n, err := a.requests.ExpireRequests(ctx, now); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "requests not expired", "error", err)
		} else if n > 0 {
			a.log.InfoContext(ctx, "requests expired", "count", n)
		}
		a.remind(ctx)
		if n, err := a.store.Stale(ctx, now.Add(-staleAfter), now); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "stale commands not looked for", "error", err)
		} else if n > 0 {
			a.log.InfoContext(ctx, "devices with old commands pushed again", "count", n)
		}
		a.expireDevices(ctx, now)
		a.forgetAnswers(ctx, now)
		a.daily(ctx, now)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Run starts the server and stops it when ctx ends or a part of it fails.
func (a *App) Run(ctx context.Context) error {
	a.Start()
	var err error
	select {
	case <-ctx.Done():
	case err = <-a.failed:
	}
	return errors.Join(err, a.Stop())
}

// Stop ends all requests under way within a bounded time, then the workers,
// then closes the database.
func (a *App) Stop() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), stopTimeout)
	defer cancel()
	var errs []error
	a.stopOnce.Do(func() { close(a.stopping); a.waits.Close() })
	for _, s := range a.servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("requests were still under way: %w", err), s.Close())
		}
	}
	a.end()
	a.workers.Wait()
	a.cleanup()
	return errors.Join(errs...)
}

func (a *App) cleanup() {
	for i := len(a.cleanups) - 1; i >= 0; i-- {
		a.cleanups[i]()
	}
	a.cleanups = nil
}

// URL is the public URL of the server.
func (a *App) URL() string { return a.publicURL }

// Addr is the address the server listens on.
func (a *App) Addr() net.Addr { return a.main.Addr() }

// OpsURL is where /healthz, /readyz and /metrics are; empty: nowhere.
func (a *App) OpsURL() string {
	if a.ops == nil {
		return ""
	}
	return "http://" + a.ops.Addr().String()
}

// FirstToken is the admin token made at this start; empty when there was one
// already. It is shown once.
func (a *App) FirstToken() string { return a.firstToken }

// Authority is the server's CA.
func (a *App) Authority() *certs.Authority { return a.ca }

// Store is the database, for the demo and tests.
func (a *App) Store() *storage.Store { return a.store }

// Certificates is where the push certificate is.
func (a *App) Certificates() *apns.Certificates { return a.certificates }

func isNotFound(err error) bool { return enroll.KindOf(err) == enroll.KindNotFound }
