package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

var _ admin.AdministratorStore = (*Store)(nil)

// mutexAdministrators keeps the last administrator with the role admin, and lets
// the code of the set-up make one.
const mutexAdministrators mutex = 7303401

const (
	keyOfAdministrator    = "administrators/totp"
	newKeyOfAdministrator = "administrators/totp_new"
)

type administratorRow struct {
	ID             string `json:"id"`
	Email          string `json:"email"`
	Name           string `json:"name"`
	Role           string `json:"role"`
	TimeZone       string `json:"time_zone"`
	Theme          string `json:"theme"`
	Password       string `json:"password"`
	InvitationHash []byte `json:"invitation_hash"`
	InvitedUntil   int64  `json:"invited_until"`
	TOTP           []byte `json:"totp"`
	TOTPNew        []byte `json:"totp_new"`
	TOTPStep       int64  `json:"totp_step"`
	RecoveryCodes  string `json:"recovery_codes"`
	CreatedAt      int64  `json:"created_at"`
	UpdatedAt      int64  `json:"updated_at"`
	LastSeenAt     int64  `json:"last_seen_at"`
	DisabledAt     int64  `json:"disabled_at"`
	Version        int64  `json:"version"`
}

const selectAdministrator = `SELECT id, email, name, role, time_zone, theme, password, invitation_hash, invited_until, totp, totp_new, totp_step,
	recovery_codes, created_at, updated_at, last_seen_at, disabled_at, version FROM administrators `

func (r administratorRow) administrator() admin.Administrator {
	return admin.Administrator{ID: r.ID, Email: r.Email, Name: r.Name, Role: admin.Role(r.Role), TimeZone: r.TimeZone, Theme: admin.Theme(r.Theme), HasPassword: r.Password != "",
		SecondFactor: r.TOTP != nil, InvitedUntil: instant(r.InvitedUntil), CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt), LastSeenAt: instant(r.LastSeenAt),
		DisabledAt: instant(r.DisabledAt), Version: r.Version}
}

func (s *Store) unsealed(r administratorRow) (admin.Account, error) {
	a := admin.Account{Administrator: r.administrator(), Password: r.Password, Invitation: r.InvitationHash, Step: r.TOTPStep}
	var err error
	if a.RecoveryCodes, err = decode[[][]byte](r.RecoveryCodes); err != nil {
		return a, err
	}
	if r.TOTP != nil {
		if a.Key, err = s.unseal(keyOfAdministrator, r.ID, r.TOTP); err != nil {
			return a, err
		}
	}
	if r.TOTPNew != nil {
		a.NewKey, err = s.unseal(newKeyOfAdministrator, r.ID, r.TOTPNew)
	}
	return a, err
}

func (s *Store) administratorRow(a admin.Account) (r administratorRow, err error) {
	r = administratorRow{ID: a.ID, Email: a.Email, Name: a.Name, Role: string(a.Role), TimeZone: a.TimeZone, Theme: string(a.Theme), Password: a.Password, InvitationHash: a.Invitation,
		InvitedUntil: micros(a.InvitedUntil), TOTPStep: a.Step, RecoveryCodes: encode(a.RecoveryCodes), CreatedAt: micros(a.CreatedAt), UpdatedAt: micros(a.UpdatedAt),
		LastSeenAt: micros(a.LastSeenAt), DisabledAt: micros(a.DisabledAt), Version: a.Version}
	if a.Key != nil {
		if r.TOTP, err = s.seal(keyOfAdministrator, r.ID, a.Key); err != nil {
			return r, err
		}
	}
	if a.NewKey != nil {
		r.TOTPNew, err = s.seal(newKeyOfAdministrator, r.ID, a.NewKey)
	}
	return r, err
}

// told is what the audit log tells of an account: nothing that proves anything.
func told(a admin.Account) map[string]any {
	return map[string]any{"email": a.Email, "name": a.Name, "role": a.Role, "has_password": a.Password != "", "second_factor": a.Key != nil, "invited_until": a.InvitedUntil,
		"disabled_at": a.DisabledAt, "time_zone": a.TimeZone, "theme": a.Theme}
}

func noAdministrator() error {
	return enroll.Errorf(enroll.KindNotFound, "administrator_unknown", "there is no such administrator")
}

