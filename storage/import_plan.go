package storage

import (
	"context"
	"errors"
	"slices"
	"time"

	"rollcall/enroll"
)

// planRow is a row of the table import_rows.
type planRow struct {
	ImportID string `json:"import_id"`
	Line     int    `json:"line"`
	Action   string `json:"action"`
	Serial   string `json:"serial"`
	Email    string `json:"email"`
	DeviceID string `json:"device_id"`
	Base     int64  `json:"base"`
	Old      string `json:"old"`
	Fresh    string `json:"fresh"`
	Detail   string `json:"detail"`
	Warned   bool   `json:"warned"`
	Revert   string `json:"revert"`
	Version  int64  `json:"version"`
	Problem  string `json:"problem"`
	Written  int64  `json:"written"`
}

const planRowFields = `import_id text, line bigint, action text, serial text, email text, device_id text, base bigint, old text, fresh text, detail text, warned boolean, revert text, version bigint, problem text, written bigint`

// rowDetail is what a person reads of a planned row.
type rowDetail struct {
	Changes  []enroll.FieldChange `json:"changes,omitempty"`
	Errors   enroll.RowErrors     `json:"errors,omitempty"`
	Warnings enroll.RowErrors     `json:"warnings,omitempty"`
}

type planUser struct {
	ImportID string `json:"import_id"`
	Email    string `json:"email"`
	UserID   string `json:"user_id"`
	Base     int64  `json:"base"`
	Old      string `json:"old"`
	Fresh    string `json:"fresh"`
}

const planUserFields = `import_id text, email text, user_id text, base bigint, old text, fresh text`

type planLink struct {
	ImportID string `json:"import_id"`
	Line     int    `json:"line"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	DeviceID string `json:"device_id"`
	Adding   bool   `json:"adding"`
}

const planLinkFields = `import_id text, line bigint, kind text, name text, device_id text, adding boolean`

// The kinds of links.
const (
	linkGroup  = "group"
	linkPolicy = "policy"
)

var (
	planRowNames  = columnNames(planRowFields)
	planUserNames = columnNames(planUserFields)
)

// BeginPlan implements enroll.ImportStore.
func (s *Store) BeginPlan(ctx context.Context, l enroll.ImportLease) error {
	return s.write(ctx, func(tx *session) error {
		r, err := holdImport(ctx, tx, l, enroll.ImportPlanning)
		if err != nil {
			return err
		}
		r.Version++
		return errors.Join(dropPlan(ctx, tx, l.ImportID), saveImport(ctx, tx, r))
	})
}

// PlanRows implements enroll.ImportStore. It locks nothing on the roll: what
// changes until the plan is applied is found then.
func (s *Store) PlanRows(ctx context.Context, l enroll.ImportLease, o enroll.ImportOptions, rows []enroll.ImportRow, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		r, err := holdImport(ctx, tx, l, enroll.ImportPlanning)
		if err != nil {
			return err
		}
		if err := s.planBatch(ctx, tx, l.ImportID, r.Version, o, rows, now); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE imports SET done = ? WHERE id = ?`, r.Done+len(rows), l.ImportID)
		return err
	})
}

