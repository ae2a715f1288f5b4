package android

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"rollcall/enroll"
)

// version is that of the protocol.
const version = 1

// The actions of an answer: what the agent does next. Nothing else makes an
// agent leave.
const (
	actionNone     = "none"
	actionRetry    = "retry"
	actionReenroll = "reenroll"
	actionUnenroll = "unenroll"
)

// answer is the body of every answer.
type answer struct {
	V            int             `json:"v"`
	Action       string          `json:"action"`
	RetryAfter   int             `json:"retry_after,omitempty"` // seconds
	Code         string          `json:"code,omitempty"`
	Message      string          `json:"message,omitempty"`
	Nonce        string          `json:"nonce,omitempty"`
	ExpiresAt    time.Time       `json:"expires_at,omitzero"`
	DeviceID     string          `json:"device_id,omitempty"`
	CheckinURL   string          `json:"checkin_url,omitempty"`
	WaitURL      string          `json:"wait_url,omitempty"`
	PollSeconds  int             `json:"poll_seconds,omitempty"`
	Organization string          `json:"organization,omitempty"`
	Counter      *int64          `json:"counter,omitempty"`
	Wake         bool            `json:"wake,omitempty"`
	Command      *commandAnswer  `json:"command,omitempty"`
	Problems     []resultProblem `json:"problems,omitempty"`
}

type commandAnswer struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Parameters json.RawMessage `json:"parameters"`
}

// refusal is an answer with an error.
type refusal struct {
	status int
	answer
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Message) }

func refuse(status int, action, code, message string) *refusal {
	return &refusal{status, answer{Action: action, Code: code, Message: message}}
}

// bad is a request that did not arrive whole, or whose nonce, counter or
// signature is wrong: the agent tries again with new ones.
func bad(code, message string) error {
	return refuse(http.StatusBadRequest, actionRetry, code, message)
}

// wrong is a request that is not of the protocol: sent again it would be
// refused again.
func wrong(code, message string) error {
	return refuse(http.StatusBadRequest, actionNone, code, message)
}

// encode is the body of an answer.
func (a answer) encode() []byte {
	a.V = version
	if a.Action == "" {
		a.Action = actionNone
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("android: an answer without JSON form: %v", err))
	}
	return b
}

// describe says what the body of an answer is.
func describe(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
}

func write(w http.ResponseWriter, status int, a answer) {
	describe(w.Header())
	w.WriteHeader(status)
	w.Write(a.encode())
}

// fail is the one way from an error to the wire.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var known *refusal
	if errors.As(err, &known) {
		s.log().InfoContext(r.Context(), "agent refused", "status", known.status, "code", known.Code)
		write(w, known.status, known.answer)
		return
	}
	status, text := http.StatusInternalServerError, "The server failed to do this."
	if enroll.KindOf(err) == enroll.KindUnavailable {
		status, text = http.StatusServiceUnavailable, "The server cannot answer at the moment."
	}
	if r.Context().Err() == nil {
		s.log().ErrorContext(r.Context(), "agent request failed", "error", err)
	}
	write(w, status, answer{Action: actionRetry, Code: "unavailable", Message: text})
}
