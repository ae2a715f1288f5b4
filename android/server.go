package android

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"rollcall/enroll"
)

// Paths of the protocol. They are known to enrolled devices and can never
// change.
const (
	PathNonce   = "/android/v1/nonce"
	PathEnroll  = "/android/v1/enroll"
	PathCheckin = "/android/v1/checkin"
	PathWait    = "/android/v1/wait"
)

// Bounds of bodies, and of lists in them.
const (
	maxEnroll  = 256 << 10
	maxCheckin = 1 << 20
	maxResults = 100
	maxChain   = 10
)

// Gate is the part of enroll.Gate that enrollments need.
type Gate interface {
	Decide(ctx context.Context, a enroll.Attempt) (enroll.Decision, error)
	Refuse(ctx context.Context, a enroll.Attempt, code enroll.Code, detail string) (enroll.Decision, error)
}

// Roll reads rows of the roll.
type Roll interface {
	DeviceByID(ctx context.Context, id string) (enroll.Device, error) // enroll.KindNotFound
}

// Seen notes when devices were heard of.
type Seen interface {
	Mark(enrollmentID string, at time.Time)
}

// Server speaks the agent protocol. Attestor, Strangers, Kick, Now and Log may
// be left out.
type Server struct {
	Gate                Gate
	Roll                Roll
	Tokens              TokenStore
	Agents              AgentStore
	Nonces              *Nonces
	Waits               *Waits
	Seen                Seen
	Attestor            Attestor // nil: attestations are not looked at, and prove nothing
	RequireVerifiedBoot bool     // refuse devices whose hardware does not attest a locked boot loader
	PublicURL           string
	Organization        string
	Strangers           func(http.ResponseWriter, *http.Request) bool // bounds requests that no enrolled device has signed; answers those it refuses
	Kick                func()                                        // after an enrollment, for the delivery
	Stopping            <-chan struct{}                               // closed when the server begins to stop; ends waiting
	Resume              func(net.Conn)                                // serves on a connection whose device has waited; nil: devices wait within their handlers
	Now                 func() time.Time
	Log                 *slog.Logger
}

// ServeNonce answers GET /android/v1/nonce.
func (s *Server) ServeNonce(w http.ResponseWriter, _ *http.Request) {
	nonce, expires := s.Nonces.New()
	write(w, http.StatusOK, answer{Nonce: nonce, ExpiresAt: expires})
}

// ServeEnroll answers POST /android/v1/enroll.
func (s *Server) ServeEnroll(w http.ResponseWriter, r *http.Request) {
	status, a, err := s.enroll(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	write(w, status, a)
}

// ServeCheckin answers PUT /android/v1/checkin.
func (s *Server) ServeCheckin(w http.ResponseWriter, r *http.Request) {
	a, err := s.checkin(w, r)
	if err != nil {
		s.failSigned(w, r, err)
		return
	}
	write(w, http.StatusOK, a)
}

// failSigned answers a request that should have been signed by an enrolled
// device; who cannot sign is a stranger.
func (s *Server) failSigned(w http.ResponseWriter, r *http.Request, err error) {
	var known *refusal
	if errors.As(err, &known) && (known.status == http.StatusBadRequest || known.Code == codeDeviceUnknown) && s.Strangers != nil && !s.Strangers(w, r) {
		return
	}
	s.fail(w, r, err)
}

// readBody reads a JSON object within its bound.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, into any) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, actionNone, "body_too_large", "The request is too large.")
	case err != nil:
		return nil, bad("body_unreadable", "The request did not arrive whole.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if d.Decode(into) != nil || d.More() {
		return nil, wrong("json_invalid", "The request is not a JSON object of the protocol.")
	}
	return body, nil
}

func checkVersion(v int) error {
	if v != version {
		return wrong("version_unknown", "This server speaks version 1 of the protocol.")
	}
	return nil
}

const codeDeviceUnknown = "device_unknown"

// caller finds the enrollment that has signed a request with a body. What is
// signed is not taken yet; see CountAgent.
func (s *Server) caller(r *http.Request, body []byte) (e Enrollment, counter int64, err error) {
	if counter, err = counterOf(r); err != nil {
		return e, 0, err
	}
	id := r.Header.Get(headerDevice)
	if id == "" || len(id) > maxText {
		return e, 0, wrong("device_missing", "The request does not name its device.")
	}
	e, err = s.Agents.Agent(r.Context(), id, clock(s.Now), handOutLease)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return e, 0, refuse(http.StatusGone, actionReenroll, codeDeviceUnknown, "The device is not known here.")
	}
	if err != nil {
		return e, 0, err
	}
	key, err := parseKey(e.PublicKey)
	if err != nil {
		return e, 0, err
	}
	if err := verify(r, key, id, counter, body); err != nil {
		return e, 0, err
	}
	switch {
	case !e.EndedAt.IsZero() && e.Wiped:
		// The answer to the acknowledgement was lost; told to leave, the device
		// would not be wiped.
		return e, 0, refuse(http.StatusOK, actionNone, "", "")
	case !e.EndedAt.IsZero() && e.Replaced:
		return e, 0, refuse(http.StatusGone, actionReenroll, "enrollment_ended", "The device has enrolled anew.")
	case !e.EndedAt.IsZero():
		return e, 0, refuse(http.StatusGone, actionUnenroll, "enrollment_ended", "The enrollment has ended.")
	case counter <= e.Counter:
		return e, 0, counterUsed(e.Counter)
	}
	return e, counter, nil
}

func counterUsed(last int64) error {
	r := refuse(http.StatusConflict, actionRetry, "counter_used", "The counter is not larger than that of an earlier request.")
	r.Counter = &last
	return r
}

// count takes a counter, within the transaction of the request if there is one.
func (s *Server) count(ctx context.Context, id string, counter int64, idle bool) error {
	taken, last, err := s.Agents.CountAgent(ctx, id, counter, idle)
	if err == nil && !taken {
		err = counterUsed(last)
	}
	return err
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}
