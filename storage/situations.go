package storage

import (
	"context"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

type deliveredRow struct {
	EnrollmentID string `json:"enrollment_id"`
	Key          string `json:"item_key"`
	Identifier   string `json:"identifier"`
	Title        string `json:"title"`
	Hash         string `json:"hash"`
	Removal      bool   `json:"removal"`
	Policies     string `json:"policies"`
	Tries        int    `json:"tries"`
	Reason       string `json:"reason"`
	CommandID    string `json:"command_id"`
	RequestType  string `json:"request_type"`
	State        string `json:"state"`
	NotNow       bool   `json:"not_now"`
	Attempts     int    `json:"attempts"`
	Error        string `json:"error"`
	Result       []byte `json:"result"`
	QueuedAt     int64  `json:"queued_at"`
	SentAt       int64  `json:"sent_at"`
	FinishedAt   int64  `json:"finished_at"`
}

// deliveredTo lists the items of enrollments in the order of their commands.
// The results are there of those that a plan looks into.
func deliveredTo(ctx context.Context, tx *session, enrollmentIDs []string) (map[string][]deliveredRow, error) {
	var rows []deliveredRow
	if err := tx.all(ctx, &rows, `SELECT i.enrollment_id, i.item_key, i.identifier, i.title, i.hash, i.removal, i.policies, i.tries, i.reason, i.command_id,
			c.request_type, c.state, c.not_now, c.attempts, c.error, c.queued_at, c.sent_at, c.finished_at,
			CASE WHEN c.state = 'acknowledged' AND (i.item_key IN ('check:profiles', 'check:apps') OR c.request_type IN ('InstallApplication', 'set_policy')) THEN c.result END AS result
		FROM delivered i JOIN commands c ON c.id = i.command_id WHERE `+tx.in("i.enrollment_id")+` ORDER BY c.seq`, tx.list(enrollmentIDs)); err != nil {
		return nil, err
	}
	out := map[string][]deliveredRow{}
	for _, r := range rows {
		out[r.EnrollmentID] = append(out[r.EnrollmentID], r)
	}
	return out, nil
}

func (s *Store) delivered(r deliveredRow) (policy.Delivered, error) {
	d := policy.Delivered{Key: r.Key, Title: r.Title, Identifier: r.Identifier, Hash: r.Hash, Removal: r.Removal, CommandID: r.CommandID, RequestType: r.RequestType,
		State: policy.CommandState(r.State), Attempts: r.Attempts, Tries: r.Tries, Error: r.Error, QueuedAt: instant(r.QueuedAt), FinishedAt: instant(r.FinishedAt)}
	var err error
	if d.Policies, err = decode[[]policy.From](r.Policies); err != nil {
		return d, err
	}
	d.Result, err = s.unseal(resultOfCommand, r.CommandID, r.Result)
	return d, err
}

// Situations implements policy.DeliveryStore.
func (s *Store) Situations(ctx context.Context, ids []string) (map[string]policy.Situation, error) {
	var out map[string]policy.Situation
	err := s.read(ctx, func(tx *session) error {
		out = make(map[string]policy.Situation, len(ids))
		list := tx.list(ids)
		var enrollments []enrollmentRow
		if err := tx.all(ctx, &enrollments, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE `+tx.in("e.device_id")+
			` AND e.user_id = '' AND e.ended_at = 0 AND e.state = 'active'`, list); err != nil {
			return err
		}
		var devices []deviceRow
		if err := tx.all(ctx, &devices, selectDevice+`WHERE `+tx.in("d.id"), list); err != nil {
			return err
		}
		var owners []userRow
		if err := tx.all(ctx, &owners, selectUser+`WHERE id IN (SELECT d.user_id FROM devices d WHERE `+tx.in("d.id")+`)`, list); err != nil {
			return err
		}
		persons := make(map[string]policy.Person, len(owners))
		for _, u := range owners {
			persons[u.ID] = policy.Person{Domain: u.Domain, Name: u.Name, Email: u.Email, Mobile: u.Mobile}
		}
		reaching, err := reachingDevices(ctx, tx, ids)
		if err != nil {
			return err
		}
		planned, err := plannedVersions(ctx, tx, ids)
		if err != nil {
			return err
		}
		bound, err := s.boundPolicies(ctx, tx, reaching, planned)
		if err != nil {
			return err
		}
		for _, row := range devices {
			d, err := row.device()
			if err != nil {
				return err
			}
			out[d.ID] = policy.Situation{Device: d, Owner: persons[d.UserID], Policies: bound[d.ID], Turn: instant(planned[d.ID].TurnAt)}
		}
		return s.addEnrollments(ctx, tx, out, enrollments)
	})
	return out, err
}

// addEnrollments tells situations about the enrollments and what was sent.
func (s *Store) addEnrollments(ctx context.Context, tx *session, situations map[string]policy.Situation, enrollments []enrollmentRow) error {
	ids := make([]string, len(enrollments))
	for i, e := range enrollments {
		ids[i] = e.ID
	}
	items, err := deliveredTo(ctx, tx, ids)
	if err != nil {
		return err
	}
	ends, err := identityEnds(ctx, tx, enrollments)
	if err != nil {
		return err
	}
	declared, err := s.declaredTo(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, e := range enrollments {
		sit, there := situations[e.DeviceID]
		if !there {
			continue
		}
		sit.EnrollmentID, sit.EnrolledAt, sit.Awaiting = e.ID, instant(e.EnrolledAt), e.Awaiting
		sit.UserEnrollment = e.Account != "" && sit.Device.Ownership != enroll.OwnershipCorporate // the other account-driven way is for those
		sit.Protocol = policy.Protocol(e.Protocol)
		sit.Fingerprint, sit.DecisionID, sit.UDID, sit.IdentityEnds = e.Fingerprint, e.DecisionID, e.UDID, ends[e.Fingerprint]
		sit.DeclarationsToken, sit.Supported = declared[e.ID].DeclarationsToken, declared[e.ID].Supported
		for _, row := range items[e.ID] {
			d, err := s.delivered(row)
			if err != nil {
				return err
			}
			sit.Delivered = append(sit.Delivered, d)
		}
		situations[e.DeviceID] = sit
	}
	return nil
}

// declaredTo tells of enrollments what they were declared, and which
// declarations they know.
func (s *Store) declaredTo(ctx context.Context, tx *session, enrollmentIDs []string) (map[string]policy.Situation, error) {
	var rows []struct {
		EnrollmentID string `json:"enrollment_id"`
		Token        string `json:"token"`
		statusRow
	}
	if err := tx.all(ctx, &rows, `SELECT enrollment_id, token, status, status_at FROM declarative WHERE `+tx.in("enrollment_id"), tx.list(enrollmentIDs)); err != nil {
		return nil, err
	}
	out := make(map[string]policy.Situation, len(rows))
	for _, r := range rows {
		status, err := s.declarativeStatus(r.EnrollmentID, r.statusRow)
		if err != nil {
			return nil, err
		}
		out[r.EnrollmentID] = policy.Situation{DeclarationsToken: r.Token, Supported: status.Supported()}
	}
	return out, nil
}

// identityEnds tells when the certificates of enrollments end, by fingerprint.
func identityEnds(ctx context.Context, tx *session, enrollments []enrollmentRow) (map[string]time.Time, error) {
	fingerprints := make([]string, len(enrollments))
	for i, e := range enrollments {
		fingerprints[i] = e.Fingerprint
	}
	var rows []struct {
		Fingerprint string `json:"fingerprint"`
		ExpiresAt   int64  `json:"expires_at"`
	}
	if err := tx.all(ctx, &rows, `SELECT fingerprint, expires_at FROM identities WHERE `+tx.in("fingerprint"), tx.list(fingerprints)); err != nil {
		return nil, err
	}
	out := make(map[string]time.Time, len(rows))
	for _, r := range rows {
		out[r.Fingerprint] = instant(r.ExpiresAt)
	}
	return out, nil
}
