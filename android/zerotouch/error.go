package zerotouch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/enroll"
)

// Code says what went wrong with a call, and so what to do.
type Code string

// The codes of failed calls.
const (
	Invalid      Code = "invalid"      // 400, 409: the same call will fail again
	Unauthorized Code = "unauthorized" // 401, also with a fresh token, or no token at all
	Forbidden    Code = "forbidden"    // 403: no user of the portal, or the API is off
	Terms        Code = "terms"        // 403: the terms of zero-touch are not accepted
	NotFound     Code = "not_found"    // 404
	TooMany      Code = "too_many"     // 429
	Unavailable  Code = "unavailable"  // 5xx
	Unreachable  Code = "unreachable"  // nothing was answered
	BadAnswer    Code = "bad_answer"   // something was, but not what the API answers
)

// Error is a call that failed.
type Error struct {
	Call       string // "GET customers/-/devices"
	Status     int    // of HTTP; 0: there was no answer
	Code       Code
	Message    string // Google's words, shortened
	RetryAfter time.Duration
	Err        error
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("zerotouch: %s: %s", e.Call, e.Code)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
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
		return &enroll.Error{Kind: kind, Code: "zero_touch_" + string(e.Code), Text: text, Hint: hint}
	}
	switch e.Code {
	case Invalid:
		return say(enroll.KindConflict, "Google refused the call: "+e.Message, "")
	case Unauthorized:
		return say(enroll.KindConflict, "Google does not take the service account's key.", "Make a new key of the service account in Google's console and give it here.")
	case Forbidden:
		return say(enroll.KindConflict, "Google refuses the service account access to zero-touch.",
			"Look whether the Android Device Provisioning Partner API is on for its project, and whether the zero-touch portal lists its address as an administrator of the customer.")
	case Terms:
		return say(enroll.KindConflict, "The current terms of zero-touch are not accepted.", "An owner of the customer signs in to the zero-touch portal and accepts them.")
	case NotFound:
		return say(enroll.KindNotFound, "Zero-touch does not know it.", "")
	case TooMany:
		return say(enroll.KindUnavailable, "Google's quota of calls is used up for the moment.", "It is tried again by itself.")
	case Unavailable:
		return say(enroll.KindUnavailable, "Google's service asks for patience.", "It is tried again by itself.")
	case Unreachable:
		return say(enroll.KindUnavailable, "Google's service does not answer.", "Let this machine reach androiddeviceprovisioning.googleapis.com and oauth2.googleapis.com, port 443.")
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

const (
	maxMessage    = 300
	maxRetryAfter = 6 * time.Hour
)

// refusal is the Error of an answer that is not a success.
func refusal(res *http.Response, body []byte) *Error {
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Details []struct {
				Type string `json:"@type"`
			} `json:"details"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // a proxy answers in HTML
	e := &Error{Status: res.StatusCode, Code: Invalid, Message: answer.Error.Message}
	if len(e.Message) > maxMessage {
		e.Message = strings.ToValidUTF8(e.Message[:maxMessage], "") + "..."
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(min(seconds, 1<<20))*time.Second, maxRetryAfter)
	}
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Code = Unauthorized
	case s == http.StatusForbidden:
		e.Code = Forbidden
		for _, d := range answer.Error.Details {
			if strings.HasSuffix(d.Type, ".TosError") {
				e.Code = Terms
			}
		}
	case s == http.StatusNotFound:
		e.Code = NotFound
	case s == http.StatusTooManyRequests:
		e.Code = TooMany
	case s >= 500:
		e.Code = Unavailable
	case s < 400:
		e.Code = BadAnswer
	}
	return e
}
