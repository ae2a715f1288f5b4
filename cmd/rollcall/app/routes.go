package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rollcall/admin"
	"rollcall/admin/portal"
	"rollcall/android"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/enroll"
	"rollcall/mdm"
)

// Paths of the device endpoints. They are part of the profiles on enrolled
// devices and can never change.
const (
	pathCheckIn    = "/mdm/checkin"
	pathConnect    = "/mdm/connect"
	pathSCEP       = "/scep"
	pathStart      = "/enroll/ota"
	pathAttributes = "/enroll/ota/attributes"
	pathPlain      = "/enroll/profile"
	pathTrust      = "/enroll/trust"
)

// rooms are the doors of the house.
type rooms struct {
	device    *mdm.Server
	door      *mdm.Door
	scep      http.Handler
	portal    *portal.Portal
	api       http.Handler
	console   http.Handler
	entrances doors
	agents    *android.Server
	google    amapiRooms
	strangers strangers // who may come to all of them but the API
}

func newRouter(observe mux.MiddlewareFunc, to rooms) http.Handler {
	r := mux.NewRouter().SkipClean(true) // a name in a path may have "//" and ".."
	r.Use(observe)
	r.NotFoundHandler = observe(http.HandlerFunc(http.NotFound))
	r.MethodNotAllowedHandler = observe(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	}))
	r.Handle(pathCheckIn, to.device)
	r.Handle(pathConnect, to.device)
	open := func(h http.Handler) http.Handler { return to.strangers.limit(fromAfar(h)) }
	r.Handle(pathSCEP, open(to.scep))
	r.Handle(pathStart, open(http.HandlerFunc(to.door.ServeStart))).Methods(http.MethodGet)
	r.Handle(pathAttributes, open(http.HandlerFunc(to.door.ServeAttributes))).Methods(http.MethodPost)
	r.Handle(pathPlain, open(http.HandlerFunc(to.door.ServePlain))).Methods(http.MethodGet)
	r.Handle(pathTrust, open(http.HandlerFunc(to.door.ServeTrust))).Methods(http.MethodGet)
	to.entrances.mount(r, open)
	to.google.mount(r, open)
	r.Handle(android.PathNonce, open(http.HandlerFunc(to.agents.ServeNonce))).Methods(http.MethodGet)
	r.Handle(android.PathEnroll, open(http.HandlerFunc(to.agents.ServeEnroll))).Methods(http.MethodPost)
	r.Handle(android.PathCheckin, fromAfar(http.HandlerFunc(to.agents.ServeCheckin))).Methods(http.MethodPut)
	r.Handle(android.PathWait, fromAfar(http.HandlerFunc(to.agents.ServeWait))).Methods(http.MethodGet)
	to.portal.Mount(func(pattern string, h http.Handler) { r.Handle(pattern, open(h)) })
	r.PathPrefix("/api/").Handler(fromAfar(to.api))
	mountConsole(r, open, to.console)
	return r
}

func newSCEP(ca *certs.Authority, identities *certs.Identities, log *slog.Logger) http.Handler {
	return scep.New(ca, identities, log)
}

func newPortal(requests *enroll.Requests, androidEntry func(context.Context, enroll.Invitation) (portal.AndroidEntry, error), organization string, ownCA bool, log *slog.Logger) *portal.Portal {
	trust := ""
	if ownCA {
		trust = pathTrust
	}
	return &portal.Portal{Requests: requests, Android: androidEntry, Organization: organization, OwnCA: ownCA, TrustURL: trust, Logger: log,
		Secret: func(r *http.Request) string { return mux.Vars(r)["secret"] },
		ProfileURL: func(secret string) string {
			if secret == "" {
				return pathStart
			}
			return pathStart + "?" + mdm.RequestParameter + "=" + secret
		}}
}

func (a *App) newAPI(roll *enroll.Roll, gate *enroll.Gate) http.Handler {
	api := &admin.API{Roll: roll, Imports: a.imports, Requests: a.requests, Codes: a.codes, Gate: gate, Decisions: a.store, Restrictions: a.restrictions, Approvals: enroll.NewApprovals(a.store, roll, a.now), Policies: a.store, Deliveries: a.store,
		Queue: a.store, History: a.store, Commands: a.commandsOf(), PushCertificates: a.certificates, Mail: a.sender, Tokens: a.store, Mobileconfig: mdm.ParseMobileconfig,
		Organization: a.opts.Organization, PublicURL: a.publicURL, Kick: func() { a.evaluator.Kick(); a.deliverer.Kick(); a.wakeAll(); a.sender.Kick(); a.hooks.Kick() }, Now: a.now, Logger: a.log}
	a.wireEvents(api)
	a.figures = admin.NewFigureKeeper(a.store, 20*time.Millisecond, a.now, a.log)
	api.Figures, api.Examiner, api.Server = a.figures, a, a
	api.Administrators, api.Views = a.administrators, a.store
	api.DEP = a.accounts
	api.EnrollmentTokens, api.Provisioning = &android.Tokens{Store: a.store, Now: a.now}, a.provisioning
	api.Enterprise, api.Google, api.ZeroTouch = a.enterprises, a.connector, a.zeroTouch
	return api.Handler()
}

// opsHandler is what machines watch: alive, ready, figures.
func (a *App) opsHandler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := a.store.Ping(ctx); err != nil {
			a.log.WarnContext(ctx, "not ready", "error", err)
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	m.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	return m
}
