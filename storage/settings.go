package storage

import (
	"context"
	"database/sql"
	"errors"

	"rollcall/enroll"
)

// settingRestrictions is the name under which the Enrollment Restrictions are
// kept.
const settingRestrictions = "enrollment_restrictions"

// restrictions is the stored form of enroll.Settings.
type restrictions struct {
	Mode             enroll.Mode            `json:"pre_enrolled_devices_only"`
	UnlistedDevices  enroll.UnlistedDevices `json:"unlisted_devices,omitempty"`
	OwnerMismatch    enroll.OwnerMismatch   `json:"owner_mismatch,omitempty"`
	RequiredEvidence enroll.Evidence        `json:"required_evidence,omitempty"`
	DevicesPerUser   int                    `json:"devices_per_user,omitempty"`
	DecisionDays     int                    `json:"decision_days,omitempty"`
}

func restrictionsOf(set enroll.Settings) restrictions {
	return restrictions{Mode: set.PreEnrolledDevicesOnly, UnlistedDevices: set.UnlistedDevices, OwnerMismatch: set.OwnerMismatch,
		RequiredEvidence: set.RequiredEvidence, DevicesPerUser: set.DevicesPerUser, DecisionDays: set.DecisionDays}
}

// Settings implements enroll.RestrictionStore.
func (s *Store) Settings(ctx context.Context) (enroll.Settings, error) {
	settings, err := settings(ctx, s.reader(ctx))
	return settings, unavailable(err)
}

func settings(ctx context.Context, tx *session) (enroll.Settings, error) {
	var r struct {
		Value     string `json:"value"`
		UpdatedAt int64  `json:"updated_at"`
	}
	err := tx.get(ctx, &r, `SELECT value, updated_at FROM settings WHERE name = ?`, settingRestrictions)
	if errors.Is(err, sql.ErrNoRows) {
		return enroll.Settings{PreEnrolledDevicesOnly: enroll.ModeOff}, nil
	}
	if err != nil {
		return enroll.Settings{}, err
	}
	v, err := decode[restrictions](r.Value)
	return enroll.Settings{PreEnrolledDevicesOnly: v.Mode, UnlistedDevices: v.UnlistedDevices, OwnerMismatch: v.OwnerMismatch,
		RequiredEvidence: v.RequiredEvidence, DevicesPerUser: v.DevicesPerUser, DecisionDays: v.DecisionDays, UpdatedAt: instant(r.UpdatedAt)}, err
}

func putSettings(ctx context.Context, tx *session, set enroll.Settings) error {
	old, err := settings(ctx, tx)
	if err != nil {
		return err
	}
	tx.record(ctx, "settings", settingRestrictions, restrictionsOf(old), restrictionsOf(set))
	_, err = tx.exec(ctx, `INSERT INTO settings (name, value, updated_at) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`,
		settingRestrictions, encode(restrictionsOf(set)), micros(set.UpdatedAt))
	return err
}
