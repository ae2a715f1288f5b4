package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"rollcall/enroll"
)

func noPreset(name string) error {
	return enroll.Errorf(enroll.KindNotFound, "preset_unknown", "no preset was saved with the name %q", name)
}

// ImportPresets implements enroll.ImportStore.
func (s *Store) ImportPresets(ctx context.Context) ([]enroll.ImportPreset, error) {
	var rows []string
	if err := s.all(ctx, &rows, `SELECT preset FROM import_presets ORDER BY name`); err != nil {
		return nil, err
	}
	presets := make([]enroll.ImportPreset, len(rows))
	for i, r := range rows {
		var err error
		if presets[i], err = decode[enroll.ImportPreset](r); err != nil {
			return nil, err
		}
	}
	return presets, nil
}

// ImportPreset implements enroll.ImportStore.
func (s *Store) ImportPreset(ctx context.Context, name string) (enroll.ImportPreset, error) {
	var r string
	if err := s.one(ctx, &r, `SELECT preset FROM import_presets WHERE name = ?`, name); errors.Is(err, sql.ErrNoRows) {
		return enroll.ImportPreset{}, noPreset(name)
	} else if err != nil {
		return enroll.ImportPreset{}, err
	}
	return decode[enroll.ImportPreset](r)
}

// PutImportPreset implements enroll.ImportStore.
func (s *Store) PutImportPreset(ctx context.Context, p enroll.ImportPreset, now time.Time) (created bool, err error) {
	err = s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `INSERT INTO import_presets (name, preset, updated_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING`, p.Name, encode(p), micros(now))
		if created = n > 0; created || err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE import_presets SET preset = ?, updated_at = ? WHERE name = ?`, encode(p), micros(now), p.Name)
		return err
	})
	return created, err
}

// DeleteImportPreset implements enroll.ImportStore.
func (s *Store) DeleteImportPreset(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *session) error {
		n, err := tx.exec(ctx, `DELETE FROM import_presets WHERE name = ?`, name)
		if err == nil && n == 0 {
			return noPreset(name)
		}
		return err
	})
}
