package mail

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/png"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"rollcall/enroll"
	peer "rollcall/sim/mail"
)

// decodeQR reads a picture the way a camera does.
func decodeQR(t *testing.T, png []byte) string {
	t.Helper()
	picture, _, err := image.Decode(bytes.NewReader(png))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	return code.GetText()
}

func TestMailArrives(t *testing.T) {
	for name, o := range map[string]peer.Options{
		"STARTTLS": {}, "implicit TLS": {ImplicitTLS: true}, "login after STARTTLS": {User: "rollcall", Password: "pass word"},
		"login over implicit TLS": {ImplicitTLS: true, User: "rollcall", Password: "pass word"}, "this machine without TLS": {Plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := server(t, o)
			letters := []enroll.Letter{letter("one"), letter("two"), letter("three")}
			d := newDesk(t, Options{SMTP: s}, letters...)
			d.want(enroll.MessageSent, enroll.MessageSent, enroll.MessageSent)
			if p.Connections() != 1 {
				t.Errorf("%d connections for one batch", p.Connections())
			}
			m, err := p.Wait(t.Context(), "two@example.com", 1)
			if err != nil {
				t.Fatal(err)
			}
			want := link("secret-of-two")
			got := []string{m.ID, m.From, m.Header.Get("From"), m.Header.Get("To"), m.Header.Get("Reply-To"), m.Header.Get("Auto-Submitted")}
			if diff := cmp.Diff([]string{letters[1].ID + "@example.net", "mdm@example.net", `"Example IT" <mdm@example.net>`, `"Anna two" <two@example.com>`,
				"<help@example.net>", "auto-generated"}, got); diff != "" {
				t.Error(diff)
			}
			if m.Subject != "Enroll your device with Example GmbH" {
				t.Errorf("subject %q", m.Subject)
			}
			if diff := cmp.Diff([]string{want}, m.Links()); diff != "" {
				t.Errorf("links: %s", diff)
			}
			for part, text := range map[string]string{"text": m.Text, "HTML": m.HTML} {
				for _, wanted := range []string{want, "Anna two", "C39XK1TWO", "iPhone or iPad", "IT desk", "2026-03-31 09:00 UTC", "Example GmbH"} {
					if !strings.Contains(text, wanted) {
						t.Errorf("no %q in the %s part:\n%s", wanted, part, text)
					}
				}
			}
			if got := decodeQR(t, m.Inline["code"].Data); got != want || !strings.Contains(m.HTML, `src="cid:code"`) {
				t.Errorf("the code says %q", got)
			}
			if d.observed["email sent sent"] != 3 {
				t.Errorf("observed %v", d.observed)
			}
		})
	}
}

func TestOneRefusalHarmsNobodyElse(t *testing.T) {
	p, s := server(t, peer.Options{})
	p.Treat("gone@example.com", peer.Rule{Code: 550, Text: "No such user here"})
	p.Treat("full@example.com", peer.Rule{Code: 450, Text: "Mailbox full@example.com busy"})
	p.Treat("picky@example.com", peer.Rule{Code: 554, Text: "Looks like spam", AtData: true})
	p.Treat("greylist@example.com", peer.Rule{Code: 451, Text: "Later", AtData: true})
	noAddress := letter("bad")
	noAddress.Address = "Anna <a@example.com>, b@example.com"
	nobody := letter("nobody")
	nobody.Problem = "has left"
	d := newDesk(t, Options{SMTP: s}, letter("gone"), letter("full"), letter("picky"), letter("greylist"), noAddress, nobody, letter("anna"))
	results := d.want(enroll.MessageBounced, enroll.MessageRetry, enroll.MessageBounced, enroll.MessageRetry, enroll.MessageBounced, enroll.MessageBounced, enroll.MessageSent)
	for i, want := range []string{"550 5.1.1 No such user here", "450 4.1.1 Mailbox full@example.com busy", "554 5.1.1 Looks like spam", "451 4.1.1 Later", "the user's e-mail address is not one", "has left", ""} {
		if results[i].Error != want {
			t.Errorf("result %d says %q, want %q", i, results[i].Error, want)
		}
	}
	if p.Connections() != 1 {
		t.Errorf("%d connections: a refusal ended one", p.Connections())
	}
	p.Treat("full@example.com", peer.Rule{})
	d.later(firstRetry)
	d.want(enroll.MessageSent, enroll.MessageRetry)
	if d.observed["email bounced refused"] != 2 || d.observed["email retry deferred"] != 3 {
		t.Errorf("observed %v", d.observed)
	}
}

