package app

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"rollcall/admin"
	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/mdm/apns"
	"rollcall/storage"
)

// findings are what was looked at so far.
type findings []admin.Finding

func (fs *findings) ok(format string, args ...any) {
	fs.add(admin.Finding{Level: admin.LevelOK, Text: fmt.Sprintf(format, args...)})
}

func (fs *findings) add(f admin.Finding) { *fs = append(*fs, f) }

// OpenStore opens the database of a configuration without starting a server.
func OpenStore(ctx context.Context, o Options) (*storage.Store, error) {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	key, err := certs.LoadOrCreateKeyFile(o.SealKeyFile)
	if err != nil {
		return nil, fmt.Errorf("--seal-key-file: %w", err)
	}
	sealer, err := certs.NewSealer(key)
	if err != nil {
		return nil, err
	}
	store, err := storage.Open(ctx, storage.Config{DSN: o.Database, Sealer: sealer, MaxConns: o.MaxConns, Logger: o.logger()})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return store, nil
}

// Missing is what still stands between this server and the first phone.
func (a *App) Missing(ctx context.Context) []admin.Finding {
	var out []admin.Finding
	for _, f := range a.Examine(ctx) {
		if f.Level == admin.LevelFail {
			out = append(out, f)
		}
	}
	return out
}

// Examine implements admin.Examiner.
func (a *App) Examine(ctx context.Context) []admin.Finding {
	return Examine(ctx, a.opts, a.store, a.now())
}

// Examine looks at a deployment the way a careful colleague would. It is quick:
// what takes long, or calls somebody, is not looked at.
func Examine(ctx context.Context, o Options, store *storage.Store, now time.Time) []admin.Finding {
	var fs findings
	examineURL(o, &fs)
	examineTLS(o, now, &fs)
	if err := store.Ping(ctx); err != nil {
		fs.add(admin.Finding{Level: admin.LevelFail, Code: "database_unreachable", Text: "The database does not answer.", Fix: "Start the database, or correct --database."})
		return fs
	}
	fs.ok("The database answers.")
	examineCA(ctx, o, store, now, &fs)
	examinePush(ctx, apns.NewCertificates(store, func() time.Time { return now }), &fs)
	examineDEP(ctx, store, now, &fs)
	examineAMAPI(ctx, store, now, &fs)
	examineZeroTouch(ctx, store, now, &fs)
	examineOutboxes(ctx, store, now, &fs)
	examineRestriction(ctx, store, &fs)
	if o.SigningCert == "" {
		fs.add(admin.Finding{Level: admin.LevelWarn, Code: "profiles_unsigned", Text: "Profiles go unsigned; phones show them as not verified.",
			Fix: "Give --signing-cert and --signing-key, such as those of the TLS certificate."})
	}
	return fs
}

func examineRestriction(ctx context.Context, store *storage.Store, fs *findings) {
	s, err := store.Settings(ctx)
	if err != nil {
		return // of the same database the caller learns it
	}
	f := admin.Finding{Level: admin.LevelWarn, Link: admin.Prefix + "/settings/enrollment-restrictions/forecast", Since: s.UpdatedAt,
		Fix: "When the roll is complete: PUT /api/v1/settings/enrollment-restrictions with enforce."}
	switch s.PreEnrolledDevicesOnly {
	case enroll.ModeEnforce:
		fs.ok("Pre-enrolled Devices Only is on: strangers are refused.")
		return
	case enroll.ModeAudit:
		f.Code, f.Text = "restriction_audit", "Pre-enrolled Devices Only is audit: devices that are not on the roll enroll, and are recorded."
	default:
		f.Code, f.Text = "restriction_off", "Pre-enrolled Devices Only is off: devices that are not on the roll may enroll."
	}
	fs.add(f)
}

