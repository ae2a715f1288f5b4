package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
)

var _ mdm.EnrollmentStore = (*Store)(nil)

type enrollmentRow struct {
	ID              string `json:"id"`
	DeviceID        string `json:"device_id"`
	ParentID        string `json:"parent_id"`
	UDID            string `json:"udid"`
	UserID          string `json:"user_id"`
	State           string `json:"state"`
	Fingerprint     string `json:"fingerprint"`
	NextFingerprint string `json:"next_fingerprint"`
	Topic           string `json:"topic"`
	Token           []byte `json:"token"`
	PushMagic       string `json:"push_magic"`
	Awaiting        bool   `json:"awaiting"`
	DecisionID      string `json:"decision_id"`
	RequestID       string `json:"request_id"`
	Account         string `json:"account"`
	Protocol        string `json:"protocol"`
	AuthenticatedAt int64  `json:"authenticated_at"`
	EnrolledAt      int64  `json:"enrolled_at"`
	LastSeenAt      int64  `json:"last_seen_at"`
	PushInactiveAt  int64  `json:"push_inactive_at"`
	EndedAt         int64  `json:"ended_at"`
	PolicyAt        int64  `json:"policy_at"`
}

const (
	enrollmentColumns = `e.id, e.device_id, e.parent_id, e.udid, e.user_id, e.state, e.fingerprint, e.next_fingerprint, e.topic, e.token,
		e.push_magic, e.awaiting, e.decision_id, e.request_id, e.account, e.protocol, e.authenticated_at, e.enrolled_at, e.last_seen_at, e.push_inactive_at, e.ended_at, e.policy_at`

	// The protocols of enrollments.
	protocolApple = "apple"
	protocolAgent = "agent"
	protocolAMAPI = "amapi"

	unlockToken    = "enrollments/unlock_token"
	bootstrapToken = "enrollments/bootstrap_token"
)

func (r enrollmentRow) enrollment() mdm.Enrollment {
	return mdm.Enrollment{ID: r.ID, DeviceID: r.DeviceID, UDID: r.UDID, UserID: r.UserID, State: mdm.EnrollmentState(r.State),
		Fingerprint: r.Fingerprint, NextFingerprint: r.NextFingerprint, Topic: r.Topic, Token: r.Token, PushMagic: r.PushMagic, Awaiting: r.Awaiting,
		DecisionID: r.DecisionID, RequestID: r.RequestID, Account: r.Account, AuthenticatedAt: instant(r.AuthenticatedAt), EnrolledAt: instant(r.EnrolledAt),
		LastSeenAt: instant(r.LastSeenAt), PushInactiveAt: instant(r.PushInactiveAt), EndedAt: instant(r.EndedAt)}
}

