package mdm

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"time"

	"rollcall/certs"
	"rollcall/certs/cms"
	"rollcall/certs/deviceca"
	"rollcall/enroll"
)

// Invitations finds accepted enrollment requests; enroll.Requests does.
type Invitations interface {
	Accepted(ctx context.Context, secret string) (enroll.Invitation, error)
}

// Door is where devices that are not enrolled come to: it hands out enrollment
// profiles, over the air with proof of the serial, or plain.
//
//	GET  ServeStart       -> Profile Service payload; CHALLENGE = request secret
//	POST ServeAttributes  phase 2: attributes signed by Apple's device identity
//	                      -> gate -> profile with SCEP, challenge bound to the decision
//	POST ServeAttributes  phase 3: the same attributes signed by the SCEP identity
//	                      -> held against what phase 2 proved -> enrollment profile
type Door struct {
	Gate        Gate
	Invitations Invitations
	Issued      Issued
	Authority   *certs.Authority
	DeviceCA    *deviceca.Verifier
	Profiles    *Profiles
	Now         func() time.Time
	Log         *slog.Logger
}

// RequestParameter is the query parameter that carries a request's secret.
const RequestParameter = "request"

func (d *Door) log() *slog.Logger {
	if d.Log == nil {
		return slog.Default()
	}
	return d.Log
}

// ServeStart answers the enrollment link on an iPhone or iPad with the Profile
// Service payload.
func (d *Door) ServeStart(w http.ResponseWriter, r *http.Request) {
	secret := r.URL.Query().Get(RequestParameter)
	if _, err := d.invitation(r, secret); err != nil {
		Fail(w, r, d.log(), err)
		return
	}
	// Without a push certificate phase 3 would fail; the person should learn it
	// before the phone has made keys.
	if _, err := d.Profiles.Topic(r.Context()); err != nil {
		Fail(w, r, d.log(), err)
		return
	}
	profile, err := d.Profiles.ProfileService(secret)
	if err != nil {
		Fail(w, r, d.log(), err)
		return
	}
	WriteProfile(w, profile, "enroll.mobileconfig")
}

// ServePlain hands out an enrollment profile without proof of the serial. The
// gate stands at Authenticate, with evidence token or claimed.
func (d *Door) ServePlain(w http.ResponseWriter, r *http.Request) {
	b := certs.Binding{Channel: string(enroll.ChannelProfile), Evidence: string(enroll.EvidenceClaimed)}
	inv, err := d.invitation(r, r.URL.Query().Get(RequestParameter))
	if err != nil {
		Fail(w, r, d.log(), err)
		return
	}
	if inv != nil {
		b.Evidence, b.RequestID, b.DeviceID = string(enroll.EvidenceToken), inv.Request.ID, inv.Device.ID
	}
	profile, err := d.Profiles.Enrollment(r.Context(), b)
	if err != nil {
		Fail(w, r, d.log(), err)
		return
	}
	WriteProfile(w, profile, "enroll.mobileconfig")
}

// ServeTrust hands out the anchor of the server's own CA.
func (d *Door) ServeTrust(w http.ResponseWriter, r *http.Request) {
	profile, err := d.Profiles.Trust()
	switch {
	case err != nil:
		Fail(w, r, d.log(), err)
	case profile == nil:
		http.Error(w, "This server has a publicly trusted certificate; nothing needs to be installed.", http.StatusNotFound)
	default:
		WriteProfile(w, profile, "trust.mobileconfig")
	}
}

func (d *Door) invitation(r *http.Request, secret string) (*enroll.Invitation, error) {
	if secret == "" {
		return nil, nil
	}
	inv, err := d.Invitations.Accepted(r.Context(), secret)
	if err != nil {
		return nil, err
	}
	return &inv, nil
}

// ServeAttributes takes phases 2 and 3. Who signed tells them apart: Apple's
// device CA, or our own.
func (d *Door) ServeAttributes(w http.ResponseWriter, r *http.Request) {
	profile, refused, err := d.attributes(w, r)
	switch {
	case err != nil:
		Fail(w, r, d.log(), err)
	case refused != nil:
		WriteRefusal(w, *refused)
	default:
		WriteProfile(w, profile, "")
	}
}

func (d *Door) attributes(w http.ResponseWriter, r *http.Request) ([]byte, *enroll.Decision, error) {
	body, err := ReadBody(w, r, cms.MaxBytes)
	if err != nil {
		return nil, nil, err
	}
	info, signer, err := ReadMachineInfo(d.DeviceCA, body)
	if err != nil {
		return nil, nil, err
	}
	attempt := info.Attempt(enroll.ChannelOTA, clock(d.Now), r.RemoteAddr)
	attempt.RequestSecret = info.Challenge
	switch {
	case signer == nil:
		return d.phase2(r, attempt)
	case d.Authority.Verify(signer, attempt.At) == nil:
		return d.phase3(r, attempt, signer)
	}
	decision, err := RefuseUnproven(r.Context(), d.Gate, attempt, "the attributes are signed neither by Apple's device CA nor by this server's")
	return nil, &decision, err
}

// phase2 is the gate: the serial is signed by Apple's identity of the device.
func (d *Door) phase2(r *http.Request, attempt enroll.Attempt) ([]byte, *enroll.Decision, error) {
	decision, err := d.Gate.Decide(r.Context(), attempt)
	if err != nil {
		return nil, nil, err
	}
	if !decision.Allowed() {
		return nil, &decision, nil
	}
	profile, err := d.Profiles.Identity(r.Context(), BindingOf(decision))
	return profile, nil, err
}

// BindingOf is what the identity of a device is issued for that the gate has
// admitted.
func BindingOf(d enroll.Decision) certs.Binding {
	return certs.Binding{AttemptID: d.ID, RequestID: d.RequestID, DeviceID: d.DeviceID, Serial: d.Serial, UDID: d.Facts.UDID,
		Evidence: string(d.Evidence), Channel: string(d.Channel), Product: d.Facts.Product}
}

// phase3 hands the enrollment profile to who has the identity that phase 2
// led to, if it still says to be the same device.
func (d *Door) phase3(r *http.Request, attempt enroll.Attempt, signer *x509.Certificate) ([]byte, *enroll.Decision, error) {
	issued, err := d.Issued.Identity(r.Context(), certs.Fingerprint(signer))
	if err != nil {
		return nil, nil, issuedError(err)
	}
	b := issued.Binding
	if b.Purpose != certs.PurposeOTA || !issued.RevokedAt.IsZero() {
		return nil, nil, bad("identity_purpose", "this certificate cannot be used to enroll")
	}
	if enroll.NormalizeSerial(attempt.Serial) != b.Serial || attempt.Facts.UDID != b.UDID {
		attempt.RequestSecret, attempt.RequestID = "", b.RequestID
		decision, err := d.Gate.Refuse(r.Context(), attempt, enroll.DenyIdentityConflict, "the identity was issued to another device than the attributes name")
		return nil, &decision, err
	}
	profile, err := d.Profiles.Enrollment(r.Context(), b)
	return profile, nil, err
}
