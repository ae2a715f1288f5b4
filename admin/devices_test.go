package admin_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

// TestOneList is F11: pre-enrolled devices stand beside enrolled ones, with a
// state for each row, found and sorted by what an admin knows of them.
func TestOneList(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/AAA1", `{"platform":"ios","ownership":"corporate","name":"Front desk","user":{"email":"ann@example.com","name":"Ann Lee"},"tags":["kiosk","lobby"],"asset_tag":"INV-7"}`).want(201)
	s.do("PUT /devices/BBB1", `{"platform":"ios","ownership":"personal","name":"Back desk"}`).want(201)
	s.do("PUT /devices/CCC1", `{"platform":"android","ownership":"personal","expires_at":"2026-05-04T09:00:00Z"}`).want(201)
	s.enroll(s.arrive("BBB1"))
	s.do("GET /devices", "").want(200).is("items.0.state=pre_enrolled", "items.1.state=enrolled", "items.2.state=expired", "items.0.tags.1=lobby", "items.0.asset_tag=INV-7", "items.0.user.name=Ann Lee")
	for query, want := range map[string]string{
		"state=enrolled": "BBB1", "platform=android": "CCC1", "ownership=personal": "BBB1 CCC1", "domain=local": "AAA1", "source=api": "AAA1 BBB1 CCC1", "tag=kiosk": "AAA1",
		"model=iphone17,2": "BBB1", "q=inv-": "AAA1", "q=Ann+L": "AAA1", "q=4901": "BBB1", "q=back": "BBB1", "sort=name": "CCC1 BBB1 AAA1", "sort=name&order=desc": "AAA1 BBB1 CCC1",
		"sort=enrolled_at&order=desc": "BBB1 CCC1 AAA1", "ownership=personal&sort=name": "CCC1 BBB1", "state=enrolled&platform=android": "",
	} {
		a := s.do("GET /devices?"+query, "").want(200)
		var got []string
		for i := range a.count() {
			got = append(got, fmt.Sprint(a.at(fmt.Sprintf("items.%d.serial", i))))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	s.do("GET /devices?q=a&sort=name", "").want(422).is("code=sort_of_search")
	s.do("GET /devices?sort=colour", "").want(422)
	s.do("GET /devices?sort=name&cursor=eyJzIjoiQSJ9", "").want(400).is("code=cursor_invalid")
}

// TestBannerAndRedaction is F12 and F13: until the user accepts, there is the
// banner, and no operation that can be read tells anything of the device but
// its serial.
func TestBannerAndRedaction(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"corporate","facts":{"imei":"490154203237518","model":"iPhone 16 Pro","udid":"00008110-000A1B2C3D4E5F6A"}}`).want(201).is("banner=Pre enrolled Device").says("!490154203237518", "!iPhone", "!imei")
	s.do("POST /groups", `{"name":"phones","rule":{"conditions":[{"field":"model","values":["iphone*"]}]}}`).want(201)
	decision := s.arrive("C39XK1ABCD01")
	s.do("POST /requests", `{"serials":["C39XK1ABCD01"]}`).want(201)
	s.evaluateRules()
	secrets := []string{facts.UDID, facts.IMEI, facts.OSVersion, facts.Product, "iPhone 16 Pro"}
	for _, path := range s.readable(decision.ID) {
		a := s.do("GET "+path, "")
		for _, secret := range secrets {
			if strings.Contains(string(a.raw), secret) {
				t.Errorf("GET %s tells %q: %s", path, secret, a.raw)
			}
		}
	}
	// Nor does it answer whether something is known.
	for _, query := range []string{"q=4901542", "model=iphone+16+pro"} {
		if n := s.do("GET /devices?"+query, "").want(200).count(); n != 0 {
			t.Errorf("%s finds the device", query)
		}
	}
	s.do("POST /groups/preview", `{"conditions":[{"field":"model","values":["iphone*"]}]}`).want(200).is("devices=1", "matches=0")
	s.do("POST /gate/evaluate", `{"serial":"C39XK1ABCD01","platform":"ios","channel":"ota"}`).want(200).says("!"+facts.UDID, "!"+facts.IMEI, "!16 Pro")

	s.enroll(decision)
	s.do("GET /devices/C39XK1ABCD01", "").want(200).is("banner=", "facts.imei="+facts.IMEI, "sources.imei=device", "groups.0=phones")
	s.do("GET /devices?q=4901542", "").want(200).is("items.0.serial=C39XK1ABCD01")
}

// evaluateRules does what the worker does.
func (s *server) evaluateRules() {
	s.t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.store.EvaluateRules(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// readable are the paths of all operations that read, for the device
// C39XK1ABCD01, its decision and whatever else there is.
func (s *server) readable(decision string) []string {
	s.t.Helper()
	id := fmt.Sprint(s.do("GET /requests", "").at("items.0.id"))
	var paths []string
	document := s.do("GET /openapi.json", "").want(200)
	for path, item := range document.at("paths").(map[string]any) {
		if _, reads := item.(map[string]any)["get"]; !reads || strings.HasSuffix(path, "/openapi.json") || strings.HasSuffix(path, "/events") {
			continue
		}
		path = strings.TrimPrefix(path, admin.Prefix)
		if strings.HasPrefix(path, "/decisions/") {
			path = strings.ReplaceAll(path, "{id}", decision)
		}
		paths = append(paths, strings.NewReplacer("{serial}", "C39XK1ABCD01", "{name}", "phones", "{id}", id, "{domain}", "local", "{email}", "a@example.com").Replace(path))
	}
	if len(paths) < 15 {
		s.t.Fatalf("only %d operations read: %v", len(paths), paths)
	}
	return paths
}

// TestGroupsBeforeEnrollment is F17: what is bound before a device enrolls is
// what it is to have at its first check-in.
func TestGroupsBeforeEnrollment(t *testing.T) {
	s := newServer(t)
	rule := `{"match":"all","conditions":[{"field":"tag","values":["kiosk"]},{"field":"platform","not":true,"values":["android"]}]}`
	s.do("POST /groups/preview", rule).want(200).is("matches=0", "examples=[]")
	s.do("PUT /policies/kiosk", `{"document":{"wifi":[{"ssid":"Example","security":"open"}]}}`).want(201)
	s.do("POST /groups", `{"name":"kiosks","rule":`+rule+`}`).want(201).is("rule.match=all", "rule.conditions.1.not=true")
	s.do("POST /policies/kiosk/bindings", `{"group":"kiosks"}`).want(200)
	s.evaluateRules()
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"corporate"}`).want(201).is("groups=[]")
	s.do("PATCH /devices/C39XK1ABCD01", `{"tags":["Kiosk"]}`).want(200).is("groups.0=kiosks")
	s.do("GET /devices/C39XK1ABCD01/policies", "").want(200).is("items.0.name=kiosk")
	s.do("POST /groups/preview", rule).want(200).is("matches=1", "examples.0=C39XK1ABCD01")
	s.do("POST /groups/kiosks/members", `{"remove":["C39XK1ABCD01"]}`).want(409).is("code=group_by_rule")

	d := s.arrive("C39XK1ABCD01")
	s.enroll(d)
	due, err := s.store.ClaimDue(t.Context(), s.now, time.Minute, 10)
	if err != nil || len(due) != 1 || due[0].DeviceID != d.DeviceID {
		t.Fatalf("due for delivery: %v, %v", due, err)
	}
	situations, err := s.store.Situations(t.Context(), []string{d.DeviceID})
	if policies := situations[d.DeviceID].Policies; err != nil || len(policies) != 1 || policies[0].Name != "kiosk" {
		t.Fatalf("the first check-in delivers %+v, %v", policies, err)
	}

	s.do("PUT /groups/kiosks/rule", `{"conditions":[{"field":"tag","values":["bar"]}]}`).want(200).is("evaluation.total=1")
	s.evaluateRules()
	s.do("GET /groups/kiosks", "").want(200).is("devices=0", "evaluation=")
	s.do("POST /groups", `{"name":"static"}`).want(201).is("rule=")
	s.do("PUT /groups/static/rule", rule).want(409).is("code=group_static")
	s.do("PUT /groups/kiosks/rule", `{"conditions":[{"field":"platform","values":["windows"]}]}`).want(422).is("code=rule_value_unknown")
	s.do("PUT /groups/kiosks/rule", `{"conditions":[{"field":"colour","values":["red"]}]}`).want(422)
}

