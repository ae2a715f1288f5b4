package apns

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestPoolDialsOnce lets ten requests start while nobody answers: one dials,
// and all fail with it.
func TestPoolDialsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(tls.Certificate{}, "https://push.example.com", nil, 2)
		refused, let := errors.New("refused"), make(chan struct{})
		var dials atomic.Int64
		p.transport.DialContext = func(_ context.Context, _, address string) (net.Conn, error) {
			if address != "push.example.com:443" {
				t.Errorf("dials %s", address)
			}
			dials.Add(1)
			<-let
			return nil, refused
		}
		errs := make(chan error, 10)
		for range cap(errs) {
			go func() {
				_, err := p.reserve(t.Context())
				errs <- err
			}()
		}
		synctest.Wait()
		close(let)
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, refused) {
				t.Error(err)
			}
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("%d dials", n)
		}
	})
}

// TestPoolWaitHasAnEnd gives up waiting for a dialing with the request.
func TestPoolWaitHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(tls.Certificate{}, "https://push.example.com", nil, 1)
		p.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		patient, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := p.reserve(patient)
			done <- err
		}()
		synctest.Wait()
		hasty, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.reserve(hasty); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestPoolSettles: the first request of a connection goes alone, since only its
// answer tells how many may follow.
func TestPoolSettles(t *testing.T) {
	s := newService(t, nil)
	cert, _, err := installed(t, topicA).TLS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(cert, s.URL, s.roots(), 2)
	defer p.close()
	first, err := p.reserve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if w, free, _ := p.look(); w != nil || free != nil {
		t.Error("a second request before the first is answered")
	}
	first.conn.Release()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := p.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for range 5 {
		w, _, _ := p.look()
		if w != first {
			t.Fatal("no place on the connection after its first answer")
		}
		defer w.conn.Release()
	}
	if n := s.opened(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
