package amapi

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// schemaFile is Google's discovery document, beside the repository.
var schemaFile = filepath.Join("..", "..", "..", "shared", "data", "amapi-schema.json")

var loadSchema = sync.OnceValues(func() (*Schema, error) { return LoadSchema(schemaFile) })

const (
	managementScope = "https://www.googleapis.com/auth/androidmanagement"
	pubsubScope     = "https://www.googleapis.com/auth/pubsub"
	zeroTouchScope  = "https://www.googleapis.com/auth/androidworkzerotouchemm"
)

// clock is a clock that only moves when told.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (k *clock) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at
}

func (k *clock) advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = k.at.Add(d)
}

// bench is a cloud with a client that knows its rights, and an organization
// that reports to a topic with a subscription.
type bench struct {
	t      *testing.T
	cloud  *Cloud
	clock  *clock
	schema *Schema
	client *http.Client
	bearer string

	enterprise, topic, subscription string
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	schema, err := loadSchema()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	b := &bench{t: t, schema: schema, clock: &clock{at: time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)}, client: &http.Client{Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	o := Options{Schema: schema, PullWait: time.Millisecond, PushRetry: time.Second, Client: b.client, Now: b.clock.now}
	for _, f := range change {
		f(&o)
	}
	if b.cloud, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := b.cloud.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.cloud.Close()
		transport.CloseIdleConnections()
	})
	b.signIn()
	b.topic = b.cloud.AddTopic("amapi")
	b.subscription = b.cloud.AddSubscription("rollcall", b.topic)
	b.enterprise = b.cloud.AddEnterprise("Example")
	b.ok("PATCH", b.enterprise+"?updateMask=pubsubTopic,enabledNotificationTypes", object{"pubsubTopic": b.topic, "enabledNotificationTypes": []any{"ENROLLMENT", "STATUS_REPORT", "COMMAND"}})
	b.wantMessages("test")
	return b
}

// assertion signs claims as a service account does.
func (b *bench) assertion(header, claims object) string {
	b.t.Helper()
	file, err := b.cloud.ServiceAccountKey()
	if err != nil {
		b.t.Fatal(err)
	}
	var account struct {
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(file, &account); err != nil {
		b.t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(account.PrivateKey))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		b.t.Fatal(err)
	}
	h, _ := json.Marshal(header)
	p, _ := json.Marshal(claims)
	payload := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(p)
	digest := sha256.Sum256([]byte(payload))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), crypto.SHA256, digest[:])
	if err != nil {
		b.t.Fatal(err)
	}
	return payload + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// claims are those of a good assertion.
