package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const whole = `From: Desk <desk@example.com>
To: anna@example.com
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Date: Mon, 2 Mar 2026 09:00:00 +0000
Message-ID: <one@example.com>
MIME-Version: 1.0
Content-Type: multipart/related; boundary=rel

--rel
Content-Type: multipart/alternative; boundary=alt

--alt
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Open https://mdm.example.com/enroll/r/abc=20now
--alt
Content-Type: text/html; charset=utf-8

<a href="https://mdm.example.com/?a=1&amp;b=2">go</a><img src="cid:code">
--alt--
--rel
Content-Type: image/png
Content-ID: <code>
Content-Transfer-Encoding: base64

AQID
--rel--
`

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// dial is a client that knows the authority.
func dial(t *testing.T, s *Server) *smtp.Client {
	t.Helper()
	config := &tls.Config{RootCAs: s.Roots(), ServerName: "127.0.0.1"}
	var c *smtp.Client
	var err error
	if s.options.ImplicitTLS {
		conn, dialErr := tls.Dial("tcp", s.Addr(), config)
		if dialErr != nil {
			t.Fatal(dialErr)
		}
		c, err = smtp.NewClient(conn, "127.0.0.1")
	} else {
		c, err = smtp.Dial(s.Addr())
		if err == nil && !s.options.Plain {
			err = c.StartTLS(config)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(c *smtp.Client, to, raw string) error {
	if err := c.Mail("desk@example.com"); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return errors.Join(err, c.Reset())
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))); err != nil {
		return err
	}
	return w.Close()
}

func code(err error) int {
	var reply *textproto.Error
	errors.As(err, &reply)
	if reply == nil {
		return 0
	}
	return reply.Code
}

func TestMessagesArrive(t *testing.T) {
	for name, o := range map[string]Options{"STARTTLS": {}, "implicit": {ImplicitTLS: true}, "plain": {Plain: true}, "AUTH": {User: "desk", Password: "secret"}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, o)
			c := dial(t, s)
			if o.User != "" {
				if err := send(c, "anna@example.com", whole); code(err) != 502 {
					t.Fatalf("without a password: %v", err)
				}
				if err := c.Auth(smtp.PlainAuth("", "desk", "secret", "127.0.0.1")); err != nil {
					t.Fatal(err)
				}
			}
			if err := send(c, "anna@example.com", whole); err != nil {
				t.Fatal(err)
			}
			m, err := s.Wait(t.Context(), "Anna@example.com", 1)
			if err != nil {
				t.Fatal(err)
			}
			if m.ID != "one@example.com" || m.Subject != "Grüße" || m.From != "desk@example.com" || string(m.Inline["code"].Data) != "\x01\x02\x03" {
				t.Errorf("got %+v", m)
			}
			if diff := cmp.Diff([]string{"https://mdm.example.com/?a=1&b=2", "https://mdm.example.com/enroll/r/abc"}, m.Links()); diff != "" {
				t.Error(diff)
			}
			if s.Connections() != 1 {
				t.Errorf("%d connections", s.Connections())
			}
		})
	}
}

func TestRules(t *testing.T) {
	s := start(t, Options{Plain: true})
	s.Treat("nobody@example.com", Rule{Code: 550, Text: "No such user"})
	s.Treat("full@example.com", Rule{Code: 452, Text: "Mailbox full"})
	s.Treat("picky@example.com", Rule{Code: 554, Text: "Spam", AtData: true})
	s.Treat("slow@example.com", Rule{Delay: time.Millisecond})
	c := dial(t, s)
	for to, want := range map[string]int{"nobody@example.com": 550, "full@example.com": 452, "picky@example.com": 554, "slow@example.com": 0, "anna@example.com": 0} {
		if err := send(c, to, whole); code(err) != want || (err == nil) != (want == 0) {
			t.Errorf("%s: %v, want %d", to, err, want)
		}
	}
	if n := len(s.Messages()); n != 2 {
		t.Errorf("%d messages were taken", n)
	}
	for _, broken := range []string{
		strings.Replace(whole, "Message-ID", "X-ID", 1), strings.Replace(whole, "AQID", "A*ID", 1), strings.Replace(whole, "image/png", "image/png; =", 1),
		strings.Replace(whole, "Content-ID", "X-ID", 1), strings.Replace(whole, "--rel--", "", 1),
	} {
		if err := send(c, "anna@example.com", broken); code(err) != 554 {
			t.Errorf("a broken message: %v", err)
		}
	}
	if err := c.Mail("desk@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("desk@example.com"); code(err) != 503 {
		t.Errorf("a second MAIL: %v", err)
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	s.Treat("nobody@example.com", Rule{})
	if err := send(c, "nobody@example.com", whole); err != nil {
		t.Errorf("the rule has ended: %v", err)
	}
}

func TestHangAndDown(t *testing.T) {
	s := start(t, Options{Plain: true})
	s.Treat(Everybody, Rule{Hang: true})
	c := dial(t, s)
	failed := make(chan error)
	go func() { failed <- send(c, "anna@example.com", whole) }()
	s.Down()
	if err := <-failed; err == nil {
		t.Error("a server that went down has answered")
	}
	if _, err := smtp.Dial(s.Addr()); err == nil {
		t.Error("a server that is down takes connections")
	}
	addr := s.Addr()
	if err := s.Up(); err != nil || s.Addr() != addr {
		t.Fatalf("up again at %s: %v", s.Addr(), err)
	}
	s.Treat(Everybody, Rule{})
	if err := send(dial(t, s), "anna@example.com", whole); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := s.Wait(ctx, "anna@example.com", 2); err == nil || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("waiting in vain: %v", err)
	}
}
