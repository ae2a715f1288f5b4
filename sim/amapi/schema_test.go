package amapi

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A new revision of the document is looked at before it is taken.
func TestSchemaRevision(t *testing.T) {
	s, err := loadSchema()
	if err != nil {
		t.Fatal(err)
	}
	if s.Revision != "20261102" {
		t.Errorf("revision %s", s.Revision)
	}
	routed := map[string][2]string{}
	for _, r := range managementRoutes {
		routed[r.id] = [2]string{r.method, r.path}
	}
	document := map[string][2]string{}
	for id, m := range s.methods {
		document[id] = [2]string{m.HTTPMethod, m.FlatPath}
	}
	if diff := cmp.Diff(document, routed); diff != "" {
		t.Error(diff)
	}
}

func TestLoadSchemaRefuses(t *testing.T) {
	for name, content := range map[string]string{"no JSON": "{", "no document": `{"schemas":{}}`} {
		file := filepath.Join(t.TempDir(), "schema.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSchema(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := LoadSchema(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file: no error")
	}
}

func TestRequestsAreValidated(t *testing.T) {
	b := newBench(t)
	policy := b.enterprise + "/policies/p"
	tokens := b.enterprise + "/enrollmentTokens"
	for name, c := range map[string]struct {
		method, path string
		body         any
		words        string
	}{
		"unknown field":           {"PATCH", policy, object{"cameraAcess": "X"}, `Unknown name "cameraAcess": Cannot find field.`},
		"unknown nested field":    {"PATCH", policy, `{"applications":[{"packageName":"a"},{"package":"b"}]}`, `Unknown name "package" at 'applications[1]': Cannot find field.`},
		"enumeration":             {"PATCH", policy, object{"playStoreMode": "ALLOWLIST"}, `Invalid value at 'playStoreMode' (TYPE_ENUM), "ALLOWLIST"`},
		"int64 as a number":       {"PATCH", policy, `{"maximumTimeToLock":60000}`, "maximumTimeToLock"},
		"int64 that is none":      {"PATCH", policy, object{"maximumTimeToLock": "1m"}, "(int64)"},
		"int32 as a string":       {"PATCH", policy, object{"minimumApiLevel": "33"}, "minimumApiLevel"},
		"int32 with a fraction":   {"PATCH", policy, `{"minimumApiLevel":33.5}`, "minimumApiLevel"},
		"int32 too large":         {"PATCH", policy, `{"minimumApiLevel":4294967296}`, "minimumApiLevel"},
		"boolean":                 {"PATCH", policy, object{"screenCaptureDisabled": "true"}, "screenCaptureDisabled"},
		"array":                   {"PATCH", policy, object{"applications": object{}}, "applications"},
		"object":                  {"PATCH", policy, object{"systemUpdate": "AUTOMATIC"}, "systemUpdate"},
		"duration":                {"POST", tokens, object{"duration": "1h"}, "(google-duration)"},
		"date":                    {"POST", tokens, object{"expirationTimestamp": "tomorrow"}, "(google-datetime)"},
		"null":                    {"PATCH", policy, `{"applications":null}`, "null"},
		"key twice":               {"PATCH", policy, `{"cameraAccess":"CAMERA_ACCESS_DISABLED","cameraAccess":"CAMERA_ACCESS_USER_CHOICE"}`, "twice"},
		"text behind":             {"PATCH", policy, `{} {}`, "behind"},
		"no JSON":                 {"PATCH", policy, `{`, "Invalid JSON"},
		"no object":               {"PATCH", policy, `[]`, "Root element"},
		"nested too deep":         {"PATCH", policy, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), "deep"},
		"unknown query":           {"GET", b.enterprise + "?view=FULL", nil, `Unknown name "view": Cannot bind query parameter.`},
		"query not a number":      {"GET", b.enterprise + "/devices?pageSize=all", nil, "pageSize"},
		"query twice":             {"GET", b.enterprise + "/devices?pageSize=1&pageSize=2", nil, "repeated"},
		"query enumeration":       {"DELETE", b.enterprise + "/devices/x?wipeDataFlags=ALL", nil, "wipeDataFlags"},
		"mask in snake case":      {"PATCH", policy + "?updateMask=camera_access", object{}, "google-fieldmask"},
		"mask of an unknown":      {"PATCH", policy + "?updateMask=cameraAcess", object{}, "cameraAcess"},
		"mask of an unknown part": {"PATCH", policy + "?updateMask=statusReportingSettings.software", object{}, "statusReportingSettings.software"},
		"body of a GET":           {"GET", b.enterprise, object{}, "no body"},
		"body of a call with none": {"POST", b.enterprise + "/devices/x/operations/1:cancel", object{"name": "x"},
			"no body"},
		"change's mask": {"POST", policy + ":modifyPolicyApplications", object{"changes": []any{object{"updateMask": "install_type"}}}, "google-fieldmask"},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.refused(c.method, c.path, c.body, "INVALID_ARGUMENT", c.words)
		})
	}
	b.t = t
	// What Google's own client sends.
	b.ok("PATCH", policy+"?alt=json&prettyPrint=false&updateMask=cameraAccess%2CscreenCaptureDisabled", object{"screenCaptureDisabled": true})
	r, err := http.NewRequest(http.MethodPatch, b.cloud.URL()+"/v1/"+policy, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.bearer)
	r.Header.Set("Content-Type", "text/plain")
	resp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a body of text: %d", resp.StatusCode)
	}
}

func TestUnknownAddressesAreHTML(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{b.enterprise + "/device", "provisioningInfo/x:get", "enterprises/a/b/c", b.enterprise + "/devices/x/operations/1:stop"} {
		status, body, err := b.send("GET", path, nil)
		if err != nil || status != http.StatusNotFound || !strings.Contains(string(body), "<!DOCTYPE html>") {
			t.Errorf("%s: %d %s %v", path, status, body, err)
		}
	}
	b.refused("GET", b.enterprise+"/webApps", nil, "UNIMPLEMENTED", "")
}

func TestWarnings(t *testing.T) {
	b := newBench(t)
	b.policy("p", object{"cameraDisabled": true, "version": "7"})
	b.token(object{"name": "mine", "user": object{"accountIdentifier": "a"}})
	want := []string{"enrollmentTokens.create: name is the server's", "enrollmentTokens.create: user is deprecated", "policies.patch: cameraDisabled is deprecated"}
	got := b.cloud.Warnings()
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutSchema(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Schema = nil })
	if status, _, err := b.send("PATCH", b.enterprise+"/policies/p", object{"cameraAcess": "X"}); status != 200 || err != nil {
		t.Errorf("%d %v", status, err)
	}
}
