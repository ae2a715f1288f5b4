package storage

import (
	"context"
	"slices"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
)

// commitRow is a plan with what is known of its device under lock.
type commitRow struct {
	policy.Commit
	active bool // the enrollment is the active one of the device
}

// Commit implements policy.DeliveryStore. A plan for a generation that has
// been planned already (by a worker that took over an expired lease) is not
// written a second time. Rows are locked in the order of their IDs, enrollments
// before deliveries, as everybody does who needs both.
func (s *Store) Commit(ctx context.Context, plans []policy.Commit, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		rows, err := lockPlans(ctx, tx, plans)
		if err != nil {
			return err
		}
		if rows, err = dropStale(ctx, tx, rows); err != nil || len(rows) == 0 {
			return err
		}
		if err := finishDue(ctx, tx, rows, now); err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(r commitRow) bool { return !r.active })
		if len(rows) == 0 {
			return nil
		}
		for _, write := range []func(context.Context, *session, []commitRow, time.Time) error{cancelOvertaken, s.queueCommands, labelItems, s.writeDeclarations, writeNotes, tellQuiet} {
			if err := write(ctx, tx, rows, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockPlans locks what plans are about, and leaves out those that were
// committed already.
func lockPlans(ctx context.Context, tx *session, plans []policy.Commit) ([]commitRow, error) {
	var enrollments, devices []string
	for _, p := range plans {
		devices = append(devices, p.Due.DeviceID)
		if p.EnrollmentID != "" {
			enrollments = append(enrollments, p.EnrollmentID)
		}
	}
	var locked []struct {
		ID       string `json:"id"`
		DeviceID string `json:"device_id"`
		State    string `json:"state"`
	}
	if err := tx.all(ctx, &locked, `SELECT e.id, e.device_id, e.state FROM enrollments e WHERE `+tx.in("e.id")+` ORDER BY e.id`+tx.lock(), tx.list(enrollments)); err != nil {
		return nil, err
	}
	active := map[string]string{} // device by enrollment
	for _, e := range locked {
		if e.State == string(mdm.EnrollmentActive) {
			active[e.ID] = e.DeviceID
		}
	}
	var deliveries []struct {
		DeviceID string `json:"device_id"`
		Planned  int64  `json:"planned"`
	}
	if err := tx.all(ctx, &deliveries, `SELECT device_id, planned FROM deliveries WHERE `+tx.in("device_id")+` ORDER BY device_id`+tx.lock(), tx.list(devices)); err != nil {
		return nil, err
	}
	planned := make(map[string]int64, len(deliveries))
	for _, d := range deliveries {
		planned[d.DeviceID] = d.Planned
	}
	var rows []commitRow
	for _, p := range plans {
		if before, due := planned[p.Due.DeviceID]; due && p.Due.Generation > before {
			rows = append(rows, commitRow{p, p.EnrollmentID != "" && active[p.EnrollmentID] == p.Due.DeviceID})
		}
	}
	return rows, nil
}

// dropStale leaves out plans that would forget an item whose command left for
// the device after the plan was made: forgotten, it could never be taken off
// the device again. Their devices are to be planned anew at once.
func dropStale(ctx context.Context, tx *session, rows []commitRow) ([]commitRow, error) {
	var forget, cancel []string
	for _, r := range rows {
		if len(r.Forget) > 0 && len(r.Cancel) > 0 {
			for _, key := range r.Forget {
				forget = append(forget, r.EnrollmentID+" "+key)
			}
			cancel = append(cancel, r.Cancel...)
		}
	}
	if len(forget) == 0 {
		return rows, nil
	}
	var enrollments []string
	if err := tx.all(ctx, &enrollments, `SELECT i.enrollment_id FROM commands c JOIN delivered i ON i.command_id = c.id
		WHERE `+tx.in("c.id")+` AND c.attempts > 0 AND `+tx.in("(i.enrollment_id || ' ' || i.item_key)"), tx.list(cancel), tx.list(forget)); err != nil || len(enrollments) == 0 {
		return rows, err
	}
	var again []string
	rows = slices.DeleteFunc(rows, func(r commitRow) bool {
		if !slices.Contains(enrollments, r.EnrollmentID) {
			return false
		}
		again = append(again, r.Due.DeviceID)
		return true
	})
	_, err := tx.exec(ctx, `UPDATE deliveries SET lease_until = 0 WHERE `+tx.in("device_id"), tx.list(again))
	return rows, err
}

// finishDue says that devices are no longer due, as far as that is so. Where
// nothing was queued and the last plan's end was not told yet, told stays false
// for tellQuiet to see.
func finishDue(ctx context.Context, tx *session, rows []commitRow, _ time.Time) error {
	type done struct {
		DeviceID   string `json:"device_id"`
		Generation int64  `json:"generation"`
		Again      int64  `json:"again"`
		Versions   string `json:"versions"`
		Queues     bool   `json:"queues"`
	}
	finished := make([]done, len(rows))
	for i, r := range rows {
		versions := r.Versions
		if versions == nil {
			versions = map[string]int64{}
		}
		finished[i] = done{r.Due.DeviceID, r.Due.Generation, micros(r.Again), encode(versions), len(r.Commands) > 0}
	}
	_, err := tx.exec(ctx, `UPDATE deliveries SET planned = CAST(r.generation AS bigint), lease_until = 0, versions = r.versions,
			told = CASE WHEN r.queues THEN FALSE ELSE told END,
			due_at = CASE WHEN deliveries.generation = CAST(r.generation AS bigint) THEN 0 ELSE due_at END,
			again_at = CASE WHEN deliveries.generation <> CAST(r.generation AS bigint) AND again_at > 0 AND (CAST(r.again AS bigint) = 0 OR again_at < CAST(r.again AS bigint))
				THEN again_at ELSE CAST(r.again AS bigint) END
		FROM `+tx.records("device_id text, generation bigint, again bigint, versions text, queues boolean")+` WHERE deliveries.device_id = r.device_id`, encode(finished))
	return err
}

// cancelOvertaken cancels and forgets.
func cancelOvertaken(ctx context.Context, tx *session, rows []commitRow, now time.Time) error {
	var cancel, enrollments []string
	type item struct {
		EnrollmentID string `json:"enrollment_id"`
		Key          string `json:"item_key"`
	}
	var forget []item
	for _, r := range rows {
		if len(r.Cancel) > 0 {
			cancel, enrollments = append(cancel, r.Cancel...), append(enrollments, r.EnrollmentID)
		}
		for _, key := range r.Forget {
			forget = append(forget, item{r.EnrollmentID, key})
		}
	}
	if len(cancel) > 0 {
		if _, err := tx.exec(ctx, `UPDATE commands SET state = 'cancelled', finished_at = ?, handed_at = 0 WHERE `+tx.in("enrollment_id")+` AND finished_at = 0 AND `+
			tx.in("id"), micros(now), tx.list(enrollments), tx.list(cancel)); err != nil {
			return err
		}
	}
	if len(forget) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, `DELETE FROM delivered WHERE (enrollment_id, item_key) IN (SELECT r.enrollment_id, r.item_key FROM `+
		tx.records("enrollment_id text, item_key text")+`)`, encode(forget))
	return err
}

type itemRow struct {
	EnrollmentID string `json:"enrollment_id"`
	Key          string `json:"item_key"`
	Identifier   string `json:"identifier"`
	Title        string `json:"title"`
	Hash         string `json:"hash"`
	Removal      bool   `json:"removal"`
	CommandID    string `json:"command_id"`
	Policies     string `json:"policies"`
	Tries        int    `json:"tries"`
	Reason       string `json:"reason"`
}

const itemFields = `enrollment_id text, item_key text, identifier text, title text, hash text, removal boolean, command_id text, policies text, tries bigint, reason text`

// queueCommands queues the commands of each plan in their order, with their
// items and one push.
func (s *Store) queueCommands(ctx context.Context, tx *session, rows []commitRow, now time.Time) error {
	queues := map[string][]mdm.Command{}
	var items []itemRow
	for _, r := range rows {
		for _, c := range r.Commands {
			queues[r.EnrollmentID] = append(queues[r.EnrollmentID], mdm.Command{ID: c.ID, RequestType: c.RequestType, Body: c.Body})
			items = append(items, itemRow{r.EnrollmentID, c.ItemKey, c.Identifier, clean(c.Title), c.Hash, c.Removal, c.ID, encode(c.Policies), max(c.Tries, 1), c.Reason})
		}
	}
	if len(items) == 0 {
		return nil
	}
	if err := s.enqueue(ctx, tx, queues, now); err != nil {
		return err
	}
	names := columnNames(itemFields)
	_, err := tx.exec(ctx, `INSERT INTO delivered (`+columns("", names)+`) SELECT `+columns("r.", names)+` FROM `+tx.records(itemFields)+` WHERE true
		ON CONFLICT (enrollment_id, item_key) DO UPDATE SET identifier = excluded.identifier, title = excluded.title, hash = excluded.hash, removal = excluded.removal,
			command_id = excluded.command_id, policies = excluded.policies, tries = excluded.tries, reason = excluded.reason`, encode(items))
	return err
}

// labelItems says where items come from that stay as they are.
func labelItems(ctx context.Context, tx *session, rows []commitRow, _ time.Time) error {
	type label struct {
		EnrollmentID string `json:"enrollment_id"`
		Key          string `json:"item_key"`
		Policies     string `json:"policies"`
	}
	var labels []label
	for _, r := range rows {
		for _, l := range r.Labels {
			labels = append(labels, label{r.EnrollmentID, l.ItemKey, encode(l.Policies)})
		}
	}
	if len(labels) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, `UPDATE delivered SET policies = r.policies FROM `+tx.records("enrollment_id text, item_key text, policies text")+`
		WHERE delivered.enrollment_id = r.enrollment_id AND delivered.item_key = r.item_key`, encode(labels))
	return err
}

