package storage

import (
	"cmp"
	"context"

	"rollcall/policy"
)

// reachRow is a binding that reaches a device. place is 0 for the device's own,
// 1 for its user's, 2 for a group's.
type reachRow struct {
	DeviceID string `json:"device_id"`
	PolicyID string `json:"policy_id"`
	Place    int    `json:"place"`
	Group    string `json:"group_name"`
	ID       string `json:"id"`
}

// compare orders bindings: of each device, its own, its user's, its groups' by
// name, each in the order of binding.
func (r reachRow) compare(o reachRow) int {
	return cmp.Or(cmp.Compare(r.DeviceID, o.DeviceID), cmp.Compare(r.Place, o.Place), cmp.Compare(r.Group, o.Group), cmp.Compare(r.ID, o.ID))
}

func (r reachRow) via() string {
	switch r.Place {
	case 0:
		return "device"
	case 1:
		return "user"
	}
	return "group:" + r.Group
}

// reachingDevices lists the bindings that reach devices, in their order.
func reachingDevices(ctx context.Context, tx *session, ids []string) ([]reachRow, error) {
	list := tx.list(ids)
	var rows []reachRow
	err := tx.all(ctx, &rows, `SELECT b.device_id, b.policy_id, 0 AS place, '' AS group_name, b.id FROM bindings b WHERE b.device_id <> '' AND `+tx.in("b.device_id")+`
		UNION ALL SELECT d.id, b.policy_id, 1, '', b.id FROM devices d JOIN bindings b ON b.user_id = d.user_id AND b.user_id <> '' WHERE `+tx.in("d.id")+`
		UNION ALL SELECT m.device_id, b.policy_id, 2, g.name, b.id FROM memberships m JOIN bindings b ON b.group_id = m.group_id AND b.group_id <> ''
			JOIN device_groups g ON g.id = m.group_id WHERE `+tx.in("m.device_id")+`
		ORDER BY device_id, place, group_name, id`, list, list, list)
	return rows, err
}

// plannedRow is the last plan of a device.
type plannedRow struct {
	DeviceID string `json:"device_id"`
	Versions string `json:"versions"` // of policies, by their IDs (JSON)
	TurnAt   int64  `json:"turn_at"`  // in a roll-out that is limited; 0: it came
}

// plannedVersions are the last plans of devices, by ID.
func plannedVersions(ctx context.Context, tx *session, ids []string) (map[string]plannedRow, error) {
	var rows []plannedRow
	if err := tx.all(ctx, &rows, `SELECT device_id, versions, turn_at FROM deliveries WHERE `+tx.in("device_id"), tx.list(ids)); err != nil {
		return nil, err
	}
	out := make(map[string]plannedRow, len(rows))
	for _, r := range rows {
		out[r.DeviceID] = r
	}
	return out, nil
}

// boundPolicies gives the policies of each device for bindings in their order;
// planned are the last plans. A policy is read once for all devices that have
// the same version. A device whose turn in a limited roll-out has not come keeps
// the version it has.
func (s *Store) boundPolicies(ctx context.Context, tx *session, rows []reachRow, planned map[string]plannedRow) (map[string][]policy.Bound, error) {
	type version struct {
		ID      string `json:"id"`
		Version int64  `json:"version"`
	}
	wanted := map[string]bool{}
	for _, r := range rows {
		wanted[r.PolicyID] = true
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	ids := make([]string, 0, len(wanted))
	for id := range wanted {
		ids = append(ids, id)
	}
	var heads []policyRow
	if err := tx.all(ctx, &heads, `SELECT `+policyColumns+` FROM policies p JOIN policy_versions v ON v.policy_id = p.id WHERE `+currentVersion+`AND `+
		tx.in("p.id"), tx.list(ids)); err != nil {
		return nil, err
	}
	current := make(map[string]policy.Policy, len(heads))
	for _, h := range heads {
		p, err := s.policy(h)
		if err != nil {
			return nil, err
		}
		current[p.ID] = p
	}

	type place struct {
		version
		via string
	}
	chosen := map[string][]place{} // by device
	seen := map[[2]string]bool{}
	read := map[version]bool{}
	for _, r := range rows {
		p, there := current[r.PolicyID]
		if key := [2]string{r.DeviceID, r.PolicyID}; !there || seen[key] {
			continue
		} else {
			seen[key] = true
		}
		v := version{p.ID, p.Version}
		last := planned[r.DeviceID]
		waits := p.Rollout.PerMinute > 0 && last.TurnAt > 0
		if waits || p.Rollout.Staged() {
			has := map[string]int64{}
			if last.Versions != "" {
				var err error
				if has, err = decode[map[string]int64](last.Versions); err != nil {
					return nil, err
				}
			}
			if v.Version = p.Rollout.VersionFor(p.ID, r.DeviceID, p.Version, has[p.ID]); waits && has[p.ID] != 0 {
				v.Version = has[p.ID]
			}
		}
		read[v] = true
		chosen[r.DeviceID] = append(chosen[r.DeviceID], place{v, r.via()})
	}

	versions := make([]version, 0, len(read))
	for v := range read {
		versions = append(versions, v)
	}
	var documents []policyRow
	if err := tx.all(ctx, &documents, selectPolicy+`JOIN `+tx.records("id text, version bigint")+` ON v.policy_id = r.id AND v.version = CAST(r.version AS bigint)`,
		encode(versions)); err != nil {
		return nil, err
	}
	policies := make(map[version]policy.Policy, len(documents))
	for _, d := range documents {
		p, err := s.policy(d)
		if err != nil {
			return nil, err
		}
		policies[version{p.ID, p.Version}] = p
	}
	out := make(map[string][]policy.Bound, len(chosen))
	for device, places := range chosen {
		for _, p := range places {
			out[device] = append(out[device], policy.Bound{Policy: policies[p.version], Via: p.via})
		}
	}
	return out, nil
}
