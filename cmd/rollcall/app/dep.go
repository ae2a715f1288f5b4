package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"rollcall/dep"
	"rollcall/enroll"
	"rollcall/storage"
)

// DEPOptions are about Apple's Device Enrollment Program.
type DEPOptions struct {
	DEPURL   string `help:"Service to use instead of Apple's DEP service, for trials with simulated devices." name:"dep-url" env:"ROLLCALL_DEP_URL"`
	DEPRoots string `help:"Certificates in PEM that --dep-url is trusted by; default: the system's." name:"dep-roots" env:"ROLLCALL_DEP_ROOTS"`
}

// newDEP makes what looks after DEP accounts.
func (a *App) newDEP() error {
	var roots *x509.CertPool
	if a.opts.DEPRoots != "" {
		b, err := os.ReadFile(a.opts.DEPRoots)
		if err != nil {
			return fmt.Errorf("--dep-roots: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(b) {
			return errors.New("--dep-roots: the file holds no PEM certificate")
		}
	}
	clouds, err := dep.NewClouds(a.opts.DEPURL, roots, a.store, a.now)
	if err != nil {
		return fmt.Errorf("--dep-url: %w", err)
	}
	a.cleanups = append(a.cleanups, clouds.Close)
	a.syncer = &dep.Syncer{Store: a.store, Clouds: clouds, Public: a.publicURL, Now: a.now, Log: a.log}
	if a.opts.TLS == TLSOwn {
		a.syncer.Anchor = a.ca.Certificate().Raw
	}
	a.accounts = dep.NewAccounts(a.store, clouds, a.syncer.Kick, a.now)
	return nil
}

// warnDEP warns once a day of server tokens that end soon.
func (a *App) warnDEP(ctx context.Context, day, now time.Time) {
	accounts, err := a.store.Accounts(ctx)
	if err != nil {
		if ctx.Err() == nil {
			a.log.WarnContext(ctx, "DEP accounts not looked at", "error", err)
		}
		return
	}
	for _, acc := range accounts {
		ends := acc.Token.ExpiresAt
		if !acc.Token.Installed() || ends.IsZero() || !now.After(ends.Add(-warnBefore)) {
			continue
		}
		a.log.WarnContext(ctx, "a DEP server token ends soon; download it again in Apple's portal", "account", acc.ID, "ends", ends)
		e := enroll.NewEvent(enroll.EventDEPTokenExpiring, now, enroll.EventRefs{Account: acc.Name, EndsAt: &ends})
		e.ID = uuid.NewSHA1(uuid.NameSpaceURL, []byte("dep_account.expiring/"+acc.ID+"/"+ends.Format(time.RFC3339)+"/"+day.Format(time.DateOnly))).String()
		if err := a.store.Tell(ctx, e); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "end of a DEP server token not told", "account", acc.ID, "error", err)
		}
	}
}

// examineDEP looks at DEP accounts; a deployment may have none.
func examineDEP(ctx context.Context, store *storage.Store, now time.Time, add adder) {
	accounts, err := store.Accounts(ctx)
	if err != nil {
		add(Warn, "Look at the log.", "The DEP accounts cannot be read.")
		return
	}
	for _, acc := range accounts {
		days := acc.Token.DaysLeft(now)
		switch {
		case !acc.Token.Installed():
			add(Warn, "Upload its certificate in Apple's portal and the token that Apple gives for it here (docs/ade.md).", "The DEP account %q has no server token.", acc.Name)
		case !acc.Token.ExpiresAt.IsZero() && !now.Before(acc.Token.ExpiresAt):
			add(Warn, "Download the token again in Apple's portal and upload it; devices that are assigned enroll all the same.", "The server token of the DEP account %q has expired.", acc.Name)
		case acc.Sync.Problem != nil:
			add(Warn, acc.Sync.Problem.Hint, "The DEP account %q is not up to date since %s: %s", acc.Name, acc.Sync.Problem.Since.Format(time.DateOnly), acc.Sync.Problem.Text)
		case !acc.Token.ExpiresAt.IsZero() && days <= 30:
			add(Warn, "Download the token again in Apple's portal and upload it.", "The server token of the DEP account %q ends in %d days.", acc.Name, days)
		default:
			add(OK, "", "The DEP account %q lists %d devices; its server token is good for %d days.", acc.Name, acc.Devices, days)
		}
	}
}
