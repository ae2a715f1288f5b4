package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Describer tells how the server is set up.
type Describer interface {
	// Describe asks nobody but the database, and tells no secrets.
	Describe(ctx context.Context) (ServerView, error)
}

// ServerView is how the server is set up.
type ServerView struct {
	Version      string                  `json:"version"`
	Database     string                  `json:"database" enum:"sqlite,postgres"`
	PublicURL    string                  `json:"public_url" doc:"Where phones find this server."`
	Organization string                  `json:"organization" doc:"As phones show it."`
	StartedAt    time.Time               `json:"started_at" doc:"When the replica that answers was started."`
	Mail         ServerMailView          `json:"mail"`
	SMS          ServerSMSView           `json:"sms"`
	Messages     ServerMessagesView      `json:"messages"`
	Certificates []ServerCertificateView `json:"certificates" doc:"All but the push certificate, which has an operation of its own."`
	Retention    []RetentionView         `json:"retention"`
}

// ServerMailView is the mail server that requests are sent by.
type ServerMailView struct {
	Configured bool   `json:"configured"`
	Server     string `json:"server,omitempty" doc:"Host and port."`
	Security   string `json:"security,omitempty" enum:"starttls,tls"`
	SignsIn    bool   `json:"signs_in" doc:"With a user and a password."`
	From       string `json:"from,omitempty"`
	ReplyTo    string `json:"reply_to,omitempty" doc:"Absent: the sender."`
}

// ServerSMSView is the gateway that text messages are sent by.
type ServerSMSView struct {
	Configured bool   `json:"configured"`
	Gateway    string `json:"gateway,omitempty" doc:"Host of its hook."`
}

// ServerMessagesView is what all messages have in common.
type ServerMessagesView struct {
	Language     string `json:"language" doc:"For users whose language is not known."`
	ReminderDays int    `json:"reminder_days" doc:"How many days before its end a request that was not accepted is sent again, once; 0: never."`
}

// CertificateUse is what a certificate of the server is for.
type CertificateUse string

// The uses.
const (
	CertificateAuthority CertificateUse = "authority" // issues the identities of devices
	CertificateTLS       CertificateUse = "tls"
	CertificateProfiles  CertificateUse = "profiles" // signs configuration profiles
)

// CertificateSource is where a certificate comes from.
type CertificateSource string

// The sources.
const (
	CertificateOwn   CertificateSource = "own"   // made by the server
	CertificateFiles CertificateSource = "files" // given in files
	CertificateACME  CertificateSource = "acme"  // of an ACME authority, renewed by itself
	CertificateProxy CertificateSource = "proxy" // a proxy in front has it
	CertificateNone  CertificateSource = "none"  // profiles go unsigned
)

// ServerCertificateView is a certificate of the server, as far as it is known.
type ServerCertificateView struct {
	Use       CertificateUse    `json:"use" enum:"authority,tls,profiles" doc:"authority issues the identities of devices, tls is what phones connect to, profiles signs configuration profiles."`
	Source    CertificateSource `json:"source" enum:"own,files,acme,proxy,none" doc:"own: made by the server; proxy: what is in front ends TLS; none: profiles go unsigned."`
	Subject   string            `json:"subject,omitempty" doc:"Absent, with what follows: the server does not have it, or not yet."`
	Issuer    string            `json:"issuer,omitempty"`
	Names     []string          `json:"names,omitempty" doc:"Host names and addresses it is for."`
	NotBefore time.Time         `json:"not_before,omitzero"`
	NotAfter  time.Time         `json:"not_after,omitzero"`
	DaysLeft  int               `json:"days_left,omitempty" doc:"Negative when it has expired."`
	SHA256    string            `json:"sha256,omitempty" doc:"Fingerprint, in hex."`
	PEM       string            `json:"certificate_pem,omitempty" doc:"The certificate itself. It is public."`
}

// Retained is a kind of records that are kept for a time.
type Retained string

// The kinds, in the order in which they are shown.
const (
	RetainedDecisions     Retained = "decisions"
	RetainedEvents        Retained = "events"
	RetainedDeliveries    Retained = "webhook_deliveries"
	RetainedImports       Retained = "imports"
	RetainedNotifications Retained = "google_notifications"
	RetainedSignIns       Retained = "sign_ins"
	RetainedChallenges    Retained = "challenges"
	RetainedSessions      Retained = "console_sessions"
	RetainedAnswers       Retained = "api_answers"
	RetainedAudit         Retained = "audit_log"
	RetainedDevices       Retained = "devices"
)

// RetentionView is how long one kind of records is kept.
type RetentionView struct {
	What    Retained `json:"what" enum:"decisions,events,webhook_deliveries,imports,google_notifications,sign_ins,challenges,console_sessions,api_answers,audit_log,devices" doc:"devices: rows of the roll with their timeline, requests, commands and receipts."`
	Days    int      `json:"days" doc:"0: until somebody deletes it; of the audit log, nobody can."`
	Setting string   `json:"setting,omitempty" doc:"What changes it: an option of the server, or a field of the enrollment restrictions. Absent: it is fixed." example:"--event-days"`
}

func (r routes) server() {
	a := r.a
	add(r, RoleViewer, huma.Operation{OperationID: "get-server", Method: http.MethodGet, Path: "/server", Tags: []string{"Settings"},
		Summary: "Read how the server is set up", Description: "Version, database, ways to send messages, certificates with their ends, and how long what is kept. There are no secrets in it."},
		func(ctx context.Context, _ *struct{}) (*body[ServerView], error) {
			v, err := a.Server.Describe(ctx)
			return &body[ServerView]{v}, err
		})
}
