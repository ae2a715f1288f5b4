package app

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/mdm/apns"
	"rollcall/storage"
)

// Level is how bad a finding is.
type Level string

// The levels: fine, worth knowing, and in the way of enrollment.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level
	What  string
	Fix   string // what to do; empty when fine
}

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
func (a *App) Missing(ctx context.Context) []Finding {
	var out []Finding
	for _, f := range Examine(ctx, a.opts, a.store, a.now()) {
		if f.Level == Fail {
			out = append(out, f)
		}
	}
	return out
}

// Examine looks at a deployment the way a careful colleague would.
func Examine(ctx context.Context, o Options, store *storage.Store, now time.Time) []Finding {
	var out []Finding
	add := func(l Level, fix, format string, args ...any) {
		if l == OK {
			fix = ""
		}
		out = append(out, Finding{l, fmt.Sprintf(format, args...), fix})
	}
	examineURL(o, add)
	examineTLS(o, now, add)
	if err := store.Ping(ctx); err != nil {
		add(Fail, "Start the database, or correct --database.", "The database does not answer.")
		return out
	}
	add(OK, "", "The database answers.")
	examinePush(ctx, apns.NewCertificates(store, func() time.Time { return now }), add)
	examineDEP(ctx, store, now, add)
	examineAMAPI(ctx, store, now, add)
	if s, err := store.Settings(ctx); err == nil {
		switch s.PreEnrolledDevicesOnly {
		case enroll.ModeEnforce:
			add(OK, "", "Pre-enrolled Devices Only is on: strangers are refused.")
		default:
			add(Warn, "When the roll is complete: PUT /api/v1/settings/enrollment-restrictions with enforce.",
				"Pre-enrolled Devices Only is %s: devices that are not on the roll may enroll.", s.PreEnrolledDevicesOnly)
		}
	}
	if o.SigningCert == "" {
		add(Warn, "Give --signing-cert and --signing-key, such as those of the TLS certificate.", "Profiles go unsigned; phones show them as not verified.")
	}
	return out
}

type adder func(l Level, fix, format string, args ...any)

func examineURL(o Options, add adder) {
	u, err := url.Parse(o.PublicURL)
	if err != nil || o.PublicURL == "" {
		add(Fail, "Set --public-url (ROLLCALL_PUBLIC_URL) to the https URL under which phones reach this server.", "No public URL is set; only this machine can reach the server.")
		return
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		add(Fail, "Set --public-url to a name that phones can resolve.", "The public URL %s is reached from this machine only.", o.PublicURL)
		return
	}
	add(OK, "", "The public URL is %s.", o.PublicURL)
}

func examineTLS(o Options, now time.Time, add adder) {
	switch o.TLS {
	case TLSOwn:
		add(Warn, "For real use set --tls=acme or --tls=files, or put a proxy in front with --tls=off.",
			"The server certificate comes from the server's own CA; people have to install its trust profile (/enroll/trust) first.")
	case TLSFiles:
		left, err := certificateLeft(o.TLSCert, now)
		switch {
		case err != nil:
			add(Fail, "Give a PEM certificate chain that this process can read.", "The server certificate cannot be read: %v.", err)
		case left <= 0:
			add(Fail, "Renew it; devices refuse to connect.", "The server certificate has expired.")
		case left < warnBefore:
			add(Warn, "Renew it in time.", "The server certificate ends in %d days.", int(left.Hours()/24))
		default:
			add(OK, "", "The server certificate is good for %d days.", int(left.Hours()/24))
		}
	case TLSOff:
		add(OK, "", "A proxy in front ends TLS.")
		if o.ClientHeader == "" {
			add(OK, "", "Devices identify themselves by Mdm-Signature, which passes every proxy.")
		}
	case TLSACME:
		add(OK, "", "The server certificate comes from an ACME authority.")
	}
}

func examinePush(ctx context.Context, c *apns.Certificates, add adder) {
	info, err := c.Info(ctx)
	switch {
	case err != nil:
		add(Fail, "Look at the log; is --seal-key-file the file the database was made with?", "The push certificate cannot be read.")
	case !info.Installed:
		add(Fail, "POST /api/v1/push-certificate/csr, have it signed (docs/operations.md), PUT /api/v1/push-certificate.",
			"There is no MDM push certificate; without one no Apple device can enroll.")
	case info.DaysLeft <= 0:
		add(Fail, "Renew it at identity.apple.com/pushcert with the same Apple Account.", "The push certificate has expired; no device can be woken.")
	case info.DaysLeft <= 30:
		add(Warn, "Renew it at identity.apple.com/pushcert with the same Apple Account.", "The push certificate ends in %d days.", info.DaysLeft)
	default:
		add(OK, "", "The push certificate is good for %d days (topic %s).", info.DaysLeft, info.Topic)
	}
}
