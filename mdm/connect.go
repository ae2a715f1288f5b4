package mdm

import (
	"errors"
	"net/http"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/mdm/plist"
	"rollcall/policy"
)

// connect answers one request of a connect session: it takes the result the
// device brings and hands out the next command; a 200 without a body ends the
// session.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	next, err := s.exchange(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if next != nil {
		writePlist(w, next.Body)
	}
}

func (s *Server) exchange(w http.ResponseWriter, r *http.Request) (*Command, error) {
	ctx := r.Context()
	body, err := ReadBody(w, r, plist.MaxConnect)
	if err != nil {
		return nil, err
	}
	now := s.now()
	cert, err := s.Identity.Of(r, body, now)
	if err != nil {
		return nil, err
	}
	var a answer
	if err := plist.Decode(body, &a); err != nil {
		return nil, bad("plist_invalid", "the answer is not a property list that can be read: %v", err)
	}
	if err := a.sender.check(); err != nil {
		return nil, err
	}
	fingerprint := certs.Fingerprint(cert)
	e, open, err := s.Queue.Poll(ctx, fingerprint, a.user())
	if enroll.KindOf(err) == enroll.KindNotFound && s.adopt(ctx, fingerprint) {
		e, open, err = s.Queue.Poll(ctx, fingerprint, a.user())
	}
	if err != nil {
		return nil, err
	}
	if err := matches(e, a.sender); err != nil {
		return nil, err
	}
	if err := s.authorize(r, e.Account, e.ID); err != nil {
		return nil, err
	}
	s.Seen.Mark(e.ID, now)

	switch a.Status {
	case "Idle":
		if !open {
			return nil, nil
		}
		return s.Queue.HandOut(ctx, e.ID, now, handOutLease)
	case "Acknowledged", "Error", "CommandFormatError", "NotNow":
		return s.report(r, e, a, body)
	}
	return nil, bad("status_unknown", "the status %q is not known", a.Status)
}

func (s *Server) report(r *http.Request, e Enrollment, a answer, body []byte) (*Command, error) {
	ctx := r.Context()
	if a.CommandUUID == "" {
		return nil, bad("command_uuid_missing", "the answer names no CommandUUID")
	}
	// Facts go first: were they written after the result and the server ended
	// in between, nobody would ask for them again.
	if f := a.facts(); e.UserID == "" && a.Status == "Acknowledged" && !f.Empty() {
		if err := s.Enrollments.RecordFacts(ctx, e.DeviceID, f); err != nil {
			return nil, err
		}
	}
	report := Report{EnrollmentID: e.ID, CommandID: a.CommandUUID, NotNow: a.Status == "NotNow", Error: a.failure(),
		State: policy.CommandAcknowledged, Result: body, At: s.now()}
	if report.NotNow {
		report.Error = ""
	} else if report.Error != "" {
		report.State = policy.CommandFailed
	}
	done, err := s.Queue.Report(ctx, report, notNowRetry)
	if err != nil {
		return nil, err
	}
	if done.RequestType == "RemoveProfile" && report.State == policy.CommandAcknowledged && !report.NotNow {
		if over, err := s.Enrollments.Removed(ctx, e.ID, a.CommandUUID, report.At); err != nil || over {
			return nil, err
		}
	}
	if e.Awaiting && done.Next == nil && !done.Open {
		s.kick() // a person waits in Setup Assistant for what comes next
	}
	log := s.log().With("enrollment", e.ID, "request_type", done.RequestType, "status", a.Status)
	switch {
	case !done.Known:
		log.WarnContext(ctx, "result of an unknown command")
	case done.Repeated:
		log.InfoContext(ctx, "result repeated")
	case report.State == policy.CommandFailed:
		log.WarnContext(ctx, "command failed on the device", "command", a.CommandUUID, "error_codes", a.codes())
	default:
		log.DebugContext(ctx, "result")
	}
	return done.Next, nil
}

// issuedError makes the errors of package certs ones with a kind.
func issuedError(err error) error {
	if errors.Is(err, certs.ErrIdentityUnknown) {
		return &enroll.Error{Kind: enroll.KindInvalid, Code: "identity_unknown", Text: "this certificate was not issued to a device", Err: err}
	}
	return err
}
