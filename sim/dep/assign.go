package dep

import (
	"math"
	"net/http"
	"time"
)

// Status is the outcome of a call for one serial. The call itself is 200.
type Status string

// The outcomes Apple documents. Omitted is a fault of this service alone: the
// serial is missing from the answer.
const (
	Success       Status = "SUCCESS"
	NotAccessible Status = "NOT_ACCESSIBLE"
	Failed        Status = "FAILED"
	Throttled     Status = "THROTTLED" // from protocol version 9; before that FAILED
	Omitted       Status = "OMITTED"
)

// outcome is an injected status and for how many calls it holds.
type outcome struct {
	status Status
	left   int
}

// assignProfile is POST /profile/devices, and PUT in older clients.
func (c *Cloud) assignProfile(q *request) (any, *refusal) {
	var in struct {
		ProfileUUID string `json:"profile_uuid"`
	}
	if bad := q.decode(&in); bad != nil {
		return nil, bad
	}
	if in.ProfileUUID == "" {
		return nil, refuse("PROFILE_UUID_REQUIRED")
	}
	serials, bad := q.serials()
	if bad != nil {
		return nil, bad
	}
	p := q.account.profiles[in.ProfileUUID]
	if p == nil {
		return nil, &refusal{http.StatusNotFound, "NOT_FOUND"}
	}
	out := q.account.assign(p, serials, q.version)
	out["profile_uuid"] = p.uuid
	return out, nil
}

// removeProfile is DELETE /profile/devices.
func (c *Cloud) removeProfile(q *request) (any, *refusal) {
	serials, bad := q.serials()
	if bad != nil {
		return nil, bad
	}
	return q.account.assign(nil, serials, q.version), nil
}

// assign gives the devices a profile, nil to take theirs away, and returns
// the outcomes as the answer's body.
func (a *Account) assign(p *profile, serials []string, version int) map[string]any {
	outcomes := make(map[string]Status, len(serials))
	var wait time.Duration
	for _, s := range serials {
		status, w := a.judge(s)
		switch status {
		case Success:
			a.give(a.member(s), p)
		case Throttled:
			wait = max(wait, w)
			if version < versionThrottled {
				status = Failed
			}
		case Omitted:
			continue
		}
		outcomes[s] = status
	}
	out := map[string]any{"devices": outcomes}
	if wait > 0 && version >= versionLatest {
		out["retry_after_seconds"] = int(math.Ceil(wait.Seconds()))
	}
	return out
}

// judge decides about one serial; with Throttled comes how long to wait.
func (a *Account) judge(serial string) (Status, time.Duration) {
	if a.member(serial) == nil {
		return NotAccessible, 0
	}
	if until, there := a.throttles[serial]; there {
		if wait := until.Sub(a.cloud.now()); wait > 0 {
			return Throttled, wait
		}
		delete(a.throttles, serial)
	}
	if o := a.statuses[serial]; o != nil && o.left > 0 {
		o.left--
		return o.status, time.Second
	}
	return Success, 0
}

func (a *Account) give(d *device, p *profile) {
	if p == nil {
		if d.profile == nil {
			return
		}
		d.lose()
	} else {
		d.profile, d.status, d.profileAt, d.pushedAt = p, ProfileAssigned, a.cloud.now(), time.Time{}
	}
	a.log(d, modified)
}
