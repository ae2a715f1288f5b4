package storage

import (
	"context"
	"strings"
	"time"

	"rollcall/dep"
	"rollcall/dep/cloud"
)

// depListed are the devices that accounts list, each with its row of the roll.
// Its arguments are twice the name of an account, empty for all.
const depListed = `FROM dep_devices d JOIN dep_accounts a ON a.id = d.account_id LEFT JOIN devices r ON r.serial = d.serial WHERE d.deleted_at = 0 AND (CAST(? AS text) = '' OR a.name = ?) AND `

// findingConditions say of which devices a finding tells. Silent takes since
// when.
var findingConditions = map[dep.Finding]string{
	dep.NotOnRoll:     `r.id IS NULL`,
	dep.NotAssigned:   `(d.profile_status NOT IN ('assigned', 'pushed') OR d.retry_at > 0)`,
	dep.Silent:        `d.profile_status IN ('assigned', 'pushed') AND d.assigned_at > 0 AND d.assigned_at <= ? AND (r.id IS NULL OR r.state <> 'enrolled')`,
	dep.InTwoAccounts: `EXISTS (SELECT 1 FROM dep_devices o WHERE o.serial = d.serial AND o.account_id <> d.account_id AND o.deleted_at = 0)`,
}

// notInDEP are Apple devices on the roll that no account lists.
const notInDEP = `FROM devices r WHERE r.platform IN ('ios', 'apple') AND NOT EXISTS (SELECT 1 FROM dep_devices d WHERE d.serial = r.serial AND d.deleted_at = 0)`

func findingQuery(f dep.Finding, account string, silentSince time.Time) (from string, args []any) {
	if f == dep.NotInDEP {
		return notInDEP, nil
	}
	args = []any{account, account}
	if f == dep.Silent {
		args = append(args, micros(silentSince))
	}
	return depListed + findingConditions[f], args
}

// CountFindings implements dep.ReportStore.
func (s *Store) CountFindings(ctx context.Context, account string, silentSince time.Time) (map[dep.Finding]int, error) {
	out := make(map[dep.Finding]int, len(dep.Findings))
	err := s.read(ctx, func(tx *session) error {
		for _, f := range dep.Findings {
			from, args := findingQuery(f, account, silentSince)
			var n int
			if err := tx.get(ctx, &n, `SELECT count(*) `+from, args...); err != nil {
				return err
			}
			out[f] = n
		}
		return nil
	})
	return out, err
}

// FindingRows implements dep.ReportStore.
func (s *Store) FindingRows(ctx context.Context, f dep.Finding, account string, silentSince time.Time, after string, limit int) ([]dep.Difference, error) {
	from, args := findingQuery(f, account, silentSince)
	what, key := `d.serial, a.name AS account, d.family, d.profile_status, d.outcome, d.assigned_at, coalesce(r.effective, '') AS state `, "d.serial, a.name"
	if f == dep.NotInDEP {
		what, key = `r.serial, '' AS account, '' AS family, '' AS profile_status, '' AS outcome, 0 AS assigned_at, r.effective AS state `, "r.serial, ''"
	}
	var rows []struct {
		Serial     string `json:"serial"`
		Account    string `json:"account"`
		Family     string `json:"family"`
		Status     string `json:"profile_status"`
		Outcome    string `json:"outcome"`
		AssignedAt int64  `json:"assigned_at"`
		State      string `json:"state"`
	}
	serial, named, _ := strings.Cut(after, "\t")
	if err := s.all(ctx, &rows, `SELECT `+what+from+` AND (`+key+`) > (?, CAST(? AS text)) ORDER BY 1, 2 LIMIT ?`, append(args, serial, named, limit)...); err != nil {
		return nil, err
	}
	out := make([]dep.Difference, len(rows))
	for i, r := range rows {
		out[i] = dep.Difference{Serial: r.Serial, Account: r.Account, Family: dep.Family(r.Family), State: r.State, Status: cloud.Status(r.Status), Outcome: cloud.Outcome(r.Outcome)}
		if f == dep.Silent {
			out[i].Since = instant(r.AssignedAt)
		}
	}
	return out, nil
}

// KnownDevices implements dep.ReportStore.
func (s *Store) KnownDevices(ctx context.Context, account string, after string, limit int) ([]dep.Known, error) {
	a, err := s.Account(ctx, account)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		depDeviceRow
		Profile string `json:"profile"`
		OnRoll  bool   `json:"on_roll"`
	}
	if err := s.all(ctx, &rows, `SELECT `+columns("d.", depDeviceNames)+`, coalesce(p.name, '') AS profile, EXISTS (SELECT 1 FROM devices r WHERE r.serial = d.serial) AS on_roll
		FROM dep_devices d LEFT JOIN dep_versions v ON v.uuid = d.profile_uuid LEFT JOIN dep_profiles p ON p.id = v.profile_id
		WHERE d.account_id = ? AND d.deleted_at = 0 AND d.serial > ? ORDER BY d.serial LIMIT ?`, a.ID, after, limit); err != nil {
		return nil, err
	}
	out := make([]dep.Known, len(rows))
	for i, r := range rows {
		out[i] = dep.Known{Serial: r.Serial, Family: dep.Family(r.Family), ProfileStatus: cloud.Status(r.ProfileStatus), ProfileUUID: r.ProfileUUID, Profile: r.Profile,
			Outcome: cloud.Outcome(r.Outcome), Attempts: r.Attempts, RetryAt: instant(r.RetryAt), OnRoll: r.OnRoll}
	}
	return out, nil
}
