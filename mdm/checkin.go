package mdm

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/mdm/plist"
)

// ServeHTTP answers check-in and connect on one URL: what a request is, its
// content type says. So one URL or two can be given to devices.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut && r.Method != http.MethodPost {
		w.Header().Set("Allow", "PUT")
		http.Error(w, "devices use PUT", http.StatusMethodNotAllowed)
		return
	}
	// The longer type has the shorter one as its prefix, so it is asked first.
	switch ct := r.Header.Get("Content-Type"); {
	case strings.HasPrefix(ct, contentCheckin):
		s.checkin(w, r)
	case strings.HasPrefix(ct, contentConnect):
		s.connect(w, r)
	default:
		http.Error(w, "the content type is neither a check-in nor a connect", http.StatusUnsupportedMediaType)
	}
}

// checkin answers one check-in message.
func (s *Server) checkin(w http.ResponseWriter, r *http.Request) {
	body, err := ReadBody(w, r, plist.MaxCheckIn)
	if err != nil {
		Fail(w, r, s.log(), err)
		return
	}
	cert, err := s.Identity.Of(r, body, s.now())
	if err != nil {
		Fail(w, r, s.log(), err)
		return
	}
	var m checkin
	if err := plist.Decode(body, &m); err != nil {
		Fail(w, r, s.log(), bad("plist_invalid", "the message is not a property list that can be read: %v", err))
		return
	}
	if err := m.sender.check(); err != nil {
		Fail(w, r, s.log(), err)
		return
	}
	s.log().InfoContext(r.Context(), "check-in", "message", m.MessageType, "user_channel", m.user() != "")
	if m.MessageType == "Authenticate" {
		if s.Strangers == nil || s.Strangers(w, r) {
			s.authenticate(w, r, m, cert)
		}
		return
	}
	if err := s.dispatch(w, r, m, cert); err != nil {
		s.fail(w, r, err)
	}
}

// dispatch answers every message but Authenticate: those of a device that is
// known by the certificate pinned to its enrollment.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, m checkin, cert *x509.Certificate) error {
	ctx := r.Context()
	fingerprint := certs.Fingerprint(cert)
	e, err := s.enrollment(r, m.sender, fingerprint)
	if err == nil && m.MessageType != "CheckOut" { // sent once, and nobody signs in to leave
		err = s.authorize(r, e.Account, e.ID)
	}
	if err != nil {
		return err
	}
	switch m.MessageType {
	case "TokenUpdate":
		return s.tokenUpdate(r, m, e, fingerprint)
	case "CheckOut":
		if user := m.user(); user != "" {
			if e, _, err = s.Queue.Poll(ctx, fingerprint, user); err != nil {
				return err
			}
		}
		return s.Enrollments.CheckOut(ctx, e.ID, s.now())
	case "UserAuthenticate":
		// An empty challenge manages the user without asking for a password.
		return answerPlist(w, map[string]any{"DigestChallenge": ""})
	case "SetBootstrapToken":
		return s.Enrollments.SetBootstrapToken(ctx, e.ID, m.BootstrapToken)
	case "GetBootstrapToken":
		token, err := s.Enrollments.BootstrapToken(ctx, e.ID)
		if err != nil {
			return err
		}
		if len(token) == 0 {
			return answerPlist(w, map[string]any{})
		}
		return answerPlist(w, map[string]any{"BootstrapToken": token})
	case "ReturnToService":
		return s.returnToService(w, r, e, fingerprint)
	case "GetToken":
		return bad("token_service_unknown", "no token service %q is offered", m.TokenServiceType)
	case "DeclarativeManagement":
		return s.declarative(w, r, m, e)
	}
	return bad("message_unknown", "the message type %q is not known", m.MessageType)
}

// enrollment finds the device-channel enrollment this certificate is pinned to
// and holds the message's identifier against it: a valid certificate of
// another device is answered like a bad one.
func (s *Server) enrollment(r *http.Request, from sender, fingerprint string) (Enrollment, error) {
	e, err := s.Enrollments.Enrollment(r.Context(), fingerprint)
	if enroll.KindOf(err) == enroll.KindNotFound && s.adopt(r.Context(), fingerprint) {
		e, err = s.Enrollments.Enrollment(r.Context(), fingerprint)
	}
	if err != nil {
		return e, err
	}
	if e.State == EnrollmentEnded {
		return e, bad("enrollment_ended", "this enrollment has ended")
	}
	return e, matches(e, from)
}

