package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

const simDEPGreeting = `Apple's DEP service, simulated, at http://127.0.0.1:00000 until you press Ctrl-C.

Account Rollcall. Its token file for the certificate in dep.pem:
  curl -sf --data-binary @dep.pem 'http://127.0.0.1:00000/sim/accounts/Rollcall/token' -o token.p7m
2 devices:
  SIMTYDX000  iPhone 17
  SIMY2QHJ5D  iPad (A16)

Account Head office. Its token file for the certificate in dep.pem:
  curl -sf --data-binary @dep.pem 'http://127.0.0.1:00000/sim/accounts/Head%20office/token' -o token.p7m
2 devices:
  SIM37042BS  iPhone 16e
  SIM8BAQKG5  iPad Pro 11-inch

Faults: curl -sf 'http://127.0.0.1:00000/sim/faults' -d '{"kind":"reply","call":"POST /devices/sync","times":3,"status":503,"retry_after":"5"}'
`

// startSimDEP runs "rollcall sim dep" with flags until the test ends, and
// returns what it printed and its URL.
func startSimDEP(t *testing.T, flags ...string) (greeting, base string) {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"sim", "dep", "--listen", "127.0.0.1:0"}, flags...)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := c.Sim.DEP.run(ctx, writer)
		writer.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var read bytes.Buffer
	buffer := make([]byte, 4096)
	for !strings.Contains(read.String(), "\nFaults: ") || !strings.HasSuffix(read.String(), "\n") {
		n, err := reader.Read(buffer)
		if err != nil {
			t.Fatal(err, <-ended)
		}
		read.Write(buffer[:n])
	}
	return read.String(), regexp.MustCompile(`https?://[0-9.:]+`).FindString(read.String())
}

func TestSimDEP(t *testing.T) {
	greeting, base := startSimDEP(t, "--account", "Rollcall", "--account", "Head office", "--devices", "2",
		"--fault", `{"kind":"reply","call":"GET /session","times":1,"status":503,"retry_after":"5"}`)
	for _, s := range scrubbed {
		greeting = s.pattern.ReplaceAllString(greeting, s.with)
	}
	if diff := cmp.Diff(simDEPGreeting, greeting); diff != "" {
		t.Error(diff)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/sim/accounts/Head%20office/token", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 200, "smime-type=enveloped-data"},
		{"GET", "/sim/accounts/Head%20office/devices", "", 200, "SIM37042BS\nSIM8BAQKG5\n"},
		{"GET", "/session", "", 503, ""},
		{"GET", "/session", "", 400, "oauth_problem"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), call.method, base+call.path, strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != call.status || !strings.Contains(string(body), call.want) {
			t.Errorf("%s %s: %d %s, %v", call.method, call.path, resp.StatusCode, body, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestSimDEPOverTLS(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	_, base := startSimDEP(t, "--tls-ca", ca, "--devices", "30")
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(base + "/account")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(base, "https://") {
		t.Errorf("%s: %d", base, resp.StatusCode)
	}
}

func TestSimDEPRefuses(t *testing.T) {
	good := simDEPCmd{Listen: "127.0.0.1:0", Accounts: []string{"A"}, Devices: 1, Prefix: "SIM", PageLimit: 10}
	for name, change := range map[string]func(*simDEPCmd){
		"prefix":           func(c *simDEPCmd) { c.Prefix = "SI" },
		"devices":          func(c *simDEPCmd) { c.Devices = -1 },
		"page":             func(c *simDEPCmd) { c.PageLimit = 0 },
		"one account once": func(c *simDEPCmd) { c.Accounts = []string{"A", "A"} },
		"fault, no JSON":   func(c *simDEPCmd) { c.Faults = []string{"503"} },
		"fault, its kind":  func(c *simDEPCmd) { c.Faults = []string{`{"kind":"explode"}`} },
		"address":          func(c *simDEPCmd) { c.Listen = "127.0.0.1:none" },
	} {
		c := good
		change(&c)
		if err := c.run(t.Context(), io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
