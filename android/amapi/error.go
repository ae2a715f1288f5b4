package amapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rollcall/enroll"
)

// Code says what went wrong, and so what to do.
type Code string

// The codes of failed calls.
const (
	Invalid      Code = "invalid"      // 400 INVALID_ARGUMENT: the same call will fail again
	Precondition Code = "precondition" // 400 FAILED_PRECONDITION: as Invalid
	Unauthorized Code = "unauthorized" // 401, also with a fresh token, or no token at all
	Forbidden    Code = "forbidden"    // 403: the enterprise is no longer ours, or the API is off
	NotFound     Code = "not_found"    // 404, or 500 "Requested entity was not found"
	Unchanged    Code = "unchanged"    // 304: it is as it should be already
	Conflict     Code = "conflict"     // 409: another state than the call expects
	TooMany      Code = "too_many"     // 429, or the quota of this server is used up
	Unavailable  Code = "unavailable"  // 5xx
	Unreachable  Code = "unreachable"  // nothing was answered
	BadAnswer    Code = "bad_answer"   // something was, but not what the API answers
)

// Error is a call that failed.
type Error struct {
	Call       string // "POST enterprises/LC0/devices/1:issueCommand"
	Status     int    // of HTTP; 0: there was no answer
	Code       Code
	Reason     string // Google's word: "RESOURCE_EXHAUSTED"
	Message    string // Google's words, shortened
	RetryAfter time.Duration
	// Unknown says that the call may have been carried out all the same.
	Unknown bool
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("amapi: %s: %s", e.Call, e.Code)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d %s)", e.Status, e.Reason)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause, and the same in words for an admin.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.public()}
	}
	return []error{e.public(), e.Err}
}

func (e *Error) public() *enroll.Error {
	say := func(kind enroll.Kind, text, hint string) *enroll.Error {
		return &enroll.Error{Kind: kind, Code: "amapi_" + string(e.Code), Text: text, Hint: hint}
	}
	switch e.Code {
	case Invalid, Precondition, Conflict:
		return say(enroll.KindConflict, "Google refused the call: "+e.Message, "")
	case Unauthorized:
		return say(enroll.KindConflict, "Google does not take the service account's key.", "Make a new key of the service account in Google's console and give it here.")
	case Forbidden:
		return say(enroll.KindConflict, "Google refuses this project access: the enterprise is not bound to it any more, or the API is off.",
			"Look whether the Android Management API is on for the project and whether the organization's administrator has removed the enterprise; then bind it again.")
	case NotFound:
		return say(enroll.KindNotFound, "Google does not know it.", "")
	case TooMany:
		return say(enroll.KindUnavailable, "Google's quota of calls is used up for the moment.", "It is tried again by itself.")
	case Unavailable, Unchanged:
		return say(enroll.KindUnavailable, "Google's service asks for patience.", "It is tried again by itself.")
	case Unreachable:
		return say(enroll.KindUnavailable, "Google's service does not answer.", "Let this machine reach androidmanagement.googleapis.com, pubsub.googleapis.com and oauth2.googleapis.com, port 443.")
	}
	return say(enroll.KindUnavailable, "What answers is not Google's service.", "Look for a proxy between this machine and Google.")
}

// Lasting says that the same call will fail until somebody does something.
func (e *Error) Lasting() bool {
	switch e.Code {
	case TooMany, Unavailable, Unreachable, BadAnswer:
		return false
	}
	return true
}

// CodeOf is the code of a failed call; empty for nil and other errors.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// retryAfter is how long to wait before the same is tried again.
func retryAfter(err error, otherwise time.Duration) time.Duration {
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	return otherwise
}

// mayHaveHappened says that a call that is not idempotent must not be repeated
// before it is known what became of it.
func mayHaveHappened(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unknown
}

const (
	notFound500 = "Requested entity was not found" // an error of the API's, with status 500
	maxMessage  = 300
)

// refusal is the Error of an answer that is not a success.
func refusal(status int, body []byte) *Error {
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // a proxy answers in HTML
	e := &Error{Status: status, Reason: shorten(answer.Error.Status), Message: shorten(answer.Error.Message)}
	switch {
	case status == http.StatusNotFound, status == http.StatusInternalServerError && strings.HasPrefix(e.Message, notFound500):
		e.Code = NotFound
	case status == http.StatusNotModified:
		e.Code = Unchanged
	case status == http.StatusUnauthorized:
		e.Code = Unauthorized
	case status == http.StatusForbidden:
		e.Code = Forbidden
	case status == http.StatusConflict:
		e.Code = Conflict
	case status == http.StatusTooManyRequests:
		e.Code = TooMany
	case status >= 500:
		e.Code, e.Unknown = Unavailable, true
	case status < 400:
		e.Code, e.Unknown = BadAnswer, true
	case e.Reason == "FAILED_PRECONDITION":
		e.Code = Precondition
	default:
		e.Code = Invalid
	}
	return e
}

func shorten(s string) string {
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "..."
	}
	return s
}
