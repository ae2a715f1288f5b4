package storage

import (
	"context"

	"rollcall/enroll"
	"rollcall/policy"
)

// readWarner reads the policies that rows name, and those of the groups that
// they name; nil where there are none.
func (s *Store) readWarner(ctx context.Context, tx *session, rows []enroll.ImportRow) (*policy.RowWarner, error) {
	var groups, policies []string
	for _, r := range rows {
		groups, policies = append(groups, r.Groups...), append(policies, r.Policies...)
	}
	if len(groups)+len(policies) == 0 {
		return nil, nil
	}
	var bound []struct {
		Group  string `json:"group_name"`
		Policy string `json:"name"`
	}
	if err := tx.all(ctx, &bound, `SELECT g.name AS group_name, p.name FROM bindings b JOIN device_groups g ON g.id = b.group_id JOIN policies p ON p.id = b.policy_id
		WHERE b.group_id <> '' AND `+tx.in("g.name")+` ORDER BY b.id`, tx.list(groups)); err != nil {
		return nil, err
	}
	for _, b := range bound {
		policies = append(policies, b.Policy)
	}
	if len(policies) == 0 {
		return nil, nil
	}
	var heads []policyRow
	if err := tx.all(ctx, &heads, selectPolicy+"WHERE "+currentVersion+"AND "+tx.in("p.name"), tx.list(policies)); err != nil {
		return nil, err
	}
	read, err := s.policies(heads)
	if err != nil {
		return nil, err
	}
	byName, ofGroups := make(map[string]policy.Policy, len(read)), map[string][]policy.Policy{}
	for _, p := range read {
		byName[p.Name] = p
	}
	for _, b := range bound {
		ofGroups[b.Group] = append(ofGroups[b.Group], byName[b.Policy])
	}
	return policy.NewRowWarner(byName, ofGroups), nil
}

// warnings are those of a row that puts a device on the roll, or leaves it
// there.
func warnings(w *policy.RowWarner, row enroll.ImportRow, base enroll.ImportBase, c enroll.ImportChange) enroll.RowErrors {
	d := c.Device
	if d == nil {
		d = base.Device
	}
	if w == nil || d == nil || c.Action == enroll.ActionError || c.Action == enroll.ActionConflict || c.Action == enroll.ActionSkipped {
		return nil
	}
	var owner *policy.Person
	switch {
	case c.User != nil:
		owner = &policy.Person{Name: c.User.Name, Email: c.User.Email, Mobile: c.User.Mobile}
	case row.Email != "" && base.User != nil:
		owner = &policy.Person{Name: base.User.Name, Email: base.User.Email, Mobile: base.User.Mobile}
	case d.UserID == "":
		owner = &policy.Person{}
	}
	return w.Warnings(row, *d, owner)
}