// findEnrollment reads the row e for which condition holds.
func findEnrollment(ctx context.Context, tx *session, condition string, args ...any) (enrollmentRow, error) {
	var r enrollmentRow
	err := tx.get(ctx, &r, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE `+condition, args...)
	return r, err
}

func noEnrollment() error {
	return enroll.Errorf(enroll.KindNotFound, "enrollment_unknown", "there is no such enrollment")
}

func enrollmentEnded() error {
	return enroll.Errorf(enroll.KindConflict, "enrollment_ended", "the enrollment has ended").WithHint("The device has to enroll again.")
}

// Enrollment implements mdm.EnrollmentStore. A certificate that a completed
// renewal has replaced finds nothing any more.
func (s *Store) Enrollment(ctx context.Context, fingerprint string) (mdm.Enrollment, error) {
	r, err := findEnrollment(ctx, s.pool(), `e.fingerprint = ? AND e.user_id = ''
		ORDER BY CASE WHEN e.ended_at = 0 THEN 0 ELSE 1 END, e.id DESC LIMIT 1`, fingerprint)
	if errors.Is(err, sql.ErrNoRows) || err == nil && r.EndedAt != 0 {
		next, nextErr := findEnrollment(ctx, s.pool(), `e.next_fingerprint = ? AND e.next_fingerprint <> '' AND e.user_id = '' AND e.ended_at = 0`, fingerprint)
		if !errors.Is(nextErr, sql.ErrNoRows) {
			r, err = next, nextErr
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = noEnrollment()
	}
	return r.enrollment(), unavailable(err)
}

// Authenticate implements mdm.EnrollmentStore. A certificate that is pinned to
// another device's enrollment is enroll.KindConflict, and so is a renewal of
// an enrollment that is not the device's active one.
func (s *Store) Authenticate(ctx context.Context, a mdm.Authentication) (mdm.Enrollment, error) {
	var result mdm.Enrollment
	err := s.write(ctx, func(tx *session) error {
		device, err := lockDevice(ctx, tx, a.DeviceID)
		if err != nil {
			return err
		}
		var e enrollmentRow
		if a.Renews != "" {
			e, err = renew(ctx, tx, a)
		} else {
			e, err = s.start(ctx, tx, a, protocolApple, device)
		}
		result = e.enrollment()
		return err
	})
	if err != nil {
		return mdm.Enrollment{}, err
	}
	return result, nil
}

// pinnedElsewhere refuses a certificate of another enrollment.
func pinnedElsewhere(ctx context.Context, tx *session, fingerprint, enrollmentID string) error {
	var pinned bool
	err := tx.get(ctx, &pinned, `SELECT EXISTS (SELECT 1 FROM enrollments WHERE fingerprint = ? AND ended_at = 0 AND id <> ? AND parent_id <> ?)
		OR EXISTS (SELECT 1 FROM enrollments WHERE next_fingerprint = ? AND next_fingerprint <> '' AND ended_at = 0 AND id <> ? AND parent_id <> ?) AS pinned`,
		fingerprint, enrollmentID, enrollmentID, fingerprint, enrollmentID, enrollmentID)
	if err == nil && pinned {
		return enroll.Errorf(enroll.KindConflict, "certificate_pinned", "the identity certificate belongs to another enrollment")
	}
	return err
}

func renew(ctx context.Context, tx *session, a mdm.Authentication) (enrollmentRow, error) {
	e, err := findEnrollment(ctx, tx, `e.id = ?`+tx.lock(), a.Renews)
	if errors.Is(err, sql.ErrNoRows) {
		return e, noEnrollment()
	}
	if err != nil {
		return e, err
	}
	if e.State != string(mdm.EnrollmentActive) || e.DeviceID != a.DeviceID || e.UserID != "" {
		return e, enrollmentEnded()
	}
	if e.Fingerprint == a.Fingerprint || e.NextFingerprint == a.Fingerprint {
		return e, nil
	}
	if err := pinnedElsewhere(ctx, tx, a.Fingerprint, e.ID); err != nil {
		return e, err
	}
	e.NextFingerprint = a.Fingerprint
	_, err = tx.exec(ctx, `UPDATE enrollments SET next_fingerprint = ? WHERE (id = ? OR device_id = ? AND parent_id = ?) AND ended_at = 0`,
		a.Fingerprint, e.ID, e.DeviceID, e.ID)
	return e, err
}

// start makes a new enrollment, or finds the one that this certificate began.
func (s *Store) start(ctx context.Context, tx *session, a mdm.Authentication, protocol string, device deviceRow) (enrollmentRow, error) {
	var current []enrollmentRow
	err := tx.all(ctx, &current, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE e.ended_at = 0 AND (e.device_id = ? OR e.udid = ? AND e.udid <> '')
		ORDER BY e.id`+tx.lock(), a.DeviceID, a.UDID)
	if err != nil {
		return enrollmentRow{}, err
	}
	var e enrollmentRow
	var ended []enrollmentRow
	for _, c := range current {
		if c.UserID == "" && c.State == string(mdm.EnrollmentAuthenticated) && c.Fingerprint == a.Fingerprint && c.DeviceID == a.DeviceID && c.UDID == clean(a.UDID) {
			e = c
		} else {
			ended = append(ended, c)
		}
	}
	if err := endEnrollments(ctx, tx, ended, a.DeviceID, a.At); err != nil {
		return e, err
	}
	if e.ID == "" {
		id := enroll.NewID()
		if err := pinnedElsewhere(ctx, tx, a.Fingerprint, id); err != nil {
			return e, err
		}
		e = enrollmentRow{ID: id, DeviceID: a.DeviceID, UDID: clean(a.UDID), State: string(mdm.EnrollmentAuthenticated), Fingerprint: a.Fingerprint,
			Topic: clean(a.Topic), DecisionID: a.DecisionID, RequestID: a.RequestID, Account: a.Account, Protocol: protocol, AuthenticatedAt: micros(a.At), LastSeenAt: micros(a.At)}
		if err := insertEnrollment(ctx, tx, e); err != nil {
			return e, err
		}
	}
	fresh := device
	fresh.State, fresh.EnrollmentID = string(enroll.StateEnrolling), e.ID
	if err := fresh.mergeFacts(a.Facts); err != nil {
		return e, err
	}
	_, _, err = saveIfChanged(ctx, tx, device, fresh)
	return e, err
}

