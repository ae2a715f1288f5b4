package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/dep"
	"rollcall/enroll"
)

const secretOfADE = "dep_profiles/secret"

type depProfileRow struct {
	ID             string `json:"id"`
	AccountID      string `json:"account_id"`
	Name           string `json:"name"`
	Settings       string `json:"settings"`
	Authentication string `json:"authentication"`
	MinimumOS      string `json:"minimum_os"`
	Version        int64  `json:"version"`
	UUID           string `json:"uuid"`
	Defined        int64  `json:"defined"`
	DefinedAt      int64  `json:"defined_at"`
	Problem        string `json:"problem"`
	CreatedAt      int64  `json:"created_at"`
	UpdatedAt      int64  `json:"updated_at"`
}

const (
	depProfileColumns = `p.id, p.account_id, p.name, p.settings, p.authentication, p.minimum_os, p.version, p.uuid, p.defined, p.defined_at, p.problem, p.created_at, p.updated_at`
	selectDEPProfile  = `SELECT ` + depProfileColumns + ` FROM dep_profiles p `
)

func (r depProfileRow) profile() (dep.Profile, error) {
	var errs [3]error
	p := dep.Profile{ID: r.ID, AccountID: r.AccountID, Name: r.Name, Authentication: dep.Authentication(r.Authentication), Version: r.Version, UUID: r.UUID, Defined: r.Defined,
		DefinedAt: instant(r.DefinedAt), CreatedAt: instant(r.CreatedAt), UpdatedAt: instant(r.UpdatedAt)}
	p.Settings, errs[0] = decode[dep.ProfileSettings](r.Settings)
	p.MinimumOS, errs[1] = decode[map[string]string](r.MinimumOS)
	p.Problem, errs[2] = decode[*dep.Problem](r.Problem)
	return p, errors.Join(errs[:]...)
}

func auditedADE(p *dep.Profile) any {
	if p == nil {
		return nil
	}
	return map[string]any{"name": p.Name, "settings": p.Settings, "authentication": p.Authentication, "minimum_os": p.MinimumOS, "version": p.Version}
}

