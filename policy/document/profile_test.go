package document

import (
	"errors"
	"testing"

	"rollcall/enroll"
)

func TestEnvelopeIsTheServersToMake(t *testing.T) {
	for key := range envelope {
		profiles := []Profile{{ID: "wifi", Payloads: []Payload{{Type: "com.apple.wifi.managed", Content: Dict{key: "x"}}}}}
		var e *enroll.Error
		if err := CheckProfiles("profiles", profiles); !errors.As(err, &e) || e.Code != "payload_envelope" {
			t.Errorf("%s: error %v, want payload_envelope", key, err)
		}
	}
}
