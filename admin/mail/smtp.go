package mail

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"rollcall/enroll"
)

// SMTPConfig says which server to send through, and as whom.
type SMTPConfig struct {
	// URL is "smtp://[USER@]HOST[:PORT]" (STARTTLS, port 587) or
	// "smtps://[USER@]HOST[:PORT]" (TLS from the start, port 465). STARTTLS is
	// demanded, except of a server on this machine, where it is used if offered.
	URL      string
	Password string         // of USER
	RootCAs  *x509.CertPool // the system's
	From     string         // "Example IT <mdm@example.com>"
	ReplyTo  string         // empty: From
	Timeout  time.Duration  // 30s: to connect, and for each message
}

// SMTP is a mail server to send through.
type SMTP struct {
	host     string
	addr     string
	implicit bool
	local    bool
	user     string
	password string
	from     *mail.Address
	replyTo  *mail.Address
	timeout  time.Duration
	tls      *tls.Config
}

// NewSMTP checks a configuration. It does not connect.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("the mail server must be smtp://[USER@]HOST[:PORT] or smtps://[USER@]HOST[:PORT]") // the URL may hold a password
	}
	if _, inURL := u.User.Password(); inURL {
		return nil, errors.New("the mail server's password does not belong in its URL, which is shown and logged; give it by itself")
	}
	s := &SMTP{host: u.Hostname(), implicit: u.Scheme == "smtps", user: u.User.Username(), password: c.Password, timeout: cmp.Or(c.Timeout, 30*time.Second),
		tls: &tls.Config{ServerName: u.Hostname(), RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12}}
	if (s.user == "") != (s.password == "") {
		return nil, errors.New("the mail server's user (in its URL) and password belong together; one of them is missing")
	}
	port := map[bool]string{false: "587", true: "465"}[s.implicit]
	s.addr = net.JoinHostPort(s.host, cmp.Or(u.Port(), port))
	ip := net.ParseIP(s.host)
	s.local = s.host == "localhost" || ip != nil && ip.IsLoopback()
	if s.from, err = mail.ParseAddress(c.From); err != nil {
		return nil, fmt.Errorf("the sender %q is not an address such as \"Example IT <mdm@example.com>\"", c.From)
	}
	if c.ReplyTo != "" {
		if s.replyTo, err = mail.ParseAddress(c.ReplyTo); err != nil {
			return nil, fmt.Errorf("the reply address %q is not an address", c.ReplyTo)
		}
	}
	return s, nil
}

// Addr is host and port of the server.
func (s *SMTP) Addr() string { return s.addr }

// Check connects, starts TLS and logs in, and says what the server answered.
func (s *SMTP) Check(ctx context.Context) error {
	l, at, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("%s: %s", at, wordsOf(err))
	}
	l.close()
	return nil
}

// dialogue is a connection to the server.
type dialogue struct {
	*smtp.Client
	conn    net.Conn
	release func() bool
}

