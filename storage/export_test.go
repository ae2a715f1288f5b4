package storage

import (
	"context"

	"rollcall/enroll"
)

// Fill puts devices on the roll, many at once.
func (s *Store) Fill(ctx context.Context, devices []enroll.Device) error {
	return s.write(ctx, func(tx *session) error {
		if err := tx.do(ctx, tx.bulk()); err != nil {
			return err
		}
		rows := make([]deviceRow, len(devices))
		for i, d := range devices {
			rows[i] = newDeviceRow(d)
		}
		return createDevices(ctx, tx, rows...)
	})
}
