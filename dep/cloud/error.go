package cloud

import (
	"fmt"
	"net/http"
	"time"

	"rollcall/enroll"
)

// Code says what went wrong: Apple's own word, or one of the lower half, which
// are ours.
type Code string

// Codes that somebody has to act on. Apple has more of them; they pass through
// as they are.
const (
	ExpiredCursor   Code = "EXPIRED_CURSOR"
	InvalidCursor   Code = "INVALID_CURSOR"
	ExhaustedCursor Code = "EXHAUSTED_CURSOR"
	CursorRequired  Code = "CURSOR_REQUIRED"
	TermsNotSigned  Code = "T_C_NOT_SIGNED"
	AccessDenied    Code = "ACCESS_DENIED"
	Forbidden       Code = "FORBIDDEN" // the session has ended
	NotFound        Code = "NOT_FOUND"

	Unauthorized Code = "unauthorized" // the token is not, or no longer, good
	ClockSkew    Code = "clock_skew"   // this server's clock differs from Apple's
	TokenExpired Code = "token_expired"
	TooMany      Code = "too_many_requests"
	Unavailable  Code = "unavailable" // Apple answers 5xx
	Unreachable  Code = "unreachable" // nothing was answered
	BadAnswer    Code = "bad_answer"  // something was, but not what the service answers
	Refused      Code = "refused"     // a 4xx without a code
)

// Error is a call that failed.
type Error struct {
	Call       string // "POST /devices/sync"
	Status     int    // of HTTP; 0: there was no answer
	Code       Code
	RetryAfter time.Duration // what Apple asked for; 0: nothing
	Detail     string        // for the log and for ClockSkew; never holds a secret
	Err        error         // cause
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("dep: %s: %s", e.Call, e.Code)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause and the same as an *enroll.Error, in words for an
// admin.
func (e *Error) Unwrap() []error {
	public := e.public()
	if e.Err == nil {
		return []error{public}
	}
	return []error{public, e.Err}
}

// public words the error for an admin. Its code is stable: "dep_" and the code
// in lower case.
func (e *Error) public() *enroll.Error {
	say := func(kind enroll.Kind, text, hint string) *enroll.Error {
		return &enroll.Error{Kind: kind, Code: PublicCode(e.Code), Text: text, Hint: hint}
	}
	switch e.Code {
	case TermsNotSigned:
		return say(enroll.KindConflict, "Apple's terms and conditions have changed and are not accepted yet.",
			"Somebody with the role of administrator signs in to Apple Business or School Manager and accepts them; this server goes on by itself.")
	case AccessDenied:
		return say(enroll.KindConflict, "Apple refuses this server access to the account.", "Look at the device management service in Apple Business or School Manager; if it is still there, download and upload its token again.")
	case Unauthorized, Forbidden:
		return say(enroll.KindConflict, "Apple does not take the server token any more.", "Download the token in Apple's portal again and upload it.")
	case ClockSkew:
		return say(enroll.KindConflict, "Apple does not take this server's signature, because its clock is wrong: "+e.Detail+".", "Set the clock of this machine (NTP).")
	case TokenExpired:
		return say(enroll.KindConflict, "The server token has expired.", "Download the token in Apple's portal again and upload it.")
	case TooMany, Unavailable:
		return say(enroll.KindUnavailable, "Apple's service asks for patience.", "It is tried again by itself.")
	case Unreachable:
		return say(enroll.KindUnavailable, "Apple's service does not answer.", "Let this machine reach mdmenrollment.apple.com, port 443.")
	case BadAnswer:
		return say(enroll.KindUnavailable, "What answers is not Apple's service.", "Look for a proxy or portal between this machine and mdmenrollment.apple.com.")
	}
	if text, known := profileCodes[e.Code]; known {
		return say(enroll.KindInvalid, text, "")
	}
	return say(enroll.KindConflict, fmt.Sprintf("Apple refused the call: %s.", e.Code), "The log has more.")
}

// PublicCode is the code of an Error as the admin API gives it.
func PublicCode(c Code) string { return "dep_" + lower(string(c)) }

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Lasting says that the same call will fail until somebody does something.
func (e *Error) Lasting() bool {
	switch e.Code {
	case TooMany, Unavailable, Unreachable, BadAnswer:
		return false
	}
	return true
}

// codeOf is the code of an answer that is not a success. body is one word, bare
// or in quotes, where Apple has one; whatever else it is, it is not repeated.
func codeOf(status int, body string) Code {
	switch {
	case status == http.StatusTooManyRequests:
		return TooMany
	case status >= 500:
		return Unavailable
	}
	if isCode(body) {
		return Code(body)
	}
	switch {
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusNotFound:
		return NotFound
	case status < 400:
		return BadAnswer // a redirection, or a success without the body it has to have
	}
	return Refused
}

// isCode says whether a word looks like one of Apple's codes.
func isCode(s string) bool {
	if len(s) < 3 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c == '_' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}
