package amapi

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicyMasks(t *testing.T) {
	b := newBench(t)
	name := b.enterprise + "/policies/p"
	for i, c := range []struct{ mask, body, want string }{
		{"", `{"cameraAccess":"CAMERA_ACCESS_DISABLED","screenCaptureDisabled":true}`, `{"cameraAccess":"CAMERA_ACCESS_DISABLED","screenCaptureDisabled":true}`},
		{"", `{"screenCaptureDisabled":true,"version":"99"}`, `{"screenCaptureDisabled":true}`}, // the rest is gone, and the version is the server's
		{"cameraAccess", `{"cameraAccess":"CAMERA_ACCESS_ENFORCED","installAppsDisabled":true}`, `{"screenCaptureDisabled":true,"cameraAccess":"CAMERA_ACCESS_ENFORCED"}`},
		{"cameraAccess,screenCaptureDisabled", `{}`, `{}`},
		{"statusReportingSettings.softwareInfoEnabled,statusReportingSettings.memoryInfoEnabled", `{"statusReportingSettings":{"softwareInfoEnabled":true,"displayInfoEnabled":true}}`, `{"statusReportingSettings":{"softwareInfoEnabled":true}}`},
		{"applications", `{"applications":[{"packageName":"a"}]}`, `{"statusReportingSettings":{"softwareInfoEnabled":true},"applications":[{"packageName":"a"}]}`},
	} {
		query := ""
		if c.mask != "" {
			query = "?updateMask=" + c.mask
		}
		got := b.ok("PATCH", name+query, c.body)
		value, err := parse([]byte(c.want))
		if err != nil {
			t.Fatal(err)
		}
		want := value.(object)
		want["name"], want["version"] = name, fmt.Sprint(i+1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", c.mask, diff)
		}
		if diff := cmp.Diff(got, b.ok("GET", name, nil)); diff != "" {
			t.Error(diff)
		}
	}
	b.refused("PATCH", name+"?updateMask=version", object{}, "INVALID_ARGUMENT", "version")
	b.refused("PATCH", name, object{"name": b.enterprise + "/policies/q"}, "INVALID_ARGUMENT", "name")
	b.refused("GET", b.enterprise+"/policies/q", nil, "NOT_FOUND", "")
}

func TestPolicyRules(t *testing.T) {
	b := newBench(t)
	apps := func(n int, fields object) []any {
		out := make([]any, n)
		for i := range out {
			app := clone(fields)
			app["packageName"] = fmt.Sprintf("org.example.a%d", i)
			out[i] = app
		}
		return out
	}
	for words, body := range map[string]object{
		"at most 3000":    {"applications": apps(3001, object{})},
		"packageName":     {"applications": []any{object{}}},
		"twice":           {"applications": []any{object{"packageName": "a"}, object{"packageName": "a"}}},
		"At most 20":      {"applications": apps(21, object{"minimumVersionCode": 1})},
		"KIOSK":           {"applications": apps(2, object{"installType": "KIOSK"})},
		"setup action":    {"setupActions": []any{object{}, object{}}},
		"both required":   {"policyEnforcementRules": []any{object{"settingName": "passwordPolicies", "blockAction": object{"blockAfterDays": 1}}}},
		"comes first":     {"policyEnforcementRules": []any{object{"settingName": "passwordPolicies", "blockAction": object{"blockAfterDays": 5}, "wipeAction": object{"wipeAfterDays": 5}}}},
		"each scope":      {"passwordPolicies": []any{object{"passwordScope": "SCOPE_DEVICE"}, object{"passwordScope": "SCOPE_DEVICE"}}},
		"SCOPE_PROFILE.":  {"passwordPolicies": []any{object{"passwordScope": "SCOPE_DEVICE", "unifiedLockSettings": "REQUIRE_SEPARATE_WORK_LOCK"}}},
		"Unknown name \"": {"nothing": true},
	} {
		b.refused("PATCH", b.enterprise+"/policies/p", body, "INVALID_ARGUMENT", words)
	}
	b.policy("p", object{"applications": apps(3000, object{})})
}

func TestPolicyApplications(t *testing.T) {
	b := newBench(t)
	name := b.enterprise + "/policies/p"
	b.refused("POST", name+":modifyPolicyApplications", object{"changes": []any{}}, "NOT_FOUND", "")
	b.policy("p", object{"applications": []any{object{"packageName": "a", "installType": "AVAILABLE", "disabled": true}, object{"packageName": "b"}}, "screenCaptureDisabled": true})
	change := func(mask string, app object) object {
		out := object{"application": app}
		if mask != "" {
			out["updateMask"] = mask
		}
		return out
	}
	out := b.ok("POST", name+":modifyPolicyApplications", object{"changes": []any{
		change("installType", object{"packageName": "a", "installType": "BLOCKED", "disabled": false}),
		change("", object{"packageName": "c", "installType": "FORCE_INSTALLED"}),
	}})
	want := object{"name": name, "version": "2", "screenCaptureDisabled": true, "applications": []any{
		object{"packageName": "a", "installType": "BLOCKED", "disabled": true}, object{"packageName": "b"}, object{"packageName": "c", "installType": "FORCE_INSTALLED"}}}
	if diff := cmp.Diff(want, out["policy"]); diff != "" {
		t.Error(diff)
	}
	out = b.ok("POST", name+":removePolicyApplications", object{"packageNames": []any{"b", "c", "unknown"}})
	want["version"], want["applications"] = "3", []any{object{"packageName": "a", "installType": "BLOCKED", "disabled": true}}
	if diff := cmp.Diff(want, out["policy"]); diff != "" {
		t.Error(diff)
	}
	b.refused("POST", name+":modifyPolicyApplications", object{"changes": []any{change("", object{"packageName": "a"}), change("", object{"packageName": "a"})}}, "INVALID_ARGUMENT", "once")
	b.refused("POST", name+":modifyPolicyApplications", object{}, "INVALID_ARGUMENT", "nothing")
	b.refused("POST", name+":removePolicyApplications", object{}, "INVALID_ARGUMENT", "nothing")
}

func TestPolicyInUseIsNotDeleted(t *testing.T) {
	b := newBench(t)
	d := b.enrolled(Hardware{Serial: "S1"})
	b.refused("DELETE", b.enterprise+"/policies/plain", nil, "FAILED_PRECONDITION", "in use")
	b.ok("DELETE", d.State().Name, nil)
	b.ok("DELETE", b.enterprise+"/policies/plain", nil)
	b.refused("DELETE", b.enterprise+"/policies/plain", nil, "NOT_FOUND", "")
}
