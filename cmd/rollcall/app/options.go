package app

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// TLS modes of the server.
const (
	TLSOwn   = "own"   // a server certificate from the server's own CA, for trials
	TLSFiles = "files" // certificate and key from files
	TLSACME  = "acme"  // from an ACME authority, for a public host name
	TLSOff   = "off"   // plain HTTP behind a proxy that ends TLS
)

// Options is the configuration of a server. The tags are those of the command
// line; every flag has an environment twin ROLLCALL_... and a key in the
// configuration file.
type Options struct {
	Listen        string `help:"Address for devices, people and the admin API." default:":8443" env:"ROLLCALL_LISTEN"`
	MetricsListen string `help:"Address for /healthz, /readyz and /metrics; empty: none." default:"127.0.0.1:9090" env:"ROLLCALL_METRICS_LISTEN"`
	PublicURL     string `help:"URL under which devices reach this server, such as https://mdm.example.com. Default: https://localhost with the port of --listen." env:"ROLLCALL_PUBLIC_URL"`
	Organization  string `help:"Name of the organisation, shown on devices." default:"Rollcall" env:"ROLLCALL_ORGANIZATION"`

	AwaitTimeout time.Duration `help:"How long a device waits in Setup Assistant for its policies before it is released whatever is open." default:"10m" env:"ROLLCALL_AWAIT_TIMEOUT"`

	DataDir      string `help:"Folder for the embedded database and the sealing key." default:"data" env:"ROLLCALL_DATA_DIR"`
	Database     string `help:"Database: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME. Default: sqlite in the data folder." env:"ROLLCALL_DATABASE"`
	DatabaseFile string `help:"File that holds the value of --database." env:"ROLLCALL_DATABASE_FILE"`
	SealKeyFile  string `help:"File with the key that seals secrets in the database; made if missing. Default: seal.key in the data folder. All replicas need the same." env:"ROLLCALL_SEAL_KEY_FILE"`
	MaxConns     int    `help:"Database connections at most (PostgreSQL)." default:"16" env:"ROLLCALL_MAX_CONNS"`

	TLS      string `help:"Where the server certificate comes from: own, files, acme or off." enum:"own,files,acme,off" default:"own" env:"ROLLCALL_TLS"`
	TLSCert  string `help:"Server certificate chain in PEM (--tls=files)." env:"ROLLCALL_TLS_CERT"`
	TLSKey   string `help:"Key of the server certificate in PEM (--tls=files)." env:"ROLLCALL_TLS_KEY"`
	ACMEMail string `help:"Contact for the ACME authority (--tls=acme)." env:"ROLLCALL_ACME_MAIL"`
	ACMEURL  string `help:"Directory of the ACME authority; default: Let's Encrypt." env:"ROLLCALL_ACME_URL"`

	CACert string `help:"Certificate of a CA to bring, in PEM; default: one made at first start." name:"ca-cert" env:"ROLLCALL_CA_CERT"`
	CAKey  string `help:"Key of the CA to bring, in PEM." name:"ca-key" env:"ROLLCALL_CA_KEY"`

	SigningCert string `help:"Certificate chain in PEM that configuration profiles are signed with; default: unsigned." env:"ROLLCALL_SIGNING_CERT"`
	SigningKey  string `help:"Key of the signing certificate in PEM." env:"ROLLCALL_SIGNING_KEY"`

	SMTPURL          string `help:"Mail server: smtp://[USER@]HOST[:PORT] (STARTTLS, port 587) or smtps://[USER@]HOST[:PORT] (TLS, port 465). Default: none; requests are sent as links." name:"smtp-url" env:"ROLLCALL_SMTP_URL"`
	SMTPPassword     string `help:"Password of the mail server's user." name:"smtp-password" env:"ROLLCALL_SMTP_PASSWORD"`
	SMTPPasswordFile string `help:"File that holds the value of --smtp-password." name:"smtp-password-file" env:"ROLLCALL_SMTP_PASSWORD_FILE"`
	SMTPRoots        string `help:"Certificates in PEM that the mail server is trusted by; default: the system's." name:"smtp-roots" env:"ROLLCALL_SMTP_ROOTS"`
	MailFrom         string `help:"Sender of messages, such as \"Example IT <mdm@example.com>\"." env:"ROLLCALL_MAIL_FROM"`
	MailReplyTo      string `help:"Where answers to messages go; default: the sender." env:"ROLLCALL_MAIL_REPLY_TO"`
	SMSURL           string `help:"SMS gateway's hook (docs/requests.md); default: none." name:"sms-url" env:"ROLLCALL_SMS_URL"`
	SMSSecret        string `help:"Key that signs calls of the SMS gateway." name:"sms-secret" env:"ROLLCALL_SMS_SECRET"`
	SMSSecretFile    string `help:"File that holds the value of --sms-secret." name:"sms-secret-file" env:"ROLLCALL_SMS_SECRET_FILE"`
	Language         string `help:"Language of messages to users whose language is not known." enum:"en,de" default:"en" env:"ROLLCALL_LANGUAGE"`
	ReminderDays     int    `help:"How many days before its end a request that was not accepted is sent again, once; 0: never." default:"5" env:"ROLLCALL_REMINDER_DAYS"`

	SignInOptions
	ConsoleOptions

	OneURL       bool     `help:"Give devices one URL for check-in and connect." env:"ROLLCALL_ONE_URL"`
	ClientHeader string   `help:"Header in which a proxy passes the TLS client certificate (RFC 9440 or escaped PEM)." env:"ROLLCALL_CLIENT_HEADER"`
	Proxies      []string `help:"Networks of the proxies whose headers are believed (--client-header, X-Forwarded-For), such as 10.0.0.0/8." env:"ROLLCALL_PROXIES"`

	APNSHost  string   `help:"Push service to use instead of Apple's, for trials with simulated devices." env:"ROLLCALL_APNS_HOST"`
	APNSRoots string   `help:"Certificates in PEM that --apns-host is trusted by; default: the system's." env:"ROLLCALL_APNS_ROOTS"`
	DeviceCAs []string `help:"Certificates in PEM of device CAs to trust beside Apple's, for trials with simulated devices." name:"device-ca" env:"ROLLCALL_DEVICE_CA"`

	DEPOptions `embed:""`

	AndroidOptions   `embed:""`
	AMAPIOptions     `embed:""`
	ZeroTouchOptions `embed:""`

	AllowPrivateWebhooks bool    `help:"Let webhooks lead to addresses that are not public, and to this machine by http." env:"ROLLCALL_ALLOW_PRIVATE_WEBHOOKS"`
	EventDays            int     `help:"Days that events are kept." default:"30" env:"ROLLCALL_EVENT_DAYS"`
	APIRate              float64 `help:"Requests to the admin API per second and token, in the long run; 0: no limit." default:"100" env:"ROLLCALL_API_RATE"`
	APIBurst             int     `help:"Requests to the admin API at once per token." default:"200" env:"ROLLCALL_API_BURST"`

	StrangerRate  float64 `help:"Requests to the device endpoints per second and remote address, in the long run, of who is not enrolled; 0: no limit." default:"100" env:"ROLLCALL_STRANGER_RATE"`
	StrangerBurst int     `help:"Such requests at once; an enrollment takes about 15, and a school enrolls from one address." default:"10000" env:"ROLLCALL_STRANGER_BURST"`

	LogLevel  string `help:"Least level that is logged." enum:"debug,info,warn,error" default:"info" env:"ROLLCALL_LOG_LEVEL"`
	LogFormat string `help:"Format of the log." enum:"text,json" default:"text" env:"ROLLCALL_LOG_FORMAT"`

	// What only programs set.
	Version       string            `kong:"-"` // of the program
	LogOutput     io.Writer         `kong:"-"`
	OIDCTransport http.RoundTripper `kong:"-"` // to the OpenID provider
	Now           func() time.Time  `kong:"-"`
}