// Administrators implements admin.AdministratorStore.
func (s *Store) Administrators(ctx context.Context) ([]admin.Administrator, error) {
	var rows []administratorRow
	if err := s.all(ctx, &rows, selectAdministrator+"ORDER BY email"); err != nil {
		return nil, err
	}
	out := make([]admin.Administrator, len(rows))
	for i, r := range rows {
		out[i] = r.administrator()
	}
	return out, nil
}

// Administrator implements admin.AdministratorStore.
func (s *Store) Administrator(ctx context.Context, id string) (admin.Account, error) {
	return s.accountBy(ctx, "WHERE id = ?", id)
}

// AdministratorByEmail implements admin.AdministratorStore.
func (s *Store) AdministratorByEmail(ctx context.Context, email string) (admin.Account, error) {
	return s.accountBy(ctx, "WHERE email = ?", clean(email))
}

// AdministratorByInvitation implements admin.AdministratorStore.
func (s *Store) AdministratorByInvitation(ctx context.Context, hash []byte) (admin.Account, error) {
	return s.accountBy(ctx, "WHERE invitation_hash = ?", hash)
}

func (s *Store) accountBy(ctx context.Context, where string, value any) (admin.Account, error) {
	var r administratorRow
	if err := s.one(ctx, &r, selectAdministrator+where, value); errors.Is(err, sql.ErrNoRows) {
		return admin.Account{}, noAdministrator()
	} else if err != nil {
		return admin.Account{}, err
	}
	return s.unsealed(r)
}

// CreateAdministrator implements admin.AdministratorStore.
func (s *Store) CreateAdministrator(ctx context.Context, a admin.Account) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexAdministrators, false)); err != nil {
			return err
		}
		return s.insertAccount(ctx, tx, a)
	})
}

func (s *Store) insertAccount(ctx context.Context, tx *session, a admin.Account) error {
	r, err := s.administratorRow(a)
	if err != nil {
		return err
	}
	n, err := tx.exec(ctx, `INSERT INTO administrators (id, email, name, role, time_zone, theme, password, invitation_hash, invited_until, totp, totp_new, totp_step,
		recovery_codes, created_at, updated_at, last_seen_at, disabled_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (email) DO NOTHING`,
		r.ID, r.Email, r.Name, r.Role, r.TimeZone, r.Theme, r.Password, r.InvitationHash, r.InvitedUntil, r.TOTP, r.TOTPNew, r.TOTPStep,
		r.RecoveryCodes, r.CreatedAt, r.UpdatedAt, r.LastSeenAt, r.DisabledAt, r.Version)
	if err != nil {
		return err
	}
	if n == 0 {
		return addressTaken()
	}
	tx.record(ctx, "administrator", a.ID, nil, told(a))
	return nil
}

func addressTaken() error {
	return enroll.Errorf(enroll.KindConflict, "administrator_exists", "another administrator has this e-mail address")
}

// CreateFirstAdministrator implements admin.AdministratorStore.
func (s *Store) CreateFirstAdministrator(ctx context.Context, a admin.Account, code [32]byte) (created bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		created = false
		if err := tx.do(ctx, tx.mutex(mutexAdministrators, false)); err != nil {
			return err
		}
		if n, err := tx.exec(ctx, `DELETE FROM console_setup WHERE hash = ? AND NOT EXISTS (SELECT 1 FROM administrators)`, code[:]); err != nil || n == 0 {
			return err
		}
		created = true
		return s.insertAccount(ctx, tx, a)
	})
	return created && err == nil, err
}

// PutSetUpCode implements admin.AdministratorStore.
func (s *Store) PutSetUpCode(ctx context.Context, code [32]byte, at time.Time) (needed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexAdministrators, false)); err != nil {
			return err
		}
		var any bool
		if err := tx.get(ctx, &any, `SELECT EXISTS (SELECT 1 FROM administrators)`); err != nil {
			return err
		}
		if needed = !any; any {
			return nil
		}
		_, err := tx.exec(ctx, `INSERT INTO console_setup (one, hash, created_at) VALUES (1, ?, ?)
			ON CONFLICT (one) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at`, code[:], micros(at))
		return err
	})
	return needed && err == nil, err
}

