package amapi

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDevicePatch(t *testing.T) {
	b := newBench(t)
	d := b.enrolled(Hardware{Serial: "S1"})
	name := d.State().Name
	b.policy("second", object{"screenCaptureDisabled": true})
	// A body without state and without a mask is a transition to no state.
	b.refused("PATCH", name, object{"policyName": "second"}, "INVALID_ARGUMENT", "Illegal state transition from ACTIVE to DEVICE_STATE_UNSPECIFIED")
	b.refused("PATCH", name+"?updateMask=policyName,state", object{"policyName": "second"}, "INVALID_ARGUMENT", "Illegal state transition")
	b.wantMessages()
	b.ok("PATCH", name, object{"policyName": "second", "state": "ACTIVE"})
	got := b.wantMessages("STATUS_REPORT")[0].body
	if text(got, "appliedPolicyName") != b.enterprise+"/policies/second" || text(got, "appliedPolicyVersion") != "1" || !flag(got, "policyCompliant") {
		t.Error(got)
	}
	if d.State().Policy["screenCaptureDisabled"] != true {
		t.Error(d.State().Policy)
	}
	b.ok("PATCH", name+"?updateMask=state,disabledReason", object{"state": "DISABLED", "disabledReason": object{"defaultMessage": "Not on the roll"}})
	got = b.wantMessages("STATUS_REPORT")[0].body
	if text(got, "appliedState") != disabledState || text(got, "disabledReason.defaultMessage") != "Not on the roll" || !d.State().Disabled {
		t.Error(got)
	}
	b.ok("PATCH", name+"?updateMask=state", object{"state": "ACTIVE"})
	if got = b.wantMessages("STATUS_REPORT")[0].body; got["disabledReason"] != nil || text(got, "policyName") != b.enterprise+"/policies/second" {
		t.Error(got)
	}
	b.refused("PATCH", name+"?updateMask=state", object{"state": "DELETED"}, "INVALID_ARGUMENT", "Illegal state transition")
	b.refused("PATCH", name+"?updateMask=managementMode", object{}, "INVALID_ARGUMENT", "cannot be written")
	b.refused("PATCH", name+"?updateMask=policyName", object{"policyName": "plain", "userName": "x"}, "INVALID_ARGUMENT", "cannot be written")
	b.refused("PATCH", name+"?updateMask=policyName", object{"policyName": "enterprises/other/policies/p"}, "INVALID_ARGUMENT", "not a policy of")
	b.refused("PATCH", b.enterprise+"/devices/none?updateMask=policyName", object{"policyName": "plain"}, "NOT_FOUND", "")
	b.wantMessages()
}

// One call to a shared policy reaches all its devices, and only those.
func TestSharedPolicy(t *testing.T) {
	b := newBench(t)
	var devices []*Device
	b.policy("shared", object{})
	entry := text(b.token(object{"policyName": "shared", "allowPersonalUsage": corporate}), "qrCode")
	for _, h := range Fixture("A", 3) {
		d := b.device(h)
		b.setup(d, entry, nil)
		devices = append(devices, d)
	}
	b.enrolled(Hardware{Serial: "OTHER"})
	devices[2].SetOffline(true)
	b.policy("shared", object{"screenCaptureDisabled": true})
	for _, n := range b.wantMessages("STATUS_REPORT", "STATUS_REPORT") {
		if text(n.body, "appliedPolicyVersion") != "2" {
			t.Error(n.body)
		}
	}
	if got := b.ok("GET", devices[2].State().Name, nil); text(got, "appliedPolicyVersion") != "1" {
		t.Error(got)
	}
	devices[2].SetOffline(false)
	b.wantMessages("STATUS_REPORT")
	if got := list(b.ok("GET", b.enterprise+"/devices?pageSize=2", nil), "devices"); len(got) != 2 {
		t.Error(got)
	}
}

func TestReports(t *testing.T) {
	b := newBench(t)
	d := b.enrolled(Hardware{Serial: "S1", IMEI: "350000000000019"})
	parts := []string{"softwareInfo", "networkInfo", "memoryInfo", "deviceSettings"}
	got := b.ok("GET", d.State().Name, nil)
	for _, part := range parts {
		if got[part] != nil {
			t.Errorf("%s although the policy does not ask for it", part)
		}
	}
	b.policy("plain", object{"statusReportingSettings": object{"softwareInfoEnabled": true, "networkInfoEnabled": true, "memoryInfoEnabled": true, "deviceSettingsEnabled": true}})
	got = b.wantMessages("STATUS_REPORT")[0].body
	for _, part := range parts {
		if got[part] == nil {
			t.Errorf("no %s", part)
		}
	}
	if text(got, "networkInfo.imei") != "350000000000019" {
		t.Error(got["networkInfo"])
	}
	person := b.device(Hardware{Serial: "S2", IMEI: "350000000000027"})
	b.setup(person, link(text(b.token(object{"policyName": "plain", "allowPersonalUsage": personal}), "value")), nil)
	if got := b.wantMessages("ENROLLMENT", "STATUS_REPORT")[1].body; got["networkInfo"] == nil || text(got, "networkInfo.imei") != "" {
		t.Error("a personal device tells its IMEI:", got["networkInfo"])
	}
	b.clock.advance(time.Minute)
	if err := d.Report(); err != nil {
		t.Error(err)
	}
	if got = b.wantMessages("STATUS_REPORT")[0].body; text(got, "lastStatusReportTime") != stamp(b.clock.now()) {
		t.Error(got)
	}
	d.Reset()
	if d.Report() == nil {
		t.Error("a device that is not managed reports")
	}
}