func (s *Store) writeDeclarations(ctx context.Context, tx *session, rows []commitRow, now time.Time) error {
	for _, r := range rows {
		if r.Declare {
			if err := s.declare(ctx, tx, r.EnrollmentID, r.Declarations, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeNotes writes what differs from what is there: most plans change none.
func writeNotes(ctx context.Context, tx *session, rows []commitRow, _ time.Time) error {
	type noteRow struct {
		EnrollmentID string `json:"enrollment_id"`
		Notes        string `json:"notes"`
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.EnrollmentID
	}
	var stored []noteRow
	if err := tx.all(ctx, &stored, `SELECT enrollment_id, notes FROM delivery_notes WHERE `+tx.in("enrollment_id"), tx.list(ids)); err != nil {
		return err
	}
	had := make(map[string]string, len(stored))
	for _, n := range stored {
		had[n.EnrollmentID] = n.Notes
	}
	var notes []noteRow
	var none []string
	for _, r := range rows {
		before, there := had[r.EnrollmentID]
		if len(r.Notes) == 0 {
			if there {
				none = append(none, r.EnrollmentID)
			}
		} else if text := clean(encode(r.Notes)); text != before {
			notes = append(notes, noteRow{r.EnrollmentID, text})
		}
	}
	if len(notes) > 0 {
		if _, err := tx.exec(ctx, `INSERT INTO delivery_notes (enrollment_id, notes) SELECT r.enrollment_id, r.notes FROM `+tx.records("enrollment_id text, notes text")+` WHERE true
			ON CONFLICT (enrollment_id) DO UPDATE SET notes = excluded.notes`, encode(notes)); err != nil {
			return err
		}
	}
	if len(none) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, `DELETE FROM delivery_notes WHERE `+tx.in("enrollment_id"), tx.list(none))
	return err
}

// tellQuiet notes and tells that devices have all of their policies, where the
// last answer came while a plan was wanted and that plan has nothing to send.
func tellQuiet(ctx context.Context, tx *session, rows []commitRow, at time.Time) error {
	var quiet []string
	for _, r := range rows {
		if len(r.Commands) == 0 {
			quiet = append(quiet, r.EnrollmentID)
		}
	}
	if len(quiet) == 0 {
		return nil
	}
	if _, err := tx.exec(ctx, `UPDATE enrollments SET policy_at = (SELECT max(c.finished_at) FROM delivered i JOIN commands c ON c.id = i.command_id WHERE i.enrollment_id = enrollments.id)
		WHERE policy_at = 0 AND NOT awaiting AND `+tx.in("id")+` AND EXISTS (SELECT 1 FROM delivered i WHERE i.enrollment_id = enrollments.id)
			AND EXISTS (SELECT 1 FROM deliveries w WHERE w.device_id = enrollments.device_id AND w.due_at = 0)
			AND NOT EXISTS (SELECT 1 FROM delivered i JOIN commands c ON c.id = i.command_id WHERE i.enrollment_id = enrollments.id AND c.finished_at = 0)`, tx.list(quiet)); err != nil {
		return err
	}
	var devices, serials []string
	if err := tx.all(ctx, &devices, `UPDATE deliveries SET told = TRUE WHERE NOT told AND due_at = 0 AND device_id IN (SELECT e.device_id FROM enrollments e WHERE `+tx.in("e.id")+`
			AND EXISTS (SELECT 1 FROM delivered i WHERE i.enrollment_id = e.id)
			AND NOT EXISTS (SELECT 1 FROM delivered i JOIN commands c ON c.id = i.command_id WHERE i.enrollment_id = e.id AND c.state <> 'acknowledged'))
		RETURNING device_id`, tx.list(quiet)); err != nil || len(devices) == 0 {
		return err
	}
	if err := tx.all(ctx, &serials, `SELECT serial FROM devices WHERE `+tx.in("id")+` ORDER BY serial`, tx.list(devices)); err != nil {
		return err
	}
	events := make([]enroll.Event, len(serials))
	for i, serial := range serials {
		events[i] = enroll.NewEvent(enroll.EventPolicyCompleted, now(), enroll.EventRefs{Serial: serial})
	}
	return tell(ctx, tx, events...)
}
