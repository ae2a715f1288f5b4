package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Behaviour is what a receiver does with a delivery.
type Behaviour func(w http.ResponseWriter, r *http.Request)

// Answer answers with a status.
func Answer(status int) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// Redirect sends the sender elsewhere.
func Redirect(to string) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// Never takes the request and does not answer until the sender gives up.
func Never(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Endless answers 200 with a body that does not end while the sender reads.
func Endless(w http.ResponseWriter, r *http.Request) {
	line := []byte(strings.Repeat("x", 4096))
	for r.Context().Err() == nil {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}

// Delivery is what came.
type Delivery struct {
	ID        string // header Rollcall-Delivery
	Event     string // header Rollcall-Event
	Body      []byte
	Message   Message
	Signature error // nil: it was right
}

// Message is the JSON of an event.
type Message struct {
	ID   string         `json:"id"`
	Type string         `json:"type"`
	At   time.Time      `json:"at"`
	Data map[string]any `json:"data"`
}

// Receiver is a server that takes webhooks.
type Receiver struct {
	URL string

	server *http.Server
	done   chan struct{}

	mu        sync.Mutex
	secret    string
	behaviour Behaviour
	came      []Delivery
	more      chan struct{} // closed when another one came
}

// Listen starts a receiver that answers 204.
func Listen() (*Receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Receiver{URL: "http://" + l.Addr().String() + "/hook", behaviour: Answer(http.StatusNoContent), more: make(chan struct{}), done: make(chan struct{})}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(r.done)
		r.server.Serve(l) // ends with Close
	}()
	return r, nil
}

// Close ends the receiver and what is under way.
func (r *Receiver) Close() error {
	err := r.server.Close()
	<-r.done
	return err
}

// Knows sets the secret that deliveries are signed with.
func (r *Receiver) Knows(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = secret
}

// Behave changes what is done with deliveries from now on.
func (r *Receiver) Behave(b Behaviour) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behaviour = b
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return
	}
	r.mu.Lock()
	d := Delivery{ID: req.Header.Get("Rollcall-Delivery"), Event: req.Header.Get("Rollcall-Event"), Body: body, Signature: check(r.secret, req.Header.Get("Rollcall-Signature"), body)}
	if err := json.Unmarshal(body, &d.Message); err != nil && d.Signature == nil {
		d.Signature = err
	}
	r.came = append(r.came, d)
	close(r.more)
	r.more = make(chan struct{})
	behave := r.behaviour
	r.mu.Unlock()
	behave(w, req)
}

// Came is what has come so far.
func (r *Receiver) Came() []Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Delivery(nil), r.came...)
}

// Wait waits until so many have come.
func (r *Receiver) Wait(ctx context.Context, n int) ([]Delivery, error) {
	for {
		r.mu.Lock()
		came, more := append([]Delivery(nil), r.came...), r.more
		r.mu.Unlock()
		if len(came) >= n {
			return came, nil
		}
		select {
		case <-ctx.Done():
			return came, fmt.Errorf("%d of %d deliveries came: %w", len(came), n, ctx.Err())
		case <-more:
		}
	}
}

// check does what the documentation asks of a receiver.
func check(secret, header string, body []byte) error {
	fields := map[string]string{}
	for _, part := range strings.Split(header, ",") {
		k, v, _ := strings.Cut(part, "=")
		fields[k] = v
	}
	if _, err := strconv.ParseInt(fields["t"], 10, 64); err != nil {
		return fmt.Errorf("the signature %q has no time", header)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(fields["t"]))
	mac.Write([]byte("."))
	mac.Write(body)
	if !hmac.Equal([]byte(fields["v1"]), []byte(hex.EncodeToString(mac.Sum(nil)))) {
		return fmt.Errorf("the signature does not match")
	}
	return nil
}
