package storage

import (
	"context"
	"database/sql"
	"errors"

	"rollcall/enroll"
)

// settingMode is the name of the setting "Pre-enrolled Devices Only".
const settingMode = "pre_enrolled_devices_only"

// Settings implements enroll.RollStore.
func (s *Store) Settings(ctx context.Context) (enroll.Settings, error) {
	settings, err := settings(ctx, s.pool())
	return settings, unavailable(err)
}

func settings(ctx context.Context, tx *session) (enroll.Settings, error) {
	var r struct {
		Value     string `json:"value"`
		UpdatedAt int64  `json:"updated_at"`
	}
	err := tx.get(ctx, &r, `SELECT value, updated_at FROM settings WHERE name = ?`, settingMode)
	if errors.Is(err, sql.ErrNoRows) {
		return enroll.Settings{PreEnrolledDevicesOnly: enroll.ModeOff}, nil
	}
	return enroll.Settings{PreEnrolledDevicesOnly: enroll.Mode(r.Value), UpdatedAt: instant(r.UpdatedAt)}, err
}

// PutSettings implements enroll.RollStore.
func (s *Store) PutSettings(ctx context.Context, set enroll.Settings) error {
	return s.write(ctx, func(tx *session) error {
		_, err := tx.exec(ctx, `INSERT INTO settings (name, value, updated_at) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`,
			settingMode, string(set.PreEnrolledDevicesOnly), micros(set.UpdatedAt))
		return err
	})
}
