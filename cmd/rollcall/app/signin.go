package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"rollcall/certs"
	"rollcall/certs/deviceca"
	"rollcall/dep/account"
	"rollcall/dep/ade"
	"rollcall/dep/signin"
	"rollcall/enroll"
	"rollcall/mdm"
)

// Paths of Automated Device Enrollment and account-driven enrollment. Those of
// ADE stand in profiles at Apple (dep.EntryPath).
const (
	pathADE           = "/enroll/ade/{secret}"
	pathADEWeb        = "/enroll/ade/{secret}/web"
	pathAnchors       = "/enroll/anchors"
	pathServiceConfig = "/MDMServiceConfig"
	pathAccount       = "/enroll/account"
	pathSignIn        = "/enroll/account/authenticate"
	pathCallback      = "/enroll/oidc/callback"
	pathDiscovery     = "/.well-known/com.apple.remotemanagement"
)

// SignInOptions say how people sign in while they enroll a device.
type SignInOptions struct {
	OIDCIssuer           string `help:"OpenID provider where people sign in who enroll a device, such as https://login.example.com. Default: none; they type a code." name:"oidc-issuer" env:"ROLLCALL_OIDC_ISSUER"`
	OIDCClientID         string `help:"Client ID at the OpenID provider." name:"oidc-client-id" env:"ROLLCALL_OIDC_CLIENT_ID"`
	OIDCClientSecret     string `help:"Client secret at the OpenID provider." name:"oidc-client-secret" env:"ROLLCALL_OIDC_CLIENT_SECRET"`
	OIDCClientSecretFile string `help:"File that holds the value of --oidc-client-secret." name:"oidc-client-secret-file" env:"ROLLCALL_OIDC_CLIENT_SECRET_FILE"`
	OIDCRedirectURL      string `help:"Redirect URL as the OpenID provider knows it. Default: /enroll/oidc/callback under the public URL." name:"oidc-redirect-url" env:"ROLLCALL_OIDC_REDIRECT_URL"`
	OIDCUnverifiedEmail  bool   `help:"Take e-mail addresses of which the OpenID provider does not say whether they were verified, where the provider only has addresses that it gave out itself." name:"oidc-unverified-email" env:"ROLLCALL_OIDC_UNVERIFIED_EMAIL"`
	SignInDomain         string `help:"Directory of the users who sign in while they enroll a device." name:"sign-in-domain" default:"local" env:"ROLLCALL_SIGN_IN_DOMAIN"`
	AccountDays          int    `help:"Days after which people sign in again at the OpenID provider on devices they enrolled with their account; 0: never." name:"account-days" default:"90" env:"ROLLCALL_ACCOUNT_DAYS"`
}

func (o *SignInOptions) check(add func(format string, args ...any)) {
	if o.OIDCClientSecretFile != "" {
		if o.OIDCClientSecret != "" {
			add("--oidc-client-secret and --oidc-client-secret-file are both set; keep one")
		}
		b, err := os.ReadFile(o.OIDCClientSecretFile)
		if err != nil {
			add("--oidc-client-secret-file: %v", err)
		}
		o.OIDCClientSecret = strings.TrimSpace(string(b))
	}
	if o.AccountDays < 0 {
		add("--account-days is %d; use 0 for never", o.AccountDays)
	}
	if o.SignInDomain == "" {
		o.SignInDomain = enroll.DefaultDomain
	}
	if o.OIDCIssuer == "" {
		if o.OIDCClientID != "" {
			add("--oidc-client-id needs --oidc-issuer")
		}
		return
	}
	if o.OIDCClientID == "" {
		add("--oidc-issuer needs --oidc-client-id")
	}
	for flag, value := range map[string]string{"--oidc-issuer": o.OIDCIssuer, "--oidc-redirect-url": o.OIDCRedirectURL} {
		if u, err := url.Parse(value); value != "" && (err != nil || u.Host == "" || u.Scheme != "https") {
			add("%s %q is not an https URL", flag, value)
		}
	}
}

// doors are those of devices that Apple sends here, or their users' accounts.
type doors struct {
	ade     *ade.Door
	account *account.Door
	pages   *signin.Pages
	config  ade.ServiceConfig
	anchors ade.Anchors
}

// secretOfCodes names the key under which codes of requests are hashed.
const secretOfCodes = "request-codes/key"