// adopt pins a certificate that a device got by SCEP renewal, with the pinned
// one as its proof: no message announces that. It says whether there was one.
func (s *Server) adopt(ctx context.Context, fingerprint string) bool {
	issued, err := s.Issued.Identity(ctx, fingerprint)
	if err != nil || issued.Renews == "" || !issued.RevokedAt.IsZero() {
		return false
	}
	e, err := s.Enrollments.Enrollment(ctx, issued.Renews)
	if err != nil || e.State == EnrollmentEnded || e.Fingerprint != issued.Renews {
		return false
	}
	if err := s.Enrollments.Repin(ctx, issued.Renews, fingerprint); err != nil {
		return false
	}
	s.log().InfoContext(ctx, "identity renewed by SCEP", "enrollment", e.ID)
	return true
}

func matches(e Enrollment, from sender) error {
	if e.UDID != from.device() {
		return bad("identity_of_other", "the certificate belongs to another device than the message names")
	}
	return nil
}

// authenticate is the start of an enrollment or of a renewal. It is the only
// place that tells a device to give up: after a decision that refused it.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, m checkin, cert *x509.Certificate) {
	refused, err := s.admit(r, m, cert)
	switch {
	case err != nil:
		s.fail(w, r, err)
	case refused != nil:
		refuse(w, m, *refused)
	}
}

// admit takes an Authenticate through the gate and starts the enrollment. It
// returns the decision if that refused the device.
func (s *Server) admit(r *http.Request, m checkin, cert *x509.Certificate) (*enroll.Decision, error) {
	ctx := r.Context()
	fingerprint := certs.Fingerprint(cert)
	if m.user() != "" {
		return nil, bad("authenticate_user", "Authenticate does not exist on the user channel")
	}
	if m.Topic == "" {
		return nil, bad("topic_missing", "the message has no Topic")
	}
	issued, err := s.Issued.Identity(ctx, fingerprint)
	if err != nil {
		return nil, issuedError(err)
	}
	b := issued.Binding
	if b.Purpose != certs.PurposeMDM || !issued.RevokedAt.IsZero() {
		return nil, bad("identity_purpose", "this certificate cannot be used to enroll")
	}
	if err := s.authorize(r, b.Account, ""); err != nil {
		return nil, err
	}
	attempt := enroll.Attempt{At: s.now(), Channel: enroll.Channel(b.Channel), Platform: PlatformOf(cmp.Or(m.ProductName, b.Product)), Serial: m.SerialNumber,
		Evidence: enroll.Evidence(b.Evidence), Facts: m.facts(), RequestID: b.RequestID, UserID: b.UserID, RemoteAddr: r.RemoteAddr}
	start := Authentication{UDID: m.device(), Fingerprint: fingerprint, Topic: m.Topic, Facts: attempt.Facts, RequestID: b.RequestID,
		Account: b.Account, At: attempt.At}

	// What was proven when the certificate was issued outweighs what the
	// message says.
	if serial := enroll.NormalizeSerial(m.SerialNumber); b.Serial != "" {
		if serial != "" && serial != b.Serial && !enroll.IsAccountSerial(b.Serial) {
			return s.conflict(r, attempt, "the certificate was issued for another serial than the message names")
		}
		attempt.Serial = b.Serial
	}
	if refused, err := s.blockedOtherwise(ctx, attempt, b, m.SerialNumber); refused != nil || err != nil {
		return refused, err
	}
	if b.UDID != "" && b.UDID != m.device() {
		return s.conflict(r, attempt, "the certificate was issued for another UDID than the message names")
	}

	// A certificate that is pinned already: a repeated message, or a device
	// that enrolls again with what it has.
	pinned, err := s.Enrollments.Enrollment(ctx, fingerprint)
	known := err == nil
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return nil, err
	}
	if known && pinned.UDID != m.device() {
		return s.conflict(r, attempt, "the certificate is pinned to another device")
	}

	switch renews, err := s.renewed(r, b.EnrollmentID, m); {
	case err != nil:
		return nil, err
	case renews != nil && (!known || pinned.ID == renews.ID):
		start.Renews, start.DeviceID, start.DecisionID, start.RequestID = renews.ID, renews.DeviceID, renews.DecisionID, renews.RequestID
	case known && pinned.State == EnrollmentAuthenticated:
		start.DeviceID, start.DecisionID = pinned.DeviceID, pinned.DecisionID
	case !known && b.AttemptID != "":
		// The gate admitted this attempt when the device proved its serial; it
		// only has to hold still.
		d, err := s.Gate.Explain(ctx, attempt)
		if err == nil && !d.Allowed() {
			d, err = s.Gate.Decide(ctx, attempt) // records the refusal with its reasons
		}
		if err != nil {
			return nil, err
		}
		if !d.Allowed() {
			return &d, nil
		}
		start.DeviceID, start.DecisionID = b.DeviceID, b.AttemptID
	default:
		d, err := s.Gate.Decide(ctx, attempt)
		if err != nil {
			return nil, err
		}
		if !d.Allowed() {
			return &d, nil
		}
		start.DeviceID, start.DecisionID = d.DeviceID, d.ID
	}
	_, err = s.Enrollments.Authenticate(ctx, start)
	return nil, err
}

