package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"rollcall/admin"
	"rollcall/admin/webhook"
	"rollcall/android/amapi"
	"rollcall/enroll"
)

// Describe implements admin.Describer.
func (a *App) Describe(ctx context.Context) (admin.ServerView, error) {
	settings, err := a.restrictions.Settings(ctx)
	if err != nil {
		return admin.ServerView{}, err
	}
	o := a.opts
	v := admin.ServerView{Version: cmp.Or(o.Version, "dev"), Database: a.store.Engine(), PublicURL: a.publicURL, Organization: o.Organization, StartedAt: a.startedAt.UTC(),
		Messages: admin.ServerMessagesView{Language: o.Language, ReminderDays: o.ReminderDays}, Retention: retention(settings.DecisionDays, o.EventDays)}
	if v.Mail, err = o.describeMail(); err != nil {
		return v, err
	}
	if u, err := url.Parse(o.SMSURL); err == nil && o.SMSURL != "" {
		v.SMS = admin.ServerSMSView{Configured: true, Gateway: u.Host} // its path may hold a key
	}
	v.Certificates, err = a.describeCertificates(ctx)
	return v, err
}

func (o *Options) describeMail() (admin.ServerMailView, error) {
	server, err := o.smtp()
	if server == nil {
		return admin.ServerMailView{}, err
	}
	u, err := url.Parse(o.SMTPURL)
	if err != nil {
		return admin.ServerMailView{}, err
	}
	security := map[string]string{"smtp": "starttls", "smtps": "tls"}[u.Scheme]
	return admin.ServerMailView{Configured: true, Server: server.Addr(), Security: security, SignsIn: u.User != nil, From: o.MailFrom, ReplyTo: o.MailReplyTo}, nil
}

// describeCertificates tells of the certificates that the server works with,
// which are those that it read when it was started.
func (a *App) describeCertificates(ctx context.Context) ([]admin.ServerCertificateView, error) {
	authority := admin.ServerCertificateView{Use: admin.CertificateAuthority, Source: admin.CertificateOwn}
	if a.opts.CACert != "" {
		authority.Source = admin.CertificateFiles
	}
	a.fillIn(&authority, a.ca.Certificate())

	server := admin.ServerCertificateView{Use: admin.CertificateTLS}
	switch a.opts.TLS {
	case TLSOff:
		server.Source = admin.CertificateProxy
	case TLSFiles:
		server.Source = admin.CertificateFiles
		if err := a.fillInTLS(&server, &a.tls.Certificates[0]); err != nil {
			return nil, err
		}
	case TLSACME:
		server.Source = admin.CertificateACME
		if cert := a.opts.acmeCertificate(ctx, a.publicURL); cert != nil {
			a.fillIn(&server, cert)
		}
	default:
		server.Source = admin.CertificateOwn
		pair, err := a.tls.GetCertificate(nil)
		if err != nil {
			return nil, err
		}
		if err := a.fillInTLS(&server, pair); err != nil {
			return nil, err
		}
	}

	profiles := admin.ServerCertificateView{Use: admin.CertificateProfiles, Source: admin.CertificateNone}
	if a.signing != nil {
		profiles.Source = admin.CertificateFiles
		a.fillIn(&profiles, a.signing.Certificate)
	}
	return []admin.ServerCertificateView{authority, server, profiles}, nil
}

func (a *App) fillInTLS(v *admin.ServerCertificateView, pair *tls.Certificate) error {
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err == nil {
		a.fillIn(v, cert)
	}
	return err
}

func (a *App) fillIn(v *admin.ServerCertificateView, cert *x509.Certificate) {
	v.Subject, v.Issuer, v.Names = cert.Subject.String(), cert.Issuer.String(), cert.DNSNames
	for _, ip := range cert.IPAddresses {
		v.Names = append(v.Names, ip.String())
	}
	sum := sha256.Sum256(cert.Raw)
	v.NotBefore, v.NotAfter, v.SHA256 = cert.NotBefore.UTC(), cert.NotAfter.UTC(), hex.EncodeToString(sum[:])
	v.DaysLeft = wholeDays(cert.NotAfter.Sub(a.now()))
	v.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// wholeDays rounds down, so that what ended an hour ago has -1 days left.
func wholeDays(left time.Duration) int {
	days := int(left / (24 * time.Hour))
	if left < 0 {
		days--
	}
	return days
}

// acmeCertificate is the certificate that was got from the ACME authority; nil
// where there is none yet. It asks for none: that is for the first phone to do.
func (o *Options) acmeCertificate(ctx context.Context, publicURL string) *x509.Certificate {
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil
	}
	rest, err := autocert.DirCache(o.acmeFolder()).Get(ctx, u.Hostname())
	if err != nil {
		return nil
	}
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" { // its key stands first
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		return cert
	}
	return nil
}

// retention is how long what is kept, as the workers do it.
func retention(decisionDays, eventDays int) []admin.RetentionView {
	days := func(d time.Duration) int { return int(d / (24 * time.Hour)) }
	eventDays = cmp.Or(eventDays, days(webhook.Retention))
	return []admin.RetentionView{
		{What: admin.RetainedDecisions, Days: decisionDays, Setting: "decision_days"},
		{What: admin.RetainedEvents, Days: eventDays, Setting: "--event-days"},
		{What: admin.RetainedDeliveries, Days: eventDays, Setting: "--event-days"},
		{What: admin.RetainedImports, Days: days(enroll.ImportRetention)},
		{What: admin.RetainedNotifications, Days: days(amapi.MessageRetention)},
		{What: admin.RetainedSignIns, Days: days(signInsKept)},
		{What: admin.RetainedChallenges, Days: days(challengesKept)},
		{What: admin.RetainedSessions, Days: days(admin.SessionLife)},
		{What: admin.RetainedAnswers, Days: days(admin.AnswerRetention)},
		{What: admin.RetainedAudit},
		{What: admin.RetainedDevices},
	}
}