// ChangeAdministrator implements admin.AdministratorStore.
func (s *Store) ChangeAdministrator(ctx context.Context, id string, change func(a *admin.Account) (admin.SessionEnd, error)) (admin.Administrator, error) {
	var out admin.Administrator
	err := s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexAdministrators, false)); err != nil {
			return err
		}
		before, err := s.lockedAccount(ctx, tx, id)
		if err != nil {
			return err
		}
		after := before
		end, err := change(&after)
		if err != nil {
			return err
		}
		if manages(before) && !manages(after) {
			if err := othersManage(ctx, tx, id); err != nil {
				return err
			}
		}
		after.Version, after.UpdatedAt = before.Version+1, now()
		if err := s.updateAccount(ctx, tx, after); err != nil {
			return err
		}
		tx.record(ctx, "administrator", id, told(before), told(after))
		out = after.Administrator
		out.HasPassword, out.SecondFactor = after.Password != "", after.Key != nil
		if !end.All {
			return nil
		}
		_, err = tx.exec(ctx, `DELETE FROM console_sessions WHERE administrator_id = ? AND id <> ?`, id, end.Except)
		return err
	})
	return out, err
}

func (s *Store) lockedAccount(ctx context.Context, tx *session, id string) (admin.Account, error) {
	var r administratorRow
	if err := tx.get(ctx, &r, selectAdministrator+"WHERE id = ?"+tx.lock(), id); errors.Is(err, sql.ErrNoRows) {
		return admin.Account{}, noAdministrator()
	} else if err != nil {
		return admin.Account{}, err
	}
	return s.unsealed(r)
}

func (s *Store) updateAccount(ctx context.Context, tx *session, a admin.Account) error {
	r, err := s.administratorRow(a)
	if err != nil {
		return err
	}
	var taken bool
	if err := tx.get(ctx, &taken, `SELECT EXISTS (SELECT 1 FROM administrators WHERE email = ? AND id <> ?)`, r.Email, r.ID); err != nil {
		return err
	}
	if taken {
		return addressTaken()
	}
	_, err = tx.exec(ctx, `UPDATE administrators SET email = ?, name = ?, role = ?, time_zone = ?, theme = ?, password = ?, invitation_hash = ?, invited_until = ?, totp = ?, totp_new = ?,
		totp_step = ?, recovery_codes = ?, updated_at = ?, disabled_at = ?, version = ? WHERE id = ?`,
		r.Email, r.Name, r.Role, r.TimeZone, r.Theme, r.Password, r.InvitationHash, r.InvitedUntil, r.TOTP, r.TOTPNew,
		r.TOTPStep, r.RecoveryCodes, r.UpdatedAt, r.DisabledAt, r.Version, r.ID)
	return err
}

// manages says whether somebody can make and change administrators.
func manages(a admin.Account) bool { return a.Role == admin.RoleAdmin && a.DisabledAt.IsZero() }

func othersManage(ctx context.Context, tx *session, id string) error {
	var others bool
	if err := tx.get(ctx, &others, `SELECT EXISTS (SELECT 1 FROM administrators WHERE id <> ? AND role = 'admin' AND disabled_at = 0)`, id); err != nil {
		return err
	}
	if !others {
		return enroll.Errorf(enroll.KindConflict, "last_administrator", "this is the last administrator with the role admin").WithHint("Give another one the role first.")
	}
	return nil
}

// DeleteAdministrator implements admin.AdministratorStore.
func (s *Store) DeleteAdministrator(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.mutex(mutexAdministrators, false)); err != nil {
			return err
		}
		before, err := s.lockedAccount(ctx, tx, id)
		if err != nil {
			return err
		}
		if manages(before) {
			if err := othersManage(ctx, tx, id); err != nil {
				return err
			}
		}
		for _, query := range []string{`DELETE FROM console_sessions WHERE administrator_id = ?`, `DELETE FROM device_views WHERE owner_id = ?`, `DELETE FROM administrators WHERE id = ?`} {
			if _, err := tx.exec(ctx, query, id); err != nil {
				return err
			}
		}
		tx.record(ctx, "administrator", id, told(before), nil)
		return nil
	})
}