// dial connects. go-mail leaves the connection open where the greeting, TLS or
// the login fail, and knows no context after the dial, so the connection is
// made and ended here.
func (s *SMTP) dial(ctx context.Context) (*dialogue, step, error) {
	connecting, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(connecting, "tcp", s.addr)
	if err != nil {
		return nil, stepConnect, err
	}
	d := &dialogue{conn: conn, release: context.AfterFunc(ctx, func() { conn.Close() })}
	fail := func(at step, err error) (*dialogue, step, error) {
		d.end()
		return nil, at, err
	}
	dialled := conn
	policy := gomail.TLSMandatory
	switch {
	case s.implicit:
		secure := tls.Client(conn, s.tls)
		if err := secure.HandshakeContext(connecting); err != nil {
			return fail(stepTLS, err)
		}
		dialled, policy = secure, gomail.NoTLS
	case s.local:
		policy = gomail.TLSOpportunistic
	}
	options := []gomail.Option{gomail.WithTimeout(s.timeout), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(s.tls),
		gomail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return dialled, nil })}
	if s.user != "" {
		options = append(options, gomail.WithUsername(s.user), gomail.WithPassword(s.password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return fail(stepConnect, err)
	}
	d.Client, err = client.DialToSMTPClientWithContext(ctx)
	switch {
	case err == nil:
		return d, stepDone, nil
	case strings.Contains(err.Error(), "AUTH"):
		return fail(stepLogin, err)
	case isTLS(err):
		return fail(stepTLS, err)
	}
	return fail(stepGreeting, err)
}

// end drops the connection.
func (d *dialogue) end() {
	d.release()
	d.conn.Close()
}

// close says goodbye first.
func (d *dialogue) close() {
	d.Quit() // the messages are through already
	d.end()
}

// send sends one message. The words are those with which the server took it.
func (d *dialogue) send(from, to string, m *gomail.Msg, timeout time.Duration) (words string, at step, err error) {
	if err := d.UpdateDeadline(timeout); err != nil {
		return "", stepSender, err
	}
	if err := d.Mail("<" + from + ">"); err != nil {
		return "", stepSender, err
	}
	if err := d.Rcpt("<" + to + ">"); err != nil {
		return "", stepRecipient, err
	}
	w, err := d.Data()
	if err != nil {
		return "", stepContent, err
	}
	if _, err := m.WriteTo(w); err != nil {
		return "", stepContent, err
	}
	if err := w.Close(); err != nil {
		return "", stepContent, err
	}
	if closer, ok := w.(*smtp.DataCloser); ok {
		words = closer.ServerResponse()
	}
	return clip(words), stepDone, nil
}

// message makes a mail of a content.
func (s *SMTP) message(id string, to *mail.Address, c content) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	m.ToMailAddress(to)
	if s.replyTo != nil {
		m.ReplyToMailAddress(s.replyTo)
	}
	_, domain, _ := strings.Cut(s.from.Address, "@")
	m.SetMessageIDWithValue(id + "@" + domain)
	m.SetDate()
	m.Subject(c.Subject)
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(gomail.TypeTextPlain, c.Text)
	if c.HTML == "" {
		return m, nil
	}
	m.AddAlternativeString(gomail.TypeTextHTML, c.HTML)
	return m, m.EmbedReader("code.png", bytes.NewReader(c.QR), gomail.WithFileContentID("code"), gomail.WithFileContentType("image/png"))
}

// mailRun sends the letters of one batch through one connection, which it makes
// with the first letter.
type mailRun struct {
	s        *SMTP
	c        composer
	line     *dialogue // nil: none
	failures int       // connections that were not made or broke
	last     verdict   // of the last failure
}

// giveUpAfter is how many connections of a batch may fail before the rest of it
// waits: one bad message must not hold up the others, and a server that is away
// must not be asked for each.
const giveUpAfter = 2

func (r *mailRun) deliver(ctx context.Context, l enroll.Letter) verdict {
	address, err := mail.ParseAddress(l.Address)
	if err != nil || address.Name != "" {
		return verdict{outcome: enroll.MessageBounced, words: "the user's e-mail address is not one", cause: causeAddress}
	}
	text, err := r.c.compose(l)
	if err != nil {
		return internal(err)
	}
	address.Name = line(l.Name)
	m, err := r.s.message(l.ID, address, text)
	if err != nil {
		return internal(err)
	}
	_, v := r.send(ctx, address.Address, m)
	return v
}

func internal(err error) verdict {
	return verdict{outcome: enroll.MessageRetry, words: clip(err.Error()), cause: causeInternal}
}

// send sends a message, connecting first where there is no connection.
func (r *mailRun) send(ctx context.Context, to string, m *gomail.Msg) (step, verdict) {
	if r.line == nil {
		if r.failures >= giveUpAfter {
			return stepConnect, r.last
		}
		d, at, err := r.s.dial(ctx)
		if err != nil {
			return at, r.failed(judge(at, err))
		}
		r.line = d
	}
	words, at, err := r.line.send(r.s.from.Address, to, m, r.s.timeout)
	if err == nil {
		return at, verdict{outcome: enroll.MessageSent, words: words, cause: causeSent}
	}
	v := judge(at, err)
	if !v.broken && r.line.Reset() != nil {
		v.broken = true
	}
	if v.broken {
		r.line.end()
		r.line = nil
		// What was said of this message is not true of the others.
		r.failed(verdict{outcome: enroll.MessageRetry, words: "the connection to the mail server broke", cause: causeBroken})
	}
	return at, v
}

func (r *mailRun) failed(v verdict) verdict {
	r.failures++
	r.last = v
	return v
}

func (r *mailRun) close() {
	if r.line != nil {
		r.line.close()
		r.line = nil
	}
}
