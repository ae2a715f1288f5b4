package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/dep"
	"rollcall/dep/cloud"
	"rollcall/enroll"
)

var _ dep.Store = (*Store)(nil)

const (
	keyOfDEP     = "dep_accounts/private_key"
	tokenOfDEP   = "dep_accounts/token"
	sessionOfDEP = "dep_accounts/session"
)

type depAccountRow struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	PreEnroll   bool   `json:"pre_enroll"`
	Defaults    string `json:"defaults"`
	Certificate string `json:"certificate"`
	InstalledAt int64  `json:"installed_at"`
	ExpiresAt   int64  `json:"expires_at"`
	Apple       string `json:"apple"`
	Cursor      string `json:"sync_cursor"`
	CursorAt    int64  `json:"cursor_at"`
	Full        bool   `json:"full_list"`
	Generation  int64  `json:"generation"`
	DueAt       int64  `json:"due_at"`
	StartedAt   int64  `json:"started_at"`
	DoneAt      int64  `json:"done_at"`
	Failures    int    `json:"failures"`
	Problem     string `json:"problem"`
	Worker      string `json:"worker"`
	LeaseUntil  int64  `json:"lease_until"`
	CreatedAt   int64  `json:"created_at"`
	UpdatedAt   int64  `json:"updated_at"`
	Devices     int    `json:"devices"`
}

const (
	depAccountColumns = `a.id, a.name, a.pre_enroll, a.defaults, a.certificate, a.installed_at, a.expires_at, a.apple, a.sync_cursor, a.cursor_at, a.full_list, a.generation,
		a.due_at, a.started_at, a.done_at, a.failures, a.problem, a.worker, a.lease_until, a.created_at, a.updated_at`
	lockDEPAccount   = `SELECT ` + depAccountColumns + `, 0 AS devices FROM dep_accounts a `
	selectDEPAccount = `SELECT ` + depAccountColumns + `, (SELECT count(*) FROM dep_devices d WHERE d.account_id = a.id AND d.deleted_at = 0) AS devices FROM dep_accounts a `
)

// depDefaults are the defaults as they are stored.
type depDefaults struct {
	All      dep.Default                `json:"all"`
	Families map[dep.Family]dep.Default `json:"families"`
}

func (r depAccountRow) account() (dep.Account, error) {
	var errs [3]error
	defaults, err := decode[depDefaults](r.Defaults)
	a := dep.Account{ID: r.ID, Name: r.Name, AddAsPreEnrolled: r.PreEnroll, Default: defaults.All, Families: defaults.Families, CertificatePEM: []byte(r.Certificate),
		Token: dep.TokenInfo{InstalledAt: instant(r.InstalledAt), ExpiresAt: instant(r.ExpiresAt)}, Devices: r.Devices, CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt),
		Sync: dep.SyncState{Cursor: r.Cursor, CursorAt: instant(r.CursorAt), Full: r.Full, Generation: r.Generation, DueAt: instant(r.DueAt), Running: r.Worker != "",
			StartedAt: instant(r.StartedAt), DoneAt: instant(r.DoneAt), Failures: r.Failures}}
	errs[0] = err
	a.Apple, errs[1] = decode[cloud.Account](r.Apple)
	a.Sync.Problem, errs[2] = decode[*dep.Problem](r.Problem)
	return a, errors.Join(errs[:]...)
}

// auditedDEP is what the audit log keeps of an account.
func auditedDEP(a dep.Account) any {
	return map[string]any{"name": a.Name, "add_as_pre_enrolled": a.AddAsPreEnrolled, "default": a.Default, "families": a.Families}
}

// lockDEP reads an account by a column and locks it, which everything does first
// that changes something of the account.
func lockDEP(ctx context.Context, tx *session, column, value string) (depAccountRow, dep.Account, error) {
	var r depAccountRow
	err := tx.get(ctx, &r, lockDEPAccount+"WHERE a."+column+" = ?"+tx.lock(), value)
	if errors.Is(err, sql.ErrNoRows) {
		return r, dep.Account{}, dep.NoAccount(value)
	}
	if err != nil {
		return r, dep.Account{}, err
	}
	a, err := r.account()
	return r, a, err
}

func depNameTaken(name string) error {
	return enroll.Errorf(enroll.KindConflict, "dep_account_exists", "there is a DEP account with the name %q", name)
}

// CreateAccount implements dep.AccountStore.
func (s *Store) CreateAccount(ctx context.Context, a dep.Account, keyPEM []byte) error {
	key, err := s.seal(keyOfDEP, a.ID, keyPEM)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *session) error {
		if err := checkDEPGroups(ctx, tx, a); err != nil {
			return err
		}
		n, err := tx.exec(ctx, `INSERT INTO dep_accounts (id, name, pre_enroll, defaults, certificate, private_key, installed_at, expires_at, server_uuid, apple, sync_cursor, cursor_at,
				full_list, generation, due_at, started_at, done_at, failures, problem, worker, lease_until, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', '{}', '', 0, FALSE, 0, 0, 0, 0, 0, 'null', '', 0, ?, ?) ON CONFLICT (name) DO NOTHING`,
			a.ID, a.Name, a.AddAsPreEnrolled, encode(depDefaults{a.Default, a.Families}), string(a.CertificatePEM), key, micros(a.CreatedAt), micros(a.UpdatedAt))
		if err == nil && n == 0 {
			return depNameTaken(a.Name)
		}
		tx.record(ctx, "dep_account", a.Name, nil, auditedDEP(a))
		return err
	})
}

