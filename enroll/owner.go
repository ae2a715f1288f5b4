package enroll

import "context"

// GiveOwner makes a user who has proven who they are the owner of a device
// that belongs to nobody. One that has an owner keeps it.
func (r *Roll) GiveOwner(ctx context.Context, serial, userID string) error {
	_, _, err := r.change(ctx, serial, nil, func(d *Device, _ string) error {
		if d.UserID == "" {
			d.UserID = userID
			d.Sources["user"] = SourceDevice
		}
		return nil
	})
	return err
}
