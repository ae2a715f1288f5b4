package storage

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"rollcall/enroll"
)

type userRow struct {
	ID        string `json:"id"`
	Domain    string `json:"domain"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	Mobile    string `json:"mobile"`
	CreatedAt int64  `json:"created_at"`
	UpdatedAt int64  `json:"updated_at"`
}

const userFields = `id text, domain text, name text, email text, mobile text, created_at bigint, updated_at bigint`

var (
	userNames   = columnNames(userFields)
	selectUser  = "SELECT " + columns("", userNames) + " FROM users "
	insertUsers = "INSERT INTO users (" + columns("", userNames) + ") SELECT " + columns("r.", userNames) + " FROM "
)

func (r userRow) user() enroll.User {
	return enroll.User{ID: r.ID, Domain: r.Domain, Name: r.Name, Email: r.Email, Mobile: r.Mobile,
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
// missing and gives the others the name and mobile number that are not blank.
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
		if u.Name != "" {
			r.Name = clean(u.Name)
		}
		if u.Mobile != "" {
			r.Mobile = clean(u.Mobile)
		}
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
		if _, err := tx.exec(ctx, "UPDATE users SET name = r.name, mobile = r.mobile, updated_at = r.updated_at FROM "+tx.records(userFields)+
			" WHERE users.id = r.id", encode(changed)); err != nil {
			return found, err
		}
	}
	return found, nil
}
