package amapi

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCommand(t *testing.T) {
	b := newBench(t)
	d := b.enrolled(Hardware{Serial: "S1"})
	name := d.State().Name
	out := b.ok("POST", name+":issueCommand", object{"type": "RESET_PASSWORD", "newPassword": "Secret 12", "resetPasswordFlags": []any{"LOCK_NOW"}})
	want := object{"@type": "type.googleapis.com/google.android.devicemanagement.v1.Command", "type": "RESET_PASSWORD", "resetPasswordFlags": []any{"LOCK_NOW"}, "duration": "600s",
		"createTime": stamp(b.clock.now()), "userName": text(b.ok("GET", name, nil), "userName")}
	if diff := cmp.Diff(want, out["metadata"]); diff != "" {
		t.Error(diff)
	}
	if out["done"] != nil {
		t.Error("the answer to issueCommand is done")
	}
	got := b.ok("GET", text(out, "name"), nil)
	if !flag(got, "done") || got["error"] != nil || got["response"] == nil {
		t.Error(got)
	}
	if diff := cmp.Diff(got, b.wantMessages("COMMAND")[0].body); diff != "" {
		t.Error(diff)
	}
	second := b.ok("POST", name+":issueCommand", object{"type": "LOCK"})
	if ops := list(b.ok("GET", name+"/operations", nil), "operations"); len(ops) != 2 || ops[0]["name"] != second["name"] {
		t.Error(ops)
	}
	b.refused("GET", name+"/operations?filter=done", nil, "UNIMPLEMENTED", "")
	b.refused("GET", name+"/operations/1", nil, "NOT_FOUND", "")
	b.refused("GET", b.enterprise+"/devices/none/operations", nil, "NOT_FOUND", "")
	b.refused("POST", b.enterprise+"/devices/none:issueCommand", object{"type": "LOCK"}, "NOT_FOUND", "")
	b.refused("POST", text(second, "name")+":cancel", nil, "FAILED_PRECONDITION", "done")
}

func TestCommandRules(t *testing.T) {
	b := newBench(t)
	name := b.enrolled(Hardware{Serial: "S1"}).State().Name
	for words, body := range map[string]object{
		"type of the command":  {},
		"needs wipeParams":     {"type": "WIPE"},
		"wipeReason":           {"type": "WIPE", "wipeParams": object{"wipeReason": object{"defaultMessage": "x"}}},
		"does not belong":      {"type": "LOCK", "wipeParams": object{}},
		"duration":             {"type": "LOCK", "duration": "0s"},
		"errorCode":            {"type": "LOCK", "errorCode": "UNKNOWN"},
		"phone number":         {"type": "START_LOST_MODE", "startLostModeParams": object{"lostOrganization": object{"defaultMessage": "Acme"}}},
		"packageNames is":      {"type": "CLEAR_APP_DATA", "clearAppsDataParams": object{}},
		`"EXPLODE"`:            {"type": "EXPLODE"},
		"needs stopLostModePa": {"type": "STOP_LOST_MODE"},
	} {
		b.refused("POST", name+":issueCommand", body, "INVALID_ARGUMENT", words)
	}
	b.wantMessages()
}

