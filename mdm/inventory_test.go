package mdm

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/mdm/plist"
)

func TestInventory(t *testing.T) {
	for _, c := range []struct {
		requestType string
		answer      map[string]any
		want        map[string]bool
	}{
		{"ProfileList", map[string]any{"ProfileList": []any{
			map[string]any{"PayloadIdentifier": "rollcall.policy.wifi", "IsManaged": true},
			map[string]any{"PayloadIdentifier": "old.system"},
			map[string]any{"PayloadIdentifier": "by.hand", "IsManaged": false},
		}}, map[string]bool{"rollcall.policy.wifi": true, "old.system": true}},
		{"ProfileList", map[string]any{}, map[string]bool{}},
		{"ManagedApplicationList", map[string]any{"ManagedApplicationList": map[string]any{
			"a": map[string]any{"Status": "Managed"}, "b": map[string]any{"Status": "ManagedButUninstalled"}, "c": map[string]any{"Status": "UserRejected"},
		}}, map[string]bool{"a": true, "c": true}},
		{"InstallApplication", map[string]any{"Identifier": "com.example.app", "State": "Installing"}, map[string]bool{"com.example.app": true}},
		{"SecurityInfo", map[string]any{"Identifier": "x"}, map[string]bool{}},
	} {
		body, err := plist.Encode(c.answer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Encoder{}.Inventory(c.requestType, body)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: error %v (-want +got):\n%s", c.requestType, err, diff)
		}
	}
	if _, err := (Encoder{}).Inventory("ProfileList", []byte("nonsense")); err == nil {
		t.Error("what is no property list is read")
	}
}
