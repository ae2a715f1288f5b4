package ade

import (
	"cmp"
	"context"

	"rollcall/certs"
	"rollcall/dep"
	"rollcall/enroll"
	"rollcall/mdm"
)

var _ mdm.Returns = (*Door)(nil)

// Return implements mdm.Returns: devices may whose ADE profile says
// is_return_to_service now. Where it asks who the person is nobody is there to
// say so, and the device takes an enrollment profile of the person along who
// enrolled it last. The gate decides on that as on every other.
func (d *Door) Return(ctx context.Context, b certs.Binding, remote string) (may bool, profile []byte, err error) {
	if b.ADEProfile == "" {
		return false, nil, nil
	}
	entry, err := d.Entries.EntryOf(ctx, b.ADEProfile)
	switch {
	case enroll.KindOf(err) == enroll.KindNotFound:
		return false, nil, nil
	case err != nil || !entry.ReturnToService || entry.Authentication == dep.AuthenticationNone:
		return err == nil && entry.ReturnToService, nil, err
	}
	row, err := d.Roll.DeviceByID(ctx, b.DeviceID)
	if err != nil {
		return false, nil, err
	}
	// The serial was signed when the device came, and it is this device that
	// asks: nobody else has its identity.
	decision, err := d.Gate.Decide(ctx, enroll.Attempt{At: d.Now().UTC(), Channel: enroll.ChannelADE, Platform: mdm.PlatformOf(cmp.Or(row.Facts.Product, b.Product)),
		Serial: b.Serial, Evidence: enroll.EvidenceSigned, Facts: row.Facts, UserID: b.UserID, RemoteAddr: remote,
		Notes: []enroll.Step{{Check: "ADE", Result: "pass", Detail: "the device returns to service"}}})
	if err != nil || !decision.Allowed() {
		return false, nil, err
	}
	profile, err = d.Profiles.Enrollment(ctx, d.binding(decision, entry, b.UserID))
	return err == nil, profile, err
}

// binding is what the identity of a device is issued for that came by an ADE
// profile.
func (d *Door) binding(decision enroll.Decision, entry dep.Entry, userID string) certs.Binding {
	b := mdm.BindingOf(decision)
	b.UserID, b.ADEProfile = userID, entry.ProfileID
	return b
}