// Accounts implements dep.AccountStore.
func (s *Store) Accounts(ctx context.Context) ([]dep.Account, error) {
	var rows []depAccountRow
	if err := s.all(ctx, &rows, selectDEPAccount+"ORDER BY a.name"); err != nil {
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

// Account implements dep.AccountStore.
func (s *Store) Account(ctx context.Context, name string) (dep.Account, error) {
	var r depAccountRow
	if err := s.one(ctx, &r, selectDEPAccount+"WHERE a.name = ?", name); errors.Is(err, sql.ErrNoRows) {
		return dep.Account{}, dep.NoAccount(name)
	} else if err != nil {
		return dep.Account{}, err
	}
	return r.account()
}

// ChangeAccount implements dep.AccountStore.
func (s *Store) ChangeAccount(ctx context.Context, name string, change func(dep.Account) (dep.Account, error)) (dep.Account, error) {
	err := s.write(ctx, func(tx *session) error {
		r, old, err := lockDEP(ctx, tx, "name", name)
		if err != nil {
			return err
		}
		fresh, err := change(old)
		if err != nil {
			return err
		}
		if err := checkDEPGroups(ctx, tx, fresh); err != nil {
			return err
		}
		if fresh.Name != name {
			var taken bool
			if err := tx.get(ctx, &taken, `SELECT EXISTS (SELECT 1 FROM dep_accounts WHERE name = ?)`, fresh.Name); err != nil {
				return err
			}
			if taken {
				return depNameTaken(fresh.Name)
			}
		}
		if fresh.AddAsPreEnrolled && !old.AddAsPreEnrolled {
			if _, err := tx.exec(ctx, `UPDATE dep_devices SET roll_step = 'add' WHERE account_id = ? AND deleted_at = 0`, r.ID); err != nil {
				return err
			}
		}
		if !fresh.SameGroups(old) {
			if _, err := tx.exec(ctx, `UPDATE dep_devices SET roll_step = 'group' WHERE account_id = ? AND deleted_at = 0 AND roll_step IN ('', 'learn')`, r.ID); err != nil {
				return err
			}
		}
		if r.InstalledAt != 0 {
			r.DueAt = micros(now())
		}
		tx.record(ctx, "dep_account", name, auditedDEP(old), auditedDEP(fresh))
		name = fresh.Name
		_, err = tx.exec(ctx, `UPDATE dep_accounts SET name = ?, pre_enroll = ?, defaults = ?, due_at = ?, updated_at = ? WHERE id = ?`,
			fresh.Name, fresh.AddAsPreEnrolled, encode(depDefaults{fresh.Default, fresh.Families}), r.DueAt, micros(fresh.UpdatedAt), r.ID)
		return err
	})
	if err != nil {
		return dep.Account{}, err
	}
	return s.Account(ctx, name)
}

// checkDEPGroups refuses defaults that no device could join.
func checkDEPGroups(ctx context.Context, tx *session, a dep.Account) error {
	names := []string{a.Default.Group}
	for _, d := range a.Families {
		names = append(names, d.Group)
	}
	var ruled []string
	if err := tx.all(ctx, &ruled, `SELECT name FROM device_groups WHERE rule <> '' AND `+tx.in("name"), tx.list(names)); err != nil {
		return err
	}
	if len(ruled) > 0 {
		return enroll.Errorf(enroll.KindConflict, "group_by_rule", "the members of the group %q are those its rule matches", ruled[0]).WithHint("Name a static group.")
	}
	return nil
}

// DeleteAccount implements dep.AccountStore.
func (s *Store) DeleteAccount(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		r, old, err := lockDEP(ctx, tx, "name", name)
		if err != nil {
			return err
		}
		tx.record(ctx, "dep_account", name, auditedDEP(old), nil)
		_, err = tx.exec(ctx, `DELETE FROM dep_accounts WHERE id = ?`, r.ID) // with profiles and known devices
		return err
	})
}

// AccountKeys implements dep.AccountStore.
func (s *Store) AccountKeys(ctx context.Context, id string) (dep.KeyPair, error) {
	var r struct {
		Certificate string `json:"certificate"`
		Key         []byte `json:"private_key"`
	}
	if err := s.one(ctx, &r, `SELECT certificate, private_key FROM dep_accounts WHERE id = ?`, id); errors.Is(err, sql.ErrNoRows) {
		return dep.KeyPair{}, dep.NoAccount(id)
	} else if err != nil {
		return dep.KeyPair{}, err
	}
	key, err := s.unseal(keyOfDEP, id, r.Key)
	return dep.KeyPair{CertificatePEM: []byte(r.Certificate), KeyPEM: key}, err
}

