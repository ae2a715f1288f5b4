package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
)

// TestSettingsTabs: everybody sees the tabs of their role, and each page of
// them; an admin's page is refused to a viewer who knows its address.
func TestSettingsTabs(t *testing.T) {
	h := newHouse(t)
	viewer, ada := h.As(admin.RoleViewer), h.As(admin.RoleAdmin)
	viewer.Get("/console/settings").Wants(http.StatusOK, "Mail", "Certificates", "Retention", "About").Lacks("API tokens", "Webhooks", "Audit log")
	for path, want := range map[string]string{
		"mail":         "There is no mail server",
		"certificates": "Device CA",
		"retention":    "until it is deleted",
		"about":        "SQLite",
	} {
		viewer.Get("/console/settings/"+path).Wants(http.StatusOK, want).Lacks("Send test message", "Install a certificate")
	}
	for _, path := range []string{"tokens", "tokens/new", "webhooks", "webhooks/new", "audit", "audit/verify", "certificates/push/request", "certificates/push/install"} {
		viewer.Get("/console/settings/" + path).Wants(http.StatusForbidden)
		ada.Get("/console/settings/" + path).Wants(http.StatusOK)
	}
}

func TestSettingsTokens(t *testing.T) {
	h := newHouse(t)
	ada := h.As(admin.RoleAdmin)
	form := ada.Get("/console/settings/tokens").Follow("New token").Form("Make token").Set("name", "nightly <script>").Set("role", "operator")
	form = form.Set("expires_at", "2001-01-01").Send().Wants(http.StatusUnprocessableEntity, "expires_at is in the past").Form("Make token")
	g := form.Set("expires_at", time.Now().AddDate(0, 1, 0).Format(time.DateOnly)).Send().Wants(http.StatusOK, "Token nightly <script>", "rollcall_", "shown this once")
	if again := form.Send(); !strings.Contains(again.Body, g.Body[strings.Index(g.Body, "rollcall_"):][:30]) {
		t.Error("sent twice, there is another token")
	}
	list := g.Follow("To the tokens").Wants(http.StatusOK, "nightly <script>", "usable").Lacks("rollcall_")
	list.Follow("Revoke nightly <script>").Wants(http.StatusOK, "Revoke the token nightly <script>?").Form("Revoke").Send().Wants(http.StatusOK, "The token was revoked.").Lacks("Revoke nightly <script>")
}

func TestSettingsMail(t *testing.T) {
	post, options := post(t)
	h := newHouse(t, options)
	g := h.As(admin.RoleAdmin).Get("/console/settings/mail").Wants(http.StatusOK, post.Addr(), "Example IT <mdm@example.com>", "No open request has a message that failed.")
	g = g.Form("Send test message").Set("to", "nobody").Send().Wants(http.StatusUnprocessableEntity, "nobody")
	g = g.Form("Send test message").Set("to", "ann@example.com").Send().Wants(http.StatusOK, "The mail server took the message to ann@example.com.")
	if len(post.To("ann@example.com")) != 1 {
		t.Error("no message arrived")
	}
	post.Down()
	g.Form("Send test message").Set("to", "bob@example.com").Send().Wants(http.StatusOK, "failed at this step: connecting")
}

func TestSettingsWebhooks(t *testing.T) {
	arrived := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Header.Get("Rollcall-Delivery") }))
	t.Cleanup(receiver.Close)
	h := newHouse(t, stage.Options{Change: func(o *app.Options) { o.AllowPrivateWebhooks = true }})
	ada := h.As(admin.RoleAdmin)
	form := ada.Get("/console/settings/webhooks").Wants(http.StatusOK, "There are no webhooks.").Follow("New webhook").Form("Make webhook")
	form = form.Set("url", "ftp://example.com").Send().Wants(http.StatusUnprocessableEntity, "Use a URL such as").Form("Make webhook")
	form = form.Set("url", receiver.URL).Set("types", "device.nothing").Send().Wants(http.StatusUnprocessableEntity, `no event has the type "device.nothing"`).Form("Make webhook")
	g := form.Set("types", "device.created, device.blocked").Send().Wants(http.StatusOK, "whsec_", "shown this once").Follow("To the webhook").Wants(http.StatusOK, "working", "Nothing was delivered.").Lacks("whsec_")

	h.API(http.MethodPut, "/devices/HOOKED1", map[string]any{"platform": "ios", "ownership": "corporate"}, nil)
	first := <-arrived
	path := g.URL.Path
	var page *page
	for page == nil || !strings.Contains(page.Text(), "Deliver again") { // until the answer is noted
		page = ada.Get(path + "?state=delivered").Wants(http.StatusOK)
	}
	page.Wants(http.StatusOK, "device.created", "delivered", "200")
	ada.Get(path + "?state=failed").Lacks("Deliver again")
	page.Form("Deliver again device.created").Send().Wants(http.StatusOK, "It is being delivered once more.")
	if again := <-arrived; again != first {
		t.Errorf("%q was delivered, want %q again", again, first)
	}

	change := ada.Get(path).Form("Save")
	change.Fields.Del("enabled")
	g = change.Set("types", "").Send().Wants(http.StatusOK, "The webhook was saved.", "disabled")
	g.Form("Save").Set("enabled", "true").Send().Wants(http.StatusOK, "working")
	var hook struct{ Types []string }
	h.API(http.MethodGet, "/webhooks/"+path[strings.LastIndex(path, "/")+1:], nil, &hook)
	if len(hook.Types) != 0 {
		t.Errorf("types are %v, want all", hook.Types)
	}
	g.Follow("Delete webhook").Form("Delete webhook").Send().Wants(http.StatusOK, "The webhook was deleted.", "There are no webhooks.")
	ada.Get(path).Wants(http.StatusNotFound)
}

