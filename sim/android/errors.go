package android

import (
	"errors"
	"fmt"
	"time"
)

// RefusedError is an answer that is no success: the status and what the body
// says. Held and Retryable tell what the phone may do about it.
type RefusedError struct {
	Step       string // nonce, enroll, checkin, wait
	Status     int
	Action     string
	Code       string
	Message    string
	RetryAfter time.Duration // 0: not told
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: status %d, %s, %s: %s", e.Step, e.Status, e.Action, e.Code, e.Message)
}

// Held tells that an administrator has to approve the device.
func (e *RefusedError) Held() bool { return e.Status == 202 }

// ProtocolError is an answer that the document does not allow.
type ProtocolError struct{ Step, What string }

func (e *ProtocolError) Error() string { return "android: " + e.Step + ": " + e.What }

func wrong(step, format string, args ...any) error {
	return &ProtocolError{Step: step, What: fmt.Sprintf(format, args...)}
}

// Errors of a phone that are not the server's.
var (
	// ErrNotEnrolled: the agent has no device id.
	ErrNotEnrolled = errors.New("android: not enrolled")
	// ErrOffline: the phone has no network (SetOffline).
	ErrOffline = errors.New("android: offline")
	// ErrConnectionLost: the connection broke, on purpose (OnCommand, Lose).
	ErrConnectionLost = errors.New("android: connection lost")
	// ErrCrashed: the agent crashed with a command in hand (OnCommand).
	ErrCrashed = errors.New("android: crashed")
	// ErrReenroll: the server told the agent to enroll again, with a new token.
	ErrReenroll = errors.New("android: told to enroll again")
	// ErrUnenrolled: the server told the agent to leave, or the phone was wiped.
	ErrUnenrolled = errors.New("android: unenrolled")
)
