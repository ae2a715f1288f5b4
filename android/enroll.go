package android

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"rollcall/certs/attestation"
	"rollcall/enroll"
	"rollcall/policy/document"
)

// pollSeconds is how often an agent asks that nobody wakes.
const pollSeconds = 900

// holdSeconds is when a device that waits for approval asks again.
const holdSeconds = 300

type enrollMessage struct {
	V           int          `json:"v"`
	Token       string       `json:"token"`
	Nonce       string       `json:"nonce"`
	PublicKey   []byte       `json:"public_key"`
	Device      deviceInfo   `json:"device"`
	Agent       agentInfo    `json:"agent"`
	Push        *pushMessage `json:"push"`
	Attestation [][]byte     `json:"attestation"`
}

type agentInfo struct {
	Package string `json:"package"`
	Version string `json:"version"`
}

type pushMessage struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// id is what the waker needs; only FCM is known.
func (p *pushMessage) id() string {
	if p == nil || p.Kind != "fcm" || len(p.ID) > maxText {
		return ""
	}
	return p.ID
}

func (m *enrollMessage) check() error {
	if err := checkVersion(m.V); err != nil {
		return err
	}
	if len(m.Agent.Package) > maxText || len(m.Agent.Version) > maxText || len(m.Token) > maxText || len(m.Nonce) > maxText || len(m.Attestation) > maxChain {
		return wrong("field_too_long", "A field of the request is too long.")
	}
	return m.Device.check()
}

// errTokenGone: the token was used up between the look at it and its use.
var errTokenGone = errors.New("android: the token was used meanwhile")

func (s *Server) enroll(w http.ResponseWriter, r *http.Request) (int, answer, error) {
	ctx := r.Context()
	var m enrollMessage
	body, err := readBody(w, r, maxEnroll, &m)
	if err != nil {
		return 0, answer{}, err
	}
	if err := m.check(); err != nil {
		return 0, answer{}, err
	}
	key, err := parseKey(m.PublicKey)
	if err != nil {
		return 0, answer{}, err
	}
	if err := verify(r, key, m.Nonce, 0, body); err != nil {
		return 0, answer{}, err
	}
	if err := s.useNonce(ctx, m.Nonce); err != nil {
		return 0, answer{}, err
	}
	spki, hexSum, err := fingerprint(key)
	if err != nil {
		return 0, answer{}, err
	}
	facts := m.Device.facts()
	if facts.Extra == nil {
		facts.Extra = map[string]string{}
	}
	facts.Extra["agent"] = m.Agent.Package + " " + m.Agent.Version
	attempt := enroll.Attempt{Channel: enroll.ChannelAgent, Platform: enroll.PlatformAndroid, Serial: m.Device.Serial, Evidence: enroll.EvidenceClaimed,
		Facts: facts, RemoteAddr: r.RemoteAddr}
	token, err := s.Tokens.EnrollmentTokenByHash(ctx, enroll.HashSecret(m.Token))
	if enroll.KindOf(err) == enroll.KindNotFound {
		return s.refuseToken(ctx, attempt, enroll.Errorf(enroll.KindGone, codeTokenUnknown, "This enrollment token is not known."))
	}
	if err != nil {
		return 0, answer{}, err
	}
	switch e, err := s.Agents.AgentByKey(ctx, hexSum); {
	case err == nil && e.TokenID == token.ID:
		return http.StatusOK, s.welcome(e), nil
	case err != nil && enroll.KindOf(err) != enroll.KindNotFound:
		return 0, answer{}, err
	}
	if err := token.Usable(clock(s.Now)); err != nil {
		return s.refuseToken(ctx, attempt, err)
	}
	start := Start{Fingerprint: hexSum, PublicKey: spki, Token: token, PushID: m.Push.id(), Facts: facts}
	if code, detail, err := s.prove(ctx, &attempt, &start, m, key); err != nil {
		return 0, answer{}, err
	} else if code != "" {
		return s.refuseDevice(ctx, attempt, code, detail)
	}
	return s.admit(ctx, attempt, start)
}