func examineURL(o Options, fs *findings) {
	f := admin.Finding{Level: admin.LevelFail, Code: "public_url_missing", Text: "No public URL is set; only this machine can reach the server.",
		Fix: "Set --public-url (ROLLCALL_PUBLIC_URL) to the https URL under which phones reach this server."}
	u, err := url.Parse(o.PublicURL)
	if err != nil || o.PublicURL == "" {
		fs.add(f)
		return
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	switch {
	case host == "localhost" || ip != nil && ip.IsLoopback():
		f.Code, f.Text, f.Fix = "public_url_local", fmt.Sprintf("The public URL %s is reached from this machine only.", o.PublicURL), "Set --public-url to a name that phones can resolve."
	case u.Scheme != "https":
		f.Code, f.Text, f.Fix = "public_url_not_https", fmt.Sprintf("The public URL %s is not https; devices refuse to be managed over anything else.", o.PublicURL), "Set --public-url to an https URL."
	default:
		fs.ok("The public URL is %s.", o.PublicURL)
		return
	}
	fs.add(f)
}

func examineTLS(o Options, now time.Time, fs *findings) {
	switch o.TLS {
	case TLSOwn:
		fs.add(admin.Finding{Level: admin.LevelWarn, Code: "server_certificate_own", Text: "The server certificate comes from the server's own CA; people have to install its trust profile (/enroll/trust) first.",
			Fix: "For real use set --tls=acme or --tls=files, or put a proxy in front with --tls=off."})
	case TLSFiles:
		cert, err := readCertificate(o.TLSCert)
		examineEnd(certificateEnd{what: "server certificate", code: "server_certificate", dead: "devices refuse to connect",
			unreadable: "Give a PEM certificate chain that this process can read.", renew: "Renew it and restart the server."}, cert, err, now, fs)
	case TLSOff:
		fs.ok("A proxy in front ends TLS.")
		if o.ClientHeader == "" {
			fs.ok("Devices identify themselves by Mdm-Signature, which passes every proxy.")
		}
	case TLSACME:
		fs.ok("The server certificate comes from an ACME authority.")
	}
}

// examineCA looks at the authority that issues the identities of devices. A
// server that was never started has none.
func examineCA(ctx context.Context, o Options, store *storage.Store, now time.Time, fs *findings) {
	cert, err := deviceAuthority(ctx, o, store)
	if isNotFound(err) {
		return
	}
	examineEnd(certificateEnd{what: "certificate of the device CA", code: "ca", dead: "no device can enroll or renew its identity",
		unreadable: "Is --seal-key-file the file the database was made with, and --ca-cert a PEM certificate?", renew: "Begin the change to a new one (docs/operations.md); devices need time to renew."}, cert, err, now, fs)
}

// deviceAuthority is the certificate of the CA; enroll.KindNotFound where none
// was made yet.
func deviceAuthority(ctx context.Context, o Options, store *storage.Store) (*x509.Certificate, error) {
	if o.CACert != "" {
		return readCertificate(o.CACert)
	}
	value, err := store.Secret(ctx, caSecret)
	if err != nil {
		return nil, err
	}
	var stored storedCA
	if err := json.Unmarshal(value, &stored); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(stored.Certificate)
}

// certificateEnd words what is found of the end of a certificate.
type certificateEnd struct {
	what, code        string
	dead              string // what happens once it has ended
	unreadable, renew string
}

func examineEnd(c certificateEnd, cert *x509.Certificate, err error, now time.Time, fs *findings) {
	if err != nil {
		fs.add(admin.Finding{Level: admin.LevelFail, Code: c.code + "_unreadable", Text: fmt.Sprintf("The %s cannot be read.", c.what), Fix: c.unreadable})
		return
	}
	left := cert.NotAfter.Sub(now)
	switch days := int(left.Hours() / 24); {
	case left <= 0:
		fs.add(admin.Finding{Level: admin.LevelFail, Code: c.code + "_expired", Text: fmt.Sprintf("The %s has expired; %s.", c.what, c.dead), Fix: c.renew, Since: cert.NotAfter})
	case left < warnBefore:
		fs.add(admin.Finding{Level: admin.LevelWarn, Code: c.code + "_expiring", Text: fmt.Sprintf("The %s ends in %d days.", c.what, days), Fix: c.renew})
	default:
		fs.ok("The %s is good for %d days.", c.what, days)
	}
}

func examinePush(ctx context.Context, c *apns.Certificates, fs *findings) {
	f := admin.Finding{Level: admin.LevelFail, Link: admin.Prefix + "/push-certificate", Fix: "Renew it at identity.apple.com/pushcert with the same Apple Account."}
	info, err := c.Info(ctx)
	switch {
	case err != nil:
		f.Code, f.Text, f.Fix = "push_certificate_unreadable", "The push certificate cannot be read.", "Look at the log; is --seal-key-file the file the database was made with?"
	case !info.Installed:
		f.Code, f.Text = "push_certificate_missing", "There is no MDM push certificate; without one no Apple device can enroll."
		f.Fix = "POST /api/v1/push-certificate/csr, have it signed (docs/operations.md), PUT /api/v1/push-certificate."
	case info.DaysLeft <= 0:
		f.Code, f.Text, f.Since = "push_certificate_expired", "The push certificate has expired; no device can be woken.", info.NotAfter
	case info.DaysLeft <= 30:
		f.Level, f.Code, f.Text = admin.LevelWarn, "push_certificate_expiring", fmt.Sprintf("The push certificate ends in %d days.", info.DaysLeft)
	default:
		fs.ok("The push certificate is good for %d days (topic %s).", info.DaysLeft, info.Topic)
		return
	}
	fs.add(f)
}
