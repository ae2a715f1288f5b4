package app

import (
	"net"
	"sync"
)

// resumed is a listener of connections that were served before: those of agents
// whose wait outside of net/http has ended.
type resumed struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newResumed(addr net.Addr) *resumed {
	return &resumed{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// resume gives a connection back to the server.
func (l *resumed) resume(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (l *resumed) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *resumed) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *resumed) Addr() net.Addr { return l.addr }