func (b *bench) claims() object {
	now := b.clock.now()
	return object{"iss": "rollcall@" + b.cloud.Project() + ".iam.gserviceaccount.com", "scope": managementScope + " " + pubsubScope + " " + zeroTouchScope,
		"aud": b.cloud.URL() + "/token", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

func (b *bench) exchange(assertion string) (int, object) {
	b.t.Helper()
	resp, err := b.client.PostForm(b.cloud.URL()+"/token", url.Values{"grant_type": {assertionType}, "assertion": {assertion}})
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out object
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, out
}

func (b *bench) signIn() {
	b.t.Helper()
	status, out := b.exchange(b.assertion(object{"alg": "RS256", "typ": "JWT"}, b.claims()))
	if status != 200 {
		b.t.Fatal(status, out)
	}
	b.bearer = out["access_token"].(string)
}

// try makes a call and returns status and answer. The answer of a call that
// went well has to be what the discovery document says.
func (b *bench) try(method, path string, body any) (int, object) {
	b.t.Helper()
	status, text, err := b.send(method, path, body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	value, err := parse(text)
	if err != nil {
		b.t.Fatalf("%s %s: %d %s: %v", method, path, status, text, err)
	}
	out := value.(object)
	r, _ := http.NewRequest(method, b.cloud.URL()+"/v1/"+path, nil)
	if found, _ := find(r); found != nil && found.api() == "" && status == 200 {
		if problem := b.schema.check(b.schema.methods[found.id].Response.Ref, out).problem; problem != "" {
			b.t.Errorf("%s answers what the schema does not know: %s\n%s", found.id, problem, text)
		}
	}
	return status, out
}

func (b *bench) send(method, path string, body any) (int, []byte, error) {
	b.t.Helper()
	var reader io.Reader
	if body != nil {
		text, raw := body.(string)
		if !raw {
			encoded, err := json.Marshal(body)
			if err != nil {
				b.t.Fatal(err)
			}
			text = string(encoded)
		}
		reader = bytes.NewReader([]byte(text))
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.cloud.URL()+"/v1/"+path, reader)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+b.bearer)
	resp, err := b.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// ok makes a call that has to go well.
func (b *bench) ok(method, path string, body any) object {
	b.t.Helper()
	status, out := b.try(method, path, body)
	if status != 200 {
		b.t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	return out
}

// refused makes a call that has to fail with a status of google.rpc and words.
func (b *bench) refused(method, path string, body any, status, words string) {
	b.t.Helper()
	code, out := b.try(method, path, body)
	if code < 400 || text(out, "error.status") != status || !strings.Contains(text(out, "error.message"), words) {
		b.t.Errorf("%s %s: %d %v; want %s, %q", method, path, code, out, status, words)
	}
}

// note is a message that was pulled.
type note struct {
	id, kind string
	body     object
}

// pull takes and acknowledges what is there.
func (b *bench) pull() []note {
	b.t.Helper()
	var notes []note
	for {
		out := b.ok("POST", b.subscription+":pull", object{"maxMessages": 1000})
		received := list(out, "receivedMessages")
		if len(received) == 0 {
			return notes
		}
		var ids []string
		for _, m := range received {
			ids = append(ids, text(m, "ackId"))
			n := note{id: text(m, "message.messageId"), kind: text(m, "message.attributes.notificationType")}
			if data := text(m, "message.data"); data != "" {
				raw, err := base64.StdEncoding.DecodeString(data)
				if err != nil {
					b.t.Fatal(err)
				}
				value, err := parse(raw)
				if err != nil {
					b.t.Fatal(err)
				}
				n.body = value.(object)
				ref := map[string]string{"ENROLLMENT": "Device", "STATUS_REPORT": "Device", "COMMAND": "Operation"}[n.kind]
				if problem := b.schema.check(ref, n.body).problem; problem != "" {
					b.t.Errorf("%s is what the schema does not know: %s", n.kind, problem)
				}
			}
			notes = append(notes, n)
		}
		b.ok("POST", b.subscription+":acknowledge", object{"ackIds": ids})
	}
}

// wantMessages pulls, and expects these types.
func (b *bench) wantMessages(kinds ...string) []note {
	b.t.Helper()
	notes := b.pull()
	got := make([]string, len(notes))
	for i, n := range notes {
		got[i] = n.kind
	}
	if strings.Join(got, " ") != strings.Join(kinds, " ") {
		b.t.Fatalf("messages: %q, want %q", got, kinds)
	}
	return notes
}

// device adds a phone.
func (b *bench) device(h Hardware) *Device {
	b.t.Helper()
	d, err := b.cloud.AddDevice(h)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// token makes an enrollment token.
func (b *bench) token(fields object) object {
	b.t.Helper()
	return b.ok("POST", b.enterprise+"/enrollmentTokens", fields)
}

// policy writes a whole policy.
func (b *bench) policy(id string, fields object) object {
	b.t.Helper()
	return b.ok("PATCH", b.enterprise+"/policies/"+id, fields)
}

// setup has to end with the error, nil for none.
func (b *bench) setup(d *Device, entry string, want error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	if err := d.Setup(ctx, entry); !errors.Is(err, want) || want == nil && err != nil {
		b.t.Fatalf("setup: %v, want %v", err, want)
	}
}

// enrolled is a fully managed phone under an empty policy of its own; its
// messages are gone.
func (b *bench) enrolled(h Hardware) *Device {
	b.t.Helper()
	b.policy("plain", object{})
	d := b.device(h)
	b.setup(d, text(b.token(object{"policyName": "plain", "allowPersonalUsage": corporate}), "qrCode"), nil)
	b.pull()
	return d
}
