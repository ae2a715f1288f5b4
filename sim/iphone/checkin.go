package iphone

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/sim/cms"
	"rollcall/sim/plist"
)

// enroll checks in with a new enrollment and puts it, and its profile, in
// place of whatever there was. With an enrollment in place it is a renewal,
// which the old one survives if it fails.
func (p *Phone) enroll(ctx context.Context, in *installed, mdm mdmSettings, id identity) error {
	roots, err := p.rootsWith(in.anchors)
	if err != nil {
		return err
	}
	e := &enrollment{profileID: in.profile.identifier, mdm: mdm, id: plist.Dict{"UDID": p.cfg.UDID}, identity: id, http: p.newMDMClient(roots, id),
		token: randomBytes(32), magic: uuid.NewString()}
	old := p.current()
	switch {
	case old != nil:
		e.cached, e.bearer, e.id = old.cached, old.bearer, old.id
	case mdm.mode != "":
		e.bearer = get(p, func() string { return p.access })
		if mdm.mode == modeBYOD { // another one with each enrollment
			e.id = plist.Dict{"EnrollmentID": strings.ToUpper(uuid.NewString())}
		}
	}
	if err := p.checkIn(ctx, e, p.authenticate(e)); err != nil {
		p.closeIdle(e.http)
		return err
	}
	// The server may push before we have read its answer to TokenUpdate.
	if p.cfg.Push != nil {
		p.cfg.Push.Register(e.token, e.magic, mdm.topic, p.wake)
	}
	if err := p.checkIn(ctx, e, p.tokenUpdate(e)); err != nil {
		if p.cfg.Push != nil {
			p.cfg.Push.Unregister(e.token)
		}
		p.closeIdle(e.http)
		return err
	}
	p.change(func() {
		p.enrollment = e
		p.profiles[e.profileID] = in
		if old == nil {
			p.timings = Timings{EnrolledAt: time.Now()}
		}
	})
	if old != nil {
		if p.cfg.Push != nil {
			p.cfg.Push.Unregister(old.token)
		}
		p.closeIdle(old.http)
	}
	return nil
}

func (p *Phone) authenticate(e *enrollment) plist.Dict {
	d := e.message("Authenticate")
	if e.mdm.rights&rightDeviceInfo != 0 {
		d["OSVersion"], d["BuildVersion"] = p.cfg.OSVersion, p.cfg.BuildVersion
		d["ProductName"], d["SerialNumber"] = p.cfg.Product, p.cfg.Serial
		if p.cfg.IMEI != "" {
			d["IMEI"] = p.cfg.IMEI
		}
	}
	return d
}

func (p *Phone) tokenUpdate(e *enrollment) plist.Dict {
	d := e.message("TokenUpdate")
	d["Token"], d["PushMagic"] = e.token, e.magic
	if e.mdm.rights&rightLock != 0 {
		d["UnlockToken"] = p.UnlockToken()
	}
	if p.Awaiting() {
		d["AwaitingConfiguration"] = true
	}
	return d
}

// message begins a check-in message.
func (e *enrollment) message(kind string) plist.Dict {
	d := maps.Clone(e.id)
	d["MessageType"], d["Topic"] = kind, e.mdm.topic
	return d
}

// checkIn sends a check-in message of enrollment e, which need not be the
// current one yet. The answer must be a success that is empty or a property list.
func (p *Phone) checkIn(ctx context.Context, e *enrollment, message plist.Dict) error {
	step := message["MessageType"].(string)
	p.tamper(step, message)
	resp, body, err := p.put(ctx, e, e.mdm.checkInURL, typeCheckIn, plist.Marshal(message))
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refused(resp, body)
	}
	if len(body) != 0 {
		if _, err := plist.UnmarshalDict(body); err != nil {
			return protocolError(step, "the answer is neither empty nor a property list: %v", err)
		}
	}
	return nil
}

// put sends one MDM message as e, signed if the profile says so.
func (p *Phone) put(ctx context.Context, e *enrollment, url, kind string, body []byte) (*http.Response, []byte, error) {
	header := http.Header{"Content-Type": {kind}, "User-Agent": {mdmAgent}}
	if e.mdm.signMessage {
		signature, err := signature(body, e.identity)
		if err != nil {
			return nil, nil, err
		}
		header.Set("Mdm-Signature", signature)
	}
	if bearer := get(p, func() string { return e.bearer }); bearer != "" {
		header.Set("Authorization", "Bearer "+bearer)
	}
	return send(ctx, e.http, http.MethodPut, url, header, body)
}

// signature makes the value of an Mdm-Signature header: a detached CMS
// signature over the exact body, in base64.
func signature(body []byte, id identity) (string, error) {
	der, err := cms.Sign(body, id.cert, id.key, cms.SignOptions{Detached: true})
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(der), nil
}

// unenrolls tells whether an error means that the server does not know this
// phone any more: 401, or from iOS 17 on 403 with com.apple.unrecognized.device.
// In an account-driven enrollment 401 asks for the person to sign in again.
func (p *Phone) unenrolls(err error) bool {
	var r *RefusedError
	account := fromEnrollment(p, func(e *enrollment) bool { return e.mdm.mode != "" })
	return errors.As(err, &r) && (r.Status == http.StatusUnauthorized && !account ||
		r.Status == http.StatusForbidden && r.Code == "com.apple.unrecognized.device" && p.major() >= 17)
}

