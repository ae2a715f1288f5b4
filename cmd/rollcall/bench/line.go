package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// wire is a whole HTTP/1.1 request, ready to be written as it is.
type wire []byte

// newWire makes the PUT of an MDM message.
func newWire(host, path string, header http.Header, body []byte) wire {
	var b bytes.Buffer
	fmt.Fprintf(&b, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", path, host, len(body))
	header.Write(&b) // a bytes.Buffer takes everything
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// line is one keep-alive connection. net/http's client would cost more than
// the server's answer to an Idle; this one writes bytes and looks for the
// status and the length.
type line struct {
	conn *tls.Conn
	in   *bufio.Reader
	body []byte
}

// lineTimeout bounds the life of a line; no measurement takes as long.
const lineTimeout = 3 * time.Minute

func dial(ctx context.Context, addr string, config *tls.Config) (*line, error) {
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("bench: connect: %w", err)
	}
	l := &line{conn: conn.(*tls.Conn), in: bufio.NewReaderSize(conn, 8<<10)}
	return l, conn.SetDeadline(time.Now().Add(lineTimeout))
}

func (l *line) close() { l.conn.Close() }

// do sends one request. The body is good until the next one.
func (l *line) do(w wire) (status int, body []byte, err error) {
	if _, err := l.conn.Write(w); err != nil {
		return 0, nil, fmt.Errorf("bench: send: %w", err)
	}
	length := -1
	for first := true; ; first = false {
		text, err := l.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, fmt.Errorf("bench: read the answer: %w", err)
		}
		text = bytes.TrimRight(text, "\r\n")
		if len(text) == 0 {
			break
		}
		if first {
			if len(text) < 12 || !bytes.HasPrefix(text, []byte("HTTP/1.1 ")) {
				return 0, nil, fmt.Errorf("bench: %q is no HTTP answer", text)
			}
			if status, err = strconv.Atoi(string(text[9:12])); err != nil {
				return 0, nil, fmt.Errorf("bench: %q is no HTTP answer", text)
			}
			continue
		}
		if n, ok := bytes.CutPrefix(text, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(n)); err != nil {
				return 0, nil, fmt.Errorf("bench: length %q", n)
			}
		}
	}
	if length < 0 {
		return 0, nil, errors.New("bench: the answer does not say how long it is")
	}
	l.body = slices.Grow(l.body[:0], length)[:length]
	if _, err := io.ReadFull(l.in, l.body); err != nil {
		return 0, nil, fmt.Errorf("bench: read the answer: %w", err)
	}
	return status, l.body, nil
}
