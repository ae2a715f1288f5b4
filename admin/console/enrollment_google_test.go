package console_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/android/amapi"
	"rollcall/android/google"
	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	simamapi "rollcall/sim/amapi"
)

// newGoogleHouse is a house whose server has a Google.
func newGoogleHouse(t *testing.T) (*house, *simamapi.Cloud) {
	t.Helper()
	schema, err := simamapi.LoadSchema(filepath.Join("..", "..", "..", "shared", "data", "amapi-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool() // of the server, once it is there
	phones := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(phones.CloseIdleConnections)
	cloud, err := simamapi.New(simamapi.Options{Schema: schema, PerMinute: -1, PullWait: 200 * time.Millisecond, PushRetry: 50 * time.Millisecond, Client: &http.Client{Transport: phones, Timeout: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	h := newHouse(t, stage.Options{Change: func(o *app.Options) {
		o.AMAPIURL, o.PubSubURL, o.GoogleCertsURL, o.ZeroTouchURL = cloud.URL(), cloud.URL(), cloud.URL()+"/oauth2/v3/certs", cloud.URL()
	}})
	roots.AddCert(h.Stage.App.Authority().Certificate())
	return h, cloud
}

// pastTheSignIn is a token that somebody made at Google, past this server.
func pastTheSignIn(t *testing.T, cloud *simamapi.Cloud, enterprise string, file []byte) string {
	t.Helper()
	key, err := google.ParseServiceAccount(file)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := amapi.NewClient(cloud.URL(), google.NewTokenSource(key, amapi.ManagementScope, &http.Client{Transport: transport}, nil), transport, key.ProjectID, nil, nil)
	token, err := client.CreateToken(t.Context(), enterprise, amapi.EnrollmentToken{AllowPersonalUsage: "PERSONAL_USAGE_DISALLOWED", Duration: "3600s"})
	if err != nil {
		t.Fatal(err)
	}
	return token.Value
}

// TestEnrollmentGoogle: from the key to the devices in quarantine, and the end.
func TestEnrollmentGoogle(t *testing.T) {
	h, cloud := newGoogleHouse(t)
	key, err := cloud.ServiceAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	ann, op, bob := h.As(admin.RoleAdmin), h.As(admin.RoleOperator), h.As(admin.RoleViewer)
	const path = "/console/enrollment/google"
	bob.Get(path).Wants(http.StatusOK, "No organization at Google is connected").Lacks("Key of the service account")
	ann.Get(path).Form("Connect").Attach("key", "key.json", "no key").Send().Wants(http.StatusUnprocessableEntity, "This is not the key of a service account.")
	ann.Get(path).Form("Connect").Attach("key", "key.json", "{}").Send().Wants(http.StatusUnprocessableEntity)
	ann.Get(path).Form("Connect").Attach("key", "key.json", string(key)).Send().Wants(http.StatusOK, "Google takes the key.", "none is bound yet")
	bob.Get(path).Wants(http.StatusOK, cloud.Project(), "at the sign-in page").Lacks("Begin the sign-up", "Disconnect")
	ann.Get(path).Form("Take an enterprise").Set("name", "LC").Send().Wants(http.StatusUnprocessableEntity, "is not a name such as enterprises/")
	g := ann.Get(path).Form("Begin the sign-up").Send().Wants(http.StatusOK, "Go on at Google")
	var e struct {
		Name      string
		SignupURL string `json:"signup_url"`
	}
	h.API(http.MethodGet, "/android/enterprise", nil, &e)
	if !strings.Contains(g.Body, `rel="noopener"`) {
		t.Error("no link to Google")
	}
	client := stage.NewClient(h.Stage.Roots)
	defer client.CloseIdleConnections()
	res, err := client.Get(e.SignupURL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	ann.Get(path).Wants(http.StatusOK, "enterprises/LC").Lacks("Take an enterprise")
	h.API(http.MethodGet, "/android/enterprise", nil, &e)

	g = ann.Get(path).Form("Save").Set("gate_work_profile_personal", "sign_in").Set("gate_fully_managed", "notification").Send().Wants(http.StatusUnprocessableEntity, "work_profile_personal: ")
	if strings.Count(g.Body, `aria-invalid="true"`) != 1 {
		t.Error("the refusal does not stand at its field")
	}
	g.Form("Save").Set("gate_work_profile_personal", "token").Set("gate_work_profile_company", "off").Send().Wants(http.StatusOK, "The settings are saved.")
	op.Get(path+"/ways").Wants(http.StatusOK, "There are none")
	ann.Get(path).Form("Save").Set("gate_work_profile_company", "sign_in").Send().Wants(http.StatusOK)
	if g := op.Get(path+"/ways").Wants(http.StatusOK, "Work profile, company-owned", "Enrollment token"); strings.Count(g.Body, "<svg") != 1 {
		t.Error("no code")
	}
	op.Get(path).Form("Compare with Google now").Send().Wants(http.StatusOK, "are being compared")
	ann.Get(path).Form("Repeat the set-up").Send().Wants(http.StatusOK, "are set up")

	h.API(http.MethodPut, "/devices/PERSONAL0001", map[string]any{"platform": "android", "ownership": "personal"}, nil)
	g = op.Get(path).Follow("Token for a device").Form("Make the token").Set("serial", "NOTTHERE0001").Send().Wants(http.StatusNotFound, "NOTTHERE0001")
	g.Form("Make the token").Set("serial", "PERSONAL0001").Send().Wants(http.StatusOK, "never again", "PERSONAL0001", "Work profile, personal", "https://")

	h.API(http.MethodPut, "/settings/enrollment-restrictions", map[string]any{"pre_enrolled_devices_only": "enforce"}, nil)
	token := pastTheSignIn(t, cloud, e.Name, key)
	for _, serial := range []string{"UNKNOWN00001", "UNKNOWN00002"} {
		d, err := cloud.AddDevice(simamapi.Hardware{Serial: serial})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Setup(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		bob.until(path+"/devices?state=quarantined", serial)
	}
	bob.Get(path+"/devices").Wants(http.StatusOK, "in quarantine", "deny.not_pre_enrolled").Lacks("Approve", "Remove")
	g = ann.Get(path+"/devices").Follow("Remove").Form("Remove").Set("confirm", "yes").Send().Wants(http.StatusUnprocessableEntity, "was not confirmed")
	g.Form("Remove").Set("confirm", "wipe").Send().Wants(http.StatusOK, "The device is removed.", "removed")
	op.Get(path+"/devices?state=quarantined").Form("Approve").Send().Wants(http.StatusOK, "the gate is asked again")
	bob.until(path+"/devices?state=enrolled", "UNKNOWN0000")

	op.Get(path + "/poison").Wants(http.StatusForbidden)
	ann.Get(path+"/poison").Wants(http.StatusOK, "There are none.")
	var topic struct{ Topic string }
	h.API(http.MethodGet, "/android/enterprise", nil, &topic)
	cloud.Publish(topic.Topic, "ENROLLMENT", []byte("<b>no JSON</b> \xff"))
	ann.until(path+"/poison", "<b>no JSON</b>")
	g = ann.Get(path).Follow("Disconnect").Form("Disconnect").Set("confirm", "yes").Send().Wants(http.StatusUnprocessableEntity, "nothing was done")
	g.Form("Disconnect").Set("confirm", cloud.Project()).Send().Wants(http.StatusOK, "is disconnected", "No organization at Google is connected")
}

// TestEnrollmentZeroTouch: from the key to the devices that have our
// configuration, and the end.
func TestEnrollmentZeroTouch(t *testing.T) {
	h, cloud := newGoogleHouse(t)
	key, err := cloud.ServiceAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	customer := cloud.AddCustomer("Example <b>at</b> Google")
	d, err := cloud.AddDevice(simamapi.Hardware{Serial: "ZT0000000001"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Claim(customer, d); err != nil {
		t.Fatal(err)
	}
	ann, bob := h.As(admin.RoleAdmin), h.As(admin.RoleViewer)
	const path = "/console/enrollment/zero-touch"
	bob.Get(path).Wants(http.StatusOK, "No zero-touch account is connected").Lacks("Connect the account")
	ann.Get(path).Form("Connect the account").Attach("key", "key.json", "").Send().Wants(http.StatusUnprocessableEntity, "This is not the key of a service account.")
	ann.Get(path).Form("Connect the account").Attach("key", "key.json", string(key)).Send().Wants(http.StatusOK, "Google takes the key.", "Example <b>at</b> Google")
	ann.Get(path).Follow("Choose the customer").Wants(http.StatusOK, "Example <b>at</b> Google").Form("Choose Example <b>at</b> Google").Send().Wants(http.StatusOK, "The settings are saved")
	ann.Get(path).Form("Save").Set("add_as_pre_enrolled", "true").Set("group", "New").Set("assign", "chosen").Send().Wants(http.StatusOK, "The settings are saved")
	g := ann.Get(path).Form("Save the configuration").Set("company", "Example").Set("email", "no address").Set("phone", "+49 30 1234").Send().Wants(http.StatusUnprocessableEntity, "e-mail address of the configuration")
	if !strings.Contains(g.Body, `value="no address"`) {
		t.Error("what was typed is lost")
	}
	g.Form("Save the configuration").Set("email", "it@example.com").Send().Wants(http.StatusOK, "The configuration is saved")
	bob.until(path+"/status", "whose gate for fully_managed is sign_in")
	ann.Get(path).Form("Sync now").Send().Wants(http.StatusOK, "is being read")
	bob.until(path+"/devices", "on the roll")
	bob.Get(path+"/devices").Wants(http.StatusOK, "ZT0000000001", "as the account says").Lacks("Give the configuration")
	ann.Get(path+"/devices").Form("Take it away").Send().Wants(http.StatusUnprocessableEntity, "No device is ticked.")
	ann.Get(path+"/devices").Form("Take it away").Set("serials", "ZT0000000001").Send().Wants(http.StatusOK, "1 device is chosen", "not ours")
	g = ann.Get(path).Follow("Disconnect").Form("Disconnect").Send().Wants(http.StatusUnprocessableEntity, "nothing was done")
	g.Form("Disconnect").Set("confirm", cloud.Project()).Send().Wants(http.StatusOK, "is disconnected")
}
