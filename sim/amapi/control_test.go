package amapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// control makes a call of the control endpoint.
func (b *bench) control(method, path, body string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.cloud.URL()+"/sim/"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestControl(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Control = true })
	b.policy("default", object{})
	entry := fmt.Sprintf(`{"entry":%q}`, text(b.token(object{"allowPersonalUsage": corporate}), "value"))
	extras := object{"configurationName": "R", "companyName": "A", "contactEmail": "a@example.com", "contactPhone": "1", "dpcResourcePath": "customers/100000000/dpcs/" + clouddpc, "isDefault": true,
		"dpcExtras": text(b.token(object{"allowPersonalUsage": corporate}), "qrCode")}
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "devices", "", 200, "[]"},
		{"POST", "devices", `{"serial":"S1","api_level":33}`, 200, `"api_level": 33`},
		{"POST", "devices", `{"serial":"S1"}`, 400, "S1"},
		{"POST", "devices", `{`, 400, ""},
		{"GET", "devices/S1", "", 200, `"managed": false`},
		{"GET", "devices/S2", "", 400, "no device"},
		{"PATCH", "devices/S1", `{"offline":true,"account":"a@example.com","lacks":["a"],"fail":{"REBOOT":"UNSUPPORTED"}}`, 200, `"offline": true`},
		{"POST", "devices/S1/setup", entry, 400, "offline"},
		{"PATCH", "devices/S1", `{"offline":false}`, 200, `"offline": false`},
		{"POST", "devices/S1/setup", entry, 200, `"management_mode": "DEVICE_OWNER"`},
		{"POST", "devices/S1/report", "", 200, `"managed": true`},
		{"POST", "devices/S1/reset", "", 200, `"resets": 1`},
		{"POST", "devices/S1/report", "", 400, "not managed"},
		{"POST", "enterprises", `{"display_name":"Second"}`, 200, `"name": "enterprises/LC`},
		{"POST", "topics", `{"topic":"more","subscription":"mine"}`, 200, "projects/sim-project/subscriptions/mine"},
		{"POST", "customers", `{"company":"Acme","serials":["S1"]}`, 200, "customers/100000000"},
		{"POST", "customers", `{"company":"Other","serials":["S2"]}`, 400, "no device"},
		{"POST", "devices/S1/setup", `{"zero_touch":true}`, 400, "no configuration"},
		{"POST", "faults", `[{"kind":"reply","call":"enterprises.get","times":1,"status":503,"code":"UNAVAILABLE"}]`, 204, ""},
		{"POST", "faults", `{"kind":"explode"}`, 400, "explode"},
		{"POST", "message-faults", `{"kind":"vanish"}`, 204, ""},
		{"POST", "forge", `{"subscription":"projects/sim-project/subscriptions/rollcall","forgery":"alg_none"}`, 400, "push"},
		{"POST", "rotate-keys", "", 204, ""},
		{"GET", "warnings", "", 200, "[]"},
		{"GET", "calls", "", 200, `"oauth.token": 1`},
		{"GET", "nothing", "", 404, ""},
	} {
		status, body := b.control(c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	b.refused("GET", b.enterprise, nil, "UNAVAILABLE", "")
	b.control("POST", "faults", `{"kind":"drop"}`)
	if status, _ := b.control("DELETE", "faults", ""); status != 204 {
		t.Error(status)
	}
	b.ok("GET", b.enterprise, nil)
	name := text(b.ok("POST", "customers/100000000/configurations", extras), "name")
	b.ok("POST", "customers/100000000/devices:applyConfiguration", object{"device": object{"deviceIdentifier": object{"serialNumber": "S1", "manufacturer": "Google"}}, "configuration": name})
	if status, body := b.control("POST", "devices/S1/setup", `{"zero_touch":true}`); status != 200 {
		t.Error(status, body)
	}
	e := newEndpoint(b)
	sub := b.pushTo(e.URL)
	if _, body := b.control("POST", "forge", fmt.Sprintf(`{"subscription":%q,"forgery":"es256_short","type":"ENROLLMENT","data":"{}"}`, sub)); !strings.Contains(body, "401") {
		t.Error(body)
	}
	if status, _ := b.control("DELETE", b.enterprise, ""); status != 204 {
		t.Error(status)
	}
	b.refused("GET", b.enterprise, nil, "PERMISSION_DENIED", "")
	off := newBench(t)
	if status, _ := off.control("GET", "devices", ""); status != 404 {
		t.Error("the control endpoint is served unasked:", status)
	}
}
