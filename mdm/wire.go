package mdm

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"rollcall/enroll"
)

func bad(code, format string, args ...any) error {
	return enroll.Errorf(enroll.KindInvalid, code, format, args...)
}

// statusOf is the one switch from an error to the status a device gets. There
// is no 401 in it: a device that is answered 401 removes its management, so
// only a refused Authenticate says so, on purpose, and AskToSignIn, to devices
// that understand it in another way.
func statusOf(err error) int {
	switch enroll.KindOf(err) {
	case enroll.KindInvalid, enroll.KindNotFound, enroll.KindConflict, enroll.KindUnauthorized:
		return http.StatusBadRequest
	case enroll.KindForbidden:
		return http.StatusForbidden
	case enroll.KindGone:
		return http.StatusGone
	case enroll.KindUnavailable:
		return http.StatusServiceUnavailable
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Fail answers a device with the bare status of an error. The text goes along
// only where it was written for a person.
func Fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	status := statusOf(err)
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
		w.Header().Set("Retry-After", "30")
	}
	log.Log(r.Context(), level, "device answered with an error", "path", r.URL.Path, "status", status, "error", err)
	text := http.StatusText(status)
	var known *enroll.Error
	if errors.As(err, &known) && known.Kind != enroll.KindInternal {
		text = sentence(known.Text)
		if known.Hint != "" {
			text += " " + sentence(known.Hint)
		}
	}
	http.Error(w, text, status)
}

// sentence ends a text that a person reads.
func sentence(s string) string {
	if s == "" || strings.ContainsRune(".!?", rune(s[len(s)-1])) {
		return s
	}
	return s + "."
}

// ReadBody reads at most limit bytes; more is an error before anything is
// decoded.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, bad("body_too_large", "the body has %d bytes; at most %d are accepted", r.ContentLength, limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, bad("body_too_large", "the body has more than %d bytes", limit)
	case err != nil:
		return nil, bad("body_broken", "the body did not arrive whole")
	}
	return body, nil
}

func writePlist(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", contentPlist)
	w.Write(body)
}

func WriteProfile(w http.ResponseWriter, body []byte, name string) {
	h := w.Header()
	h.Set("Content-Type", contentProfile)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if name != "" {
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	w.Write(body)
}

// clock gives the time of a server's parts; nil is time.Now.
func clock(now func() time.Time) time.Time {
	if now == nil {
		return time.Now().UTC()
	}
	return now().UTC()
}
