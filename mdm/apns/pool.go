package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
)

// pool is a few HTTP/2 connections to APNs, opened one after the other as the
// ones before are full, and reopened when they break.
//
// http.Transport's own pool does not do for a hundred pushes that start at
// once: left alone it opens a hundred connections, which Apple takes for an
// attack, and with StrictMaxConcurrentRequests it deadlocks (Go 1.26) as soon
// as more requests wait than the service allows streams.
type pool struct {
	transport *http.Transport
	address   string
	changed   broadcast

	mu    sync.Mutex
	lines []line
}

// line is a place for one connection.
type line struct {
	wire    *wire    // nil: not connected
	dialing *dialing // nil: nobody dials
}

// wire is one connection.
type wire struct {
	conn *http.ClientConn
	// settled: an answer has come, so the service's SETTINGS are known. Until
	// then one request goes alone, because their number would be a guess.
	settled atomic.Bool
}

// dialing is an attempt to connect; err is set, under the pool's lock, before
// the pool's change is broadcast.
type dialing struct{ err error }

func newPool(cert tls.Certificate, host string, roots *x509.CertPool, connections int) *pool {
	dialer := &net.Dialer{Timeout: dialTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &pool{
		address: addressOf(host),
		lines:   make([]line, connections),
		transport: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: dialer.DialContext,
			TLSClientConfig: &tls.Config{
				Certificates: []tls.Certificate{cert},
				RootCAs:      roots,
				MinVersion:   tls.VersionTLS12,
			},
			TLSHandshakeTimeout: dialTimeout,
			IdleConnTimeout:     idleTimeout,
			Protocols:           protocols,
			HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
			DisableCompression:  true,
		},
	}
}

// addressOf gives "name:port" of a host that NewPusher has checked.
func addressOf(host string) string {
	u, err := url.Parse(host)
	if err != nil {
		return host // dialing it will tell
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "443")
	}
	return u.Host
}

// RoundTrip sends a request over the first connection that has room, and waits
// for one while there is none.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	w, err := p.reserve(r.Context())
	if err != nil {
		if r.Body != nil {
			r.Body.Close() // as a RoundTripper has to
		}
		return nil, err
	}
	response, err := w.conn.RoundTrip(r)
	if err == nil && !w.settled.Swap(true) {
		p.changed.send()
	}
	return response, err
}

// reserve finds a connection and takes one request's place on it.
func (p *pool) reserve(ctx context.Context) (*wire, error) {
	for {
		// Taken before looking, so that no change after it is missed.
		changed := p.changed.channel()
		w, free, waitFor := p.look()
		switch {
		case w != nil:
			return w, nil
		case free != nil:
			if err := p.dial(ctx, free); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if waitFor != nil {
			p.mu.Lock()
			err := waitFor.err
			p.mu.Unlock()
			if err != nil {
				return nil, err // all who waited fail with the one who dialed
			}
		}
	}
}

// look gives a connection with a place reserved, or a line that the caller has
// to dial, or neither: then a change is to be awaited, of a dialing if there
// is one.
func (p *pool) look() (w *wire, free *line, waitFor *dialing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.lines {
		l := &p.lines[i]
		if l.wire != nil {
			busy := l.wire.conn.InFlight() > 0
			if !busy || l.wire.settled.Load() {
				if l.wire.conn.Reserve() == nil {
					return l.wire, nil, nil
				}
			}
			switch {
			case l.wire.conn.Err() == nil && busy && l.wire.settled.Load():
				continue // full, or going away after its last answers
			case l.wire.conn.Err() == nil && busy:
				return nil, nil, nil // the first answer will tell how much room there is
			}
			l.wire.conn.Close() // broken, or without use; its error changes nothing
			l.wire = nil
		}
		if l.dialing == nil {
			l.dialing = new(dialing)
			return nil, l, nil
		}
		return nil, nil, l.dialing
	}
	return nil, nil, nil
}

// dial connects a line that look gave out.
func (p *pool) dial(ctx context.Context, l *line) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := p.transport.NewClientConn(ctx, "https", p.address)
	p.mu.Lock()
	l.dialing.err = err
	l.dialing = nil
	if err == nil {
		l.wire = &wire{conn: conn}
	}
	p.mu.Unlock()
	if err == nil {
		conn.SetStateHook(func(*http.ClientConn) { p.changed.send() })
	}
	p.changed.send()
	return err
}

// close ends all connections; nobody may use the pool any more.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.lines {
		if w := p.lines[i].wire; w != nil {
			w.conn.Close() // there is nobody to tell
			p.lines[i].wire = nil
		}
	}
}

// broadcast wakes all who wait for a change.
type broadcast struct {
	mu      sync.Mutex
	waiting chan struct{} // nil: nobody
}

// channel is closed at the next send.
func (b *broadcast) channel() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = make(chan struct{})
	}
	return b.waiting
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting != nil {
		close(b.waiting)
		b.waiting = nil
	}
}