func TestCommandResults(t *testing.T) {
	b := newBench(t)
	b.policy("default", object{})
	company := b.enrolled(Hardware{Serial: "FM"})
	profile, byod := b.device(Hardware{Serial: "COPE"}), b.device(Hardware{Serial: "BYOD"})
	b.setup(profile, text(b.token(object{"allowPersonalUsage": personal}), "qrCode"), nil)
	b.setup(byod, link(text(b.token(object{"allowPersonalUsage": personal}), "value")), nil)
	b.pull()
	lost := object{"type": "START_LOST_MODE", "startLostModeParams": object{"lostMessage": object{"defaultMessage": "Call us"}}}
	found := object{"type": "STOP_LOST_MODE", "stopLostModeParams": object{}}
	for i, c := range []struct {
		device *Device
		body   object
		path   string // of the metadata
		want   string
	}{
		{company, object{"type": "REBOOT"}, "errorCode", ""},
		{profile, object{"type": "REBOOT"}, "errorCode", "MANAGEMENT_MODE"},
		{company, object{"type": "RELINQUISH_OWNERSHIP"}, "errorCode", "MANAGEMENT_MODE"},
		{company, object{"type": "RESET_PASSWORD", "newPassword": "12345"}, "errorCode", "INVALID_VALUE"},
		{company, lost, "startLostModeStatus.status", "SUCCESS"},
		{company, lost, "startLostModeStatus.status", "ALREADY_IN_LOST_MODE"},
		{company, found, "stopLostModeStatus.status", "SUCCESS"},
		{company, found, "stopLostModeStatus.status", "NOT_IN_LOST_MODE"},
		{byod, lost, "errorCode", "MANAGEMENT_MODE"},
		{company, object{"type": "CLEAR_APP_DATA", "clearAppsDataParams": object{"packageNames": []any{"a"}}}, "clearAppsDataStatus.results.a.clearingResult", "SUCCESS"},
		{company, object{"type": "REQUEST_DEVICE_INFO", "requestDeviceInfoParams": object{"deviceInfo": "EID"}}, "requestDeviceInfoStatus.status", "SUCCEEDED"},
		{company, object{"type": "ADD_ESIM", "addEsimParams": object{"activationCode": "LPA:1$x"}}, "esimStatus.status", "SUCCESS"},
	} {
		out := b.ok("POST", c.device.State().Name+":issueCommand", c.body)
		got := b.ok("GET", text(out, "name"), nil)
		if text(got, "metadata."+c.path) != c.want || (got["error"] != nil) != (c.path == "errorCode" && c.want != "") {
			t.Errorf("%d: %v", i, got)
		}
	}
	b.pull()
	company.Fail("LOCK", "UNSUPPORTED")
	b.ok("POST", company.State().Name+":issueCommand", object{"type": "LOCK"})
	if got := b.wantMessages("COMMAND")[0].body; text(got, "metadata.errorCode") != "UNSUPPORTED" {
		t.Error(got)
	}
	b.ok("POST", company.State().Name+":issueCommand", lost)
	if got := b.wantMessages("COMMAND", "STATUS_REPORT")[1].body; text(got, "appliedState") != lostState || !company.State().Lost {
		t.Error(got)
	}
	b.refused("PATCH", company.State().Name+"?updateMask=state", object{"state": "DISABLED"}, "INVALID_ARGUMENT", "from LOST to DISABLED")
	name := profile.State().Name
	b.ok("POST", name+":issueCommand", object{"type": "RELINQUISH_OWNERSHIP"})
	b.refused("GET", name, nil, "NOT_FOUND", "")
	b.wantMessages("COMMAND", "STATUS_REPORT")
}

// A command that no device takes in time ends without a message.
func TestCommandExpires(t *testing.T) {
	b := newBench(t)
	d := b.enrolled(Hardware{Serial: "S1"})
	name := d.State().Name
	d.SetOffline(true)
	short := b.ok("POST", name+":issueCommand", object{"type": "LOCK"})
	wipe := object{"type": "WIPE", "wipeParams": object{"wipeDataFlags": []any{"WIPE_EXTERNAL_STORAGE"}}, "duration": "2592000s"}
	long := b.ok("POST", name+":issueCommand", wipe)
	dropped := b.ok("POST", name+":issueCommand", wipe)
	b.ok("POST", text(dropped, "name")+":cancel", nil)
	b.ok("POST", text(dropped, "name")+":cancel", object{})
	if got := b.ok("GET", text(dropped, "name"), nil); number(got, "error.code") != codeCancelled || !flag(got, "done") {
		t.Error(got)
	}
	b.clock.advance(10 * time.Minute)
	if got := b.ok("GET", text(short, "name"), nil); number(got, "error.code") != codeDeadlineExceeded || !flag(got, "done") {
		t.Error(got)
	}
	if got := b.ok("GET", text(long, "name"), nil); flag(got, "done") {
		t.Error(got)
	}
	b.wantMessages()
	b.clock.advance(20 * 24 * time.Hour)
	b.signIn()
	b.ok("GET", name, nil)
	d.SetOffline(false)
	notes := b.wantMessages("COMMAND", "STATUS_REPORT")
	if notes[0].body["name"] != long["name"] || text(notes[1].body, "state") != deletedState {
		t.Error(notes)
	}
	b.refused("GET", name, nil, "NOT_FOUND", "")
	b.refused("GET", text(long, "name"), nil, "NOT_FOUND", "")
	if s := d.State(); s.Managed || s.Resets != 1 {
		t.Error(s)
	}
}