func (s *Server) useNonce(ctx context.Context, nonce string) error {
	expires, ok := s.Nonces.Check(nonce)
	if !ok {
		return bad("nonce_invalid", "The nonce is not one of this server, or has expired.")
	}
	fresh, err := s.Agents.UseNonce(ctx, sha256.Sum256([]byte(nonce)), expires)
	if err == nil && !fresh {
		err = refuse(http.StatusConflict, actionRetry, "nonce_used", "The nonce was used before.")
	}
	return err
}

// prove finds out how the serial of an attempt is known, and notes it there.
// code, if any, is a refusal.
func (s *Server) prove(ctx context.Context, a *enroll.Attempt, start *Start, m enrollMessage, key crypto.PublicKey) (code enroll.Code, detail string, err error) {
	note := func(result, format string, args ...any) {
		a.Notes = append(a.Notes, enroll.Step{Check: "agent", Result: result, Detail: fmt.Sprintf(format, args...)})
	}
	t := start.Token
	a.UserID, a.RequestID, a.Ownership = t.UserID, t.RequestID, t.Ownership
	if a.Ownership == "" && m.Device.Management == string(document.PersonalWorkProfile) {
		a.Ownership = enroll.OwnershipPersonal
	}
	note("pass", "the device came with the enrollment token %s", t.ID)
	if t.DeviceID != "" {
		row, err := s.Roll.DeviceByID(ctx, t.DeviceID)
		if enroll.KindOf(err) == enroll.KindNotFound {
			return enroll.DenyTokenSerialMismatch, "the row that the token is bound to is not on the roll any more", nil
		}
		if err != nil {
			return "", "", err
		}
		if a.Serial == "" {
			a.Serial = row.Serial // a personal work profile is not told it
			note("pass", "the device is not told its serial; it is taken from the row that the token is bound to")
		}
		if enroll.NormalizeSerial(a.Serial) != row.Serial {
			return enroll.DenyTokenSerialMismatch, "the token is bound to another row", nil
		}
		if o := row.Ownership; t.Ownership != "" && o != t.Ownership && o != enroll.OwnershipSelectUser {
			return enroll.DenyOwnership, fmt.Sprintf("the token is for %s devices, the row is %s", t.Ownership, o), nil
		}
		a.Evidence, start.Proven = enroll.EvidenceToken, true
	}
	without := func() (enroll.Code, string, error) {
		if s.RequireVerifiedBoot {
			return enroll.DenyEvidenceTooWeak, "a locked boot loader is required, and the device attests none", nil
		}
		return "", "", nil
	}
	if len(m.Attestation) == 0 {
		return without()
	}
	if s.Attestor == nil {
		note("skip", "the key attestation is not looked at: there is no list of revoked keys")
		return without()
	}
	told, err := s.Attestor.Verify(m.Attestation, []byte(m.Nonce), key)
	switch {
	case errors.Is(err, attestation.ErrStatusUnknown):
		return "", "", &enroll.Error{Kind: enroll.KindUnavailable, Code: "attestation_status_unknown", Text: "The list of revoked attestation keys is not known.",
			Op: "android.Server.prove", Err: err}
	case errors.Is(err, attestation.ErrUntrustedRoot), errors.Is(err, attestation.ErrSoftware), errors.Is(err, attestation.ErrNotAttested):
		// What a phone without the hardware sends; leaving it out gives no less.
		note("warn", "the key attestation counts as none: %v", err)
		return without()
	case err != nil:
		return enroll.DenyIdentityConflict, "the key attestation does not hold: " + err.Error(), nil
	}
	same := func(what, attested, claimed string) bool {
		if attested == "" || claimed == "" || enroll.NormalizeSerial(attested) == enroll.NormalizeSerial(claimed) {
			return true
		}
		code, detail = enroll.DenyIdentityConflict, "the hardware attests another "+what+" than the agent names"
		return false
	}
	if !same("serial", told.Serial, a.Serial) || !same("IMEI", told.IMEI, m.Device.IMEI) {
		return code, detail, nil
	}
	if s.RequireVerifiedBoot && !told.VerifiedBoot {
		return enroll.DenyEvidenceTooWeak, "the boot loader is unlocked, or the system is not the maker's", nil
	}
	if told.Serial == "" {
		note("warn", "the hardware attests the key, but not the serial")
		return "", "", nil
	}
	note("pass", "the hardware attests the serial; verified boot: %v", told.VerifiedBoot)
	a.Serial, a.Evidence, start.Proven = told.Serial, enroll.EvidenceAttested, true
	return "", "", nil
}

