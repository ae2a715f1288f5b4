package apns

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestJudgeError(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: expired certificate")}
	for name, c := range map[string]struct {
		err     error
		cause   string
		trouble trouble
		slow    bool
	}{
		"dial":           {dial, "dial", unreachable, false},
		"stream":         {errors.New("http2: client connection lost"), lostConnection, unreachable, false},
		"alert":          {alert, "client certificate", configuration, true},
		"server unknown": {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "server certificate", configuration, true},
	} {
		v := judgeError(&url.Error{Op: "Post", URL: "https://host/3/device/c0ffee", Err: fmt.Errorf("wrapped: %w", c.err)})
		if v.outcome != Retry || v.cause != c.cause || v.trouble != c.trouble || v.slow != c.slow {
			t.Errorf("%s: %+v", name, v)
		}
		if strings.Contains(v.reason, "c0ffee") || !strings.Contains(v.reason, "wrapped") {
			t.Errorf("%s: reason %q", name, v.reason)
		}
	}
	if v := judgeError(errors.New(strings.Repeat("ü", 500))); len(v.reason) > 200 || strings.Contains(v.reason, "\ufffd") {
		t.Errorf("reason of %d bytes", len(v.reason))
	}
}

func TestDelay(t *testing.T) {
	for _, c := range []struct {
		slow       bool
		attempts   int
		retryAfter time.Duration
		from, to   time.Duration
	}{
		{false, 0, 0, time.Second, 2 * time.Second},
		{false, 3, 0, 8 * time.Second, 16 * time.Second},
		{false, 100, 0, 30 * time.Minute, time.Hour},
		{false, 0, time.Minute, time.Minute, time.Minute},
		{false, 0, 24 * time.Hour, time.Hour, time.Hour},
		{true, 0, 0, 30 * time.Second, time.Minute},
		{true, 100, 0, 7*time.Minute + 30*time.Second, 15 * time.Minute},
	} {
		seen := map[time.Duration]bool{}
		for range 200 {
			d := verdict{slow: c.slow}.delay(c.attempts, c.retryAfter)
			if d < c.from || d > c.to {
				t.Errorf("%+v: %v", c, d)
			}
			seen[d] = true
		}
		if c.from != c.to && len(seen) < 100 {
			t.Errorf("%+v: only %d different delays", c, len(seen))
		}
	}
}

func TestRetryAfter(t *testing.T) {
	date := "Sun, 22 Nov 2026 09:00:00 GMT"
	for value, want := range map[string]time.Duration{
		"":                              0,
		"30":                            30 * time.Second,
		"-1":                            0,
		"99999999999999":                lastRetry,
		"soon":                          0,
		"Sun, 22 Nov 2026 09:01:00 GMT": time.Minute,
		"Sun, 22 Nov 2026 08:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
