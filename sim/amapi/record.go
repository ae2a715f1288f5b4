package amapi

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	activeState       = "ACTIVE"
	disabledState     = "DISABLED"
	lostState         = "LOST"
	deletedState      = "DELETED"
	provisioningState = "PROVISIONING"

	deviceOwner    = "DEVICE_OWNER"
	profileOwner   = "PROFILE_OWNER"
	companyOwned   = "COMPANY_OWNED"
	personallyHeld = "PERSONALLY_OWNED"

	// holdTime is how long a device waits for a policy before it is reset
	// (developers.google.com/android/management/create-policy).
	holdTime = 5 * time.Minute
	// wipeReach is for how long the wipe of a deleted device is kept for it.
	wipeReach = 30 * 24 * time.Hour
)

// record is an enrollment as the cloud knows it: what devices.get shows.
type record struct {
	enterprise      *enterprise
	id              string
	phone           *Device
	mode, ownership string
	token           *enrollmentToken
	enrolled        time.Time
	account         string // of the user

	state, appliedState string
	reason              object // disabledReason
	policy              string
	applied, version    string // policy and version on the device
	nonCompliance       []any
	previous            []string
	report              object // what the last report told beyond that
	reported, synced    time.Time
	operations          []*operation // oldest first
	wipeBy              time.Time    // the record is gone; its device is to be wiped when it comes before
}

func (r *record) name() string { return r.enterprise.name() + "/devices/" + r.id }

// render is the Device resource.
func (r *record) render() object {
	h := r.phone.hardware
	hardware := object{"brand": h.Brand, "manufacturer": h.Manufacturer, "model": h.Model, "hardware": strings.ToLower(h.Brand), "serialNumber": h.Serial}
	if r.ownership == personallyHeld {
		esid := specificID(r.enterprise, h.Serial)
		hardware["enterpriseSpecificId"] = esid
		if h.APILevel >= 31 {
			hardware["serialNumber"] = esid
		}
	}
	out := object{
		"name": r.name(), "userName": r.enterprise.name() + "/users/" + r.id, "managementMode": r.mode, "ownership": r.ownership, "state": r.state, "apiLevel": h.APILevel,
		"hardwareInfo": hardware, "enrollmentTime": stamp(r.enrolled), "enrollmentTokenName": r.enterprise.name() + "/enrollmentTokens/" + r.token.id,
		"policyName": r.policy, "policyCompliant": r.applied != "" && len(r.nonCompliance) == 0,
	}
	for name, value := range map[string]string{"appliedState": r.appliedState, "appliedPolicyName": r.applied, "appliedPolicyVersion": r.version, "enrollmentTokenData": r.token.data} {
		if value != "" {
			out[name] = value
		}
	}
	if r.reason != nil {
		out["disabledReason"] = r.reason
	}
	if r.account != "" {
		out["user"] = object{"accountIdentifier": r.account}
	}
	if len(r.nonCompliance) > 0 {
		out["nonComplianceDetails"] = r.nonCompliance
	}
	if len(r.previous) > 0 {
		out["previousDeviceNames"] = r.previous
	}
	if !r.reported.IsZero() {
		out["lastStatusReportTime"] = stamp(r.reported)
	}
	if !r.synced.IsZero() {
		out["lastPolicySyncTime"] = stamp(r.synced)
	}
	for name, value := range r.report {
		out[name] = value
	}
	return out
}

// specificID is a device's id in an organization: it survives a reset, and says
// nothing to another organization.
func specificID(e *enterprise, serial string) string {
	sum := sha256.Sum256([]byte(e.id + "\n" + serial))
	return strings.ToUpper(hex.EncodeToString(sum[:16]))
}

func (c *Cloud) getDevice(e *enterprise, q *call) (any, *refusal) {
	r := e.byID[q.ids[1]]
	if r == nil {
		return nil, missing()
	}
	return r.render(), nil
}

func (c *Cloud) listDevices(e *enterprise, q *call) (any, *refusal) {
	records, next, bad := page(q, e.records, 10, 100)
	var items []object
	for _, r := range records {
		items = append(items, r.render())
	}
	return listed("devices", items, next), bad
}

// patchDevice writes policyName, state and disabledReason. Without a mask it
// writes all three, and a body without state is then a transition to none.
func (c *Cloud) patchDevice(e *enterprise, q *call) (any, *refusal) {
	r := e.byID[q.ids[1]]
	if r == nil {
		return nil, missing()
	}
	paths := []string{"policyName", "state", "disabledReason"}
	if mask := q.query.Get("updateMask"); mask != "" {
		paths = strings.Split(mask, ",")
	}
	for name := range q.body {
		if !slices.Contains([]string{"name", "policyName", "state", "disabledReason"}, name) {
			return nil, invalid("%s of a device cannot be written.", name)
		}
	}
	if name := text(q.body, "name"); name != "" && name != r.name() {
		return nil, invalid("The name in the body is %q, in the path %q.", name, r.name())
	}
	policy, state, reason := r.policy, r.state, r.reason
	for _, path := range paths {
		switch path {
		case "policyName":
			var bad *refusal
			if policy, bad = e.policyName(text(q.body, path), "default"); bad != nil {
				return nil, bad
			}
		case "state":
			state = text(q.body, path)
			if state == "" {
				state = "DEVICE_STATE_UNSPECIFIED"
			}
		case "disabledReason":
			reason, _ = q.body[path].(object)
		default:
			return nil, invalid("Invalid field mask: %s of a device cannot be written.", path)
		}
	}
	if state == activeState && r.state == provisioningState {
		state = provisioningState // until it has its policy
	}
	if state != r.state && (state != activeState && state != disabledState || r.state != activeState && r.state != disabledState) {
		return nil, invalid("Illegal state transition from %s to %s", r.state, state)
	}
	if state != disabledState {
		reason = nil
	}
	r.policy, r.state, r.reason = policy, state, reason
	c.sync(r)
	return r.render(), nil
}