// planBatch plans some rows, as a part of the plan of this version.
func (s *Store) planBatch(ctx context.Context, tx *session, id string, version int64, o enroll.ImportOptions, rows []enroll.ImportRow, now time.Time) error {
	if err := tx.do(ctx, tx.bulk()); err != nil {
		return err
	}
	b, err := readBatch(ctx, tx, id, o, rows)
	if err != nil {
		return err
	}
	warner, err := s.readWarner(ctx, tx, rows)
	if err != nil {
		return err
	}
	plan := make([]planRow, len(rows))
	var links []planLink
	for i, row := range rows {
		base, err := b.base(row)
		if err != nil {
			return err
		}
		c := enroll.PlanImportRow(o, row, base, b.policies, now)
		c.Warnings = append(c.Warnings, warnings(warner, row, base, c)...)
		if c.User != nil {
			b.takeUser(id, *c.User)
		}
		p := planRow{ImportID: id, Line: c.Line, Action: string(c.Action), Serial: clean(c.Serial), Email: clean(c.Email), Base: c.Base, Version: version,
			Detail: clean(encode(rowDetail{c.Changes, c.Errors, c.Warnings})), Warned: len(c.Warnings) > 0}
		if len(c.Errors) > 0 {
			p.Problem = c.Errors[0].Code
		}
		old, known := b.devices[clean(row.Serial)]
		if known && o.PreEnroll {
			p.DeviceID = old.ID
		}
		if c.Device != nil {
			fresh := newDeviceRow(*c.Device)
			p.DeviceID = fresh.ID
			if fresh.Version = 1; known {
				fresh.Version = old.Version + 1
				p.Old = encode(old.deviceRow)
			}
			p.Fresh = encode(fresh)
		}
		plan[i] = p
		for kind, of := range map[string]enroll.Links{linkGroup: c.Groups, linkPolicy: c.Policies} {
			for adding, names := range map[bool][]string{true: of.Add, false: of.Remove} {
				for _, name := range names {
					links = append(links, planLink{id, c.Line, kind, clean(name), p.DeviceID, adding})
				}
			}
		}
	}
	return b.write(ctx, tx, plan, links)
}

// ReplanRows implements enroll.ImportStore.
func (s *Store) ReplanRows(ctx context.Context, id string, r enroll.Replan, now time.Time) error {
	return s.write(ctx, func(tx *session) error {
		row, err := findImport(ctx, tx, id, tx.lock())
		if err != nil {
			return err
		}
		imp, err := row.imported()
		if err != nil {
			return err
		}
		if imp.State != enroll.ImportPlanned || imp.Version != r.Version {
			return enroll.Errorf(enroll.KindConflict, "plan_moved", "the plan of this import has been made anew meanwhile").WithHint("Look at the rows as they are now.")
		}
		type lineRecord struct {
			Line int `json:"line"`
		}
		lines := make([]lineRecord, len(r.Rows))
		for i, touched := range r.Rows {
			lines[i].Line = touched.Line
		}
		for _, table := range []string{"import_rows", "import_links"} {
			if _, err := tx.exec(ctx, `DELETE FROM `+table+` WHERE import_id = ? AND line IN (SELECT r.line FROM `+tx.records("line bigint")+`)`, id, encode(lines)); err != nil {
				return err
			}
		}
		if _, err := tx.exec(ctx, `DELETE FROM import_users WHERE import_id = ? AND `+tx.in("email"), id, tx.list(r.Emails)); err != nil {
			return err
		}
		imp.Version, imp.Options, imp.PlannedAt = imp.Version+1, r.Options, now
		for rows := range slices.Chunk(r.Rows, importChunk) {
			if err := s.planBatch(ctx, tx, id, imp.Version, r.Options, rows, now); err != nil {
				return err
			}
		}
		if imp.Counts, err = countPlan(ctx, tx, imp); err != nil {
			return err
		}
		tx.record(ctx, "import", id, nil, map[string]any{"corrections": len(r.Options.Corrections), "rows_planned_anew": len(r.Rows)})
		return saveImport(ctx, tx, newImportRow(imp))
	})
}

// batch is what the database knows of some rows of a file.
type batch struct {
	devices  map[string]ownedRow // by serial
	groups   map[string][]string // of devices, by ID
	bound    map[string][]string // policies of devices, by ID
	policies map[string]bool     // named by rows, that exist
	rules    map[string]bool     // groups named by rows, that have a rule
	users    map[string]planUser // of the plan and of the roll, by e-mail
	changed  map[string]bool     // users that are to be written
	domain   string
}

type ownedRow struct {
	deviceRow
	Owner string `json:"owner"`
}

