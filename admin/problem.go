package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

// Problem is the body of every error (RFC 9457, application/problem+json).
type Problem struct {
	Title  string          `json:"title" doc:"The status in words."`
	Status int             `json:"status" doc:"The HTTP status."`
	Code   string          `json:"code" doc:"Stable name of the error, for programs." example:"device_enrolled"`
	Detail string          `json:"detail" doc:"What happened, for people."`
	Hint   string          `json:"hint,omitempty" doc:"What to do next."`
	Errors []ProblemDetail `json:"errors,omitempty" doc:"Everything that is wrong with the input, where there is more to say than detail does."`

	Current any `json:"current,omitempty" doc:"The row as it is now, where somebody else has changed it meanwhile."`

	challenge  string // WWW-Authenticate of a 401
	retryAfter time.Duration
}

// ProblemDetail is one thing that is wrong with the input: line and column of
// a file, a pointer into the JSON body (RFC 6901), or a parameter.
type ProblemDetail struct {
	Line      int    `json:"line,omitempty" doc:"Line of the file, counting from 1."`
	Column    string `json:"column,omitempty" doc:"Column of the file by its name."`
	Pointer   string `json:"pointer,omitempty" doc:"JSON pointer into the body."`
	Parameter string `json:"parameter,omitempty" doc:"Parameter of the request." example:"query.limit"`
	Value     string `json:"value,omitempty" doc:"The value, shortened."`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Hint      string `json:"hint,omitempty"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	return h
}

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// statuses is the one switch from kind to HTTP.
var statuses = map[enroll.Kind]int{
	enroll.KindInvalid:      http.StatusUnprocessableEntity,
	enroll.KindNotFound:     http.StatusNotFound,
	enroll.KindConflict:     http.StatusConflict,
	enroll.KindUnauthorized: http.StatusUnauthorized,
	enroll.KindForbidden:    http.StatusForbidden,
	enroll.KindGone:         http.StatusGone,
	enroll.KindUnavailable:  http.StatusServiceUnavailable,
	enroll.KindInternal:     http.StatusInternalServerError,
}

// problem turns an error into what a client may see. What is not an
// enroll.Error is our fault: opaque outside, logged inside.
func (a *API) problem(ctx context.Context, err error) *Problem {
	var (
		done  *Problem
		large *http.MaxBytesError
		known *enroll.Error
	)
	switch {
	case errors.As(err, &done):
		return done
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.As(err, &known) && known.Kind != enroll.KindInternal && statuses[known.Kind] != 0:
		if known.Err != nil {
			a.Logger.WarnContext(ctx, "request refused", "code", known.Code, "error", err)
		}
		status := statuses[known.Kind]
		if known.Code == codeCursor {
			status = http.StatusBadRequest
		}
		return newProblem(status, known.Code, known.Text, known.Hint)
	}
	a.Logger.ErrorContext(ctx, "request failed", "error", err)
	return internal()
}

func newProblem(status int, code, detail, hint string) *Problem {
	p := &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Hint: hint}
	if status == http.StatusUnauthorized {
		p.challenge = `Bearer realm="rollcall"`
	}
	return p
}

func internal() *Problem {
	return newProblem(http.StatusInternalServerError, "internal", "The server failed to do this.", "The server's log says why.")
}

func tooLarge(limit int64) *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("The body is larger than %d bytes.", limit), "Send less at once.")
}

// huma has no other place for these than its package variables. No other
// package of this module uses huma.
func init() {
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return humaProblem(status, msg, errs) }
}

// humaCodes name what huma itself refuses.
var humaCodes = map[int]string{
	http.StatusBadRequest:            "body_malformed",
	http.StatusNotAcceptable:         "accept_unsupported",
	http.StatusRequestTimeout:        "body_timeout",
	http.StatusRequestEntityTooLarge: "body_too_large",
	http.StatusUnsupportedMediaType:  "content_type_unsupported",
	http.StatusUnprocessableEntity:   "request_invalid",
}

// humaProblem words what huma found wrong with parameters and body.
func humaProblem(status int, msg string, errs []error) *Problem {
	code, known := humaCodes[status]
	if !known {
		return internal()
	}
	p := newProblem(status, code, sentence(msg), "")
	for _, err := range errs {
		if d, ok := err.(huma.ErrorDetailer); ok {
			p.Errors = append(p.Errors, located(d.ErrorDetail()))
		}
	}
	if len(p.Errors) > 0 {
		p.Detail = sentence(p.Errors[0].place() + p.Errors[0].Detail)
	}
	if status == http.StatusUnsupportedMediaType {
		p.Hint = "Set Content-Type as the operation is documented; application/json for most."
	}
	return p
}

// located says where a value stood. The body as a whole is not given back: it
// may hold a key.
func located(d *huma.ErrorDetail) ProblemDetail {
	out := ProblemDetail{Code: "value_invalid", Detail: d.Message}
	path, inBody := strings.CutPrefix(d.Location, "body")
	if !inBody {
		out.Parameter = d.Location
	} else if path != "" {
		out.Pointer = strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(path)
	}
	switch v := d.Value.(type) {
	case string:
		if out.Pointer != "" || out.Parameter != "" {
			out.Value = shorten(v)
		}
	case float64, bool:
		out.Value = fmt.Sprint(v)
	}
	return out
}

// place begins a sentence about the value that is wrong.
func (d ProblemDetail) place() string {
	switch {
	case d.Pointer != "":
		return "At " + d.Pointer + ": "
	case d.Parameter != "":
		return "In " + d.Parameter + ": "
	}
	return ""
}

func shorten(s string) string {
	const shown = 100
	if len(s) > shown {
		return strings.ToValidUTF8(s[:shown], "") + "…"
	}
	return s
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// writeProblem answers outside of an operation.
func (a *API) writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	if err := huma.DefaultJSONFormat.Marshal(w, p); err != nil {
		a.Logger.LogAttrs(r.Context(), slog.LevelDebug, "problem not delivered", slog.Any("error", err))
	}
}
