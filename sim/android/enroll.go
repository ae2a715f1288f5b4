package android

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// A nonce that is used or too old is replaced this often before the phone gives
// up.
const maxNonces = 3

var noncePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43,}$`)

// Scan reads a provisioning payload (the text of a QR code) and enrolls with
// the server and token that it hands to the agent.
func (p *Phone) Scan(ctx context.Context, qr string) error {
	var payload struct {
		Component string         `json:"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME"`
		Bundle    map[string]any `json:"android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE"`
	}
	if err := json.Unmarshal([]byte(qr), &payload); err != nil {
		return wrong("scan", "the code is no JSON object: %v", err)
	}
	if pkg, receiver, ok := strings.Cut(payload.Component, "/"); !ok || pkg == "" || receiver == "" {
		return wrong("scan", "component name %q", payload.Component)
	}
	server, _ := payload.Bundle["rollcall.server"].(string)
	token, _ := payload.Bundle["rollcall.token"].(string)
	if u, err := url.Parse(server); err != nil || u.Host == "" || token == "" {
		return wrong("scan", "the agent got neither server nor token")
	}
	p.change(func() { p.cfg.Server = strings.TrimSuffix(server, "/") })
	return p.Enroll(ctx, token)
}

// Enroll enrolls with a token. A refusal is a *RefusedError; after one with
// status 202, and after a lost connection, Enroll is called again with the same
// token and uses the same key.
func (p *Phone) Enroll(ctx context.Context, token string) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	if p.Key() == nil {
		key, err := p.cfg.Keys()
		if err != nil {
			return fmt.Errorf("android: %w", err)
		}
		p.change(func() { p.key = key })
	}
	var err error
	for range maxNonces {
		var refused *RefusedError
		if err = p.enrollOnce(ctx, token, p.Key()); !errors.As(err, &refused) || !newNonce[refused.Code] {
			return err
		}
	}
	return err
}

// newNonce are the codes after which an agent tries again with a new nonce.
var newNonce = map[string]bool{"signature_invalid": true, "nonce_invalid": true, "nonce_used": true}

// EnrollUntil enrolls, and tries again as long as the server says retry or
// cannot be reached.
func (p *Phone) EnrollUntil(ctx context.Context, token string) error {
	for n := 0; ; n++ {
		err := p.Enroll(ctx, token)
		wait, again := p.retryAfter(err, n)
		if !again {
			return err
		}
		if err := p.cfg.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// retryAfter is how long to wait after the n-th failure in a row (from 0), and
// whether to try again at all.
func (p *Phone) retryAfter(err error, n int) (time.Duration, bool) {
	backoff := min(time.Second<<min(n, 10), 15*time.Minute)
	backoff = backoff/2 + rand.N(backoff/2+1)
	var refused *RefusedError
	var protocol *ProtocolError
	switch {
	case err == nil, errors.As(err, &protocol), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return 0, false
	case errors.As(err, &refused):
		if refused.RetryAfter > 0 {
			backoff = refused.RetryAfter
		}
		return backoff, refused.Action == "retry"
	case errors.Is(err, ErrUnenrolled), errors.Is(err, ErrReenroll), errors.Is(err, ErrNotEnrolled):
		return 0, false
	}
	return backoff, true
}

func (p *Phone) enrollOnce(ctx context.Context, token string, key *ecdsa.PrivateKey) error {
	server := get(p, func() string { return p.cfg.Server })
	nonce, err := p.nonce(ctx, server)
	if err != nil {
		return err
	}
	public, err := spki(key)
	if err != nil {
		return fmt.Errorf("android: %w", err)
	}
	message := map[string]any{"v": 1, "token": token, "nonce": nonce, "public_key": public, "device": p.device(),
		"agent": map[string]any{"package": p.cfg.Package, "version": p.cfg.Version}}
	if id := get(p, func() string { return p.pushID }); id != "" {
		message["push"] = map[string]any{"kind": "fcm", "id": id}
	}
	if p.cfg.Keybox != nil {
		chain, err := p.cfg.Keybox.Attest(key.Public(), p.cfg.Hardware.Statement([]byte(nonce)))
		if err != nil {
			return err
		}
		encoded := make([]string, len(chain))
		for i, der := range chain {
			encoded[i] = base64.StdEncoding.EncodeToString(der)
		}
		message["attestation"] = encoded
	}
	body, err := p.encode("enroll", message, maxEnroll)
	if err != nil {
		return err
	}
	a, err := p.send(ctx, "enroll", http.MethodPost, server+"/android/v1/enroll", body, &signer{key: key, who: nonce})
	if err != nil {
		return err
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		return a.refused()
	}
	return p.enrolled(a)
}

func (p *Phone) nonce(ctx context.Context, server string) (string, error) {
	a, err := p.send(ctx, "nonce", http.MethodGet, server+"/android/v1/nonce", nil, nil)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", a.refused()
	}
	nonce, err := a.text("nonce")
	if err != nil {
		return "", err
	}
	if !noncePattern.MatchString(nonce) || a.action() != "none" {
		return "", wrong("nonce", "nonce %q, action %s", nonce, a.action())
	}
	expires, err := a.text("expires_at")
	if err != nil {
		return "", err
	}
	if _, err := time.Parse(time.RFC3339, expires); err != nil {
		return "", wrong("nonce", "expires_at: %v", err)
	}
	return nonce, nil
}

// device are the fields of the document that say who the phone is.
func (p *Phone) device() map[string]any {
	c := p.cfg
	return get(p, func() map[string]any {
		return map[string]any{"serial": c.Serial, "imei": c.IMEI, "imei2": c.IMEI2, "meid": c.MEID,
			"manufacturer": c.Manufacturer, "brand": c.Brand, "model": c.Model, "os_version": p.osVersion, "api_level": p.apiLevel,
			"security_patch": c.SecurityPatch, "management": c.Management, "enterprise_specific_id": c.EnterpriseSpecificID}
	})
}

// enrolled takes over what the server gave.
func (p *Phone) enrolled(a *answer) error {
	e := &enrollment{}
	for name, field := range map[string]*string{"device_id": &e.deviceID, "checkin_url": &e.checkinURL, "wait_url": &e.waitURL} {
		s, err := a.text(name)
		if err != nil {
			return err
		}
		*field = s
	}
	if len(e.deviceID) > 255 || a.action() != "none" {
		return wrong("enroll", "device_id of %d bytes, action %s", len(e.deviceID), a.action())
	}
	for _, s := range []string{e.checkinURL, e.waitURL} {
		if u, err := url.Parse(s); err != nil || !u.IsAbs() || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return wrong("enroll", "the URL %q", s)
		}
	}
	poll, err := a.number("poll_seconds")
	if err != nil || poll <= 0 {
		return wrong("enroll", "poll_seconds is %v", a.body["poll_seconds"])
	}
	if o, ok := a.body["organization"].(string); ok {
		e.organization = o
	} else if a.body["organization"] != nil {
		return wrong("enroll", "organization is %v", a.body["organization"])
	}
	e.poll = time.Duration(poll) * time.Second
	told := p.device()
	p.change(func() {
		p.enrollment, p.told, p.timings.EnrolledAt = e, told, p.cfg.Now()
		p.told["push"] = p.pushID
		p.results = nil
	})
	return nil
}