func readBatch(ctx context.Context, tx *session, id string, o enroll.ImportOptions, rows []enroll.ImportRow) (*batch, error) {
	b := &batch{devices: map[string]ownedRow{}, groups: map[string][]string{}, bound: map[string][]string{}, policies: map[string]bool{}, rules: map[string]bool{},
		users: map[string]planUser{}, changed: map[string]bool{}, domain: clean(o.Domain)}
	var serials, emails, groups, policies []string
	linked := false
	for _, r := range rows {
		if r.Serial != "" && o.PreEnroll {
			serials = append(serials, clean(r.Serial))
		}
		if r.Email != "" {
			emails = append(emails, clean(r.Email))
		}
		groups, policies = append(groups, r.Groups...), append(policies, r.Policies...)
		linked = linked || len(r.Groups) > 0 || len(r.Policies) > 0 || r.Clear["group"] || r.Clear["policy"]
	}
	var devices []ownedRow
	if err := tx.all(ctx, &devices, "SELECT "+columns("d.", deviceNames)+", coalesce(u.email, '') AS owner FROM devices d LEFT JOIN users u ON u.id = d.user_id WHERE "+
		tx.in("d.serial"), tx.list(serials)); err != nil {
		return nil, err
	}
	var ids []string
	for _, d := range devices {
		b.devices[d.Serial] = d
		ids = append(ids, d.ID)
	}
	if linked {
		if err := b.readLinks(ctx, tx, ids, groups, policies); err != nil {
			return nil, err
		}
	}
	var known []userRow
	if err := tx.all(ctx, &known, selectUser+"WHERE domain = ? AND "+tx.in("email"), b.domain, tx.list(emails)); err != nil {
		return nil, err
	}
	for _, u := range known {
		b.users[u.Email] = planUser{ImportID: id, Email: u.Email, UserID: u.ID, Base: u.UpdatedAt, Old: encode(u)}
	}
	var planned []planUser
	if err := tx.all(ctx, &planned, "SELECT "+columns("", planUserNames)+" FROM import_users WHERE import_id = ? AND "+tx.in("email"), id, tx.list(emails)); err != nil {
		return nil, err
	}
	for _, u := range planned {
		b.users[u.Email] = u
	}
	return b, nil
}

func (b *batch) readLinks(ctx context.Context, tx *session, ids, groups, policies []string) error {
	type pair struct {
		DeviceID string `json:"device_id"`
		Name     string `json:"name"`
	}
	for _, q := range []struct {
		to    map[string][]string
		query string
	}{
		{b.groups, `SELECT m.device_id, g.name FROM memberships m JOIN device_groups g ON g.id = m.group_id WHERE g.rule = '' AND ` + tx.in("m.device_id") + ` ORDER BY g.name`},
		{b.bound, `SELECT o.device_id, p.name FROM bindings o JOIN policies p ON p.id = o.policy_id WHERE o.device_id <> '' AND ` + tx.in("o.device_id") + ` ORDER BY o.id`},
	} {
		var pairs []pair
		if err := tx.all(ctx, &pairs, q.query, tx.list(ids)); err != nil {
			return err
		}
		for _, p := range pairs {
			q.to[p.DeviceID] = append(q.to[p.DeviceID], p.Name)
		}
	}
	for _, q := range []struct {
		to    map[string]bool
		names []string
		query string
	}{{b.policies, policies, `SELECT name FROM policies WHERE ` + tx.in("name")}, {b.rules, groups, `SELECT name FROM device_groups WHERE rule <> '' AND ` + tx.in("name")}} {
		var found []string
		if err := tx.all(ctx, &found, q.query, tx.list(q.names)); err != nil {
			return err
		}
		for _, name := range found {
			q.to[name] = true
		}
	}
	return nil
}

// base is what is known of one row.
func (b *batch) base(row enroll.ImportRow) (base enroll.ImportBase, err error) {
	if r, ok := b.devices[clean(row.Serial)]; ok {
		d, err := r.device()
		if err != nil {
			return base, err
		}
		base.Device, base.Owner, base.Groups, base.Policies = &d, r.Owner, b.groups[d.ID], b.bound[d.ID]
	}
	for _, name := range row.Groups {
		if b.rules[name] {
			base.Rules = append(base.Rules, name)
		}
	}
	if p, ok := b.users[clean(row.Email)]; ok {
		text := p.Fresh
		if text == "" {
			text = p.Old
		}
		r, err := decode[userRow](text)
		if err != nil {
			return base, err
		}
		u := r.user()
		base.User, base.NewUser = &u, p.Base == 0
	}
	return base, nil
}