// AccountToken implements dep.AccountStore.
func (s *Store) AccountToken(ctx context.Context, id string) (cloud.Token, error) {
	var sealed []byte
	if err := s.one(ctx, &sealed, `SELECT token FROM dep_accounts WHERE id = ? AND installed_at > 0`, id); errors.Is(err, sql.ErrNoRows) {
		return cloud.Token{}, enroll.Errorf(enroll.KindNotFound, "dep_token_missing", "the DEP account has no token")
	} else if err != nil {
		return cloud.Token{}, err
	}
	plain, err := s.unseal(tokenOfDEP, id, sealed)
	if err != nil {
		return cloud.Token{}, err
	}
	return decode[cloud.Token](string(plain))
}

// PutToken implements dep.AccountStore.
func (s *Store) PutToken(ctx context.Context, id string, t cloud.Token, says cloud.Account, auth string, anew bool, at time.Time) (dep.Account, error) {
	token, err := s.seal(tokenOfDEP, id, []byte(encode(t)))
	if err != nil {
		return dep.Account{}, err
	}
	sealed, err := s.seal(sessionOfDEP, id, []byte(auth))
	if err != nil {
		return dep.Account{}, err
	}
	name := ""
	err = s.write(ctx, func(tx *session) error {
		r, old, err := lockDEP(ctx, tx, "id", id)
		if err != nil {
			return err
		}
		name = r.Name
		var other []string
		if err := tx.all(ctx, &other, `SELECT name FROM dep_accounts WHERE server_uuid = ? AND id <> ?`, says.ServerUUID, id); err != nil {
			return err
		}
		if len(other) > 0 {
			return enroll.Errorf(enroll.KindConflict, "dep_server_taken", "the token is of the same device management service as the account %q", other[0]).
				WithHint("Make another service in Apple's portal, or upload the token to that account.")
		}
		tx.record(ctx, "dep_account", r.Name, map[string]any{"token_expires_at": old.Token.ExpiresAt, "server": old.Apple.ServerUUID},
			map[string]any{"token_expires_at": t.ExpiresAt.UTC(), "server": says.ServerUUID})
		// Whoever works with the old token loses the account.
		if _, err := tx.exec(ctx, `UPDATE dep_accounts SET token = ?, session = ?, installed_at = ?, expires_at = ?, server_uuid = ?, apple = ?, due_at = ?, failures = 0,
			problem = 'null', worker = '', lease_until = 0, updated_at = ? WHERE id = ?`, token, sealed, micros(at), micros(t.ExpiresAt), says.ServerUUID, clean(encode(says)),
			micros(at), micros(at), id); err != nil || !anew {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE dep_accounts SET sync_cursor = '', cursor_at = 0, full_list = FALSE WHERE id = ?`, id); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE dep_profiles SET uuid = '', defined = 0, defined_at = 0, problem = 'null' WHERE account_id = ?`, id)
		return err
	})
	if err != nil {
		return dep.Account{}, err
	}
	return s.Account(ctx, name)
}

// SyncNow implements dep.AccountStore.
func (s *Store) SyncNow(ctx context.Context, name string, full bool, at time.Time) (dep.Account, error) {
	err := s.write(ctx, func(tx *session) error {
		r, _, err := lockDEP(ctx, tx, "name", name)
		if err != nil {
			return err
		}
		tx.record(ctx, "dep_account", name, nil, map[string]bool{"synchronise": true, "full": full})
		if full { // whoever is about it starts again
			if _, err := tx.exec(ctx, `UPDATE dep_accounts SET sync_cursor = '', cursor_at = 0, full_list = FALSE, worker = '', lease_until = 0 WHERE id = ?`, r.ID); err != nil {
				return err
			}
		}
		_, err = tx.exec(ctx, `UPDATE dep_accounts SET due_at = ? WHERE id = ?`, micros(at), r.ID)
		return err
	})
	if err != nil {
		return dep.Account{}, err
	}
	return s.Account(ctx, name)
}

// AccountSession implements dep.AccountStore.
func (s *Store) AccountSession(ctx context.Context, id string, installed time.Time) (string, error) {
	var sealed []byte
	err := s.one(ctx, &sealed, `SELECT session FROM dep_accounts WHERE id = ? AND installed_at = ?`, id, micros(installed))
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	plain, err := s.unseal(sessionOfDEP, id, sealed)
	return string(plain), err
}

// SetAccountSession implements dep.AccountStore. It is Apple who changes the
// session, whatever call of an admin brought it about, so the audit log has
// nothing of it.
func (s *Store) SetAccountSession(ctx context.Context, id string, installed time.Time, auth string) error {
	sealed, err := s.seal(sessionOfDEP, id, []byte(auth))
	if err != nil {
		return err
	}
	return unavailable(s.transact(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `UPDATE dep_accounts SET session = ? WHERE id = ? AND installed_at = ?`, sealed, id, micros(installed))
		return err
	}))
}