// TestSelectUser is F18: where the row leaves it to the user, the answer is
// asked for and kept.
func TestSelectUser(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"selectuser"}`).want(201)
	link := fmt.Sprint(s.do("POST /requests", `{"serials":["C39XK1ABCD01"]}`).want(201).at("items.0.link"))
	secret := link[strings.LastIndex(link, "/")+1:]
	if _, err := s.api.Requests.Accept(t.Context(), secret, ""); enroll.KindOf(err) != enroll.KindInvalid {
		t.Fatalf("accepted without an answer: %v", err)
	}
	if _, err := s.api.Requests.Accept(t.Context(), secret, enroll.OwnershipPersonal); err != nil {
		t.Fatal(err)
	}
	s.do("GET /devices/C39XK1ABCD01", "").want(200).is("ownership=personal", "banner=")
	s.do("GET /devices/C39XK1ABCD01/timeline", "").want(200).says(`"what":"accepted"`)
}

// TestDeleteAndDisenroll is F19: a row is deleted before enrollment only; an
// enrolled device is disenrolled, by itself or by force, and may come back.
func TestDeleteAndDisenroll(t *testing.T) {
	s := newServer(t)
	put := func(serial string) {
		s.do("PUT /devices/"+serial, `{"platform":"ios","ownership":"corporate"}`).want(201)
	}
	put("C39XK1ABCD01")
	s.do("DELETE /devices/C39XK1ABCD01", "").want(204)
	put("C39XK1ABCD01")
	s.arrive("C39XK1ABCD01") // and never comes back
	s.do("GET /devices/C39XK1ABCD01", "").want(200).is("state=enrolling")
	s.do("POST /devices/C39XK1ABCD01/disenroll", `{"force":true}`).want(200).is("state=pre_enrolled")
	s.do("POST /devices/C39XK1ABCD01/disenroll", `{"force":true}`).want(409)

	e := s.enroll(s.arrive("C39XK1ABCD01"))
	s.do("DELETE /devices/C39XK1ABCD01", "").want(409).is("code=device_enrolled").says("/disenroll")
	id := s.do("POST /devices/C39XK1ABCD01/disenroll", "").want(202).is("state=enrolled").says("force").at("command_id")
	s.do("GET /devices/C39XK1ABCD01", "").want(200).is("state=enrolled")
	if over, err := s.store.Removed(t.Context(), e.ID, fmt.Sprint(id), s.now); err != nil || !over {
		t.Fatalf("the device's answer ends the enrollment: %v, %v", over, err)
	}
	s.do("GET /devices/C39XK1ABCD01", "").want(200).is("state=unenrolled")
	// Its commands can still be read.
	s.do("GET /devices/C39XK1ABCD01/commands", "").want(200).is(fmt.Sprintf("items.0.id=%v", id))
	s.do(fmt.Sprintf("GET /devices/C39XK1ABCD01/commands/%v", id), "").want(200).is("request_type=RemoveProfile")

	s.enroll(s.arrive("C39XK1ABCD01"))
	s.do("POST /devices/C39XK1ABCD01/disenroll", `{"force":true}`).want(200).is("state=unenrolled", "command_id=").says("by hand")
	s.enroll(s.arrive("C39XK1ABCD01"))
	s.do("GET /devices/C39XK1ABCD01", "").want(200).is("state=enrolled")
}

// TestTwoAdminsEditOneRow asserts that the second one is told, with the row as
// it is now, and that nothing of theirs is written.
func TestTwoAdminsEditOneRow(t *testing.T) {
	s := newServer(t)
	created := s.do("PUT /devices/AAA1", `{"platform":"ios","ownership":"corporate","name":"one"}`, `If-Match: "1"`).want(409)
	created.is("code=version_changed")
	s.do("PUT /devices/AAA1", `{"platform":"ios","ownership":"corporate","name":"one"}`).want(201)
	read := s.do("GET /devices/AAA1", "").want(200)
	if read.header.Get("ETag") != `"1"` {
		t.Errorf("ETag %q", read.header.Get("ETag"))
	}
	s.do("PATCH /devices/AAA1", `{"name":"two"}`, `If-Match: "1"`).want(200).is("version=2")
	s.do("PATCH /devices/AAA1", `{"name":"three"}`, `If-Match: "1"`).want(409).is("code=version_changed", "current.name=two", "current.version=2")
	s.do("PUT /devices/AAA1", `{"name":"three"}`, `If-Match: "1"`).want(409).is("current.name=two")
	s.do("GET /devices/AAA1", "").is("name=two")
	s.do("PUT /devices/AAA1", `{"name":"three"}`, `If-Match: "2"`).want(200).is("version=3")
	s.do("PUT /devices/AAA1", `{"name":"four"}`, `If-Match: seven`).want(422).is("code=if_match_invalid")
	s.do("PUT /devices/AAA1", `{"name":"four"}`, `If-Match: *`).want(200)
}

// TestDeviceFields asserts that every field an admin can set is kept, checked
// and cleared.
func TestDeviceFields(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/AAA1", `{"platform":"ios","ownership":"corporate","asset_tag":"INV-1","tags":["b"," a","b",""],"notes":"spare","not_before":"2026-06-01T00:00:00Z","expires_at":"2026-07-01T02:00:00+02:00","max_uses":2}`).want(201).
		is("asset_tag=INV-1", "tags.0=a", "tags.1=b", "tags.2=", "notes=spare", "not_before=2026-06-01T00:00:00Z", "expires_at=2026-07-01T00:00:00Z", "max_uses=2", "uses=0", "sources.tags=api", "state=pre_enrolled")
	s.do("PATCH /devices/AAA1", `{"asset_tag":null,"tags":null,"notes":null,"not_before":null,"expires_at":null,"max_uses":null}`).want(200).
		is("asset_tag=", "tags=[]", "notes=", "not_before=", "expires_at=", "max_uses=")
	s.now = s.now.Add(100 * 24 * time.Hour)
	s.do("PATCH /devices/AAA1", `{"expires_at":"2026-07-01T00:00:00Z"}`).want(200).is("state=expired")
	for body, code := range map[string]string{
		`{"not_before":"2026-07-02T00:00:00Z"}`:                 "window_invalid",
		`{"tags":["a|b"]}`:                                      "tag_characters",
		`{"max_uses":-1}`:                                       "max_uses_invalid",
		`{"asset_tag":"a\nb"}`:                                  "name_characters",
		`{"user":{"domain":"nowhere","email":"a@example.com"}}`: "domain_unknown",
		`{"version":7}`:                                         "patch_invalid",
		`{"tags":"a"}`:                                          "patch_invalid",
		`{"platform":null}`:                                     "patch_invalid",
		`{"notes":"` + strings.Repeat("x", enroll.MaxNotes+1) + `"}`: "notes_too_long",
	} {
		s.do("PATCH /devices/AAA1", body).want(422).is("code=" + code)
	}
}

// TestUsers covers users and domains.
func TestUsers(t *testing.T) {
	s := newServer(t)
	s.do("GET /domains", "").want(200).is("items.0.name=local", "items.0.users=0")
	s.do("PUT /domains/example.com/users/ann@example.com", `{"name":"Ann"}`).want(404).is("code=domain_unknown")
	s.do("POST /domains", `{"name":"Example.com"}`).want(201).is("name=example.com")
	s.do("POST /domains", `{"name":"example.com"}`).want(409).is("code=domain_exists")
	s.do("POST /domains", `{"name":"a b"}`).want(422).is("code=domain_invalid")
	id := fmt.Sprint(s.do("PUT /domains/example.com/users/Ann@Example.com", `{"name":"Ann","language":"de","mobile":"+49 1"}`).want(201).is("created=true", "email=ann@example.com", "domain=example.com", "language=de").at("id"))
	s.do("PUT /domains/example.com/users/ann@example.com", `{"name":"Ann"}`).want(200).is("created=false", "changed=false", "mobile=+49 1")
	s.do("PUT /domains/example.com/users/ann@example.com", `{"mobile":""}`).want(200).is("changed=true", "mobile=")
	s.do("PUT /domains/example.com/users/ann@example.com", `{"language":"de_DE"}`).want(422).is("code=language_invalid")
	s.do("PUT /domains/example.com/users/ann", `{}`).want(422).is("code=email_invalid")
	s.do("GET /users/"+id, "").want(200).is("name=Ann")
	s.do("GET /users?domain=example.com&q=an", "").want(200).is("items.0.id=" + id)
	s.do("PUT /devices/AAA1", `{"platform":"ios","ownership":"corporate","user":{"domain":"example.com","email":"ann@example.com"}}`).want(201).is("user.language=de")
	s.do("GET /devices?user="+url.QueryEscape(id), "").want(200).is("items.0.serial=AAA1")
	s.do("DELETE /users/"+id, "").want(409).is("code=user_owns_devices")
	s.do("DELETE /domains/example.com", "").want(409).is("code=domain_not_empty")
	s.do("PATCH /devices/AAA1", `{"user":null}`).want(200)
	s.do("DELETE /users/"+id, "").want(204)
	s.do("DELETE /domains/example.com", "").want(204)
	s.do("DELETE /domains/local", "").want(409).is("code=domain_default")
	s.as(admin.RoleViewer, "POST /domains", `{"name":"x"}`).want(403)
}

// TestTimeline asserts that the history says who did what.
func TestTimeline(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"corporate","name":"one"}`).want(201)
	s.as(admin.RoleOperator, "PATCH /devices/C39XK1ABCD01", `{"name":"two","tags":["a"]}`).want(200)
	e := s.enroll(s.arrive("C39XK1ABCD01"))
	s.do("POST /devices/C39XK1ABCD01/commands", `{"request_type":"DeviceLock","args":{"PIN":"123456"}}`).want(202)
	if err := s.store.CheckOut(t.Context(), e.ID, s.now); err != nil {
		t.Fatal(err)
	}
	all := s.do("GET /devices/C39XK1ABCD01/timeline", "").want(200).says(
		`"kind":"created"`, `"actor":"the operator"`, `{"field":"name","old":"one","new":"two"}`, `"what":"allow.listed"`, `"what":"enrolled"`, `"what":"ended"`, `"what":"DeviceLock"`, "!123456")
	var pages []string
	for path := "/devices/C39XK1ABCD01/timeline?limit=2"; ; {
		page := s.do("GET "+path, "").want(200)
		for i := range page.count() {
			pages = append(pages, fmt.Sprint(page.at(fmt.Sprintf("items.%d", i))))
		}
		cursor, more := page.at("next_cursor").(string)
		if !more {
			break
		}
		path = "/devices/C39XK1ABCD01/timeline?limit=2&cursor=" + cursor
	}
	if len(pages) != all.count() {
		t.Errorf("%d entries by pages, %d at once", len(pages), all.count())
	}
	s.do("GET /devices/NOBODY/timeline", "").want(404)
	s.do("GET /devices/C39XK1ABCD01/timeline?cursor=YQ", "").want(400).is("code=cursor_invalid")
}

// TestCommandsKeepTheirType asserts that the arguments of a command cannot make
// another one of it, and that integers stay integers.
func TestCommandsKeepTheirType(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"corporate"}`).want(201)
	e := s.enroll(s.arrive("C39XK1ABCD01"))
	s.do("POST /devices/C39XK1ABCD01/commands", `{"request_type":"ProfileList","args":{"RequestType":"EraseDevice"}}`).want(422).is("code=request_type_twice")
	s.do("POST /devices/C39XK1ABCD01/commands", `{"request_type":"Settings","args":{"n":3,"deep":{"list":[{"k":4.0,"d":{"$data":"AQI="},"t":{"$date":"2026-01-02T03:04:05Z"}}]}}}`).want(202)
	next, err := s.store.HandOut(t.Context(), e.ID, s.now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<integer>3</integer>", "<real>4</real>", "<data>AQI=</data>", "<date>2026-01-02T03:04:05Z</date>", "<string>Settings</string>"} {
		if !strings.Contains(string(next.Body), want) {
			t.Errorf("the command lacks %s:\n%s", want, next.Body)
		}
	}
}