// Check fills in defaults and says everything that cannot work, each with what
// to do.
func (o *Options) Check() error {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if o.DatabaseFile != "" {
		if o.Database != "" {
			add("--database and --database-file are both set; keep one")
		}
		b, err := os.ReadFile(o.DatabaseFile)
		if err != nil {
			add("--database-file: %v", err)
		}
		o.Database = strings.TrimSpace(string(b))
	}
	if o.Database == "" {
		o.Database = "sqlite:" + filepath.Join(o.DataDir, "rollcall.db")
	}
	if o.SealKeyFile == "" {
		o.SealKeyFile = filepath.Join(o.DataDir, "seal.key")
	}
	if o.PublicURL != "" {
		u, err := url.Parse(o.PublicURL)
		switch {
		case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			add("--public-url %q is not a URL such as https://mdm.example.com", o.PublicURL)
		case u.Scheme != "https":
			add("--public-url %q is not https; devices refuse to be managed over anything else", o.PublicURL)
		}
		o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	}
	pair := func(a, b, nameA, nameB string) {
		if (a == "") != (b == "") {
			add("%s and %s belong together; one of them is missing", nameA, nameB)
		}
	}
	pair(o.TLSCert, o.TLSKey, "--tls-cert", "--tls-key")
	pair(o.CACert, o.CAKey, "--ca-cert", "--ca-key")
	pair(o.SigningCert, o.SigningKey, "--signing-cert", "--signing-key")
	switch o.TLS {
	case TLSFiles:
		if o.TLSCert == "" {
			add("--tls=files needs --tls-cert and --tls-key")
		}
	case TLSACME:
		if o.PublicURL == "" {
			add("--tls=acme needs --public-url with the host name to get a certificate for")
		}
	case TLSOff:
		if o.PublicURL == "" {
			add("--tls=off needs --public-url: the https URL of the proxy in front")
		}
	case TLSOwn:
	default:
		add("--tls=%s does not exist; use own, files, acme or off", o.TLS)
	}
	if o.ClientHeader != "" && len(o.Proxies) == 0 {
		add("--client-header needs --proxies: the header is believed from those networks only")
	}
	o.checkMail(add)
	o.SignInOptions.check(add)
	o.ConsoleOptions.check(add)
	if o.EventDays < 0 || o.EventDays == 1 { // webhooks are tried for a day
		add("--event-days is %d; at least 2 are needed", o.EventDays)
	}
	if _, err := o.proxies(); err != nil {
		add("--proxies: %v", err)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the configuration cannot work:\n  - %s", strings.Join(wrong, "\n  - "))
	}
	return nil
}

func (o *Options) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range o.Proxies {
		if addr, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network such as 10.0.0.0/8", s)
		}
		out = append(out, p)
	}
	return out, nil
}

func (o *Options) logger() *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(o.LogLevel)) // an unknown level is info
	out := o.LogOutput
	if out == nil {
		out = os.Stderr
	}
	ho := &slog.HandlerOptions{Level: level}
	if o.LogFormat == "json" {
		return slog.New(contextHandler{slog.NewJSONHandler(out, ho)})
	}
	return slog.New(contextHandler{slog.NewTextHandler(out, ho)})
}