// blockedOtherwise refuses a device whose row goes by a made-up name, where the
// serial that it tells is that of a row which is blocked. Nothing else is asked
// of that row: a serial that is merely told chooses none. A renewal, which
// carries on an enrollment, is not asked.
func (s *Server) blockedOtherwise(ctx context.Context, a enroll.Attempt, b certs.Binding, told string) (*enroll.Decision, error) {
	if told == "" || b.EnrollmentID != "" || !enroll.IsAccountSerial(b.Serial) {
		return nil, nil
	}
	own := a
	own.Serial, own.RequestID = told, ""
	known, err := s.Gate.Explain(ctx, own)
	if err != nil || known.Code != enroll.DenyBlocked {
		return nil, err
	}
	d, err := s.Gate.Refuse(ctx, own, enroll.DenyBlocked, "the device enrolls by an account, and the row of the serial that it tells is blocked")
	return &d, err
}

// renewed is the active enrollment that a renewed certificate belongs to; nil
// when the certificate renews nothing, or what it renewed has ended.
func (s *Server) renewed(r *http.Request, enrollmentID string, m checkin) (*Enrollment, error) {
	if enrollmentID == "" {
		return nil, nil
	}
	e, err := s.Enrollments.EnrollmentByID(r.Context(), enrollmentID)
	if enroll.KindOf(err) == enroll.KindNotFound || err == nil && (e.State != EnrollmentActive || e.UDID != m.device()) {
		return nil, nil
	}
	return &e, err
}

func (s *Server) conflict(r *http.Request, a enroll.Attempt, detail string) (*enroll.Decision, error) {
	d, err := s.Gate.Refuse(r.Context(), a, enroll.DenyIdentityConflict, detail)
	return &d, err
}

// refuse tells a device that its enrollment was refused. iOS 17 and later know
// a 403 whose code says so and may show the message; older ones need 401.
// To an account-driven enrollment 401 says something else.
func refuse(w http.ResponseWriter, m checkin, d enroll.Decision) {
	if d.Channel != enroll.ChannelAccount && !knowsUnrecognized(m.ProductName, m.OSVersion) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	json.NewEncoder(w).Encode(map[string]string{"code": "com.apple.unrecognized.device",
		"description": string(d.Code), "message": d.Code.Reason().Person})
}

func (s *Server) tokenUpdate(r *http.Request, m checkin, e Enrollment, fingerprint string) error {
	if len(m.Token) == 0 || m.PushMagic == "" || m.Topic == "" {
		return bad("token_update_incomplete", "TokenUpdate needs Topic, Token and PushMagic")
	}
	first, err := s.Enrollments.TokenUpdate(r.Context(), TokenUpdate{Enrollment: e, UserID: m.user(), Fingerprint: fingerprint,
		Topic: m.Topic, Token: m.Token, PushMagic: m.PushMagic, UnlockToken: m.UnlockToken, Awaiting: m.AwaitingConfiguration, At: s.now()})
	if err == nil && first {
		s.log().InfoContext(r.Context(), "enrolled", "enrollment", e.ID, "user_channel", m.user() != "")
		s.kick()
	}
	return err
}

func answerPlist(w http.ResponseWriter, v any) error {
	body, err := plist.Encode(v)
	if err == nil {
		writePlist(w, body)
	}
	return err
}
