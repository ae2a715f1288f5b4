package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"rollcall/enroll"
)

// Rollout is how the versions of a policy reach the devices it is bound to.
//
//	percent 100       every save reaches all, per_minute at a time
//	percent < 100     base stays with the others until percent grows
//	paused            who has a version keeps it; others have base
//
// Who is in the percentage follows from the device alone, so a device that is
// in stays in as the percentage grows, over restarts and replicas.
type Rollout struct {
	Percent   int   // 0 to 100: who gets the current version
	PerMinute int   // how many devices a change reaches in a minute; 0: all at once
	Paused    bool  // nobody else gets the current version
	Base      int64 // the version of those it does not reach; 0: there is none
}

// Everybody is the roll-out of a policy of which nothing else was said.
var Everybody = Rollout{Percent: 100}

// Check says what is wrong with a roll-out an admin gave, or nil.
func (r Rollout) Check() error {
	if r.Percent < 0 || r.Percent > 100 {
		return enroll.Errorf(enroll.KindInvalid, "rollout_percent", "%d is not a percentage", r.Percent)
	}
	if r.PerMinute < 0 {
		return enroll.Errorf(enroll.KindInvalid, "rollout_per_minute", "%d devices in a minute are not possible", r.PerMinute)
	}
	return nil
}

// Staged says whether some devices may have another version than the current
// one.
func (r Rollout) Staged() bool { return r.Base != 0 && (r.Percent < 100 || r.Paused) }

// Reaches says whether a device is in the percentage of a policy.
func (r Rollout) Reaches(policyID, deviceID string) bool {
	sum := sha256.Sum256([]byte(policyID + "/" + deviceID))
	return int(binary.BigEndian.Uint32(sum[:])%100) < r.Percent
}

// VersionFor is the version of a policy that a device is to have; current is
// the newest one, has the one in the device's last plan (0: none).
func (r Rollout) VersionFor(policyID, deviceID string, current, has int64) int64 {
	switch {
	case !r.Staged():
		return current
	case !r.Reaches(policyID, deviceID):
		return r.Base
	case r.Paused && has == 0:
		return r.Base
	case r.Paused:
		return has
	}
	return current
}

// At is when the n-th device that a change reaches is planned, counting from 0.
func (r Rollout) At(n int, start time.Time) time.Time {
	if r.PerMinute == 0 {
		return start
	}
	return start.Add(time.Duration(n) * time.Minute / time.Duration(r.PerMinute))
}

// Change is the roll-out after an admin set another one while current was the
// newest version. A change that begins to hold devices back holds them at what
// they all have, so it takes nothing from anybody.
func (r Rollout) Change(to Rollout, current int64) Rollout {
	to.Base = r.Base
	if !r.Staged() {
		to.Base = current
	}
	if to.Percent == 100 && !to.Paused {
		to.Base = 0
	}
	return to
}
