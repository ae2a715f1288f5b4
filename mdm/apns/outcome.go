package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sideshow/apns2"
)

// trouble is what an answer says about all pushes, not only about its own.
type trouble int

const (
	fine          trouble = iota // APNs understood us
	unreachable                  // network, or Apple's service
	configuration                // ours: certificate, topic, host, proxy
)

// answer is what APNs said to one push.
type answer struct {
	status     int
	reason     string        // Apple's word, or "HTTP 502" when there was none
	retryAfter time.Duration // zero: not told
}

// verdict is what an answer means.
type verdict struct {
	outcome Outcome
	reason  string // for Result; no secrets
	cause   string // short and from a small set: for metrics, and to log once
	slow    bool   // Retry at the slow pace: nothing changes until a person acts
	trouble trouble
	report  bool // worth an error in the log
	local   bool // found here; APNs was not asked
}

// judge sorts the answers of APNs. The outcome of an answer that is not in
// Apple's words is Retry: it came from something between us and Apple.
func judge(a answer) verdict {
	v := verdict{reason: a.reason, cause: a.reason}
	switch {
	case a.status == http.StatusOK:
		v.outcome = Sent
		v.reason, v.cause = "", "sent"
	case a.status == http.StatusGone:
		v.outcome = Inactive
	case a.status == http.StatusTooManyRequests:
		v.outcome = Retry
	case a.status >= 500:
		v.outcome, v.trouble = Retry, unreachable
	case a.status == http.StatusForbidden:
		v.outcome, v.slow, v.trouble, v.report = Retry, true, configuration, true
	default:
		v = judgeReason(v)
	}
	return v
}

// judgeReason sorts the answers whose status alone does not tell.
func judgeReason(v verdict) verdict {
	switch v.reason {
	case apns2.ReasonBadDeviceToken, apns2.ReasonDeviceTokenNotForTopic, apns2.ReasonMissingDeviceToken:
		v.outcome = Inactive
	case apns2.ReasonIdleTimeout:
		v.outcome = Retry
	case apns2.ReasonBadTopic, apns2.ReasonTopicDisallowed, apns2.ReasonMissingTopic:
		v.outcome, v.slow, v.trouble, v.report = Retry, true, configuration, true
	case apns2.ReasonPayloadEmpty, apns2.ReasonPayloadTooLarge, apns2.ReasonBadPath, apns2.ReasonMethodNotAllowed,
		apns2.ReasonBadExpirationDate, apns2.ReasonBadPriority, apns2.ReasonBadMessageID, apns2.ReasonBadCollapseID,
		apns2.ReasonDuplicateHeaders, apns2.ReasonInvalidPushType:
		v.outcome, v.report = Dropped, true
	default:
		v.outcome, v.slow, v.report = Retry, true, true
		v.cause = "unknown answer"
		if strings.HasPrefix(v.reason, statusOnly) {
			v.trouble = configuration // a proxy, or not APNs at all
		}
	}
	return v
}

// statusOnly begins the reason of an answer without Apple's word.
const statusOnly = "HTTP "

// judgeError sorts the failures that gave no answer.
func judgeError(err error) verdict {
	// url.Error quotes the address, and with it the device token.
	var address *url.Error
	if errors.As(err, &address) {
		err = address.Err
	}
	v := verdict{outcome: Retry, reason: clip(err.Error()), cause: lostConnection, trouble: unreachable}
	var (
		serverCertificate *tls.CertificateVerificationError
		unknownAuthority  x509.UnknownAuthorityError
		network           *net.OpError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		v.cause = "timeout"
	case errors.As(err, &serverCertificate), errors.As(err, &unknownAuthority):
		v.slow, v.trouble, v.report = true, configuration, true
		v.cause = "server certificate"
	case errors.As(err, &network) && network.Op == "remote error": // a TLS alert
		v.slow, v.trouble, v.report = true, configuration, true
		v.cause = "client certificate"
	case errors.As(err, &network) && network.Op == "dial":
		v.cause = "dial"
	}
	return v
}

// lostConnection is the cause of a request whose connection broke.
const lostConnection = "connection"

func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// The paces of Retry.
const (
	firstRetry = 2 * time.Second
	lastRetry  = time.Hour
	firstSlow  = time.Minute
	lastSlow   = 15 * time.Minute
)

// delay is how long a push waits before its next attempt. It grows with the
// attempts that failed before this one, and is spread over its upper half so
// that what failed together does not come back together.
func (v verdict) delay(attempts int, retryAfter time.Duration) time.Duration {
	first, last := firstRetry, lastRetry
	if v.slow {
		first, last = firstSlow, lastSlow
	}
	return max(spread(double(first, last, attempts)), min(retryAfter, lastRetry))
}

// double gives first, doubled n times, at most last.
func double(first, last time.Duration, n int) time.Duration {
	d := first
	for ; n > 0 && d < last; n-- {
		d *= 2
	}
	return min(d, last)
}

func spread(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// reasonOf gives the words for a Result: Apple's if there are any that can be
// stored and logged, the bare status otherwise.
func reasonOf(status int, reason string) string {
	const longest = 64
	if reason == "" || len(reason) > longest || strings.ContainsFunc(reason, notLetter) {
		return statusOnly + strconv.Itoa(status)
	}
	return reason
}

func notLetter(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
