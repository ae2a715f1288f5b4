package mdm

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"rollcall/certs"
	"rollcall/certs/cms"
	"rollcall/certs/deviceca"
	"rollcall/enroll"
	"rollcall/mdm/plist"
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
		fail(w, r, d.log(), err)
		return
	}
	// Without a push certificate phase 3 would fail; the person should learn it
	// before the phone has made keys.
	if _, err := d.Profiles.Topic(r.Context()); err != nil {
		fail(w, r, d.log(), err)
		return
	}
	profile, err := d.Profiles.ProfileService(secret)
	if err != nil {
		fail(w, r, d.log(), err)
		return
	}
	writeProfile(w, profile, "enroll.mobileconfig")
}

// ServePlain hands out an enrollment profile without proof of the serial. The
// gate stands at Authenticate, with evidence token or claimed.
func (d *Door) ServePlain(w http.ResponseWriter, r *http.Request) {
	b := certs.Binding{Evidence: string(enroll.EvidenceClaimed)}
	inv, err := d.invitation(r, r.URL.Query().Get(RequestParameter))
	if err != nil {
		fail(w, r, d.log(), err)
		return
	}
	if inv != nil {
		b.Evidence, b.RequestID, b.DeviceID = string(enroll.EvidenceToken), inv.Request.ID, inv.Device.ID
	}
	profile, err := d.Profiles.Enrollment(r.Context(), b)
	if err != nil {
		fail(w, r, d.log(), err)
		return
	}
	writeProfile(w, profile, "enroll.mobileconfig")
}

// ServeTrust hands out the anchor of the server's own CA.
func (d *Door) ServeTrust(w http.ResponseWriter, r *http.Request) {
	profile, err := d.Profiles.Trust()
	switch {
	case err != nil:
		fail(w, r, d.log(), err)
	case profile == nil:
		http.Error(w, "This server has a publicly trusted certificate; nothing needs to be installed.", http.StatusNotFound)
	default:
		writeProfile(w, profile, "trust.mobileconfig")
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

// attributes is what a device tells of itself in phases 2 and 3. VERSION is the
// build.
type attributes struct {
	UDID      string
	SERIAL    string
	PRODUCT   string
	VERSION   string
	IMEI      string
	MEID      string
	CHALLENGE string
}

// ServeAttributes takes phases 2 and 3. Who signed tells them apart: Apple's
// device CA, or our own.
func (d *Door) ServeAttributes(w http.ResponseWriter, r *http.Request) {
	profile, refused, err := d.attributes(w, r)
	switch {
	case err != nil:
		fail(w, r, d.log(), err)
	case refused != nil:
		http.Error(w, refused.Code.Reason().Person, http.StatusForbidden)
	default:
		writeProfile(w, profile, "")
	}
}

func (d *Door) attributes(w http.ResponseWriter, r *http.Request) ([]byte, *enroll.Decision, error) {
	body, err := readBody(w, r, cms.MaxBytes)
	if err != nil {
		return nil, nil, err
	}
	content, _, err := d.DeviceCA.Verify(body)
	var signer *x509.Certificate
	if errors.Is(err, deviceca.ErrUntrustedSigner) {
		signed, perr := cms.ParseSigned(body)
		if perr != nil {
			return nil, nil, badIdentity(perr)
		}
		if signer, perr = signed.Verify(); perr != nil {
			return nil, nil, badIdentity(perr)
		}
		content = signed.Content
	} else if err != nil {
		return nil, nil, badIdentity(err)
	}
	var a attributes
	if err := plist.Decode(content, &a); err != nil {
		return nil, nil, bad("plist_invalid", "the attributes are not a property list that can be read: %v", err)
	}
	if len(a.UDID) > maxIdentifier || len(a.SERIAL) > maxIdentifier {
		return nil, nil, bad("identifier_too_long", "an identifier is longer than %d bytes", maxIdentifier)
	}
	attempt := enroll.Attempt{At: clock(d.Now), Channel: enroll.ChannelOTA, Platform: platformOf(a.PRODUCT), Serial: a.SERIAL,
		Evidence: enroll.EvidenceSigned, RequestSecret: a.CHALLENGE, RemoteAddr: r.RemoteAddr,
		Facts: enroll.Facts{UDID: a.UDID, Product: a.PRODUCT, BuildVersion: a.VERSION, IMEI: a.IMEI, MEID: a.MEID}}
	switch {
	case signer == nil:
		return d.phase2(r, attempt)
	case d.Authority.Verify(signer, attempt.At) == nil:
		return d.phase3(r, attempt, signer)
	}
	attempt.Evidence, attempt.RequestSecret = enroll.EvidenceClaimed, ""
	decision, err := d.Gate.Refuse(r.Context(), attempt, enroll.DenyEvidenceTooWeak, "the attributes are signed neither by Apple's device CA nor by this server's")
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
	profile, err := d.Profiles.Identity(r.Context(), certs.Binding{AttemptID: decision.ID, RequestID: decision.RequestID,
		DeviceID: decision.DeviceID, Serial: decision.Serial, UDID: attempt.Facts.UDID, Evidence: string(decision.Evidence)})
	return profile, nil, err
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
