package enroll

import (
	"errors"
	"fmt"
)

// Kind sorts errors by what the caller can do about them. Each surface (admin
// API, device endpoints, command line) has one switch from Kind to its wire.
type Kind string

// The kinds. KindInternal is what every untyped error counts as.
const (
	KindInvalid      Kind = "invalid"      // the input is wrong; Text says where and what is allowed
	KindNotFound     Kind = "not_found"    // no such object
	KindConflict     Kind = "conflict"     // the object's state forbids it; Text says what to do instead
	KindUnauthorized Kind = "unauthorized" // no or bad credentials
	KindForbidden    Kind = "forbidden"    // credentials without the needed role
	KindGone         Kind = "gone"         // it existed and was used up, withdrawn or has expired
	KindUnavailable  Kind = "unavailable"  // a part we depend on does not answer; trying again helps
	KindInternal     Kind = "internal"     // our fault; details go to the log only
)

// Error is the one error type that crosses rooms. Text and Hint are written
// for a person and may be shown to anybody; Err is for the log.
type Error struct {
	Kind Kind
	Code string // stable, snake_case, for programs: "device_enrolled"
	Text string // what happened
	Hint string // what to do next; may be empty
	Op   string // where: "enroll.Block"
	Err  error  // cause, never shown
}

// Error implements error with everything, for the log.
func (e *Error) Error() string {
	s := e.Text
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Err != nil {
		s = fmt.Sprintf("%s: %v", s, e.Err)
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error without hint or cause.
func Errorf(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Text: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e that tells what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// KindOf is the kind of the first Error in the chain, KindInternal for every
// other error, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}