// admit asks the gate, makes the enrollment and uses the token, all in one
// transaction.
func (s *Server) admit(ctx context.Context, a enroll.Attempt, start Start) (int, answer, error) {
	var d enroll.Decision
	var e Enrollment
	start.At = clock(s.Now)
	err := s.Agents.Atomically(ctx, func(ctx context.Context) error {
		var err error
		if d, err = s.Gate.Decide(ctx, a); err != nil || !d.Allowed() {
			return err
		}
		start.DeviceID, start.DecisionID = d.DeviceID, d.ID
		if start.Token.RequestID == "" {
			start.Token.RequestID = d.RequestID
		}
		if e, err = s.Agents.StartAgent(ctx, start); err != nil {
			return err
		}
		used, err := s.Tokens.UseEnrollmentToken(ctx, start.Token.ID, start.At)
		if err == nil && !used {
			err = errTokenGone
		}
		return err
	})
	var known *enroll.Error
	switch {
	case errors.Is(err, errTokenGone):
		return s.tokenGone(ctx, a, start.Token.ID)
	case errors.As(err, &known) && known.Code == CodeTakeover:
		return s.refuseDevice(ctx, a, enroll.DenyIdentityConflict, known.Text)
	case err != nil:
		return 0, answer{}, err
	case d.Outcome == enroll.OutcomeHold:
		return http.StatusAccepted, answer{Action: actionRetry, RetryAfter: holdSeconds, Code: string(d.Code), Message: d.Code.Reason().Person}, nil
	case !d.Allowed():
		return http.StatusForbidden, answer{Code: string(d.Code), Message: d.Code.Reason().Person}, nil
	}
	s.Seen.Mark(e.ID, start.At)
	if s.Kick != nil {
		s.Kick()
	}
	s.log().InfoContext(ctx, "agent enrolled", "enrollment", e.ID, "decision", d.ID, "token", start.Token.ID)
	return http.StatusCreated, s.welcome(e), nil
}

func (s *Server) tokenGone(ctx context.Context, a enroll.Attempt, id string) (int, answer, error) {
	t, err := s.Tokens.EnrollmentToken(ctx, id)
	if err != nil {
		return 0, answer{}, err
	}
	if err = t.Usable(clock(s.Now)); err == nil {
		err = enroll.Errorf(enroll.KindUnavailable, "token_contended", "the token was in use")
	}
	return s.refuseToken(ctx, a, err)
}

// refuseToken records that a token cannot be used; why is what Token.Usable
// says.
func (s *Server) refuseToken(ctx context.Context, a enroll.Attempt, why error) (int, answer, error) {
	var known *enroll.Error
	if !errors.As(why, &known) || tokenCodes[known.Code] == "" {
		return 0, answer{}, why
	}
	if _, err := s.Gate.Refuse(ctx, a, tokenCodes[known.Code], known.Text); err != nil {
		return 0, answer{}, err
	}
	return http.StatusGone, answer{Code: known.Code, Message: known.Text}, nil
}

// refuseDevice records a refusal that was found beside the gate's own checks.
func (s *Server) refuseDevice(ctx context.Context, a enroll.Attempt, code enroll.Code, detail string) (int, answer, error) {
	if _, err := s.Gate.Refuse(ctx, a, code, detail); err != nil {
		return 0, answer{}, err
	}
	return http.StatusForbidden, answer{Code: string(code), Message: code.Reason().Person}, nil
}

func (s *Server) welcome(e Enrollment) answer {
	return answer{DeviceID: e.ID, CheckinURL: s.PublicURL + PathCheckin, WaitURL: s.PublicURL + PathWait, PollSeconds: pollSeconds, Organization: s.Organization}
}

// Upkeep forgets what has ended, until ctx ends.
func (s *Server) Upkeep(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		if err := s.Agents.ForgetNonces(ctx, clock(s.Now)); err != nil && ctx.Err() == nil {
			s.log().WarnContext(ctx, "used nonces not forgotten", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
