package storage

import (
	"context"
	"time"

	"rollcall/admin"
	"rollcall/dep"
	"rollcall/enroll"
)

var _ admin.FigureStore = (*Store)(nil)

// dayMicros is a day as times are stored; days are those of UTC.
const dayMicros = int64(24 * time.Hour / time.Microsecond)

func dayOf(n int64) time.Time { return instant(n * dayMicros) }

const (
	countStates = `SELECT effective, count(*) AS count FROM devices GROUP BY effective`
	// countExpiring asks for the state in a way that no index is taken for.
	countExpiring = `SELECT count(CASE WHEN effective IN ('pre_enrolled', 'invited', 'unenrolled', 'pending_approval') THEN 1 END) FROM devices
		WHERE expires_at > 0 AND expires_at > ? AND expires_at <= ?`
	countAttempts = `SELECT at / 86400000000 AS day, outcome, code, count(*) AS count FROM decisions WHERE at >= ? GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3`
	// countCohorts looks at the rows of these days alone, however large the roll
	// is, and once at each. asked is NULL where there was no request, reached
	// where there was no enrollment.
	countCohorts = `WITH looked AS MATERIALIZED (SELECT d.created_at / 86400000000 AS day, d.state,
			(SELECT max(CASE WHEN q.opened_at > 0 OR q.accepted_at > 0 THEN 1 ELSE 0 END) FROM requests q WHERE q.device_id = d.id) AS asked,
			(SELECT max(CASE WHEN e.policy_at > 0 THEN 2 WHEN e.enrolled_at > 0 THEN 1 ELSE 0 END) FROM enrollments e WHERE e.device_id = d.id AND e.user_id = '') AS reached
			FROM devices d WHERE d.created_at >= ? AND d.source <> 'device')
		SELECT day, count(*) AS imported, count(asked) AS invited, count(NULLIF(asked, 0)) AS opened,
			sum(CASE WHEN reached IS NOT NULL OR state IN ('enrolling', 'enrolled', 'unenrolled') THEN 1 ELSE 0 END) AS admitted,
			sum(CASE WHEN reached >= 1 THEN 1 ELSE 0 END) AS checked_in, sum(CASE WHEN reached = 2 THEN 1 ELSE 0 END) AS complete
		FROM looked GROUP BY day ORDER BY day DESC`
	listToPolicy = `SELECT policy_at, policy_at - enrolled_at AS took FROM enrollments WHERE policy_at > 0 AND policy_at >= ? AND enrolled_at > 0 ORDER BY policy_at DESC LIMIT ?`
)

// Figures implements admin.FigureStore. The counts are made one after the other
// and not in one transaction: nobody compares them.
func (s *Store) Figures(ctx context.Context, now, since, attemptsSince time.Time) (admin.Figures, error) {
	f := admin.Figures{At: now, States: map[enroll.State]int{}}
	var states []struct {
		Effective string `json:"effective"`
		Count     int    `json:"count"`
	}
	if err := s.all(ctx, &states, countStates); err != nil {
		return f, err
	}
	for _, r := range states {
		f.States[enroll.State(r.Effective)] = r.Count
	}
	if err := s.one(ctx, &f.Expiring, countExpiring, micros(now), micros(now.Add(admin.ExpiringSoon))); err != nil {
		return f, err
	}
	var attempts []struct {
		Day     int64  `json:"day"`
		Outcome string `json:"outcome"`
		Code    string `json:"code"`
		Count   int    `json:"count"`
	}
	if err := s.all(ctx, &attempts, countAttempts, micros(attemptsSince)); err != nil {
		return f, err
	}
	for _, r := range attempts {
		f.Attempts = append(f.Attempts, admin.Attempts{Day: dayOf(r.Day), Outcome: enroll.Outcome(r.Outcome), Code: enroll.Code(r.Code), Count: r.Count})
	}
	var times []struct {
		PolicyAt int64 `json:"policy_at"`
		Took     int64 `json:"took"`
	}
	if err := s.all(ctx, &times, listToPolicy, micros(since), admin.MaxToPolicy); err != nil {
		return f, err
	}
	for _, r := range times {
		f.ToPolicy = append(f.ToPolicy, admin.ToPolicy{At: instant(r.PolicyAt), Took: time.Duration(r.Took) * time.Microsecond})
	}
	return f, nil
}

// Cohorts implements admin.FigureStore.
func (s *Store) Cohorts(ctx context.Context, now, since time.Time) (admin.Cohorts, error) {
	out := admin.Cohorts{At: now}
	var cohorts []struct {
		Day       int64 `json:"day"`
		Imported  int   `json:"imported"`
		Invited   int   `json:"invited"`
		Opened    int   `json:"opened"`
		Admitted  int   `json:"admitted"`
		CheckedIn int   `json:"checked_in"`
		Complete  int   `json:"complete"`
	}
	if err := s.all(ctx, &cohorts, countCohorts, micros(since)); err != nil {
		return out, err
	}
	for _, r := range cohorts {
		out.Days = append(out.Days, admin.Cohort{Day: dayOf(r.Day), Imported: r.Imported, Invited: r.Invited, Opened: r.Opened, Admitted: r.Admitted, CheckedIn: r.CheckedIn, Complete: r.Complete})
	}
	return out, nil
}

// AccountStates are the accounts at Apple by name, without the number of their
// devices: counting those takes long.
func (s *Store) AccountStates(ctx context.Context) ([]dep.Account, error) {
	var rows []depAccountRow
	if err := s.all(ctx, &rows, lockDEPAccount+"ORDER BY a.name"); err != nil {
		return nil, err
	}
	accounts := make([]dep.Account, len(rows))
	for i, r := range rows {
		var err error
		if accounts[i], err = r.account(); err != nil {
			return nil, err
		}
	}
	return accounts, nil
}