// Profiles implements dep.ProfileStore.
func (s *Store) Profiles(ctx context.Context, account string) ([]dep.Profile, error) {
	a, err := s.Account(ctx, account)
	if err != nil {
		return nil, err
	}
	var rows []depProfileRow
	if err := s.all(ctx, &rows, selectDEPProfile+"WHERE p.account_id = ? ORDER BY p.name", a.ID); err != nil {
		return nil, err
	}
	out := make([]dep.Profile, len(rows))
	for i, r := range rows {
		if out[i], err = r.profile(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Profile implements dep.ProfileStore.
func (s *Store) Profile(ctx context.Context, account, name string) (dep.Profile, error) {
	a, err := s.Account(ctx, account)
	if err != nil {
		return dep.Profile{}, err
	}
	return findADE(ctx, s.reader(ctx), a, name, "")
}

// findADE reads a profile; locked where tail is tx.lock().
func findADE(ctx context.Context, tx *session, a dep.Account, name, tail string) (dep.Profile, error) {
	var r depProfileRow
	err := tx.get(ctx, &r, selectDEPProfile+"WHERE p.account_id = ? AND p.name = ?"+tail, a.ID, name)
	if errors.Is(err, sql.ErrNoRows) {
		return dep.Profile{}, dep.NoProfile(a.Name, name)
	}
	if err != nil {
		return dep.Profile{}, unavailable(err)
	}
	return r.profile()
}

// ChangeProfile implements dep.ProfileStore.
func (s *Store) ChangeProfile(ctx context.Context, account, name, secret string, change func(*dep.Profile) (dep.Profile, error)) (p dep.Profile, created, changed bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		r, a, err := lockDEP(ctx, tx, "name", account)
		if err != nil {
			return err
		}
		var old *dep.Profile
		known, err := findADE(ctx, tx, a, name, tx.lock())
		switch {
		case err == nil:
			old = &known
		case enroll.KindOf(err) != enroll.KindNotFound:
			return err
		}
		if p, err = change(old); err != nil {
			return err
		}
		p.AccountID, p.Name = a.ID, name
		if created = old == nil; created {
			changed = true
			if err := s.insertADE(ctx, tx, p, secret); err != nil {
				return err
			}
		} else {
			p.ID = old.ID
			before, after := auditedADE(old), auditedADE(&p)
			if changed = encode(before) != encode(after); !changed {
				return nil
			}
			if _, err := tx.exec(ctx, `UPDATE dep_profiles SET settings = ?, authentication = ?, minimum_os = ?, version = ?, problem = ?, updated_at = ? WHERE id = ?`,
				clean(encode(p.Settings)), string(p.Authentication), encode(p.MinimumOS), p.Version, encode(p.Problem), micros(p.UpdatedAt), p.ID); err != nil {
				return err
			}
		}
		tx.record(ctx, "ade_profile", a.Name+"/"+name, auditedADE(old), auditedADE(&p))
		if r.InstalledAt == 0 {
			return nil
		}
		_, err = tx.exec(ctx, `UPDATE dep_accounts SET due_at = ? WHERE id = ?`, micros(now()), a.ID)
		return err
	})
	if err != nil {
		return dep.Profile{}, false, false, err
	}
	return p, created, changed, nil
}

func (s *Store) insertADE(ctx context.Context, tx *session, p dep.Profile, secret string) error {
	sealed, err := s.seal(secretOfADE, p.ID, []byte(secret))
	if err != nil {
		return err
	}
	hash := enroll.HashSecret(secret)
	_, err = tx.exec(ctx, `INSERT INTO dep_profiles (id, account_id, name, settings, authentication, minimum_os, secret, secret_hash, version, uuid, defined, defined_at, problem, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0, 0, 'null', ?, ?)`, p.ID, p.AccountID, p.Name, clean(encode(p.Settings)), string(p.Authentication), encode(p.MinimumOS), sealed, hash[:],
		p.Version, micros(p.CreatedAt), micros(p.UpdatedAt))
	return err
}

// DeleteProfile implements dep.ProfileStore.
func (s *Store) DeleteProfile(ctx context.Context, account, name string) error {
	return s.write(ctx, func(tx *session) error {
		_, a, err := lockDEP(ctx, tx, "name", account)
		if err != nil {
			return err
		}
		p, err := findADE(ctx, tx, a, name, tx.lock())
		if err != nil {
			return err
		}
		if a.Uses(p.ID) {
			return enroll.Errorf(enroll.KindConflict, "ade_profile_default", "the profile %q is a default of the DEP account %q", name, account).WithHint("Name another one, or none, as the default first.")
		}
		var n int
		if err := tx.get(ctx, &n, `SELECT count(*) FROM dep_devices d JOIN dep_versions v ON v.uuid = d.profile_uuid WHERE v.profile_id = ? AND d.deleted_at = 0`, p.ID); err != nil {
			return err
		}
		if n > 0 {
			return enroll.Errorf(enroll.KindConflict, "ade_profile_in_use", "%d devices have the profile %q; its URL has to stay", n, name).
				WithHint("Synchronise the account, so that they get what they should have now.")
		}
		tx.record(ctx, "ade_profile", a.Name+"/"+name, auditedADE(&p), nil)
		_, err = tx.exec(ctx, `DELETE FROM dep_profiles WHERE id = ?`, p.ID)
		return err
	})
}

// ProfileVersions implements dep.ProfileStore.
func (s *Store) ProfileVersions(ctx context.Context, account, name string) ([]dep.Version, error) {
	p, err := s.Profile(ctx, account, name)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Version   int64  `json:"version"`
		UUID      string `json:"uuid"`
		DefinedAt int64  `json:"defined_at"`
		Devices   int    `json:"devices"`
	}
	if err := s.all(ctx, &rows, `SELECT v.version, v.uuid, v.defined_at, (SELECT count(*) FROM dep_devices d WHERE d.profile_uuid = v.uuid AND d.profile_uuid <> '' AND d.deleted_at = 0) AS devices
		FROM dep_versions v WHERE v.profile_id = ? ORDER BY v.version DESC, v.defined_at DESC, v.uuid`, p.ID); err != nil {
		return nil, err
	}
	out := make([]dep.Version, len(rows))
	for i, r := range rows {
		out[i] = dep.Version{Version: r.Version, UUID: r.UUID, DefinedAt: instant(r.DefinedAt), Devices: r.Devices}
	}
	return out, nil
}

// Entry implements dep.Entries.
func (s *Store) Entry(ctx context.Context, secret string) (dep.Entry, error) {
	hash := enroll.HashSecret(secret)
	return s.entry(ctx, "p.secret_hash", hash[:])
}