// deleteDevice forgets the device at once; its wipe follows when it is online,
// within 30 days.
func (c *Cloud) deleteDevice(e *enterprise, q *call) (any, *refusal) {
	r := e.byID[q.ids[1]]
	if r == nil {
		return nil, missing()
	}
	message := q.query.Get("wipeReasonMessage")
	switch {
	case len([]rune(message)) > 200:
		return nil, invalid("wipeReasonMessage is longer than 200 characters.")
	case message != "" && r.ownership != personallyHeld:
		return nil, invalid("wipeReasonMessage is for work profiles on personal devices.")
	case slices.Contains(q.query["wipeDataFlags"], "WIPE_DATA_FLAG_UNSPECIFIED"):
		return nil, invalid("wipeDataFlags: WIPE_DATA_FLAG_UNSPECIFIED.")
	}
	c.orderWipe(r)
	c.sync(r)
	return object{}, nil
}

// orderWipe takes a record away and leaves a wipe for its device.
func (c *Cloud) orderWipe(r *record) {
	r.wipeBy = c.now().Add(wipeReach)
	c.forget(r)
}

// forget takes a record away with all that is open for it.
func (c *Cloud) forget(r *record) {
	e := r.enterprise
	e.records = slices.DeleteFunc(slices.Clone(e.records), func(o *record) bool { return o == r })
	delete(e.byID, r.id)
	delete(c.waiting, r)
	for _, o := range r.operations {
		delete(c.pending, o)
	}
}

// giveUp ends an enrollment that got no policy in time.
func (c *Cloud) giveUp(r *record) {
	c.forget(r)
	if r.phone.record == r {
		r.phone.reset()
	}
}

// sync is a device's contact with the cloud: it takes its wipe, its commands
// and its policy, and reports.
func (c *Cloud) sync(r *record) {
	d := r.phone
	if d.offline || d.record != r {
		return
	}
	if !r.wipeBy.IsZero() {
		if c.now().Before(r.wipeBy) {
			d.reset()
			c.reportDeleted(r)
		}
		return
	}
	for _, o := range slices.Clone(r.operations) {
		if c.pending[o] && !c.execute(o) {
			return
		}
	}
	policy := r.enterprise.policies[strings.TrimPrefix(r.policy, r.enterprise.name()+"/policies/")]
	if policy == nil {
		return
	}
	if r.state == provisioningState {
		r.state = activeState
		delete(c.waiting, r)
	}
	if r.applied == r.policy && r.version == text(policy, "version") && r.appliedState == r.state {
		return
	}
	c.apply(r, policy)
}

// apply puts a policy on a device and reports.
func (c *Cloud) apply(r *record, policy object) {
	now := c.now()
	r.applied, r.version, r.appliedState = r.policy, text(policy, "version"), r.state
	r.nonCompliance, r.report = c.judge(r, policy), r.facts(policy)
	r.synced, r.reported = now, now
	r.phone.policy = clone(policy)
	c.notify(r.enterprise, "STATUS_REPORT", r.render())
}

// reportDeleted is the last report, the only place where DELETED shows.
func (c *Cloud) reportDeleted(r *record) {
	r.state, r.appliedState, r.reported = deletedState, deletedState, c.now()
	c.notify(r.enterprise, "STATUS_REPORT", r.render())
}

// facts are the parts of a report that the policy asks for.
func (r *record) facts(policy object) object {
	h, out := r.phone.hardware, object{}
	wants := func(setting string) bool { return flag(policy, "statusReportingSettings."+setting) }
	if wants("softwareInfoEnabled") {
		out["softwareInfo"] = object{"androidVersion": strconv.Itoa(max(h.APILevel-20, 5)), "androidBuildNumber": "SIM." + strconv.Itoa(h.APILevel), "securityPatchLevel": "2026-11-05",
			"androidDevicePolicyVersionCode": 10331800, "androidDevicePolicyVersionName": "103.31.8", "primaryLanguageCode": "en-US"}
	}
	if wants("networkInfoEnabled") {
		network := object{"networkOperatorName": "Example Mobile"}
		if r.ownership == companyOwned {
			for name, value := range map[string]string{"imei": h.IMEI, "meid": h.MEID} {
				if value != "" {
					network[name] = value
				}
			}
		}
		out["networkInfo"] = network
	}
	if wants("memoryInfoEnabled") {
		out["memoryInfo"] = object{"totalRam": "8589934592", "totalInternalStorage": "137438953472"}
	}
	if wants("deviceSettingsEnabled") {
		out["deviceSettings"] = object{"isDeviceSecure": true, "isEncrypted": true, "encryptionStatus": "ACTIVE_PER_USER", "verifyAppsEnabled": true}
	}
	return out
}
