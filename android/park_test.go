package android

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// again is a listener of connections that come back.
type again struct {
	net.Listener
	conns chan net.Conn
}

func (l again) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l again) Close() error { return nil }

// parkingServer serves the protocol over TLS, as the program does.
func parkingServer(t *testing.T) (*Server, *fake, *tls.Conn, *bufio.Reader) {
	t.Helper()
	s, f := enrolledServer(t)
	web := httptest.NewUnstartedServer(http.HandlerFunc(s.ServeWait))
	back := again{web.Listener, make(chan net.Conn)}
	s.Resume = func(c net.Conn) { back.conns <- c }
	web.StartTLS()
	served := make(chan struct{})
	go func() { web.Config.Serve(back); close(served) }()
	t.Cleanup(func() { s.Waits.Close(); close(back.conns); <-served; web.Close() })
	conn, err := tls.Dial("tcp", web.Listener.Addr().String(), &tls.Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return s, f, conn, bufio.NewReader(conn)
}

// TestParked: a device that waits holds nothing but its connection, gets its
// answers as from net/http, and goes on over the same connection.
func TestParked(t *testing.T) {
	s, f, conn, in := parkingServer(t)
	ask := func(timeout string, counter int64) {
		t.Helper()
		if err := signedRequest(t, http.MethodGet, PathWait+timeout, testDevice, counter, nil).Write(conn); err != nil {
			t.Fatal(err)
		}
	}
	parked := func() *parked {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			s.Waits.mu.Lock()
			by := s.Waits.waiting[testDevice]
			s.Waits.mu.Unlock()
			if p, ok := by.(*parked); ok {
				return p
			}
			if time.Now().After(deadline) {
				t.Fatalf("it is not parked: %T", by)
			}
		}
	}
	answered := func(status int) {
		t.Helper()
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode != status || r.Header.Get("Date") == "" {
			t.Fatalf("answered %d %v; want %d", r.StatusCode, r.Header, status)
		}
		if status == http.StatusNoContent {
			return
		}
		var a answer
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil || !a.Wake || a.V != version || a.Action != actionNone || r.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%+v %v %v", a, r.Header, err)
		}
	}
	ask("?timeout=1", 50)
	answered(http.StatusNoContent)
	if s.Waits.Waiting() != 0 {
		t.Error("it still waits after its time")
	}
	ask("", 51) // over the same connection
	p := parked()
	if !s.Waits.leave(testDevice, p) || s.Waits.leave(testDevice, p) {
		t.Error("a wait does not end once")
	}
	p.wake()
	answered(http.StatusOK)
	f.enrolled.Due = true
	ask("", 52)
	answered(http.StatusOK)
	f.enrolled.Due = false
	ask("", 53)
	parked()
	s.Waits.Close()
	answered(http.StatusNoContent)
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection is open after the server has stopped")
	}
}

// TestNotParked: what cannot be taken out of net/http waits within it.
func TestNotParked(t *testing.T) {
	s, _, conn, in := parkingServer(t)
	r := signedRequest(t, http.MethodGet, PathWait+"?timeout=1", testDevice, 50, nil)
	r.Close = true
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(in, nil)
	if err != nil || a.StatusCode != http.StatusNoContent || !a.Close {
		t.Errorf("%+v %v", a, err)
	}
	s.Resume = nil
	if w := s.serve(signedRequest(t, http.MethodGet, PathWait+"?timeout=1", testDevice, 51, nil)); w.Code != http.StatusNoContent {
		t.Errorf("%d", w.Code)
	}
}