func TestSettingsCertificates(t *testing.T) {
	h := newHouse(t)
	ada := h.As(admin.RoleAdmin)
	g := ada.Get("/console/settings/certificates").Wants(http.StatusOK, "com.apple.mgmt.", "days left", "made by this server", "there is none")
	pem := g.Follow("Download Device CA")
	if pem.Status != http.StatusOK || pem.Header.Get("Content-Type") != "application/x-pem-file" || !strings.HasPrefix(pem.Body, "-----BEGIN CERTIFICATE-----") || strings.Contains(pem.Body, "PRIVATE") {
		t.Errorf("%d %s", pem.Status, pem.Body)
	}
	ada.Get("/console/settings/certificates/profiles/certificate.pem").Wants(http.StatusNotFound)
	g = g.Follow("Make a request")
	g = g.Form("Make request").Set("email", "no address").Send().Wants(http.StatusUnprocessableEntity, "the e-mail address is not valid")
	g = g.Form("Make request").Set("email", "mdm@example.com").Send().Wants(http.StatusOK, "BEGIN CERTIFICATE REQUEST", "Have this request signed")
	ada.Get("/console/settings/certificates").Wants(http.StatusOK, "whose certificate is not installed yet")
	g = g.Follow("Install a certificate").Wants(http.StatusOK, "It must have the topic com.apple.mgmt.")
	g = g.Form("Install").Set("certificate_pem", "<b>nonsense</b>").Send().Wants(http.StatusUnprocessableEntity, "no certificate in PEM form")
	if got := g.Form("Install").Fields.Get("certificate_pem"); got != "<b>nonsense</b>" {
		t.Errorf("what was typed is %q", got)
	}
	g.Form("Install").Set("certificate_pem", "").Attach("certificate_file", "push.pem", pem.Body).Send().Wants(http.StatusUnprocessableEntity, "certificate")
	viewer := h.As(admin.RoleViewer)
	viewer.Get("/console/settings/certificates").Lacks("Make a request", "Install a certificate")
}

func TestSettingsAudit(t *testing.T) {
	h := newHouse(t)
	h.API(http.MethodPut, "/devices/AUDITED1", map[string]any{"platform": "ios", "ownership": "corporate", "name": "Front <b>desk</b>"}, nil)
	h.API(http.MethodPut, "/devices/AUDITED1", map[string]any{"name": "Back office"}, nil)
	ada := h.As(admin.RoleAdmin)
	g := ada.Get("/console/settings/audit?key=AUDITED1").Wants(http.StatusOK, "put-device", "device AUDITED1", "Front <b>desk</b>", "→ Back office", "(API token)").Lacks("create-token")
	g.Follow("Take filters away").Wants(http.StatusOK, "create-token")
	tomorrow := time.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	ada.Get("/console/settings/audit?since="+tomorrow).Wants(http.StatusOK, "No entry is like that.")
	ada.Get("/console/settings/audit?until="+url.QueryEscape(tomorrow)).Wants(http.StatusOK, "put-device")
	ada.Get("/console/settings/audit?since=yesterday").Wants(http.StatusUnprocessableEntity)
	g.Follow("Verify the log").Wants(http.StatusOK, "The log is intact", "Head")
}
