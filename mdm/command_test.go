package mdm

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/mdm/plist"
	"rollcall/policy"
	"rollcall/policy/apple"
	"rollcall/policy/apple/schematest"
	"rollcall/policy/document"
)

// TestEncode: what is not asked for is not in the command, and an app is named
// in exactly one way.
func TestEncode(t *testing.T) {
	type dict = map[string]any
	for _, c := range []struct {
		name string
		step policy.Step
		want dict
	}{
		{"all managed apps", policy.QueryApps{}, dict{"RequestType": "ManagedApplicationList"}},
		{"declarations without tokens", policy.Declare{}, dict{"RequestType": "DeclarativeManagement"}},
		{"app of the store", policy.InstallApp{App: apple.Install{AppStoreID: 5, BundleID: "a.b", ManifestURL: "https://example.com/a.plist", Flags: 1}},
			dict{"RequestType": "InstallApplication", "iTunesStoreID": int64(5), "ManagementFlags": int64(1)}},
		{"app of one's own", policy.InstallApp{App: apple.Install{BundleID: "a.b", ManifestURL: "https://example.com/a.plist", TakeOver: true}},
			dict{"RequestType": "InstallApplication", "ManifestURL": "https://example.com/a.plist", "ChangeManagementState": "Managed"}},
		{"app of the system", policy.InstallApp{App: apple.Install{BundleID: "com.apple.mobilesafari", Licensed: true}},
			dict{"RequestType": "InstallApplication", "Identifier": "com.apple.mobilesafari", "Options": dict{"PurchaseMethod": int64(1)}}},
		{"configuration of an app", policy.InstallApp{App: apple.Install{BundleID: "a.b", Configuration: document.Dict{"list": []any{document.Dict{"a": []byte{1}}}}}},
			dict{"RequestType": "InstallApplication", "Identifier": "a.b", "Configuration": dict{"list": []any{dict{"a": []byte{1}}}}}},
		{"configuration that is empty", policy.InstallApp{App: apple.Install{BundleID: "a.b", Configuration: document.Dict{}}},
			dict{"RequestType": "InstallApplication", "Identifier": "a.b", "Configuration": dict{}}},
		{"settings in their order", policy.Settings{Items: []apple.Setting{{Item: "DeviceName", Content: document.Dict{"DeviceName": "x"}}, {Item: "DataRoaming", Content: document.Dict{"Enabled": false}}}},
			dict{"RequestType": "Settings", "Settings": []any{dict{"Item": "DeviceName", "DeviceName": "x"}, dict{"Item": "DataRoaming", "Enabled": false}}}},
	} {
		requestType, body, err := Encoder{}.Encode(t.Context(), "c-1", c.step)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := plist.DecodeDict(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dict{"CommandUUID": "c-1", "Command": c.want}, got); diff != "" || requestType != c.want["RequestType"] {
			t.Errorf("%s is %s (-want +got):\n%s", c.name, requestType, diff)
		}
		if s := schematest.Load(t); s != nil {
			if wrong := wrongCommand(s, body); wrong != nil {
				t.Errorf("%s: %v", c.name, wrong)
			}
		}
	}
}