func insertEnrollment(ctx context.Context, tx *session, e enrollmentRow) error {
	n, err := tx.exec(ctx, `INSERT INTO enrollments (id, device_id, parent_id, udid, user_id, state, fingerprint, next_fingerprint, topic, token,
		push_magic, awaiting, decision_id, request_id, account, protocol, command_seq, authenticated_at, enrolled_at, last_seen_at, push_inactive_at, ended_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, 0, 0) ON CONFLICT DO NOTHING`,
		e.ID, e.DeviceID, e.ParentID, e.UDID, e.UserID, e.State, e.Fingerprint, e.NextFingerprint, e.Topic, e.Token,
		e.PushMagic, e.Awaiting, e.DecisionID, e.RequestID, e.Account, e.Protocol, e.AuthenticatedAt, e.EnrolledAt, e.LastSeenAt)
	if err == nil && n == 0 {
		return errAgain // somebody pinned the certificate meanwhile
	}
	return err
}

// endEnrollments ends channels: their tokens and pushes go, their open
// commands are cancelled. Devices other than keep (which the caller takes care
// of) whose device channel ends become unenrolled.
func endEnrollments(ctx context.Context, tx *session, ended []enrollmentRow, keep string, at time.Time) error {
	if len(ended) == 0 {
		return nil
	}
	var ids, devices []string
	for _, e := range ended {
		ids = append(ids, e.ID)
		if e.UserID == "" {
			devices = append(devices, e.DeviceID)
		}
	}
	list := tx.list(ids)
	if _, err := tx.exec(ctx, `UPDATE enrollments SET state = 'ended', ended_at = ?, token = NULL, push_magic = '', unlock_token = NULL,
		bootstrap_token = NULL, next_fingerprint = '' WHERE `+tx.in("id"), micros(at), list); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE commands SET state = 'cancelled', finished_at = ?, handed_at = 0 WHERE finished_at = 0 AND `+
		tx.in("enrollment_id"), micros(at), list); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `DELETE FROM pushes WHERE `+tx.in("enrollment_id"), list); err != nil {
		return err
	}
	if err := undeclare(ctx, tx, ids); err != nil {
		return err
	}
	if len(devices) == 0 {
		return nil
	}
	if _, err := tx.exec(ctx, `UPDATE deliveries SET due_at = 0 WHERE `+tx.in("device_id"), tx.list(devices)); err != nil {
		return err
	}
	for _, e := range ended {
		if e.UserID != "" || e.DeviceID == keep {
			continue
		}
		other, err := lockDevice(ctx, tx, e.DeviceID)
		if enroll.KindOf(err) == enroll.KindNotFound {
			continue
		}
		if err != nil {
			return err
		}
		if err := unenroll(ctx, tx, other, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// unenroll takes a locked device out of the enrollment, if it is still in it.
func unenroll(ctx context.Context, tx *session, device deviceRow, enrollmentID string) error {
	if device.EnrollmentID != enrollmentID {
		return nil
	}
	fresh := device
	fresh.State, fresh.EnrollmentID = string(enroll.StateUnenrolled), ""
	_, _, err := saveIfChanged(ctx, tx, device, fresh)
	return err
}

// TokenUpdate implements mdm.EnrollmentStore. enroll.KindConflict when the
// enrollment has ended or another certificate is pinned to it. Open commands
// make a push due as soon as the channel can be pushed (again).
func (s *Store) TokenUpdate(ctx context.Context, u mdm.TokenUpdate) (first bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		first = false
		device, err := lockDevice(ctx, tx, u.Enrollment.DeviceID)
		if err != nil {
			return err
		}
		e, err := findEnrollment(ctx, tx, `e.id = ?`+tx.lock(), u.Enrollment.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return noEnrollment()
		}
		if err != nil {
			return err
		}
		if e.EndedAt != 0 || e.DeviceID != device.ID {
			return enrollmentEnded()
		}
		if u.Fingerprint == e.NextFingerprint && u.Fingerprint != "" {
			e.Fingerprint, e.NextFingerprint = u.Fingerprint, ""
			if _, err := tx.exec(ctx, `UPDATE enrollments SET fingerprint = ?, next_fingerprint = '' WHERE (id = ? OR device_id = ? AND parent_id = ?) AND ended_at = 0`,
				e.Fingerprint, e.ID, e.DeviceID, e.ID); err != nil {
				return err
			}
		}
		if u.Fingerprint != e.Fingerprint {
			return enroll.Errorf(enroll.KindConflict, "certificate_replaced", "another identity certificate is pinned to the enrollment")
		}
		channel := e
		if u.UserID != "" {
			channel, err = userChannel(ctx, tx, e, u)
			if err != nil {
				return err
			}
		}
		if err := s.savePushData(ctx, tx, channel, u); err != nil {
			return err
		}
		if u.UserID == "" && e.State == string(mdm.EnrollmentAuthenticated) {
			first = true
			if err := activate(ctx, tx, device, e, u.At); err != nil {
				return err
			}
		}
		if first || channel.PushInactiveAt != 0 || string(channel.Token) != string(u.Token) {
			return pushIfOpen(ctx, tx, channel.ID, u.At)
		}
		return nil
	})
	return first && err == nil, err
}

// userChannel finds the enrollment of a user of the device, or makes it.
func userChannel(ctx context.Context, tx *session, e enrollmentRow, u mdm.TokenUpdate) (enrollmentRow, error) {
	channel, err := findEnrollment(ctx, tx, `e.device_id = ? AND e.user_id = ? AND e.ended_at = 0`+tx.lock(), e.DeviceID, u.UserID)
	if !errors.Is(err, sql.ErrNoRows) {
		return channel, err
	}
	channel = enrollmentRow{ID: enroll.NewID(), DeviceID: e.DeviceID, ParentID: e.ID, UDID: e.UDID, UserID: clean(u.UserID), State: string(mdm.EnrollmentActive),
		Fingerprint: e.Fingerprint, NextFingerprint: e.NextFingerprint, Topic: e.Topic, DecisionID: e.DecisionID, RequestID: e.RequestID, Account: e.Account,
		Protocol: e.Protocol, AuthenticatedAt: e.AuthenticatedAt, EnrolledAt: micros(u.At), LastSeenAt: micros(u.At)}
	return channel, insertEnrollment(ctx, tx, channel)
}

// savePushData stores what is there; what is absent stays as it was.
func (s *Store) savePushData(ctx context.Context, tx *session, channel enrollmentRow, u mdm.TokenUpdate) error {
	token, topic, magic, awaiting := channel.Token, channel.Topic, channel.PushMagic, channel.Awaiting
	if u.Token != nil {
		token = u.Token
	}
	if u.Topic != "" {
		topic = u.Topic
	}
	if u.PushMagic != "" {
		magic = u.PushMagic
	}
	if u.Awaiting != nil {
		awaiting = *u.Awaiting
	}
	if _, err := tx.exec(ctx, `UPDATE enrollments SET token = ?, topic = ?, push_magic = ?, awaiting = ?, push_inactive_at = 0 WHERE id = ?`,
		token, topic, magic, awaiting, channel.ID); err != nil || u.UnlockToken == nil {
		return err
	}
	sealed, err := s.seal(unlockToken, channel.ID, u.UnlockToken)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `UPDATE enrollments SET unlock_token = ? WHERE id = ?`, sealed, channel.ID)
	return err
}

// activate completes an enrollment.
func activate(ctx context.Context, tx *session, device deviceRow, e enrollmentRow, at time.Time) error {
	if err := tx.do(ctx, tx.mutex(mutexPolicies, true)); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE enrollments SET state = 'active', enrolled_at = ? WHERE id = ?`, micros(at), e.ID); err != nil {
		return err
	}
	if e.RequestID != "" {
		n, err := tx.exec(ctx, `UPDATE requests SET state = ?, closed_at = ? WHERE id = ? AND closed_at = 0`, string(enroll.RequestCompleted), micros(at), e.RequestID)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := tellRequests(ctx, tx, enroll.RequestCompleted, e.RequestID); err != nil {
				return err
			}
		}
	}
	fresh := device
	fresh.State, fresh.EnrollmentID, fresh.EnrolledAt = string(enroll.StateEnrolled), e.ID, micros(at)
	if fresh.AcceptedAt == 0 {
		fresh.AcceptedAt = micros(at)
	}
	if err := countUse(ctx, tx, &fresh, e); err != nil {
		return err
	}
	if _, _, err := saveIfChanged(ctx, tx, device, fresh); err != nil {
		return err
	}
	return markDevicesDue(ctx, tx, []string{device.ID})
}

