package mail

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/enroll"
	peer "rollcall/sim/mail"
)

const smsSecret = "0123456789abcdef"

// gateway answers calls with a status, and keeps them.
type gateway struct {
	*httptest.Server
	status chan int
	calls  chan call
}

type call struct {
	header http.Header
	body   []byte
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{status: make(chan int, 100), calls: make(chan call, 100)}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		g.calls <- call{r.Header, body}
		w.Header().Set("Retry-After", "600")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(<-g.status)
		io.WriteString(w, "said of "+r.URL.Path)
	}))
	g.Start()
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) sms(t *testing.T) *SMS {
	t.Helper()
	s, err := NewSMS(SMSConfig{URL: g.URL + "/send?key=hidden", Secret: smsSecret, Timeout: 10 * time.Second, Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shortLetter(name string) enroll.Letter {
	l := letter(name)
	l.Via, l.Address = enroll.ViaSMS, "+4915112345678"
	return l
}

func TestSMS(t *testing.T) {
	g := newGateway(t)
	l := shortLetter("anna")
	d := newDesk(t, Options{SMS: g.sms(t)}, l)
	g.status <- 202
	d.want(enroll.MessageSent)
	c := <-g.calls
	var body map[string]string
	if err := json.Unmarshal(c.body, &body); err != nil {
		t.Fatal(err)
	}
	if body["to"] != "+4915112345678" || !strings.HasSuffix(body["text"], link("secret-of-anna")) || body["request_id"] != l.RequestID || body["message_id"] != l.ID || len(body) != 4 {
		t.Errorf("body %v", body)
	}
	mac := hmac.New(sha256.New, []byte(smsSecret))
	mac.Write([]byte("1772355600." + string(c.body)))
	for header, want := range map[string]string{"Idempotency-Key": l.ID, "Content-Type": "application/json", "Rollcall-Timestamp": "1772355600",
		"Rollcall-Signature": "sha256=" + hex.EncodeToString(mac.Sum(nil))} {
		if got := c.header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
}

func TestSMSAnswers(t *testing.T) {
	for status, want := range map[int]enroll.MessageOutcome{200: enroll.MessageSent, 204: enroll.MessageSent, 302: enroll.MessageRetry, 400: enroll.MessageBounced,
		404: enroll.MessageBounced, 408: enroll.MessageRetry, 422: enroll.MessageBounced, 429: enroll.MessageRetry, 500: enroll.MessageRetry, 503: enroll.MessageRetry} {
		g := newGateway(t)
		d := newDesk(t, Options{SMS: g.sms(t)}, shortLetter("anna"))
		g.status <- status
		r := d.want(want)[0]
		if want != enroll.MessageSent && !strings.Contains(r.Error, "said of /send") {
			t.Errorf("%d: the words are %q", status, r.Error)
		}
		if wait := r.RetryAt.Sub(r.At); status == 429 && wait != 10*time.Minute {
			t.Errorf("Retry-After of 10 minutes waits %v", wait)
		}
		if len(g.calls) != 1 {
			t.Errorf("%d: %d calls", status, len(g.calls))
		}
		d.stop()
	}
}

// TestChannelsAreIndependent: a mail server that is away keeps no SMS waiting,
// and a gateway that is away is said so without its URL.
func TestChannelsAreIndependent(t *testing.T) {
	p, s := server(t, peer.Options{})
	p.Treat(peer.Everybody, peer.Rule{Hang: true})
	g := newGateway(t)
	d := newDesk(t, Options{SMTP: s, SMS: g.sms(t), Grace: time.Millisecond}, letter("anna"), shortLetter("bert"))
	g.status <- 200
	d.want(enroll.MessageSent)
	d.stop()
	d.want(enroll.MessageReleased)

	g.Close()
	d = newDesk(t, Options{SMS: g.sms(t)}, shortLetter("carl"))
	if r := d.want(enroll.MessageRetry)[0]; strings.Contains(r.Error, "hidden") || d.observed["sms retry connect"] != 1 {
		t.Errorf("%+v, observed %v", r, d.observed)
	}
}

func TestSMSConfig(t *testing.T) {
	for name, test := range map[string]struct {
		config SMSConfig
		err    string
	}{
		"https":    {SMSConfig{URL: "https://sms.example.com/send", Secret: smsSecret}, ""},
		"loopback": {SMSConfig{URL: "http://127.0.0.1:8080/", Secret: smsSecret}, ""},
		"http":     {SMSConfig{URL: "http://sms.example.com/send", Secret: smsSecret}, "https"},
		"no URL":   {SMSConfig{URL: "sms.example.com", Secret: smsSecret}, "URL"},
		"short":    {SMSConfig{URL: "https://sms.example.com", Secret: "short"}, "too short"},
	} {
		_, err := NewSMS(test.config)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