// unenroll removes the MDM profile and everything that came through it.
func (p *Phone) unenroll() {
	p.mu.Lock()
	e := p.enrollment
	p.enrollment = nil
	for id, in := range p.profiles {
		if in.managed {
			delete(p.profiles, id)
		}
	}
	for id, a := range p.apps {
		if a.managed && a.flags&1 != 0 {
			delete(p.apps, id)
		}
		a.managed = false
	}
	p.awaiting = false
	p.ddm = declarations{}
	p.notify()
	p.mu.Unlock()
	if e == nil {
		return
	}
	if p.cfg.Push != nil {
		p.cfg.Push.Unregister(e.token)
	}
	p.closeIdle(e.http)
}

// SendTokenUpdate sends a TokenUpdate with a new token, as devices do whenever
// the push service changes it.
func (p *Phone) SendTokenUpdate(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	e := p.current()
	if e == nil {
		return ErrNotEnrolled
	}
	old := e.token
	p.change(func() { e.token = randomBytes(32) })
	if p.cfg.Push != nil {
		p.cfg.Push.Register(e.token, e.magic, e.mdm.topic, p.wake)
		p.cfg.Push.Unregister(old)
	}
	err := p.checkIn(ctx, e, p.tokenUpdate(e))
	if p.unenrolls(err) {
		p.unenroll()
	}
	return err
}

// CheckOut sends a CheckOut message and leaves the phone as it is. See
// RemoveProfileByUser for what a user does.
func (p *Phone) CheckOut(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	e := p.current()
	if e == nil {
		return ErrNotEnrolled
	}
	return p.sendCheckOut(ctx, e)
}

func (p *Phone) sendCheckOut(ctx context.Context, e *enrollment) error {
	return p.checkIn(ctx, e, e.message("CheckOut"))
}

// RemoveProfileByUser is the user removing the MDM profile in Settings. The
// phone is unenrolled; CheckOut is sent once if the profile asks for it, and
// its failure changes nothing.
func (p *Phone) RemoveProfileByUser(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	e := p.current()
	if e == nil {
		return ErrNotEnrolled
	}
	fixed := get(p, func() bool {
		in := p.profiles[e.profileID]
		disallowed, _ := in.profile.dict["PayloadRemovalDisallowed"].(bool)
		return disallowed && p.supervised
	})
	if fixed {
		return ChainError{{4002, domainInstall, "the profile cannot be removed"}}
	}
	p.removeMDM(ctx, e)
	return nil
}

// removeMDM checks out, best effort, and unenrolls.
func (p *Phone) removeMDM(ctx context.Context, e *enrollment) {
	if e.mdm.checkOut {
		if err := p.sendCheckOut(ctx, e); err != nil {
			p.log.Debug("check-out failed", "error", err)
		}
	}
	p.unenroll()
}

// Erase is the user choosing Erase All Content and Settings: no message is
// sent, the push token dies, and the phone is as it came from the factory.
func (p *Phone) Erase(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	p.erase()
	return nil
}

func (p *Phone) erase() {
	p.unenroll()
	p.change(p.reset)
}

// CheckInRaw sends a check-in message as it is, signed with the identity of
// the enrollment, and returns what came back. It changes nothing on the phone.
func (p *Phone) CheckInRaw(ctx context.Context, message plist.Dict) (status int, body []byte, err error) {
	return p.raw(ctx, message, func(e *enrollment) (string, string) { return e.mdm.checkInURL, typeCheckIn })
}

// ConnectRaw sends a message to ServerURL as CheckInRaw does to CheckInURL.
func (p *Phone) ConnectRaw(ctx context.Context, message plist.Dict) (status int, body []byte, err error) {
	return p.raw(ctx, message, func(e *enrollment) (string, string) { return e.mdm.serverURL, typeConnect })
}

func (p *Phone) raw(ctx context.Context, message plist.Dict, to func(*enrollment) (url, kind string)) (int, []byte, error) {
	e := p.current()
	if e == nil {
		return 0, nil, ErrNotEnrolled
	}
	url, kind := to(e)
	resp, body, err := p.put(ctx, e, url, kind, plist.Marshal(message))
	if err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, body, nil
}

// SignBody prepares a connect message so that a benchmark can send it over
// and over: the body, and the headers with its Mdm-Signature (whether or not
// the profile asks for one).
func (p *Phone) SignBody(message plist.Dict) (http.Header, []byte, error) {
	e := p.current()
	if e == nil {
		return nil, nil, ErrNotEnrolled
	}
	body := plist.Marshal(message)
	signature, err := signature(body, e.identity)
	if err != nil {
		return nil, nil, err
	}
	return http.Header{"Content-Type": {typeConnect}, "User-Agent": {mdmAgent}, "Mdm-Signature": {signature}}, body, nil
}

// Idle is the message that asks for work, for SignBody and ConnectRaw.
func (p *Phone) Idle() plist.Dict {
	d := fromEnrollment(p, func(e *enrollment) plist.Dict { return maps.Clone(e.id) })
	if d == nil {
		d = plist.Dict{"UDID": p.cfg.UDID}
	}
	d["Status"] = "Idle"
	return d
}