// EntryOf implements dep.Entries.
func (s *Store) EntryOf(ctx context.Context, profileID string) (dep.Entry, error) {
	return s.entry(ctx, "p.id", profileID)
}

func (s *Store) entry(ctx context.Context, column string, value any) (dep.Entry, error) {
	var r depProfileRow
	if err := s.one(ctx, &r, selectDEPProfile+"WHERE "+column+" = ?", value); errors.Is(err, sql.ErrNoRows) {
		return dep.Entry{}, enroll.Errorf(enroll.KindNotFound, "ade_profile_unknown", "there is no such profile")
	} else if err != nil {
		return dep.Entry{}, err
	}
	p, err := r.profile()
	return dep.Entry{ProfileID: p.ID, AccountID: p.AccountID, Authentication: p.Authentication, MinimumOS: p.MinimumOS, AwaitConfigured: p.Settings.AwaitConfigured,
		ReturnToService: p.Settings.ReturnToService}, err
}

// Listed implements dep.Entries.
func (s *Store) Listed(ctx context.Context, serial string) (accountID string, listed bool, err error) {
	err = s.one(ctx, &accountID, `SELECT account_id FROM dep_devices WHERE serial = ? AND deleted_at = 0 ORDER BY account_id LIMIT 1`, serial)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return accountID, err == nil, err
}

// Definitions implements dep.SyncStore.
func (s *Store) Definitions(ctx context.Context, accountID string) ([]dep.Definition, error) {
	var rows []struct {
		depProfileRow
		Secret []byte `json:"secret"`
	}
	if err := s.all(ctx, &rows, `SELECT `+depProfileColumns+`, p.secret FROM dep_profiles p WHERE p.account_id = ? AND p.defined < p.version ORDER BY p.id`, accountID); err != nil {
		return nil, err
	}
	out := make([]dep.Definition, len(rows))
	for i, r := range rows {
		secret, err := s.unseal(secretOfADE, r.ID, r.Secret)
		if err != nil {
			return nil, err
		}
		if out[i].Profile, err = r.profile(); err != nil {
			return nil, err
		}
		out[i].Secret = string(secret)
	}
	return out, nil
}

// Defined implements dep.SyncStore.
func (s *Store) Defined(ctx context.Context, l dep.Lease, profileID string, version int64, uuid string, at time.Time) error {
	return s.leasedDEP(ctx, l, func(tx *session, _ depAccountRow) error {
		n, err := tx.exec(ctx, `UPDATE dep_profiles SET uuid = ?, defined = ?, defined_at = ? WHERE id = ?`, uuid, version, micros(at), profileID)
		if err != nil || n == 0 {
			return err // deleted meanwhile
		}
		_, err = tx.exec(ctx, `INSERT INTO dep_versions (uuid, profile_id, version, defined_at) VALUES (?, ?, ?, ?) ON CONFLICT (uuid) DO NOTHING`, uuid, profileID, version, micros(at))
		return err
	})
}

// DefinitionRefused implements dep.SyncStore.
func (s *Store) DefinitionRefused(ctx context.Context, l dep.Lease, profileID string, version int64, p dep.Problem) error {
	return s.leasedDEP(ctx, l, func(tx *session, _ depAccountRow) error {
		_, err := tx.exec(ctx, `UPDATE dep_profiles SET problem = ? WHERE id = ? AND version = ?`, clean(encode(p)), profileID, version)
		return err
	})
}

// Undefine implements dep.SyncStore.
func (s *Store) Undefine(ctx context.Context, l dep.Lease, uuid string) error {
	return s.leasedDEP(ctx, l, func(tx *session, a depAccountRow) error {
		_, err := tx.exec(ctx, `UPDATE dep_profiles SET uuid = '', defined = 0, defined_at = 0 WHERE account_id = ? AND uuid = ?`, a.ID, uuid)
		return err
	})
}

// UUIDs implements dep.SyncStore.
func (s *Store) UUIDs(ctx context.Context, accountID string) (map[string]string, error) {
	var rows []depProfileRow
	if err := s.all(ctx, &rows, selectDEPProfile+"WHERE p.account_id = ?", accountID); err != nil {
		return nil, err
	}
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		out[r.ID] = r.UUID
	}
	return out, nil
}
