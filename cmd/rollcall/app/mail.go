package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/admin"
	"rollcall/admin/mail"
	"rollcall/enroll"
)

// smtp is the mail server of a configuration; nil: none.
func (o *Options) smtp() (*mail.SMTP, error) {
	if o.SMTPURL == "" {
		return nil, nil
	}
	password, err := secretOf(o.SMTPPassword, o.SMTPPasswordFile, "smtp-password")
	if err != nil {
		return nil, err
	}
	var roots *x509.CertPool
	if o.SMTPRoots != "" {
		pem, err := os.ReadFile(o.SMTPRoots)
		if err != nil {
			return nil, fmt.Errorf("--smtp-roots: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--smtp-roots: %s holds no PEM certificate", o.SMTPRoots)
		}
	}
	if o.MailFrom == "" {
		return nil, errors.New("--smtp-url needs --mail-from: the sender of the messages")
	}
	s, err := mail.NewSMTP(mail.SMTPConfig{URL: o.SMTPURL, Password: password, RootCAs: roots, From: o.MailFrom, ReplyTo: o.MailReplyTo})
	if err != nil {
		return nil, fmt.Errorf("--smtp-url: %w", err)
	}
	return s, nil
}

// sms is the SMS gateway of a configuration; nil: none.
func (o *Options) sms() (*mail.SMS, error) {
	if o.SMSURL == "" {
		return nil, nil
	}
	secret, err := secretOf(o.SMSSecret, o.SMSSecretFile, "sms-secret")
	if err != nil {
		return nil, err
	}
	s, err := mail.NewSMS(mail.SMSConfig{URL: o.SMSURL, Secret: secret, Now: o.Now})
	if err != nil {
		return nil, fmt.Errorf("--sms-url: %w", err)
	}
	return s, nil
}

// secretOf is a secret that is given by itself or in a file.
func secretOf(value, file, flag string) (string, error) {
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", fmt.Errorf("--%s and --%s-file are both set; keep one", flag, flag)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", flag, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// checkMail says what cannot work of the settings for messages.
func (o *Options) checkMail(add func(format string, args ...any)) {
	if _, err := o.smtp(); err != nil {
		add("%v", err)
	}
	if _, err := o.sms(); err != nil {
		add("%v", err)
	}
	if o.ReminderDays < 0 || o.ReminderDays >= int(enroll.RequestLifetime/(24*time.Hour)) {
		add("--reminder-days=%d is not possible; an enrollment request lives for %d days, and 0 is for no reminder", o.ReminderDays, int(enroll.RequestLifetime/(24*time.Hour)))
	}
}

// newSender makes the worker that sends the messages of enrollment requests.
func (a *App) newSender() (*mail.Sender, error) {
	server, err := a.opts.smtp()
	if err != nil {
		return nil, err
	}
	gateway, err := a.opts.sms()
	if err != nil {
		return nil, err
	}
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_messages_total",
		Help: "Attempts to send a message of an enrollment request, by channel, outcome and cause."}, []string{"channel", "outcome", "cause"})
	a.metrics.registry.MustRegister(counter)
	return mail.New(mail.Options{Outbox: a.store, Organization: a.opts.Organization, Language: a.opts.Language, SMTP: server, SMS: gateway,
		Link: func(secret string) string { return admin.RequestLink(a.publicURL, secret) }, Now: a.now, Logger: a.log,
		Observe: func(via enroll.Via, outcome enroll.MessageOutcome, cause string) {
			counter.WithLabelValues(string(via), string(outcome), cause).Inc()
		}})
}

// remind queues the reminders that have become due.
func (a *App) remind(ctx context.Context) {
	n, err := a.requests.Remind(ctx, time.Duration(a.opts.ReminderDays)*24*time.Hour)
	if err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "reminders not queued", "error", err)
	}
	if n > 0 {
		a.log.InfoContext(ctx, "reminders queued", "count", n)
		a.sender.Kick()
	}
}

// ExamineMail looks at the ways to send messages, and connects to the mail
// server.
func ExamineMail(ctx context.Context, o Options) []admin.Finding {
	f := admin.Finding{Level: admin.LevelWarn}
	server, err := o.smtp()
	switch {
	case err != nil:
		f.Code, f.Text, f.Fix = "mail_settings", err.Error(), "Correct it; until then requests can be sent as links."
	case server == nil:
		f.Code, f.Text, f.Fix = "mail_missing", "There is no mail server; enrollment requests can be sent as links only.", "Set --smtp-url and --mail-from."
	default:
		if err := server.Check(ctx); err != nil {
			f.Code, f.Text = "mail_unusable", fmt.Sprintf("The mail server %s cannot be used: %v.", server.Addr(), err)
			f.Fix = "Correct --smtp-url and the password, or ask the mail server's people. Messages wait for a day."
			break
		}
		f = admin.Finding{Level: admin.LevelOK, Text: fmt.Sprintf("The mail server %s takes us.", server.Addr())}
	}
	return []admin.Finding{f}
}
