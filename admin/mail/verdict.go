package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	"rollcall/enroll"
)

// verdict is what an attempt means.
type verdict struct {
	outcome enroll.MessageOutcome
	words   string // for the admin; may hold the address, so it is not logged
	cause   string // from a small set: for metrics and the log
	after   time.Duration
	broken  bool // the connection cannot be used any more
}

// The causes.
const (
	causeSent     = "sent"
	causeRefused  = "refused"  // the recipient or the message
	causeDeferred = "deferred" // told to come back later
	causeRejected = "rejected" // us: sender, login, or an answer that makes no sense
	causeConnect  = "connect"
	causeTLS      = "tls"
	causeTimeout  = "timeout"
	causeBroken   = "connection"
	causeAddress  = "address"
	causeInternal = "internal"
)

// step is where an SMTP dialogue stands.
type step string

const (
	stepConnect   step = "connect"
	stepTLS       step = "tls"
	stepGreeting  step = "greeting"
	stepLogin     step = "login"
	stepSender    step = "sender"
	stepRecipient step = "recipient"
	stepContent   step = "content"
	stepDone      step = "done"
)

// judge sorts what went wrong at a step of an SMTP dialogue.
func judge(at step, err error) verdict {
	v := verdict{outcome: enroll.MessageRetry, words: wordsOf(err), broken: at != stepSender && at != stepRecipient && at != stepContent}
	var reply *textproto.Error
	switch {
	case errors.As(err, &reply):
		v.broken = v.broken || reply.Code == 421
		switch {
		case reply.Code >= 400 && reply.Code < 500:
			v.cause = causeDeferred
		case reply.Code >= 500 && (at == stepRecipient || at == stepContent):
			v.outcome, v.cause = enroll.MessageBounced, causeRefused
		default:
			v.cause = causeRejected
		}
		return v
	case timedOut(err):
		v.cause = causeTimeout
	case at == stepTLS:
		v.cause = causeTLS
	case at == stepConnect:
		v.cause = causeConnect
	case at == stepLogin:
		v.cause = causeRejected
	default:
		v.cause = causeBroken
	}
	v.broken = true
	return v
}

func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// isTLS says that a failure is one of TLS.
func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &alert) || strings.Contains(err.Error(), "STARTTLS")
}

// wordsOf are those of the server where it said something.
func wordsOf(err error) string {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return clip(strconv.Itoa(reply.Code) + " " + reply.Msg)
	}
	return clip(err.Error())
}

// clip makes words of somebody else fit for one line of ours.
func clip(s string) string {
	const most = 300
	s = line(s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
