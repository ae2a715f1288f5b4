package app

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/admin"
	"rollcall/certs"
)

// TestDescribeCertificates: each way to a certificate is told, with the
// certificate where the server has it, and never a key.
func TestDescribeCertificates(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	ca, err := certs.CreateAuthority("Example device CA", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.IssueServer([]string{"mdm.example.com", "127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "acme"), 0o700); err != nil {
		t.Fatal(err)
	}
	cached := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("secret")})) + chain
	if err := os.WriteFile(filepath.Join(folder, "acme", "mdm.example.com"), []byte(cached), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		options Options
		source  admin.CertificateSource
		subject bool
	}{
		"own":               {Options{TLS: TLSOwn}, admin.CertificateOwn, true},
		"proxy":             {Options{TLS: TLSOff}, admin.CertificateProxy, false},
		"ACME":              {Options{TLS: TLSACME, DataDir: folder}, admin.CertificateACME, true},
		"ACME, none so far": {Options{TLS: TLSACME, DataDir: t.TempDir()}, admin.CertificateACME, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := &App{opts: test.options, ca: ca, now: func() time.Time { return now.Add(10*24*time.Hour + time.Hour) }, publicURL: "https://mdm.example.com"}
			if a.tls, err = a.opts.tlsConfig(ca, a.publicURL, func() time.Time { return now }); err != nil {
				t.Fatal(err)
			}
			got, err := a.describeCertificates(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 3 || got[0].Use != admin.CertificateAuthority || !strings.Contains(got[0].Subject, "Example device CA") || got[2].Source != admin.CertificateNone {
				t.Fatalf("%+v", got)
			}
			if tls := got[1]; tls.Source != test.source || (tls.Subject != "") != test.subject || test.subject && (!strings.Contains(strings.Join(tls.Names, " "), "mdm.example.com") || tls.DaysLeft != wholeDays(tls.NotAfter.Sub(a.now()))) {
				t.Errorf("%+v", tls)
			}
			if b, err := json.Marshal(got); err != nil || strings.Contains(string(b), "PRIVATE") {
				t.Errorf("a key is told, or %v", err)
			}
		})
	}
}

func TestDescribeMail(t *testing.T) {
	o := Options{SMTPURL: "smtps://rollcall@mail.example.com", SMTPPassword: "hunter2", MailFrom: "IT <it@example.com>"}
	got, err := o.describeMail()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(admin.ServerMailView{Configured: true, Server: "mail.example.com:465", Security: "tls", SignsIn: true, From: "IT <it@example.com>"}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := new(Options).describeMail(); err != nil || got.Configured {
		t.Errorf("%+v %v", got, err)
	}
}

func TestWholeDays(t *testing.T) {
	for left, want := range map[time.Duration]int{25 * time.Hour: 1, time.Hour: 0, -time.Hour: -1, -25 * time.Hour: -2} {
		if got := wholeDays(left); got != want {
			t.Errorf("%v: %d, want %d", left, got, want)
		}
	}
}