func TestHangingRecipient(t *testing.T) {
	p, s := server(t, peer.Options{}, func(c *SMTPConfig) { c.Timeout = 300 * time.Millisecond })
	p.Treat("hang@example.com", peer.Rule{Hang: true})
	d := newDesk(t, Options{SMTP: s}, letter("hang"), letter("anna"))
	d.want(enroll.MessageRetry, enroll.MessageSent)
	if d.observed["email retry timeout"] != 1 {
		t.Errorf("observed %v", d.observed)
	}
	// A server that hangs twice is left alone, and the others do not learn with
	// whom.
	p.Treat("hang2@example.com", peer.Rule{Hang: true})
	before := p.Connections()
	d.put(letter("hang2"))
	d.want(enroll.MessageRetry)
	d.later(lastRetry)
	d.put(letter("bert"))
	results := d.want(enroll.MessageRetry, enroll.MessageRetry, enroll.MessageRetry)
	if words := results[2].Error; words != "the connection to the mail server broke" || p.Connections() != before+3 {
		t.Errorf("the words are %q after %d connections", words, p.Connections()-before)
	}
}

// TestServerThatCloses: 421 is the end of a connection, not of the batch.
func TestServerThatCloses(t *testing.T) {
	p, s := server(t, peer.Options{})
	p.Treat("one@example.com", peer.Rule{Code: 421, Text: "Too many messages, closing"})
	d := newDesk(t, Options{SMTP: s}, letter("one"), letter("two"))
	d.want(enroll.MessageRetry, enroll.MessageSent)
	if p.Connections() != 2 {
		t.Errorf("%d connections", p.Connections())
	}
}

// TestLeaseRunsOut: what cannot be sent within the lease goes back, since
// another worker may claim it.
func TestLeaseRunsOut(t *testing.T) {
	_, s := server(t, peer.Options{})
	d := newDesk(t, Options{SMTP: s, Lease: 10 * time.Minute})
	d.mu.Lock()
	d.pace = 6 * time.Minute
	d.mu.Unlock()
	d.put(letter("one"), letter("two"), letter("three"))
	d.want(enroll.MessageSent, enroll.MessageReleased, enroll.MessageReleased)
}

func TestServerDownAndUp(t *testing.T) {
	p, s := server(t, peer.Options{})
	p.Down()
	d := newDesk(t, Options{SMTP: s}, letter("one"), letter("two"), letter("three"))
	for range 3 {
		d.want(enroll.MessageRetry, enroll.MessageRetry, enroll.MessageRetry)
		d.later(lastRetry)
	}
	d.want(enroll.MessageRetry, enroll.MessageRetry, enroll.MessageRetry)
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	d.later(lastRetry)
	d.want(enroll.MessageSent, enroll.MessageSent, enroll.MessageSent)
	d.stop()
	if n := strings.Count(d.log.String(), "messages wait"); n != 4 {
		t.Errorf("%d warnings in three hours:\n%s", n, d.log)
	}
}

func TestGivenUpAfterADay(t *testing.T) {
	p, s := server(t, peer.Options{})
	p.Down()
	d := newDesk(t, Options{SMTP: s}, letter("anna"))
	for attempts := 1; ; attempts++ {
		r := d.result()
		if r.Outcome == enroll.MessageBounced {
			if after := r.At.Sub(start); after < giveUp-lastRetry || after > giveUp || attempts < 20 || !strings.Contains(r.Error, "not delivered within 24 hours") || !strings.Contains(r.Error, "refused") {
				t.Errorf("given up after %d attempts: %+v", attempts, r)
			}
			return
		}
		if wait := r.RetryAt.Sub(r.At); wait < firstRetry/2 || wait > lastRetry {
			t.Fatalf("attempt %d waits %v", attempts, wait)
		}
		d.later(r.RetryAt.Sub(r.At))
	}
}

// TestOurFault: what is wrong with us is no refusal of the recipient.
func TestOurFault(t *testing.T) {
	for name, test := range map[string]struct {
		options peer.Options
		change  func(*SMTPConfig)
		step    string
		cause   string
	}{
		"unknown authority":           {peer.Options{}, func(c *SMTPConfig) { c.RootCAs = nil }, "tls", "tls"},
		"unknown authority, implicit": {peer.Options{ImplicitTLS: true}, func(c *SMTPConfig) { c.RootCAs = nil }, "tls", "tls"},
		"wrong password":              {peer.Options{User: "rollcall", Password: "secret"}, func(c *SMTPConfig) { c.Password = "guess" }, "login", "rejected"},
		"login not offered": {peer.Options{}, func(c *SMTPConfig) {
			c.URL, c.Password = strings.Replace(c.URL, "smtp://", "smtp://rollcall@", 1), "secret"
		}, "login", "rejected"},
		"login demanded": {peer.Options{User: "rollcall", Password: "secret"}, func(c *SMTPConfig) {
			c.URL, c.Password = strings.Replace(c.URL, "rollcall@", "", 1), ""
		}, "sender", "rejected"},
		"TLS where there is none": {peer.Options{Plain: true}, func(c *SMTPConfig) { c.URL = strings.Replace(c.URL, "smtp:", "smtps:", 1) }, "tls", "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := server(t, test.options, test.change)
			d := newDesk(t, Options{SMTP: s}, letter("anna"))
			d.want(enroll.MessageRetry)
			if d.observed["email retry "+test.cause] != 1 {
				t.Errorf("observed %v", d.observed)
			}
			got, err := d.Try(t.Context(), "desk@example.com")
			if err != nil || got.Accepted || got.Step != test.step || got.Answer == "" {
				t.Errorf("a trial says %+v, %v", got, err)
			}
			if err := s.Check(t.Context()); test.step != "sender" && (err == nil || !strings.HasPrefix(err.Error(), test.step+": ")) {
				t.Errorf("the check says %v", err)
			}
			if len(p.Messages()) != 0 {
				t.Error("a message was sent")
			}
		})
	}
}