// CheckOut implements mdm.EnrollmentStore; again for an ended one changes
// nothing.
func (s *Store) CheckOut(ctx context.Context, enrollmentID string, at time.Time) error {
	return s.write(ctx, func(tx *session) error {
		e, err := findEnrollment(ctx, tx, `e.id = ?`, enrollmentID)
		if errors.Is(err, sql.ErrNoRows) {
			return noEnrollment()
		}
		if err != nil {
			return err
		}
		device, err := lockDevice(ctx, tx, e.DeviceID)
		if err != nil {
			return err
		}
		var ended []enrollmentRow
		if err := tx.all(ctx, &ended, `SELECT `+enrollmentColumns+` FROM enrollments e WHERE e.ended_at = 0 AND (e.id = ? OR e.device_id = ? AND e.parent_id = ?)
			ORDER BY e.id`+tx.lock(), e.ID, e.DeviceID, e.ID); err != nil {
			return err
		}
		if err := endEnrollments(ctx, tx, ended, e.DeviceID, at); err != nil {
			return err
		}
		return unenroll(ctx, tx, device, e.ID)
	})
}

// Disenrolling implements mdm.EnrollmentStore.
func (s *Store) Disenrolling(ctx context.Context, enrollmentID, commandID string) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE enrollments SET disenroll_id = ? WHERE id = ? AND ended_at = 0`, commandID, enrollmentID)
		if err == nil && n == 0 {
			return enrollmentEnded()
		}
		return err
	})
}

// Removed implements mdm.EnrollmentStore.
func (s *Store) Removed(ctx context.Context, enrollmentID, commandID string, at time.Time) (bool, error) {
	var removes bool
	err := s.one(ctx, &removes, `SELECT disenroll_id = ? AND ended_at = 0 FROM enrollments WHERE id = ?`, commandID, enrollmentID)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !removes {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.CheckOut(ctx, enrollmentID, at)
}

// RecordFacts implements mdm.EnrollmentStore.
func (s *Store) RecordFacts(ctx context.Context, deviceID string, f enroll.Facts) error {
	return s.write(ctx, func(tx *session) error {
		device, err := lockDevice(ctx, tx, deviceID)
		if err != nil {
			return err
		}
		fresh := device
		if err := fresh.mergeFacts(f); err != nil {
			return err
		}
		fresh, _, err = saveIfChanged(ctx, tx, device, fresh)
		if err != nil || !otherTarget(device, fresh) {
			return err
		}
		return markDevicesDue(ctx, tx, []string{device.ID})
	})
}

// Seen implements mdm.EnrollmentStore, all in two statements.
func (s *Store) Seen(ctx context.Context, at map[string]time.Time) error {
	if len(at) == 0 {
		return nil
	}
	type seen struct {
		ID string `json:"id"`
		At int64  `json:"at"`
	}
	rows := make([]seen, 0, len(at))
	for id, t := range at {
		rows = append(rows, seen{id, micros(t)})
	}
	batch := encode(rows)
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.lazy()); err != nil {
			return err
		}
		from := tx.records("id text, at bigint")
		if _, err := tx.exec(ctx, `UPDATE devices SET last_seen_at = s.at FROM (SELECT e.device_id, max(r.at) AS at FROM `+from+`
			JOIN enrollments e ON e.id = r.id GROUP BY e.device_id) AS s WHERE devices.id = s.device_id AND devices.last_seen_at < s.at`, batch); err != nil {
			return err
		}
		// The order of the device list; until the user has accepted it tells
		// nothing.
		if _, err := tx.exec(ctx, `UPDATE device_seen SET at = s.at FROM (SELECT e.device_id, max(r.at) AS at FROM `+from+`
			JOIN enrollments e ON e.id = r.id JOIN devices d ON d.id = e.device_id WHERE d.accepted_at > 0 GROUP BY e.device_id) AS s
			WHERE device_seen.device_id = s.device_id AND device_seen.at < s.at - 60000000`, batch); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE enrollments SET last_seen_at = r.at FROM `+from+` WHERE enrollments.id = r.id AND enrollments.last_seen_at < r.at`, batch)
		return err
	})
}

