package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/google/uuid"

	"rollcall/admin"
	"rollcall/dep"
	"rollcall/dep/cloud"
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
func examineDEP(ctx context.Context, store *storage.Store, now time.Time, fs *findings) {
	accounts, err := store.AccountStates(ctx)
	if err != nil {
		fs.add(admin.Finding{Level: admin.LevelWarn, Code: "dep_unknown", Text: "The DEP accounts cannot be read.", Fix: "Look at the log."})
		return
	}
	for _, acc := range accounts {
		f := admin.Finding{Level: admin.LevelWarn, Object: acc.Name, Link: admin.Prefix + "/dep/accounts/" + url.PathEscape(acc.Name)}
		days, ends := acc.Token.DaysLeft(now), acc.Token.ExpiresAt
		switch {
		case !acc.Token.Installed():
			f.Code, f.Text = "dep_token_missing", fmt.Sprintf("The DEP account %q has no server token.", acc.Name)
			f.Fix = "Upload its certificate in Apple's portal and the token that Apple gives for it here (docs/ade.md)."
		case !ends.IsZero() && !now.Before(ends):
			f.Code, f.Text, f.Since = "dep_token_expired", fmt.Sprintf("The server token of the DEP account %q has expired.", acc.Name), ends
			f.Fix = "Download the token again in Apple's portal and upload it; devices that are assigned enroll all the same."
		case acc.Sync.Problem != nil:
			p := acc.Sync.Problem
			f.Code, f.Text, f.Fix, f.Since = "dep_sync_failing", fmt.Sprintf("The DEP account %q is not up to date since %s: %s", acc.Name, p.Since.Format(time.DateOnly), p.Text), p.Hint, p.Since
			if p.Code == cloud.PublicCode(cloud.TermsNotSigned) {
				f.Code = "dep_terms_not_accepted"
			}
		case !ends.IsZero() && days <= 30:
			f.Code, f.Text = "dep_token_expiring", fmt.Sprintf("The server token of the DEP account %q ends in %d days.", acc.Name, days)
			f.Fix = "Download the token again in Apple's portal and upload it."
		default:
			fs.ok("The DEP account %q is up to date; its server token is good for %d days.", acc.Name, days)
			continue
		}
		fs.add(f)
	}
}
