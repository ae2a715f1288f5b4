package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Options is how the server is set up.
type Options struct {
	ImplicitTLS bool   // TLS from the first byte; else STARTTLS
	Plain       bool   // neither
	User        string // AUTH PLAIN is demanded; empty: it is not offered
	Password    string
}

// Rule is how a recipient is treated. The zero Rule accepts.
type Rule struct {
	Code   int           // SMTP reply that refuses: 450, 550; 0: accept
	Text   string        // of the reply
	AtData bool          // refuse the content, not the recipient
	Delay  time.Duration // before the answer
	Hang   bool          // never answer
}

// Everybody stands for each recipient that has no rule of its own.
const Everybody = "*"

const (
	maxMessage = 4 << 20
	idle       = time.Minute
)

// Server is a running mail server.
type Server struct {
	options Options
	addr    string
	tls     *tls.Config
	roots   []byte

	mu          sync.Mutex
	smtp        *smtp.Server // nil: down
	listener    net.Listener
	halt        chan struct{} // closed when smtp goes down
	rules       map[string]Rule
	messages    []Message
	arrived     chan struct{} // closed and replaced with every message
	connections int
	serving     sync.WaitGroup
}

// New starts a server on a free port of 127.0.0.1. Close it.
func New(o Options) (*Server, error) {
	certificate, roots, err := issue("127.0.0.1", "localhost")
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, addr: "127.0.0.1:0", roots: roots, rules: map[string]Rule{}, arrived: make(chan struct{}),
		tls: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	return s, s.Up()
}

// Up makes a server that is down listen again, at the address it had.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.smtp != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	s.addr, s.halt = l.Addr().String(), make(chan struct{})
	l = counted{l, s}
	if s.options.ImplicitTLS {
		l = tls.NewListener(l, s.tls)
	}
	halt := s.halt
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		sess := &session{s: s, halt: halt}
		if s.options.User != "" {
			return &authSession{session: sess}, nil
		}
		return sess, nil
	}))
	server.Domain, server.MaxMessageBytes, server.MaxRecipients = "mail.example.test", maxMessage, 50
	server.ReadTimeout, server.WriteTimeout = idle, idle
	server.AllowInsecureAuth = s.options.Plain
	server.ErrorLog = log.New(io.Discard, "", 0)
	if !s.options.ImplicitTLS && !s.options.Plain {
		server.TLSConfig = s.tls
	}
	s.smtp, s.listener = server, l
	s.serving.Go(func() { server.Serve(l) })
	return nil
}

// Down ends all connections and refuses new ones. Messages and rules stay.
func (s *Server) Down() {
	s.mu.Lock()
	server, listener := s.smtp, s.listener
	s.smtp = nil
	if server != nil {
		close(s.halt)
	}
	s.mu.Unlock()
	if server != nil {
		server.Close()
		listener.Close() // in case Serve has not seen it yet
	}
	s.serving.Wait()
}

// Close ends the server for good.
func (s *Server) Close() { s.Down() }

// Addr is host and port.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL is "smtp://host:port", or "smtps://" where TLS is implicit, with the
// user if there is one.
func (s *Server) URL() string {
	scheme, user := "smtp://", ""
	if s.options.ImplicitTLS {
		scheme = "smtps://"
	}
	if s.options.User != "" {
		user = s.options.User + "@"
	}
	return scheme + user + s.Addr()
}

// RootsPEM is the authority that clients have to trust.
func (s *Server) RootsPEM() []byte { return s.roots }

// Roots is the same as a pool.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.roots)
	return pool
}

// Treat sets the rule of a recipient, or of Everybody.
func (s *Server) Treat(recipient string, r Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules[strings.ToLower(recipient)] = r
}

// counted counts connections.
type counted struct {
	net.Listener
	s *Server
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.s.mu.Lock()
		l.s.connections++
		l.s.mu.Unlock()
	}
	return c, err
}

// Connections is how many were made so far.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// Messages are those taken so far, in order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// To are the messages for an address so far.
func (s *Server) To(address string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to(address)
}

func (s *Server) to(address string) []Message {
	var found []Message
	for _, m := range s.messages {
		for _, to := range m.To {
			if strings.EqualFold(to, address) {
				found = append(found, m)
			}
		}
	}
	return found
}

// Wait returns the nth message (from 1) for an address, once there is one.
func (s *Server) Wait(ctx context.Context, address string, n int) (Message, error) {
	for {
		s.mu.Lock()
		found, arrived := s.to(address), s.arrived
		s.mu.Unlock()
		if len(found) >= n {
			return found[n-1], nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("mail: %d of %d messages came: %w", len(found), n, context.Cause(ctx))
		}
	}
}

func (s *Server) rule(recipient string) Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.rules[strings.ToLower(recipient)]; ok {
		return r
	}
	return s.rules[Everybody]
}

func (s *Server) keep(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// session is one connection.
type session struct {
	s    *Server
	halt chan struct{}

	begun bool
	from  string
	to    []string
}

func (c *session) Reset()        { c.begun, c.from, c.to = false, "", nil }
func (c *session) Logout() error { return nil }

// Mail begins a message; one that was begun has to be reset first (RFC 5321,
// section 4.1.4).
func (c *session) Mail(from string, _ *smtp.MailOptions) error {
	if c.begun {
		return &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "Nested MAIL command"}
	}
	c.begun, c.from = true, from
	return nil
}

func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	r := c.s.rule(to)
	if !r.AtData {
		if err := c.apply(r); err != nil {
			return err
		}
	}
	c.to = append(c.to, to)
	return nil
}

// apply does what a rule says.
func (c *session) apply(r Rule) error {
	var slow <-chan time.Time
	switch {
	case r.Hang: // a nil channel never answers
	case r.Delay > 0:
		timer := time.NewTimer(r.Delay)
		defer timer.Stop()
		slow = timer.C
	default:
		now := make(chan time.Time)
		close(now)
		slow = now
	}
	select {
	case <-slow:
	case <-c.halt:
		return errors.New("the server goes down")
	}
	if r.Code == 0 {
		return nil
	}
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.EnhancedCode{r.Code / 100, 1, 1}, Message: r.Text}
}

func (c *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, to := range c.to {
		if r := c.s.rule(to); r.AtData {
			if err := c.apply(r); err != nil {
				return err
			}
		}
	}
	m, err := parse(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "Malformed message: " + err.Error()}
	}
	m.From, m.To = c.from, c.to
	c.s.keep(m)
	return nil
}

// authSession lets nobody send who has not given the password.
type authSession struct {
	*session
	known bool
}

func (c *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != c.s.options.User || password != c.s.options.Password {
			return smtp.ErrAuthFailed
		}
		c.known = true
		return nil
	}), nil
}

func (c *authSession) Mail(from string, o *smtp.MailOptions) error {
	if !c.known {
		return smtp.ErrAuthRequired
	}
	return c.session.Mail(from, o)
}
