package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

const simAMAPIGreeting = `Google's Android Management API, Pub/Sub and zero-touch, simulated, at http://127.0.0.1:00000 until you press Ctrl-C.

WARNING: REQUESTS ARE NOT VALIDATED. Give Google's discovery document with --schema FILE.

Service account: KEY
Project:         sim-project
Topic:           projects/sim-project/topics/amapi
Subscription:    projects/sim-project/subscriptions/rollcall
Enterprise:      enterprises/LC00000000 (Acme)

2 devices:
  SIM0000001  Google Pixel 10
  SIM0000002  samsung SM-S931B

Set one up with a QR code's text, a token or a link:
  curl -sf 'http://127.0.0.1:00000/sim/devices/SERIAL/setup' -d '{"entry":"https://enterprise.google.com/android/enroll?et=TOKEN"}'

Faults: curl -sf 'http://127.0.0.1:00000/sim/faults' -d '{"kind":"reply","call":"enterprises.devices.patch","times":3,"status":503,"code":"UNAVAILABLE"}'
`

// startSimAMAPI runs "rollcall sim amapi" with flags until the test ends, and
// returns what it printed, its URL, and its key file.
func startSimAMAPI(t *testing.T, flags ...string) (greeting, base, key string) {
	t.Helper()
	key = filepath.Join(t.TempDir(), "key.json")
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"sim", "amapi", "--listen", "127.0.0.1:0", "--service-account", key}, flags...)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := c.Sim.AMAPI.run(ctx, writer)
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
	return read.String(), regexp.MustCompile(`http://[0-9.:]+`).FindString(read.String()), key
}

func TestSimAMAPI(t *testing.T) {
	greeting, base, key := startSimAMAPI(t, "--devices", "2", "--enterprise", "Acme", "--fault", `{"kind":"reply","call":"oauth.certs","times":1,"status":503,"code":"UNAVAILABLE"}`)
	for _, s := range scrubbed {
		greeting = s.pattern.ReplaceAllString(greeting, s.with)
	}
	greeting = strings.Replace(regexp.MustCompile(`LC[0-9a-f]{8}`).ReplaceAllString(greeting, "LC00000000"), key, "KEY", 1)
	if diff := cmp.Diff(simAMAPIGreeting, greeting); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	var account struct {
		Type       string `json:"type"`
		TokenURI   string `json:"token_uri"`
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(text, &account); err != nil || account.Type != "service_account" || account.TokenURI != base+"/token" || !strings.HasPrefix(account.PrivateKey, "-----BEGIN PRIVATE KEY-----\n") {
		t.Errorf("%+v %v", account, err)
	}
	for _, call := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/oauth2/v3/certs", "", 503, "UNAVAILABLE"},
		{"GET", "/oauth2/v3/certs", "", 200, "RS256"},
		{"GET", "/v1/enterprises/LC1", "", 401, "UNAUTHENTICATED"},
		{"GET", "/sim/devices", "", 200, `"serial": "SIM0000002"`},
		{"POST", "/sim/devices/SIM0000002/setup", `{"entry":"x"}`, 400, "not valid"},
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

func TestSimAMAPIWithSchema(t *testing.T) {
	greeting, _, _ := startSimAMAPI(t, "--schema", filepath.Join(root, "..", "shared", "data", "amapi-schema.json"), "--devices", "30")
	if strings.Contains(greeting, "NOT VALIDATED") || !strings.Contains(greeting, "... all of them: ") {
		t.Error(greeting)
	}
}

func TestSimAMAPIRefuses(t *testing.T) {
	good := simAMAPICmd{Listen: "127.0.0.1:0", ServiceAccount: filepath.Join(t.TempDir(), "key.json"), Project: "p", PerMinute: 600, Topic: "t", Subscription: "s", Devices: 1, Prefix: "SIM"}
	for name, change := range map[string]func(*simAMAPICmd){
		"devices":          func(c *simAMAPICmd) { c.Devices = -1 },
		"schema":           func(c *simAMAPICmd) { c.Schema = filepath.Join(root, "go.mod") },
		"fault, no JSON":   func(c *simAMAPICmd) { c.Faults = []string{"503"} },
		"fault, its kind":  func(c *simAMAPICmd) { c.Faults = []string{`{"kind":"explode"}`} },
		"address":          func(c *simAMAPICmd) { c.Listen = "127.0.0.1:none" },
		"key not writable": func(c *simAMAPICmd) { c.ServiceAccount = filepath.Join(t.TempDir(), "none", "key.json") },
	} {
		c := good
		change(&c)
		if err := c.run(t.Context(), io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
