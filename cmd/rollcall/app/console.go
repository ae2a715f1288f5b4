package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // people choose time zones, which not every system has

	"github.com/gorilla/mux"

	"rollcall/admin"
	"rollcall/admin/console"
	"rollcall/admin/credential"
	"rollcall/dep/signin"
)

// ConsoleOptions say how administrators sign in to the console.
type ConsoleOptions struct {
	ConsoleOIDCIssuer           string `help:"OpenID provider where administrators sign in, such as https://login.example.com. Default: none; they have passwords." name:"console-oidc-issuer" env:"ROLLCALL_CONSOLE_OIDC_ISSUER"`
	ConsoleOIDCClientID         string `help:"Client ID at that provider. Its redirect URL is /console/oidc/callback under the public URL." name:"console-oidc-client-id" env:"ROLLCALL_CONSOLE_OIDC_CLIENT_ID"`
	ConsoleOIDCClientSecret     string `help:"Client secret at that provider." name:"console-oidc-client-secret" env:"ROLLCALL_CONSOLE_OIDC_CLIENT_SECRET"`
	ConsoleOIDCClientSecretFile string `help:"File that holds the value of --console-oidc-client-secret." name:"console-oidc-client-secret-file" env:"ROLLCALL_CONSOLE_OIDC_CLIENT_SECRET_FILE"`
}

func (o *ConsoleOptions) check(add func(format string, args ...any)) {
	if o.ConsoleOIDCClientSecretFile != "" {
		if o.ConsoleOIDCClientSecret != "" {
			add("--console-oidc-client-secret and --console-oidc-client-secret-file are both set; keep one")
		}
		b, err := os.ReadFile(o.ConsoleOIDCClientSecretFile)
		if err != nil {
			add("--console-oidc-client-secret-file: %v", err)
		}
		o.ConsoleOIDCClientSecret = strings.TrimSpace(string(b))
	}
	switch u, err := url.Parse(o.ConsoleOIDCIssuer); {
	case o.ConsoleOIDCIssuer == "":
		if o.ConsoleOIDCClientID != "" {
			add("--console-oidc-client-id needs --console-oidc-issuer")
		}
	case err != nil || u.Host == "" || u.Scheme != "https":
		add("--console-oidc-issuer %q is not an https URL", o.ConsoleOIDCIssuer)
	case o.ConsoleOIDCClientID == "":
		add("--console-oidc-issuer needs --console-oidc-client-id")
	}
}

// newAdministrators also makes the code of the set-up, where there is nobody yet.
func (a *App) newAdministrators() (err error) {
	o := a.opts.ConsoleOptions
	a.administrators = &admin.Administrators{Store: a.store, Now: a.now, Logger: a.log, Hasher: credential.NewHasher(), PublicURL: a.publicURL}
	if o.ConsoleOIDCIssuer != "" {
		a.administrators.OIDC = &signin.OIDC{Issuer: o.ConsoleOIDCIssuer, ClientID: o.ConsoleOIDCClientID, ClientSecret: o.ConsoleOIDCClientSecret,
			RedirectURL: a.publicURL + admin.PathCallback, Now: a.now, Transport: a.opts.OIDCTransport}
	}
	if a.setUpCode, err = a.administrators.SetUpCode(a.ctx); err != nil {
		return fmt.Errorf("make the code of the set-up: %w", err)
	}
	return nil
}

// SetUpCode is the code with which the first administrator is made, at SetUpURL;
// empty where there was one already when the server started.
func (a *App) SetUpCode() string { return a.setUpCode }

// SetUpURL is the page of the console where the code is typed.
func (a *App) SetUpURL() string { return a.publicURL + admin.PathSetUp }

// Administrators lets people sign in to the console.
func (a *App) Administrators() *admin.Administrators { return a.administrators }

func (a *App) newConsole(api http.Handler) (http.Handler, error) {
	c := &console.Console{API: api, Administrators: a.administrators, PublicURL: a.publicURL, Organization: a.opts.Organization, Now: a.now, Log: a.log}
	return c.Handler()
}

// mountConsole serves the console below its prefix, and takes people there who
// only know the server's name.
func mountConsole(r *mux.Router, open func(http.Handler) http.Handler, h http.Handler) {
	home := http.RedirectHandler(console.Prefix+"/", http.StatusFound)
	r.Handle("/", open(home)).Methods(http.MethodGet)
	r.Handle(console.Prefix, open(home)).Methods(http.MethodGet)
	r.PathPrefix(console.Prefix + "/").Handler(open(h))
}

// forgetConsole removes sessions that are over.
func (a *App) forgetConsole(ctx context.Context, now time.Time) {
	if err := a.store.ForgetConsole(ctx, now); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "old console sessions not removed", "error", err)
	}
}
