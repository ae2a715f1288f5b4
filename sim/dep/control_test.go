package dep

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
)

func TestControl(t *testing.T) {
	c, _ := start(t, Options{Control: true}, 2)
	one, two := c.account.Serials()[0], c.account.Serials()[1]
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, certPEM := certificate(t, key, key.Public())
	profile := c.define()
	c.assign(profile, one)
	for _, tt := range []struct {
		call, body string
		status     int
		want       string
	}{
		{"GET /sim/accounts", "", 200, `"devices": 2`},
		{"POST /sim/accounts", `{"name":"Other"}`, 200, `"name": "Other"`},
		{"POST /sim/accounts", `{"name":"Other"}`, 400, "name of its own"},
		{"POST /sim/accounts/Other/token", string(certPEM), 200, "smime-type=enveloped-data"},
		{"POST /sim/accounts/Other/token", "hello", 400, "no certificate"},
		{"POST /sim/accounts/Nobody/token", string(certPEM), 400, "no account"},
		{"POST /sim/accounts/Other/devices", `{"prefix":"NEW","count":3}`, 204, ""},
		{"POST /sim/accounts/Other/devices", `{"prefix":"N","count":3}`, 400, "prefix"},
		{"GET /sim/accounts/Other/devices", "", 200, "NEW"},
		{"GET /sim/devices/" + one, "", 200, `"profile_status": "assigned"`},
		{"GET /sim/devices/NOBODY", "", 400, "no device"},
		{"POST /sim/devices/" + one + "/activate", "", 200, `"url": "https://mdm.example.com`},
		{"GET /sim/devices/" + one, "", 200, `"profile_status": "pushed"`},
		{"POST /sim/devices/" + two + "/activate", "", 400, "no profile"},
		{"POST /sim/devices/" + one + "/move", `{"account":"Other"}`, 204, ""},
		{"POST /sim/devices/" + one + "/move", `{"account":"Nobody"}`, 400, "no account"},
		{"GET /sim/devices/" + one, "", 200, `"account": "Other"`},
		{"POST /sim/devices/" + one + "/replace", `{"serial":"NEWONE"}`, 204, ""},
		{"GET /sim/devices/NEWONE", "", 200, `"account": "Other"`},
		{"DELETE /sim/devices/NEWONE", "", 204, ""},
		{"DELETE /sim/devices/NEWONE", "", 400, "no device"},
		{"POST /sim/faults", `{"kind":"reply","call":"GET /account","times":1,"status":503,"retry_after":"5"}`, 204, ""},
		{"GET /account", "", 503, ""},
		{"POST /sim/faults", `[{"kind":"drop"},{"kind":"hang"}]`, 204, ""},
		{"POST /sim/faults", `{"kind":"explode"}`, 400, "unknown"},
		{"DELETE /sim/faults", "", 204, ""},
		{"GET /account", "", 200, `"server_name":"Main"`},
		{"PATCH /sim/accounts/Main", `{"terms_signed":false}`, 204, ""},
		{"GET /account", "", 403, "T_C_NOT_SIGNED"},
		{"PATCH /sim/accounts/Main", `{"terms_signed":true,"access":false}`, 204, ""},
		{"GET /account", "", 403, "ACCESS_DENIED"},
		{"PATCH /sim/accounts/Main", `{"access":true,"beta":false}`, 204, ""},
		{"GET /os-beta-enrollment/tokens", "", 403, "APPLE_SEED_FOR_IT_TURNED_OFF"},
		{"POST /sim/accounts/Main/outcomes", `{"serials":["` + two + `"],"status":"FAILED"}`, 204, ""},
		{"DELETE /profile/devices", `{"devices":["` + two + `"]}`, 200, `"FAILED"`},
		{"POST /sim/accounts/Main/outcomes", `{"serials":["` + two + `"],"throttle_seconds":60}`, 204, ""},
		{"DELETE /profile/devices", `{"devices":["` + two + `"]}`, 200, `"retry_after_seconds":60`},
		{"POST /sim/accounts/Main/outcomes", `{"status":"SUCCESS"}`, 400, "none that can be injected"},
		{"PATCH /sim/accounts/Main", `{"expire":["hope"]}`, 400, "does not expire"},
		{"GET /sim/calls", "", 200, `"DELETE /profile/devices": 2`},
		{"PATCH /sim/accounts/Main", `{"expire":["session"]}`, 204, ""},
		{"GET /account", "", 401, ""},
	} {
		method, path, _ := strings.Cut(tt.call, " ")
		out := c.call(method, path, tt.body)
		if out.status != tt.status || !strings.Contains(string(out.body), tt.want) {
			t.Errorf("%s %s: %d %s", tt.call, tt.body, out.status, out.body)
		}
	}
	closed, _ := start(t, Options{}, 0)
	if out := closed.call("GET", "/sim/accounts", nil); out.status != 404 {
		t.Errorf("control without being asked for: %d", out.status)
	}
}
