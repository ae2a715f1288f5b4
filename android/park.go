package android

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// park takes the connection of a device that waits out of net/http, which keeps
// two goroutines with their stacks, two buffers and the request for it: some
// 40 KiB, of which a parked connection needs a fifth. When the wait ends it is
// answered here and given to Resume, which serves it on, with the same TLS
// session. It says whether it took the connection; HTTP/2, a request with a
// body and one that ends its connection it leaves alone.
//
// Nobody reads from a parked connection, so one that breaks is noticed when its
// wait ends, at most maxWait later.
func (s *Server) park(w http.ResponseWriter, r *http.Request, id string, timeout time.Duration) bool {
	if s.Resume == nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Body != http.NoBody || r.Close {
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	p := &parked{conn: conn, resume: s.Resume, now: s.Now}
	if buffered.Reader.Buffered() > 0 { // a second request before the answer; it is lost, so the device sends it again
		p.resume = hangUp
	}
	s.Waits.join(id, p)
	p.timer(timeout, func() {
		if s.Waits.leave(id, p) {
			p.end(false)
		}
	})
	return true
}

func hangUp(c net.Conn) { c.Close() }

// parked is a connection that waits.
type parked struct {
	conn   net.Conn
	resume func(net.Conn)
	now    func() time.Time

	mu    sync.Mutex
	after *time.Timer
	ended bool
}

// timer begins the time-out, unless the wait is over already.
func (p *parked) timer(timeout time.Duration, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.after = time.AfterFunc(timeout, f)
	}
}

// wake implements waiter. A device that does not read holds up nobody.
func (p *parked) wake() { go p.end(true) }

// release implements waiter.
func (p *parked) release() {
	p.resume = hangUp
	p.end(false)
}

// answerTimeout bounds the writing of an answer, which is smaller than any
// buffer on its way.
const answerTimeout = 10 * time.Second

// end answers as ServeWait does. Whoever has taken p out of Waits calls it, so
// it is called once.
func (p *parked) end(wake bool) {
	p.mu.Lock()
	if p.ended = true; p.after != nil {
		p.after.Stop()
	}
	p.mu.Unlock()
	a := http.Response{ProtoMajor: 1, ProtoMinor: 1, StatusCode: http.StatusNoContent, Header: http.Header{"Date": {clock(p.now).Format(http.TimeFormat)}}}
	if wake {
		body := answer{Wake: true}.encode()
		a.StatusCode, a.Body, a.ContentLength = http.StatusOK, io.NopCloser(bytes.NewReader(body)), int64(len(body))
		describe(a.Header)
	}
	var out bytes.Buffer
	a.Write(&out) // a bytes.Buffer takes everything
	p.conn.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := p.conn.Write(out.Bytes()); err != nil {
		p.conn.Close()
		return
	}
	p.conn.SetDeadline(time.Time{})
	p.resume(p.conn)
}
