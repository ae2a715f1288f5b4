package mdm

import (
	"testing"

	"rollcall/mdm/plist"
)

// The identifiers live in an embedded struct; a decoder that skips it would
// leave every message without a sender.
func TestDecodeSender(t *testing.T) {
	body, err := plist.Encode(map[string]any{"UDID": "u-1", "MessageType": "TokenUpdate", "Token": []byte{1}, "AwaitingConfiguration": false, "UserID": sharedUserID, "UserShortName": "anna"})
	if err != nil {
		t.Fatal(err)
	}
	var m checkin
	if err := plist.Decode(body, &m); err != nil {
		t.Fatal(err)
	}
	if m.device() != "u-1" || m.user() != "anna" || m.AwaitingConfiguration == nil || *m.AwaitingConfiguration || len(m.Token) != 1 {
		t.Errorf("decoded %+v", m)
	}
	body, _ = plist.Encode(map[string]any{"UDID": "u-1", "Status": "Error", "CommandUUID": "c",
		"ErrorChain":     []any{map[string]any{"ErrorCode": 12021, "ErrorDomain": "MCMDMErrorDomain", "USEnglishDescription": "no"}},
		"QueryResponses": map[string]any{"IsSupervised": true, "BatteryLevel": 0.5}})
	var a answer
	if err := plist.Decode(body, &a); err != nil {
		t.Fatal(err)
	}
	if got, want := a.failure(), "MCMDMErrorDomain 12021: no"; got != want {
		t.Errorf("failure %q, want %q", got, want)
	}
	if f := a.facts(); f.Supervised == nil || !*f.Supervised || f.Extra["BatteryLevel"] != "0.5" {
		t.Errorf("facts %+v", f)
	}
}