// takeUser keeps what becomes of a user.
func (b *batch) takeUser(id string, u enroll.User) {
	p, known := b.users[clean(u.Email)]
	if !known {
		p = planUser{ImportID: id, Email: clean(u.Email), UserID: u.ID}
	}
	p.Fresh = encode(userRow{ID: u.ID, Domain: b.domain, Name: clean(u.Name), Email: p.Email, Mobile: clean(u.Mobile), Language: clean(u.Language), CreatedAt: micros(u.CreatedAt)})
	b.users[p.Email], b.changed[p.Email] = p, true
}

// write keeps the plan of the batch.
func (b *batch) write(ctx context.Context, tx *session, plan []planRow, links []planLink) error {
	var users []planUser
	for email := range b.changed {
		users = append(users, b.users[email])
	}
	if len(users) > 0 {
		if _, err := insert(ctx, tx, "import_users", planUserFields, "ON CONFLICT (import_id, email) DO UPDATE SET fresh = excluded.fresh", users); err != nil {
			return err
		}
	}
	if _, err := insert(ctx, tx, "import_rows", planRowFields, "", plan); err != nil {
		return err
	}
	if len(links) == 0 {
		return nil
	}
	_, err := insert(ctx, tx, "import_links", planLinkFields, "", links)
	return err
}

// FinishPlan implements enroll.ImportStore.
func (s *Store) FinishPlan(ctx context.Context, l enroll.ImportLease, imp enroll.Import) error {
	return s.write(ctx, func(tx *session) error {
		was, err := holdImport(ctx, tx, l, enroll.ImportPlanning)
		if err != nil {
			return err
		}
		imp := imp
		imp.Stale, imp.Version = was.Stale, was.Version
		if imp.Problem != nil {
			imp.State, imp.Counts = enroll.ImportFailed, enroll.ImportCounts{}
			if err := dropPlan(ctx, tx, l.ImportID); err != nil {
				return err
			}
			return saveImport(ctx, tx, newImportRow(imp))
		}
		imp.State = enroll.ImportPlanned
		if imp.Counts, err = countPlan(ctx, tx, imp); err != nil {
			return err
		}
		imp.Done = imp.Counts.Rows
		return saveImport(ctx, tx, newImportRow(imp))
	})
}

func countPlan(ctx context.Context, tx *session, imp enroll.Import) (enroll.ImportCounts, error) {
	id := imp.ID
	var c enroll.ImportCounts
	var rows []struct {
		Action string `json:"action"`
		Rows   int    `json:"number"`
		Warned int    `json:"warned"`
	}
	if err := tx.all(ctx, &rows, `SELECT action, count(*) AS number, sum(CASE WHEN warned THEN 1 ELSE 0 END) AS warned FROM import_rows WHERE import_id = ? GROUP BY action`, id); err != nil {
		return c, err
	}
	for _, r := range rows {
		c.Rows += r.Rows
		c.Warnings += r.Warned
		*map[string]*int{string(enroll.ActionNew): &c.New, string(enroll.ActionChanged): &c.Changed, string(enroll.ActionUnchanged): &c.Unchanged,
			string(enroll.ActionConflict): &c.Conflict, string(enroll.ActionError): &c.Error, string(enroll.ActionSkipped): &c.Skipped}[r.Action] = r.Rows
	}
	err := tx.get(ctx, &c.UsersNew, `SELECT count(*) FROM import_users WHERE import_id = ? AND base = 0`, id)
	if err == nil {
		err = tx.get(ctx, &c.UsersChanged, `SELECT count(*) FROM import_users WHERE import_id = ? AND base > 0`, id)
	}
	if err == nil {
		c.Recipients, c.RecipientsSMS, err = countRecipients(ctx, tx, imp)
	}
	return c, err
}
