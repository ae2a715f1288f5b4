package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rollcall/admin"
	"rollcall/enroll"
	peer "rollcall/sim/mail"
)

// mailServer is one that wants a password, and the options to use it.
func mailServer(t *testing.T) (*peer.Server, Options) {
	t.Helper()
	p, err := peer.New(peer.Options{User: "rollcall", Password: "pass word"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return p, Options{SMTPURL: p.URL(), SMTPPasswordFile: file("password", []byte("pass word\n")), SMTPRoots: file("roots.pem", p.RootsPEM()), MailFrom: "mdm@example.net"}
}

type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// TestMailedLink goes from the API over the outbox and a mail server to the
// page that the mailed link opens.
func TestMailedLink(t *testing.T) {
	p, o := mailServer(t)
	var log buffer
	o.Listen, o.DataDir, o.TLS, o.Organization, o.Language, o.LogOutput, o.LogLevel = "127.0.0.1:0", t.TempDir(), TLSOwn, "Example", "de", &log, "debug"
	a, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(a.Stop)
	t.Cleanup(func() { stop() })
	a.Start()
	roots := x509.NewCertPool()
	roots.AddCert(a.Authority().Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	do := func(method, path, body string, want int) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, a.URL()+"/api/") {
			r.Header.Set("Authorization", "Bearer "+a.FirstToken())
			r.Header.Set("Content-Type", "application/json")
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != want {
			t.Fatalf("%s: %d, want %d: %s %v", method, res.StatusCode, want, b, err)
		}
		return string(b)
	}
	api := a.URL() + "/api/v1"
	do("PUT", api+"/devices/C39XK1", `{"platform":"ios","ownership":"corporate","user":{"email":"anna@example.com","name":"Anna Schmidt"}}`, 201)
	do("POST", api+"/requests", `{"serials":["C39XK1"],"via":"email"}`, 201)
	m, err := p.Wait(t.Context(), "anna@example.com", 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "Gerät bei Example anmelden" || len(m.Links()) != 1 || !strings.HasPrefix(m.Links()[0], a.URL()+"/enroll/r/") {
		t.Fatalf("mail %q with %v", m.Subject, m.Links())
	}
	if page := do("GET", m.Links()[0], "", 200); !strings.Contains(page, "Hello Anna Schmidt") || !strings.Contains(page, "C39XK1") {
		t.Errorf("the page says %s", page)
	}
	var list struct {
		Items []struct{ State enroll.RequestState }
	}
	if err := json.Unmarshal([]byte(do("GET", api+"/requests", "", 200)), &list); err != nil || len(list.Items) != 1 || list.Items[0].State != enroll.RequestOpened {
		t.Errorf("requests %+v, %v", list, err)
	}
	do("POST", m.Links()[0], "", 200) // leads on to the next page
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	figures := httptest.NewRecorder()
	a.opsHandler().ServeHTTP(figures, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(figures.Body.String(), `rollcall_messages_total{cause="sent",channel="email",outcome="sent"} 1`) {
		t.Error("the message is not counted")
	}
	for _, personal := range []string{"anna@", "Schmidt", strings.TrimPrefix(m.Links()[0], a.URL()+"/enroll/r/"), "pass word"} {
		if strings.Contains(log.String(), personal) {
			t.Errorf("the log holds %q", personal)
		}
	}
}

func TestExamineMail(t *testing.T) {
	p, o := mailServer(t)
	check := func(o Options, level admin.Level, says string) {
		t.Helper()
		got := ExamineMail(t.Context(), o)
		if len(got) != 1 || got[0].Level != level || !strings.Contains(got[0].Text, says) || (got[0].Fix == "") != (level == admin.LevelOK) {
			t.Errorf("found %+v, want %s %q", got, level, says)
		}
	}
	check(o, admin.LevelOK, p.Addr())
	check(Options{}, admin.LevelWarn, "links only")
	wrong := o
	wrong.SMTPPasswordFile, wrong.SMTPPassword = "", "guess"
	check(wrong, admin.LevelWarn, "login")
	wrong.SMTPRoots = ""
	check(wrong, admin.LevelWarn, "tls")
	p.Down()
	check(o, admin.LevelWarn, "connect")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := ExamineMail(ended, o); got[0].Level != admin.LevelWarn {
		t.Errorf("found %+v", got)
	}
}

func TestMailOptions(t *testing.T) {
	_, good := mailServer(t)
	for name, test := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"good":          {func(*Options) {}, ""},
		"none":          {func(o *Options) { *o = Options{} }, ""},
		"both":          {func(o *Options) { o.SMTPPassword = "hunter2" }, "--smtp-password and --smtp-password-file"},
		"no file":       {func(o *Options) { o.SMTPPasswordFile = "nowhere" }, "--smtp-password-file"},
		"no roots":      {func(o *Options) { o.SMTPRoots = o.SMTPPasswordFile }, "no PEM certificate"},
		"no sender":     {func(o *Options) { o.MailFrom = "" }, "--mail-from"},
		"bad URL":       {func(o *Options) { o.SMTPURL = "mail.example.com" }, "--smtp-url"},
		"SMS over http": {func(o *Options) { o.SMSURL, o.SMSSecret = "http://sms.example.com", "0123456789abcdef" }, "--sms-url"},
		"SMS":           {func(o *Options) { o.SMSURL, o.SMSSecret = "https://sms.example.com", "0123456789abcdef" }, ""},
		"late reminder": {func(o *Options) { o.ReminderDays = 30 }, "--reminder-days"},
	} {
		o := good
		test.change(&o)
		var wrong []string
		o.checkMail(func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) })
		if got := strings.Join(wrong, "\n"); (got == "") != (test.says == "") || !strings.Contains(got, test.says) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %q, want %q", name, got, test.says)
		}
	}
}