// newDoors builds them; codes are what people type.
func (a *App) newDoors(gate mdm.Gate, roll *enroll.Roll, profiles *mdm.Profiles, deviceCA *deviceca.Verifier) (doors, error) {
	fresh := make([]byte, 32)
	rand.Read(fresh)
	key, _, err := a.store.CreateSecret(a.ctx, secretOfCodes, fresh)
	if err != nil {
		return doors{}, fmt.Errorf("key of request codes: %w", err)
	}
	a.codes = enroll.NewCodes(a.requests, a.store, key)
	o := a.opts.SignInOptions
	pages := &signin.Pages{Organization: a.opts.Organization, Store: a.store, Codes: a.codes, Users: roll, Domain: o.SignInDomain, Now: a.now, Log: a.log}
	if o.OIDCIssuer != "" {
		redirect := o.OIDCRedirectURL
		if redirect == "" {
			redirect = a.publicURL + pathCallback
		}
		pages.OIDC = &signin.OIDC{Issuer: o.OIDCIssuer, ClientID: o.OIDCClientID, ClientSecret: o.OIDCClientSecret, RedirectURL: redirect, Now: a.now, Transport: a.opts.OIDCTransport,
			Unverified: o.OIDCUnverifiedEmail}
	}
	d := doors{
		ade: &ade.Door{Entries: a.store, Gate: gate, DeviceCA: deviceCA, Profiles: profiles, Roll: roll, SignIn: pages, Now: a.now, Log: a.log,
			Secret: func(r *http.Request) string { return mux.Vars(r)["secret"] }},
		account: &account.Door{Gate: gate, DeviceCA: deviceCA, Profiles: profiles, Roll: roll, Requests: a.requests, Store: a.store, Misses: a.store, SignIn: pages,
			Tokens: a.accessTokens(), BaseURL: a.publicURL + pathAccount, Domain: o.SignInDomain, OIDCLife: time.Duration(o.AccountDays) * 24 * time.Hour,
			Mode: func(r *http.Request) string { return mux.Vars(r)["mode"] }, Now: a.now, Log: a.log},
		pages:  pages,
		config: ade.ServiceConfig{AnchorsURL: a.publicURL + pathAnchors},
	}
	if profiles.Anchor != nil {
		d.config.TrustURL = a.publicURL + pathTrust
		d.anchors = ade.Anchors{profiles.Anchor}
	}
	pages.On(signin.KindADE, d.ade.Signed)
	pages.On(signin.KindAccount, d.account.Signed)
	return d, nil
}

func (a *App) accessTokens() account.Tokens {
	return account.Tokens{Store: a.store, SignInPage: a.publicURL + pathSignIn}
}

// currentBinding is what the identity of an enrollment was issued for.
func (a *App) currentBinding(ctx context.Context, enrollmentID string) (certs.Binding, error) {
	e, err := a.store.EnrollmentByID(ctx, enrollmentID)
	if err != nil {
		return certs.Binding{}, err
	}
	id, err := a.store.Identity(ctx, e.Fingerprint)
	return id.Binding, err
}

func (d doors) mount(r *mux.Router, open func(http.Handler) http.Handler) {
	on := func(path string, h http.HandlerFunc, methods ...string) { r.Handle(path, open(h)).Methods(methods...) }
	on(pathADE, d.ade.ServeMachineInfo, http.MethodPost)
	on(pathADEWeb, d.ade.ServeWeb, http.MethodGet, http.MethodPost)
	on(pathSignIn, d.account.ServeSignIn, http.MethodGet, http.MethodPost)
	on(pathAccount+"/{mode}", d.account.ServeEnroll, http.MethodPost)
	on(pathCallback, d.pages.ServeCallback, http.MethodGet)
	on(pathDiscovery, d.account.ServeDiscovery, http.MethodGet)
	on(pathServiceConfig, d.config.ServeHTTP, http.MethodGet)
	on(pathAnchors, d.anchors.ServeHTTP, http.MethodGet)
}

// signInsKept is how long what belongs to finished sign-ins is kept.
const signInsKept = 7 * 24 * time.Hour

// forgetSignIns removes what nobody can sign in with any more.
func (a *App) forgetSignIns(ctx context.Context, now time.Time) {
	if err := a.store.ForgetSignIns(ctx, now.Add(-signInsKept)); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "old sign-ins not removed", "error", err)
	}
}
