package storage

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"rollcall/enroll"
)

type userRow struct {
	ID        string `json:"id"`
	Domain    string `json:"domain"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	Mobile    string `json:"mobile"`
	Language  string `json:"language"`
	CreatedAt int64  `json:"created_at"`
	UpdatedAt int64  `json:"updated_at"`
}

const userFields = `id text, domain text, name text, email text, mobile text, language text, created_at bigint, updated_at bigint`

var (
	userNames   = columnNames(userFields)
	selectUser  = "SELECT " + columns("", userNames) + " FROM users "
	insertUsers = "INSERT INTO users (" + columns("", userNames) + ") SELECT " + columns("r.", userNames) + " FROM "
)

func (r userRow) user() enroll.User {
	return enroll.User{ID: r.ID, Domain: r.Domain, Name: r.Name, Email: r.Email, Mobile: r.Mobile, Language: r.Language,
		CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt)}
}

// User implements enroll.RollStore.
func (s *Store) User(ctx context.Context, id string) (enroll.User, error) {
	var r userRow
	if err := s.one(ctx, &r, selectUser+"WHERE id = ?", id); errors.Is(err, sql.ErrNoRows) {
		return enroll.User{}, enroll.Errorf(enroll.KindNotFound, "user_unknown", "no user has the ID %q", id)
	} else if err != nil {
		return enroll.User{}, err
	}
	return r.user(), nil
}

// foundUsers are the users of a batch by domain and e-mail.
type foundUsers struct {
	rows    map[[2]string]userRow
	created int
	changed map[string]bool // IDs whose name or mobile number is new
}

func userKey(domain, email string) [2]string {
	return [2]string{clean(domain), clean(strings.ToLower(email))}
}

// of gives the ID of a user, "" for none.
func (f foundUsers) of(domain, email string) string { return f.rows[userKey(domain, email)].ID }

// findOrMakeUsers looks users up by domain and e-mail, makes those who are
// missing and gives the others what is newly given and not blank.
func findOrMakeUsers(ctx context.Context, tx *session, users []enroll.User) (foundUsers, error) {
	found := foundUsers{rows: map[[2]string]userRow{}, changed: map[string]bool{}}
	var emails []string
	for _, u := range users {
		if u.Email != "" {
			emails = append(emails, clean(strings.ToLower(u.Email)))
		}
	}
	if len(emails) == 0 {
		return found, nil
	}
	var rows []userRow
	if err := tx.all(ctx, &rows, selectUser+"WHERE "+tx.in("email")+" ORDER BY id"+tx.lock(), tx.list(emails)); err != nil {
		return found, err
	}
	for _, r := range rows {
		found.rows[userKey(r.Domain, r.Email)] = r
	}
	at := micros(now())
	made := map[[2]string]bool{}
	var order [][2]string // of those made or changed
	for _, u := range users {
		if u.Email == "" {
			continue
		}
		key := userKey(u.Domain, u.Email)
		r, known := found.rows[key]
		was := r
		if !known {
			r = userRow{ID: u.ID, Domain: key[0], Email: key[1], CreatedAt: at}
			if r.ID == "" {
				r.ID = enroll.NewID()
			}
			made[key] = true
			order = append(order, key)
		}
		r.take(u)
		if known && r == was {
			continue
		}
		r.UpdatedAt = at
		found.rows[key] = r
		if !made[key] && !found.changed[r.ID] {
			found.changed[r.ID] = true
			order = append(order, key)
		}
	}
	var fresh, changed []userRow
	for _, key := range order {
		if made[key] {
			fresh = append(fresh, found.rows[key])
		} else {
			changed = append(changed, found.rows[key])
		}
	}
	found.created = len(fresh)
	for _, r := range fresh {
		if err := holdDomain(ctx, tx, r.Domain); err != nil {
			return found, err
		}
	}
	if len(fresh) > 0 {
		n, err := tx.exec(ctx, insertUsers+tx.records(userFields)+" WHERE true ON CONFLICT (email, domain) DO NOTHING", encode(fresh))
		if err != nil {
			return found, err
		}
		if n < int64(len(fresh)) {
			return found, errAgain
		}
	}
	if len(changed) > 0 {
		if err := saveUsers(ctx, tx, changed); err != nil {
			return found, err
		}
	}
	return found, nil
}

// take merges what is newly given and not blank.
func (r *userRow) take(given enroll.User) {
	for _, f := range []struct {
		old   *string
		given string
	}{{&r.Name, given.Name}, {&r.Mobile, given.Mobile}, {&r.Language, given.Language}} {
		if f.given != "" {
			*f.old = clean(f.given)
		}
	}
}

// saveUsers writes locked users, and their new names where devices are searched
// by them.
func saveUsers(ctx context.Context, tx *session, rows []userRow) error {
	if _, err := tx.exec(ctx, "UPDATE users SET name = r.name, mobile = r.mobile, language = r.language, updated_at = r.updated_at FROM "+tx.records(userFields)+
		" WHERE users.id = r.id", encode(rows)); err != nil {
		return err
	}
	type key struct {
		ID  string `json:"id"`
		Key string `json:"user_key"`
	}
	keys := make([]key, len(rows))
	for i, r := range rows {
		keys[i] = key{r.ID, strings.ToLower(r.Name)}
	}
	_, err := tx.exec(ctx, "UPDATE devices SET user_key = r.user_key FROM "+tx.records("id text, user_key text")+
		" WHERE devices.user_id = r.id AND devices.user_id <> '' AND devices.user_key <> r.user_key", encode(keys))
	return err
}

// usersByID reads users; "" and unknown ones are left out.
func usersByID(ctx context.Context, tx *session, ids []string) (map[string]userRow, error) {
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return id == "" })
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []userRow
	if err := tx.all(ctx, &rows, selectUser+"WHERE "+tx.in("id"), tx.list(ids)); err != nil {
		return nil, err
	}
	found := make(map[string]userRow, len(rows))
	for _, r := range rows {
		found[r.ID] = r
	}
	return found, nil
}

// UsersByID implements enroll.UserStore.
func (s *Store) UsersByID(ctx context.Context, ids []string) (map[string]enroll.User, error) {
	var rows map[string]userRow
	err := s.read(ctx, func(tx *session) (err error) {
		rows, err = usersByID(ctx, tx, slices.Clone(ids))
		return err
	})
	if err != nil {
		return nil, err
	}
	users := make(map[string]enroll.User, len(rows))
	for id, r := range rows {
		users[id] = r.user()
	}
	return users, nil
}

// UserByEmail implements enroll.UserStore.
func (s *Store) UserByEmail(ctx context.Context, domain, email string) (enroll.User, error) {
	var r userRow
	if err := s.one(ctx, &r, selectUser+"WHERE email = ? AND domain = ?", email, domain); errors.Is(err, sql.ErrNoRows) {
		return enroll.User{}, enroll.Errorf(enroll.KindNotFound, "user_unknown", "no user of the domain %q has the e-mail address %q", domain, email)
	} else if err != nil {
		return enroll.User{}, err
	}
	return r.user(), nil
}

// Users implements enroll.UserStore.
func (s *Store) Users(ctx context.Context, f enroll.UserFilter, p enroll.Page) ([]enroll.User, error) {
	email, domain, _ := strings.Cut(p.After, "\x1f")
	query, args := selectUser+"WHERE (email, domain) > (?, ?)", []any{email, domain}
	if f.Domain != "" {
		query, args = selectUser+"WHERE domain = ? AND email > ?", []any{f.Domain, email}
	}
	if f.Search != "" {
		prefix := strings.ToLower(f.Search)
		query += " AND email >= ? AND email < ?"
		args = append(args, prefix, after(prefix))
	}
	var rows []userRow
	if err := s.all(ctx, &rows, query+" ORDER BY email, domain LIMIT ?", append(args, pageLimit(p))...); err != nil {
		return nil, err
	}
	users := make([]enroll.User, len(rows))
	for i, r := range rows {
		users[i] = r.user()
	}
	return users, nil
}

// ChangeUser implements enroll.UserStore. A new user needs a domain that exists.
func (s *Store) ChangeUser(ctx context.Context, domain, email string, change func(*enroll.User) (enroll.User, error)) (u enroll.User, changed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		u, changed = enroll.User{}, false
		var r userRow
		var old *enroll.User
		err := tx.get(ctx, &r, selectUser+"WHERE email = ? AND domain = ?"+tx.lock(), email, domain)
		switch {
		case err == nil:
			known := r.user()
			old = &known
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		next, err := change(old)
		if err != nil {
			return err
		}
		fresh := userRow{ID: next.ID, Domain: clean(domain), Name: clean(next.Name), Email: clean(email), Mobile: clean(next.Mobile), Language: clean(next.Language),
			CreatedAt: micros(next.CreatedAt), UpdatedAt: r.UpdatedAt}
		if old != nil {
			fresh.ID, fresh.CreatedAt = r.ID, r.CreatedAt
		}
		if changed = fresh != r; !changed {
			u = next
			return nil
		}
		fresh.UpdatedAt = micros(now())
		tx.record(ctx, "user", domain+"/"+email, auditedUser(r), auditedUser(fresh))
		u = fresh.user()
		if old != nil {
			if err := saveUsers(ctx, tx, []userRow{fresh}); err != nil {
				return err
			}
			// The user's name stands in policies.
			return markDue(ctx, tx, `e.device_id IN (SELECT d.id FROM devices d WHERE d.user_id = ?)`, fresh.ID)
		}
		if err := holdDomain(ctx, tx, domain); err != nil {
			return err
		}
		n, err := tx.exec(ctx, insertUsers+tx.records(userFields)+" WHERE true ON CONFLICT (email, domain) DO NOTHING", encode([]userRow{fresh}))
		if err == nil && n == 0 {
			return errAgain
		}
		return err
	})
	if err != nil {
		return enroll.User{}, false, err
	}
	return u, changed, nil
}

// DeleteUser implements enroll.UserStore.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *session) error {
		var r userRow
		err := tx.get(ctx, &r, selectUser+"WHERE id = ?"+tx.lock(), id)
		if errors.Is(err, sql.ErrNoRows) {
			return enroll.Errorf(enroll.KindNotFound, "user_unknown", "no user has the ID %q", id)
		}
		if err != nil {
			return err
		}
		var owns bool
		if err := tx.get(ctx, &owns, `SELECT EXISTS (SELECT 1 FROM devices WHERE user_id = ? AND user_id <> '')`, id); err != nil {
			return err
		}
		if owns {
			return enroll.Errorf(enroll.KindConflict, "user_owns_devices", "the user %s owns devices", r.Email).
				WithHint("Give them to somebody else first; GET /api/v1/devices?user=%s lists them.", id)
		}
		tx.record(ctx, "user", r.Domain+"/"+r.Email, auditedUser(r), nil)
		if _, err := tx.exec(ctx, `DELETE FROM bindings WHERE user_id = ? AND user_id <> ''`, id); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `DELETE FROM users WHERE id = ?`, id)
		return err
	})
}

type domainRow struct {
	Name      string `json:"name"`
	CreatedAt int64  `json:"created_at"`
	Users     int    `json:"users"`
}

const selectDomain = `SELECT m.name, m.created_at, (SELECT count(*) FROM users u WHERE u.domain = m.name) AS users FROM domains m ORDER BY m.name`

func (r domainRow) domain() enroll.Domain {
	return enroll.Domain{Name: r.Name, CreatedAt: instant(r.CreatedAt), Users: r.Users}
}

// mutexDomains stands between who makes users, shared, and who deletes domains.
const mutexDomains mutex = 7303401

// holdDomain makes sure that a domain exists until the end of the transaction.
func holdDomain(ctx context.Context, tx *session, name string) error {
	if err := tx.do(ctx, tx.mutex(mutexDomains, true)); err != nil {
		return err
	}
	_, err := domainOf(ctx, tx, name)
	return err
}

// domainOf reads a domain without the number of its users.
func domainOf(ctx context.Context, tx *session, name string) (domainRow, error) {
	var r domainRow
	err := tx.get(ctx, &r, `SELECT name, created_at FROM domains WHERE name = ?`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return r, enroll.NoDomain(name)
	}
	return r, err
}

// Domain implements enroll.UserStore.
func (s *Store) Domain(ctx context.Context, name string) (enroll.Domain, error) {
	var r domainRow
	err := s.read(ctx, func(tx *session) (err error) {
		r, err = domainOf(ctx, tx, name)
		return err
	})
	return r.domain(), err
}

// Domains implements enroll.UserStore.
func (s *Store) Domains(ctx context.Context) ([]enroll.Domain, error) {
	var rows []domainRow
	if err := s.all(ctx, &rows, selectDomain); err != nil {
		return nil, err
	}
	domains := make([]enroll.Domain, len(rows))
	for i, r := range rows {
		domains[i] = r.domain()
	}
	return domains, nil
}

// CreateDomain implements enroll.UserStore.
func (s *Store) CreateDomain(ctx context.Context, d enroll.Domain) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `INSERT INTO domains (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, d.Name, micros(d.CreatedAt))
		if err == nil && n == 0 {
			return enroll.Errorf(enroll.KindConflict, "domain_exists", "there is a domain with the name %q", d.Name)
		}
		tx.record(ctx, "domain", d.Name, nil, map[string]string{"name": d.Name})
		return err
	})
}

// DeleteDomain implements enroll.UserStore.
func (s *Store) DeleteDomain(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		for _, m := range []mutex{mutexImports, mutexDomains} { // an import makes users and holds only its own
			if err := tx.do(ctx, tx.mutex(m, false)); err != nil {
				return err
			}
		}
		if _, err := domainOf(ctx, tx, name); err != nil {
			return err
		}
		if name == enroll.DefaultDomain {
			return enroll.Errorf(enroll.KindConflict, "domain_default", "the domain %q is always there", name)
		}
		var used bool
		if err := tx.get(ctx, &used, `SELECT EXISTS (SELECT 1 FROM users WHERE domain = ?)`, name); err != nil {
			return err
		}
		if used {
			return enroll.Errorf(enroll.KindConflict, "domain_not_empty", "the domain %q has users", name).WithHint("Delete its users first.")
		}
		tx.record(ctx, "domain", name, map[string]string{"name": name}, nil)
		_, err := tx.exec(ctx, `DELETE FROM domains WHERE name = ?`, name)
		return err
	})
}
