package console_test

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/applepki"
	simdep "rollcall/sim/dep"
)

// newAppleHouse is a house whose server has Apple's service for device enrollment.
func newAppleHouse(t *testing.T) (*house, *simdep.Cloud) {
	t.Helper()
	apple, err := applepki.New()
	if err != nil {
		t.Fatal(err)
	}
	cloud := simdep.New(simdep.Options{})
	if err := cloud.Start("127.0.0.1:0", apple); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	roots := filepath.Join(t.TempDir(), "dep.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: apple.PushCA().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return newHouse(t, stage.Options{Apple: apple, Change: func(o *app.Options) { o.DEPURL, o.DEPRoots = cloud.URL(), roots }}), cloud
}

// until reads a page until it says something.
func (p *person) until(path, what string) *page {
	p.h.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		g := p.Get(path)
		if strings.Contains(g.Text(), what) {
			return g
		}
		if time.Now().After(end) {
			p.h.t.Fatalf("%s does not come to say %q: %s", path, what, g.Text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestEnrollmentDEP: from the account to the devices with their profile, the
// report, and all that ends it again.
func TestEnrollmentDEP(t *testing.T) {
	h, cloud := newAppleHouse(t)
	apple, err := cloud.AddAccount("Berlin")
	if err != nil {
		t.Fatal(err)
	}
	other, err := cloud.AddAccount("Elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	devices := simdep.Fixture("CON", 3)
	if err := apple.AddDevices(devices...); err != nil {
		t.Fatal(err)
	}
	ann, bob := h.As(admin.RoleAdmin), h.As(admin.RoleViewer)
	const list, name = "/console/enrollment/dep", "Berlin/Mitte & <b>co</b>"
	bob.Get(list).Wants(http.StatusOK, "There are no DEP accounts.").Lacks("New account")
	ann.Get(list).Follow("New account").Form("Make the account").Set("name", " \x01").Send().Wants(http.StatusUnprocessableEntity)
	g := ann.Get(list).Follow("New account").Form("Make the account").Set("name", name).Set("group", "New devices").Send().Wants(http.StatusOK, "is made", "no token yet", "waits for a token")
	path := g.URL.EscapedPath()

	t.Run("token", func(t *testing.T) {
		certificate := bob.Get(path + "/certificate")
		if certificate.Status != http.StatusOK || !strings.Contains(certificate.Header.Get("Content-Disposition"), "rollcall-dep.pem") {
			t.Fatalf("%d %v", certificate.Status, certificate.Header)
		}
		file, err := apple.TokenFile([]byte(certificate.Body))
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := other.TokenFile([]byte(certificate.Body))
		if err != nil {
			t.Fatal(err)
		}
		bob.Get(path).Wants(http.StatusOK).Lacks("Token file", "Sync now", "Delete the account")
		ann.Get(path).Form("Upload the token").Send().Wants(http.StatusUnprocessableEntity, "No file was chosen.")
		ann.Get(path).Form("Upload the token").Attach("token", "x.p7m", "no token").Send().Wants(http.StatusUnprocessableEntity, "this is no server token file")
		ann.Get(path).Form("Upload the token").Attach("token", "x.p7m", string(file)).Send().Wants(http.StatusOK, "Apple takes the token", "days left")
		ann.Get(path).Form("Upload the token").Attach("token", "x.p7m", string(foreign)).Send().Wants(http.StatusConflict, "another device management service")
		bob.until(path, "up to date")
	})

	t.Run("profile", func(t *testing.T) {
		form := ann.Get(path).Follow("New ADE profile").Form("Save").Set("name", "A/B").Set("rest", "[]").Set("department", "IT").Set("skip_setup_items", "Siri", "ScreenTime")
		g := form.Send().Wants(http.StatusUnprocessableEntity, "This is no JSON object.")
		g = g.Form("Save").Set("rest", "").Set("minimum_iPad", "new").Send().Wants(http.StatusUnprocessableEntity, "is not a version of an operating system")
		g.Form("Save").Set("minimum_iPad", "26.1").Send().Wants(http.StatusOK, "The ADE profile A/B is made")
		ann.Get(path).Follow("New ADE profile").Form("Save").Set("name", "A/B").Send().Wants(http.StatusConflict, "There is a profile of this name.")
		f := ann.Get(path).Follow("A/B").Form("Save")
		if f.Fields.Get("department") != "IT" || f.Fields.Get("is_mdm_removable") != "false" || f.Fields.Get("minimum_iPad") != "26.1" || strings.Join(f.Fields["skip_setup_items"], " ") != "ScreenTime Siri" {
			t.Errorf("the form holds %v", f.Fields)
		}
		f.Set("department", "Help desk").Set("rest", `{"org_magic": "x"}`).Send().Wants(http.StatusOK, "is changed")
		bob.Get(path).Follow("A/B").Wants(http.StatusOK).Lacks("Delete the profile", "Save Cancel")
		mine := ann.Get(path).Follow("A/B").Form("Save").Set("department", "Mine")
		ann.Get(path).Follow("A/B").Form("Save").Set("department", "Theirs").Send().Wants(http.StatusOK, "is changed")
		mine.Send().Wants(http.StatusConflict, "Somebody else has changed this meanwhile.", `"department": "Theirs"`).Form("Save").Send().Wants(http.StatusOK, "is changed")
		ann.Get(path).Form("Save").Set("profile", "A/B").Send().Wants(http.StatusOK, "is changed")
		ann.until(path+"/devices", "assigned")
		ann.Get(path).Form("Sync now").Set("full", "true").Send().Wants(http.StatusOK, "The synchronisation begins")
		bob.until(path+"/status", "up to date")
		bob.Get(path+"/devices").Wants(http.StatusOK, devices[0].Serial, "on the roll", "A/B", "assigned")
		ann.Get(path).Follow("A/B").Follow("Delete the profile").Form("Delete the profile").Send().Wants(http.StatusConflict)
	})

	t.Run("report", func(t *testing.T) {
		h.API(http.MethodDelete, "/devices/"+devices[1].Serial, nil, nil)
		g := bob.Get(list).Follow("Reconciliation").Wants(http.StatusOK, "1 not on the roll", "0 in two accounts")
		g.Follow("1 not on the roll").Wants(http.StatusOK, devices[1].Serial, "Switch on Add as Pre-enrolled Device").Lacks(devices[0].Serial)
		bob.Get(list+"/report?silent_days=-1").Wants(http.StatusUnprocessableEntity, "expected number >= 0")
		bob.Get(list + "/report?finding=nonsense").Wants(http.StatusUnprocessableEntity)
	})

	t.Run("the end", func(t *testing.T) {
		ann.Get(path).Follow("Account-driven discovery").Form("Save").Set("url", "http://mdm.example.com").Send().Wants(http.StatusUnprocessableEntity, "is not an https URL")
		const url = "https://mdm.example.com/.well-known/com.apple.remotemanagement"
		ann.Get(path).Follow("Account-driven discovery").Form("Save").Set("url", url).Send().Wants(http.StatusOK, "Apple knows")
		ann.Get(path).Follow("Account-driven discovery").Wants(http.StatusOK, url).Form("Take it back").Send().Wants(http.StatusOK, "sends nobody here")
		ann.Get(path).Follow("Release devices for good").Form("Release devices for good").Set("serials", devices[2].Serial).Set("confirm", "yes").Send().Wants(http.StatusUnprocessableEntity, "was not confirmed", devices[2].Serial).
			Form("Release devices for good").Set("confirm", "release for good").Send().Wants(http.StatusOK, devices[2].Serial, "✓ done")
		g := ann.Get(path).Follow("Delete the account").Form("Delete the account").Set("confirm", "Berlin").Send().Wants(http.StatusUnprocessableEntity, "nothing was done")
		g.Form("Delete the account").Set("confirm", name).Send().Wants(http.StatusOK, "is deleted", "There are no DEP accounts.")
		ann.Get(path).Wants(http.StatusNotFound)
	})
}