// TestSTARTTLSIsDemanded: a server elsewhere that offers no TLS, or a man in
// the middle who takes the offer away, gets nothing.
func TestSTARTTLSIsDemanded(t *testing.T) {
	p, s := server(t, peer.Options{Plain: true})
	s.local = false
	d := newDesk(t, Options{SMTP: s}, letter("anna"))
	d.want(enroll.MessageRetry)
	if d.observed["email retry tls"] != 1 || len(p.Messages()) != 0 {
		t.Errorf("observed %v, %d messages", d.observed, len(p.Messages()))
	}
}

func TestTry(t *testing.T) {
	p, s := server(t, peer.Options{})
	d := newDesk(t, Options{SMTP: s, Language: "de"})
	got, err := d.Try(t.Context(), "anna@example.com")
	if err != nil || !got.Accepted || got.Step != "done" || got.Answer == "" {
		t.Errorf("trial %+v, %v", got, err)
	}
	if m, err := p.Wait(t.Context(), "anna@example.com", 1); err != nil || m.Subject != "Testnachricht von Example GmbH" || m.HTML != "" || m.Text == "" {
		t.Errorf("message %+v, %v", m, err)
	}
	p.Treat("gone@example.com", peer.Rule{Code: 550, Text: "No such user"})
	if got, err = d.Try(t.Context(), "gone@example.com"); err != nil || got != (Trial{false, "recipient", "550 5.1.1 No such user"}) {
		t.Errorf("trial %+v, %v", got, err)
	}
	if _, err = d.Try(t.Context(), "no address"); enroll.KindOf(err) != enroll.KindInvalid {
		t.Errorf("error %v", err)
	}
	if _, err = newDesk(t, Options{}).Try(t.Context(), "a@example.com"); enroll.KindOf(err) != enroll.KindConflict {
		t.Errorf("without a server: %v", err)
	}
}

// TestStop ends a sender while its server does not answer.
func TestStop(t *testing.T) {
	p, s := server(t, peer.Options{})
	p.Treat("hang@example.com", peer.Rule{Hang: true})
	d := newDesk(t, Options{SMTP: s, Grace: time.Millisecond}, letter("one"), letter("hang"), letter("three"))
	d.want(enroll.MessageSent)
	d.stop()
	d.want(enroll.MessageReleased, enroll.MessageReleased)
}

func TestStoreFails(t *testing.T) {
	_, s := server(t, peer.Options{})
	d := newDesk(t, Options{SMTP: s})
	d.outbox.mu.Lock()
	d.outbox.failures, d.outbox.broken = 2, errors.New("the database is away")
	d.outbox.mu.Unlock()
	d.put(letter("anna"))
	d.want(enroll.MessageSent)
}

func TestSMTPConfig(t *testing.T) {
	good := SMTPConfig{URL: "smtp://mail.example.com", From: "mdm@example.com"}
	for name, test := range map[string]struct {
		change func(*SMTPConfig)
		addr   string
		err    string
	}{
		"submission": {func(*SMTPConfig) {}, "mail.example.com:587", ""},
		"implicit":   {func(c *SMTPConfig) { c.URL = "smtps://mail.example.com" }, "mail.example.com:465", ""},
		"port":       {func(c *SMTPConfig) { c.URL = "smtp://[2001:db8::1]:2525/" }, "[2001:db8::1]:2525", ""},
		"login":      {func(c *SMTPConfig) { c.URL, c.Password = "smtp://a%40b@mail.example.com", "p" }, "mail.example.com:587", ""},
		"scheme":     {func(c *SMTPConfig) { c.URL = "http://mail.example.com" }, "", "smtp://"},
		"no scheme":  {func(c *SMTPConfig) { c.URL = "mail.example.com:587" }, "", "smtp://"},
		"password":   {func(c *SMTPConfig) { c.URL = "smtp://a:hunter2@mail.example.com" }, "", "does not belong"},
		"half":       {func(c *SMTPConfig) { c.Password = "hunter2" }, "", "belong together"},
		"from":       {func(c *SMTPConfig) { c.From = "Example" }, "", "sender"},
		"reply":      {func(c *SMTPConfig) { c.ReplyTo = "Example" }, "", "reply"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			s, err := NewSMTP(c)
			if test.err == "" && (err != nil || s.Addr() != test.addr) {
				t.Errorf("%+v, %v", s, err)
			}
			if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(fmt.Sprint(err), "hunter2")) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := New(Options{Outbox: newOutbox(), Link: link, Language: "tlh"}); err == nil {
		t.Error("a language without texts is taken")
	}
}