// SetBootstrapToken implements mdm.EnrollmentStore; enroll.KindConflict when
// the enrollment has ended.
func (s *Store) SetBootstrapToken(ctx context.Context, enrollmentID string, token []byte) error {
	var sealed []byte
	if len(token) > 0 {
		var err error
		if sealed, err = s.seal(bootstrapToken, enrollmentID, token); err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `UPDATE enrollments SET bootstrap_token = ? WHERE id = ? AND ended_at = 0`, sealed, enrollmentID)
		if err == nil && n == 0 {
			return enrollmentEnded()
		}
		return err
	})
}

// BootstrapToken implements mdm.EnrollmentStore.
func (s *Store) BootstrapToken(ctx context.Context, enrollmentID string) ([]byte, error) {
	return s.sealedToken(ctx, `SELECT bootstrap_token FROM enrollments WHERE id = ?`, bootstrapToken, enrollmentID)
}

// UnlockToken implements mdm.EnrollmentStore.
func (s *Store) UnlockToken(ctx context.Context, enrollmentID string) ([]byte, error) {
	return s.sealedToken(ctx, `SELECT unlock_token FROM enrollments WHERE id = ?`, unlockToken, enrollmentID)
}

func (s *Store) sealedToken(ctx context.Context, query, column, enrollmentID string) ([]byte, error) {
	var sealed []byte
	if err := s.one(ctx, &sealed, query, enrollmentID); errors.Is(err, sql.ErrNoRows) {
		return nil, noEnrollment()
	} else if err != nil {
		return nil, err
	}
	return s.unseal(column, enrollmentID, sealed)
}

// EnrollmentByID implements mdm.EnrollmentStore.
func (s *Store) EnrollmentByID(ctx context.Context, id string) (mdm.Enrollment, error) {
	r, err := findEnrollment(ctx, s.pool(), `e.id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = noEnrollment()
	}
	return r.enrollment(), unavailable(err)
}