func TestNonCompliance(t *testing.T) {
	b := newBench(t)
	policy := object{
		"factoryResetDisabled": true, "microphoneAccess": "MICROPHONE_ACCESS_DISABLED", "minimumApiLevel": 36, "screenCaptureDisabled": true, "bluetoothDisabled": false,
		"deviceConnectivityManagement": object{"configureWifi": "DISALLOW_CONFIGURING_WIFI", "usbDataAccess": "ALLOW_USB_DATA_TRANSFER"},
		"applications":                 []any{object{"packageName": "a", "installType": "FORCE_INSTALLED"}, object{"packageName": "gone", "installType": "FORCE_INSTALLED"}},
	}
	b.policy("p", policy)
	enroll := func(h Hardware, usage string, wizard bool) []any {
		d := b.device(h)
		d.Lacks("gone")
		value := text(b.token(object{"policyName": "p", "allowPersonalUsage": usage}), "value")
		if !wizard {
			value = link(value)
		}
		b.setup(d, value, nil)
		got := b.wantMessages("ENROLLMENT", "STATUS_REPORT")[1].body
		if flag(got, "policyCompliant") {
			t.Error("compliant")
		}
		var lines []any
		for _, d := range list(got, "nonComplianceDetails") {
			lines = append(lines, strings.TrimSpace(text(d, "settingName")+" "+text(d, "nonComplianceReason")+" "+text(d, "fieldPath")))
		}
		return lines
	}
	app := "applications APP_NOT_INSTALLED applications[1]"
	if diff := cmp.Diff([]any{"deviceConnectivityManagement API_LEVEL deviceConnectivityManagement.configureWifi", "factoryResetDisabled PROJECT_NOT_PERMITTED", "minimumApiLevel OS_NOT_PERMITTED", app},
		enroll(Hardware{Serial: "OLD", APILevel: 32}, corporate, true)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"factoryResetDisabled PROJECT_NOT_PERMITTED", "microphoneAccess MANAGEMENT_MODE", app}, enroll(Hardware{Serial: "COPE"}, personal, true)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"deviceConnectivityManagement MANAGEMENT_MODE deviceConnectivityManagement.configureWifi", "factoryResetDisabled MANAGEMENT_MODE", "microphoneAccess MANAGEMENT_MODE", app},
		enroll(Hardware{Serial: "BYOD"}, personal, false)); diff != "" {
		t.Error(diff)
	}
}

func TestDelete(t *testing.T) {
	b := newBench(t)
	online, soon, late := b.enrolled(Hardware{Serial: "S1"}), b.enrolled(Hardware{Serial: "S2"}), b.enrolled(Hardware{Serial: "S3"})
	soon.SetOffline(true)
	late.SetOffline(true)
	b.refused("DELETE", online.State().Name+"?wipeReasonMessage=bye", nil, "INVALID_ARGUMENT", "personal devices")
	b.refused("DELETE", online.State().Name+"?wipeReasonMessage="+url.QueryEscape(strings.Repeat("x", 201)), nil, "INVALID_ARGUMENT", "200")
	b.refused("DELETE", online.State().Name+"?wipeDataFlags=WIPE_DATA_FLAG_UNSPECIFIED", nil, "INVALID_ARGUMENT", "UNSPECIFIED")
	for _, d := range []*Device{online, soon, late} {
		name := d.State().Name
		b.ok("DELETE", name+"?wipeDataFlags=WIPE_EXTERNAL_STORAGE&wipeDataFlags=WIPE_ESIMS", nil)
		b.refused("GET", name, nil, "NOT_FOUND", "")
		b.refused("DELETE", name, nil, "NOT_FOUND", "")
	}
	if got := b.ok("GET", b.enterprise+"/devices", nil); len(got) != 0 {
		t.Error(got)
	}
	if got := b.wantMessages("STATUS_REPORT")[0].body; text(got, "state") != deletedState || text(got, "hardwareInfo.serialNumber") != "S1" {
		t.Error(got)
	}
	b.clock.advance(29 * 24 * time.Hour)
	soon.SetOffline(false)
	b.signIn()
	if got := b.wantMessages("STATUS_REPORT")[0].body; text(got, "appliedState") != deletedState || soon.State().Managed {
		t.Error(got)
	}
	b.clock.advance(2 * 24 * time.Hour)
	late.SetOffline(false)
	b.signIn()
	b.wantMessages()
	if !late.State().Managed || late.Report() == nil {
		t.Error("a wipe came after 30 days, or a device reports that nobody knows")
	}
	b.wantMessages()
}
