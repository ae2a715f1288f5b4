package browser

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"

	"rollcall/admin"
	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/iphone"
	"rollcall/sim/mail"
	"rollcall/storage/storagetest"
)

// house is a server with its console, a mail server and phones around it.
type house struct {
	*stage.Stage
	t    *testing.T
	ctx  context.Context
	post *mail.Server
	log  *journal
}

type object = map[string]any

// newHouse starts a server with an empty roll.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, ctx: t.Context(), log: &journal{}}
	var err error
	if h.post, err = mail.New(mail.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.post.Close)
	roots := filepath.Join(t.TempDir(), "mail.pem")
	if err := os.WriteFile(roots, h.post.RootsPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Stage, err = stage.Start(h.ctx, stage.Options{Database: storagetest.SQLite(t), Apple: apple, Keys: keys.Next, Log: h.log, LogLevel: "warn", Change: func(o *app.Options) {
		o.CACert, o.CAKey = own.cert, own.key
		o.SMTPURL, o.MailFrom, o.SMTPRoots = h.post.URL(), "Example IT <mdm@example.com>", roots
		o.AllowPrivateWebhooks = true
	}})
	t.Cleanup(h.Stop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", h.log.tail(8000))
		}
	})
	return h
}

// admin calls the API and wants a success.
func (h *house) admin(method, path string, body, out any) {
	h.t.Helper()
	if err := h.API(h.ctx, method, path, body, out); err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// password of everybody here.
const password = "correct horse battery staple"

// as is somebody with a role, signed in.
func (h *house) as(t *testing.T, role admin.Role) *person {
	t.Helper()
	staff := h.App.Administrators()
	_, link, err := staff.Invite(h.ctx, "Ada "+unkind, string(role)+"@example.com", role)
	if err != nil {
		t.Fatal(err)
	}
	in, err := staff.Accept(h.ctx, strings.TrimPrefix(link, h.URL()+admin.PathInvitation), password, admin.Browser{Address: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	b := browse(t, h.URL())
	b.id = in.Administrator.ID
	secure := true
	send(b, network.SetCookie, network.SetCookieParams{Name: "__Host-rollcall-console", Value: in.Secret, URL: h.URL(), Path: "/", Secure: &secure})
	return b
}

// until waits for something that only asking again can tell.
func (h *house) until(what string, holds func() bool) {
	h.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			h.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// phone is a simulated iPhone.
func (h *house) phone(serial string) *iphone.Phone {
	h.t.Helper()
	p, err := h.Phone(serial)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(p.Close)
	return p
}

// enroll opens a link on a phone and installs what it leads to.
func (h *house) enroll(serial, link string) *iphone.Phone {
	h.t.Helper()
	p := h.phone(serial)
	if err := p.OpenLink(h.ctx, link, iphone.Choice{}); err != nil {
		h.t.Fatalf("%s does not enroll: %v", serial, err)
	}
	return p
}

// journal keeps the server's log.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) tail(n int) string {
	s := j.String()
	return s[max(0, len(s)-n):]
}

// unkind is a name that is HTML, where a page is careless.
const unkind = `<img src=x onerror="alert(1)">`

// furnish fills the house, so that every page has something to show. It gives
// the names that stand in the paths of pages.
func (h *house) furnish() map[string]string {
	h.t.Helper()
	names := map[string]string{"serial": "SAMPLE000001", "group": "Sales & service", "policy": "Company basics", "rule": "old systems"}
	roll := func(serial string, fields object) {
		body := object{"platform": "ios", "ownership": "corporate"}
		for k, v := range fields {
			body[k] = v
		}
		h.admin(http.MethodPut, "/devices/"+serial, body, nil)
	}
	roll("SAMPLE000001", object{"name": unkind, "user": object{"email": "anna@example.com", "name": "Anna " + unkind}})
	roll("SAMPLE000002", object{"platform": "android", "ownership": "personal", "tags": []string{"b&b"}})
	roll("SAMPLE000003", nil)
	roll("SAMPLE000004", object{"user": object{"email": "zoe@example.com", "name": "Zoë"}})
	h.admin(http.MethodPost, "/devices/SAMPLE000003/block", object{"reason": "lost"}, nil)

	h.admin(http.MethodPost, "/groups", object{"name": names["group"], "rule": object{"conditions": []any{object{"field": "platform", "values": []string{"ios"}}}}}, nil)
	h.admin(http.MethodPut, "/policies/"+url.PathEscape(names["policy"]), object{"document": object{
		"passcode":     object{"required": true, "min_length": 6},
		"wifi":         []any{object{"ssid": "Office", "security": "wpa2", "password": "correct horse"}},
		"restrictions": object{"camera": "deny", "backup": "deny"}}}, nil)
	h.admin(http.MethodPut, "/policies/"+url.PathEscape(names["policy"]), object{"document": object{"passcode": object{"required": true, "min_length": 8}}}, nil)
	h.admin(http.MethodPost, "/policies/"+url.PathEscape(names["policy"])+"/bindings", object{"group": names["group"]}, nil)
	h.admin(http.MethodPut, "/gate/rules/"+url.PathEscape(names["rule"]), object{"action": "deny", "conditions": object{"platforms": []string{"android"}}}, nil)

	var requests struct{ Items []struct{ ID, Link string } }
	h.admin(http.MethodPost, "/requests", object{"serials": []string{"SAMPLE000001", "SAMPLE000004"}}, &requests)
	names["request"] = requests.Items[1].ID
	h.enroll("SAMPLE000001", requests.Items[0].Link)
	h.admin(http.MethodPut, "/settings/enrollment-restrictions", object{"pre_enrolled_devices_only": "enforce"}, nil)
	if err := h.phone("SAMPLEO00004").OpenLink(h.ctx, h.URL()+"/enroll", iphone.Choice{}); err == nil {
		h.t.Fatal("a stranger enrolls")
	}
	// A gate that holds what it does not know.
	h.admin(http.MethodPut, "/gate/rules/strangers", object{"action": "hold", "conditions": object{"on_roll": false, "platforms": []string{"ios"}}}, nil)
	names["held"] = "STRANGER0001"
	if err := h.phone(names["held"]).OpenLink(h.ctx, h.URL()+"/enroll", iphone.Choice{}); err == nil {
		h.t.Fatal("who is to be held enrolls")
	}
	var decisions struct{ Items []struct{ ID string } }
	h.admin(http.MethodGet, "/decisions?outcome=deny", nil, &decisions)
	names["decision"] = decisions.Items[0].ID

	upload := func(query, csv string) (id string) {
		var imp struct{ ID, State string }
		h.admin(http.MethodPost, "/imports?domain=local&file_name="+url.QueryEscape(unkind)+".csv"+query, stage.Raw{ContentType: "text/csv", Data: []byte(csv)}, &imp)
		h.until("the import is planned", func() bool {
			h.admin(http.MethodGet, "/imports/"+imp.ID, nil, &imp)
			return imp.State != "planning" && imp.State != "uploaded" && imp.State != "applying"
		})
		return imp.ID
	}
	const header = "name,email,mobile,ownership,devicename,SerialNumber,platform\n"
	names["line"] = "3"
	names["good"] = upload("", header+"Emil,emil@example.com,,corporate,<b>desk</b>,SAMPLE000014,ios\n")
	names["applied"] = upload("&apply=true", header+"Bernd,bernd@example.com,,corporate,,SAMPLE000011,ios\n")
	names["import"] = upload("", header+"Cleo,cleo@example.com,,corporate,"+`"<b>x</b>"`+",SAMPLE000012,ios\nDora,dora@example.com,,nobody's,,SAMPLE000013,ios\nBernd,bernd@example.com,,personal,,SAMPLE000011,ios\n")
	h.admin(http.MethodPut, "/import-presets/purchase", object{"title": unkind, "mapping": object{"Seriennr.": "serial"}}, nil)

	var token struct{ ID string }
	h.admin(http.MethodPost, "/enrollment-tokens", object{"name": "Warehouse"}, &token)
	names["token"] = token.ID
	h.admin(http.MethodPost, "/tokens", object{"name": "Scripts " + unkind, "role": "viewer"}, &token)
	names["api token"] = token.ID
	names["account"], names["profile"], names["domain"], names["version"] = "Cupertino", "Everybody", "empty", "1"
	h.admin(http.MethodPost, "/dep/accounts", object{"name": names["account"]}, nil)
	h.admin(http.MethodPut, "/dep/accounts/"+names["account"]+"/profiles/"+names["profile"], object{}, nil)
	h.admin(http.MethodPost, "/domains", object{"name": names["domain"]}, nil)
	var users struct{ Items []struct{ ID string } }
	h.admin(http.MethodGet, "/users", nil, &users)
	names["user"] = users.Items[0].ID
	var hook struct{ ID string }
	h.admin(http.MethodPost, "/webhooks", object{"url": "https://127.0.0.1:1/hook", "types": []string{"device.enrolled"}}, &hook)
	names["webhook"] = hook.ID
	h.admin(http.MethodPost, "/tokens", object{"name": unkind, "role": "viewer"}, &token)
	names["api token"] = token.ID
	return names
}
