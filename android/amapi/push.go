package amapi

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"rollcall/enroll"
)

// maxPush bounds a push; Pub/Sub's messages have 10 MB at most, and base64 makes
// a third more of them.
const maxPush = 14 << 20

// Receiver takes notifications that Pub/Sub pushes. What it stores it
// acknowledges with 204; anything else makes Pub/Sub send it again.
type Receiver struct {
	Store    Store
	Verifier *Verifier
	Audience string // the URL that is pushed to
	Kick     func() // wakes the Connector
	// Strangers bounds, by address, pushes that are not Google's; it answers
	// those it refuses. nil: no bound.
	Strangers func(http.ResponseWriter, *http.Request) bool
	Now       func() time.Time
	Log       *slog.Logger
}

// ServeHTTP takes one message.
func (p *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	ctx := r.Context()
	log := p.Log
	if log == nil {
		log = slog.Default()
	}
	answer := func(status int, why error) {
		if why != nil {
			log.WarnContext(ctx, "push of a notification not taken", "status", status, "error", why)
		}
		http.Error(w, http.StatusText(status), status)
	}
	stranger := func(status int, why error) {
		if p.Strangers == nil || p.Strangers(w, r) {
			answer(status, why)
		}
	}
	o, err := p.Store.Organization(ctx)
	switch {
	case enroll.KindOf(err) == enroll.KindNotFound || err == nil && (!o.Bound() || o.Delivery != Push):
		stranger(http.StatusForbidden, nil)
		return
	case err != nil:
		answer(http.StatusServiceUnavailable, err)
		return
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		stranger(http.StatusUnauthorized, errToken("is missing"))
		return
	}
	var bad errToken
	switch err := p.Verifier.Verify(ctx, token, p.Audience, o.PushAccount); {
	case errors.As(err, &bad):
		stranger(http.StatusUnauthorized, err)
		return
	case err != nil:
		answer(http.StatusServiceUnavailable, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPush))
	if err != nil {
		answer(http.StatusRequestEntityTooLarge, err)
		return
	}
	var push struct {
		Message      pubsubMessage `json:"message"`
		Subscription string        `json:"subscription"`
	}
	if json.Unmarshal(body, &push) != nil || push.Message.ID == "" {
		answer(http.StatusBadRequest, errNoMessage)
		return
	}
	if push.Subscription != o.Subscription {
		answer(http.StatusForbidden, errToken("came with a message of another subscription"))
		return
	}
	now := time.Now().UTC()
	if p.Now != nil {
		now = p.Now().UTC()
	}
	if _, err := p.Store.StoreNotifications(ctx, []Message{push.Message.message(now)}); err != nil {
		answer(http.StatusServiceUnavailable, err)
		return
	}
	if p.Kick != nil {
		p.Kick()
	}
	w.WriteHeader(http.StatusNoContent)
}
