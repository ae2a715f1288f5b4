package amapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
)

func TestCommands(t *testing.T) {
	for name, test := range map[string]struct {
		command string
		args    map[string]any
		mode    Mode
		want    map[string]any // nil: refused
		kind    enroll.Kind
	}{
		"lock": {"lock", nil, PersonalProfile, map[string]any{"type": "LOCK", "duration": "604800s"}, ""},
		"a wipe has its parameters, and waits for a month": {"wipe", nil, FullyManaged, map[string]any{"type": "WIPE", "duration": "2592000s", "wipeParams": map[string]any{}}, ""},
		"a wipe of everything": {"wipe", map[string]any{"external_storage": true, "esims": true}, FullyManaged,
			map[string]any{"type": "WIPE", "duration": "2592000s", "wipeParams": map[string]any{"wipeDataFlags": []any{"WIPE_EXTERNAL_STORAGE", "WIPE_ESIMS"}}}, ""},
		"a reason on somebody's own device": {"wipe", map[string]any{"reason": "You left"}, PersonalProfile,
			map[string]any{"type": "WIPE", "duration": "2592000s", "wipeParams": map[string]any{"wipeReason": map[string]any{"defaultMessage": "You left"}}}, ""},
		"a reason elsewhere":               {"wipe", map[string]any{"reason": "x"}, FullyManaged, nil, enroll.KindInvalid},
		"disenroll a personal device":      {actionDisenroll, nil, PersonalProfile, map[string]any{"type": "WIPE", "duration": "2592000s", "wipeParams": map[string]any{}}, ""},
		"disenroll a company's":            {actionDisenroll, nil, FullyManaged, nil, enroll.KindConflict},
		"reboot a profile":                 {"reboot", nil, CompanyProfile, nil, enroll.KindConflict},
		"lost mode of a personal device":   {"start_lost_mode", map[string]any{"message": "x"}, PersonalProfile, nil, enroll.KindConflict},
		"lost mode without anything shown": {"start_lost_mode", map[string]any{"organization": "x"}, FullyManaged, nil, enroll.KindInvalid},
		"lost mode": {"start_lost_mode", map[string]any{"message": "Call", "email": "it@example.com"}, FullyManaged,
			map[string]any{"type": "START_LOST_MODE", "duration": "604800s", "startLostModeParams": map[string]any{"lostMessage": map[string]any{"defaultMessage": "Call"}, "lostEmailAddress": "it@example.com"}}, ""},
		"reset passcode": {"reset_passcode", map[string]any{"passcode": "123456", "lock_now": true}, FullyManaged,
			map[string]any{"type": "RESET_PASSWORD", "duration": "604800s", "newPassword": "123456", "resetPasswordFlags": []any{"LOCK_NOW"}}, ""},
		"relinquish":              {"relinquish_ownership", nil, CompanyProfile, map[string]any{"type": "RELINQUISH_OWNERSHIP", "duration": "604800s"}, ""},
		"app data":                {"clear_app_data", map[string]any{"packages": []any{"a.b"}}, FullyManaged, map[string]any{"type": "CLEAR_APP_DATA", "duration": "604800s", "clearAppsDataParams": map[string]any{"packageNames": []any{"a.b"}}}, ""},
		"app data of nothing":     {"clear_app_data", nil, FullyManaged, nil, enroll.KindInvalid},
		"an argument too many":    {"lock", map[string]any{"message": "x"}, FullyManaged, nil, enroll.KindInvalid},
		"an argument of a number": {"reset_passcode", map[string]any{"passcode": 123456.0}, FullyManaged, nil, enroll.KindInvalid},
		"no such command":         {"DeviceLock", nil, FullyManaged, nil, enroll.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := NewCommand(test.command, test.args, test.mode)
			if enroll.KindOf(err) != test.kind {
				t.Fatalf("%v", err)
			}
			if test.want == nil {
				return
			}
			var got map[string]any
			if err := json.Unmarshal(c.Body, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoPolicyTakesAName: a name that a content was made for, and that has been
// changed in place since, is not given again.
func TestNoPolicyTakesAName(t *testing.T) {
	shared := []Shared{{Name: policyName("enterprises/LC0", "pabc"), Hash: "other"}, {Name: policyName("enterprises/LC0", "pabc-2"), Hash: "other"}}
	if got := freeName("enterprises/LC0", "abc", shared); got != "enterprises/LC0/policies/pabc-3" {
		t.Errorf("%s", got)
	}
}

func FuzzNotification(f *testing.F) {
	f.Add([]byte(`{"name":"enterprises/LC0/devices/1","state":"ACTIVE","appliedPolicyVersion":"3","nonComplianceDetails":[{"settingName":"cameraAccess"}]}`))
	f.Add([]byte(`{"name":"enterprises/LC0/devices/../x","appliedPolicyVersion":-1}`))
	f.Add([]byte(`{"name":"enterprises/LC0/devices/1/operations/2","done":true,"metadata":{"createTime":"x"}}`))
	f.Add([]byte(`{"appliedPolicyVersion":1e999}`))
	f.Add([]byte(`[[[[[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := Organization{Name: "enterprises/LC0"}
		d, err := readDevice(o, data)
		if err == nil {
			if r := reportOf(d, d.LastStatusReportTime); r.Name != d.Name || len(r.Complaints) > maxComplaints {
				t.Errorf("%+v", r)
			}
		}
		var op Operation
		if readJSON(data, &op) {
			_ = deviceOf(op.Name)
		}
		_ = subject(Message{ID: "1", Data: data})
	})
}
