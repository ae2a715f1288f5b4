package policy

import (
	"fmt"
	"time"
)

// RenewBefore is how long before its end the identity of a device is renewed. A
// device that misses all of it has to enroll again.
const RenewBefore = 60 * 24 * time.Hour

const week = 7 * 24 * time.Hour

// renewal is the item that renews a device's identity when it ends soon. Its
// hash changes with each week that is left, so that a renewal that failed or
// was never fetched is sent again.
func renewal(s Situation, now time.Time) (Item, bool) {
	if s.IdentityEnds.IsZero() || now.Before(s.IdentityEnds.Add(-RenewBefore)) {
		return Item{}, false
	}
	left := max(s.IdentityEnds.Sub(now)/week, 0)
	return Item{Key: "identity", Title: "Identity renewal", Hash: fmt.Sprintf("%s/%d", s.Fingerprint, left),
		Step: RenewIdentity{EnrollmentID: s.EnrollmentID, DecisionID: s.DecisionID, DeviceID: s.Device.ID, Serial: s.Device.Serial, UDID: s.UDID}}, true
}
