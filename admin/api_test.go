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

// TestDevice follows one device through all its states.
func TestDevice(t *testing.T) {
	s := newServer(t)
	s.do("GET /devices/C39XK1ABCD01", "").want(404).is("code=device_unknown")
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios"}`).want(422).is("code=device_incomplete")
	s.do("PUT /devices/c39-xk1-abcd%2001", `{"platform":"ios","ownership":"corporate","name":"Desk 4","user":{"email":"Anna@Example.com","name":"Anna"}}`).want(201).
		is("serial=C39XK1ABCD01", "created=true", "changed=true", "state=pre_enrolled", "banner=Pre enrolled Device", "user.email=anna@example.com", "user.domain=local", "facts=", "version=1", "sources.name=api")
	kicks := s.kicks
	s.do("PUT /devices/C39XK1ABCD01", `{"platform":"ios","ownership":"corporate"}`).want(200).is("created=false", "changed=false", "name=Desk 4", "version=1")
	if s.kicks != kicks {
		t.Error("a change that changed nothing woke the workers")
	}
	s.do("PATCH /devices/C39XK1ABCD01", `{"name":null,"user":null}`, "Content-Type: application/merge-patch+json").want(200).is("changed=true", "name=", "user=", "version=2")
	s.do("PATCH /devices/C39XK1ABCD01", `{"ownership":"personal","user":{"email":"b@example.com","mobile":"+49 151 1"}}`).want(200).is("ownership=personal", "user.mobile=+49 151 1")
	for _, bad := range []string{`{"platform":null}`, `{"serial":"X"}`, `[]`, `null`, `{"ownership":"leased"}`, `{"name":5}`, `{"user":{"mail":"x"}}`, `{"user":{"email":"x"}}`, `{`} {
		s.do("PATCH /devices/C39XK1ABCD01", bad).want(422)
	}
	s.do("PATCH /devices/NOBODY", `{"name":"x"}`).want(404)

	s.do("POST /devices/C39XK1ABCD01/block", `{"reason":"lost"}`).want(200).is("state=blocked", "blocked.reason=lost")
	s.do("POST /devices/C39XK1ABCD01/unblock", "").want(200).is("state=pre_enrolled", "blocked=")
	s.do("POST /devices/C39XK1ABCD01/push", "").want(409).is("code=device_not_enrolled")
	s.do("POST /devices/C39XK1ABCD01/disenroll", "").want(409)
	s.do("GET /devices/C39XK1ABCD01/commands", "").want(200).is("items=[]")

	// At the gate the device tells much of itself; none of it is shown before
	// it is accepted, which here is its first TokenUpdate.
	decision := s.arrive("C39XK1ABCD01")
	for _, path := range []string{"/devices/C39XK1ABCD01", "/devices", "/decisions", "/decisions/" + decision.ID} {
		s.do("GET "+path, "").want(200).says("C39XK1ABCD01", "!"+facts.UDID, "!"+facts.IMEI, "!"+facts.OSVersion)
	}
	s.do("GET /devices/C39XK1ABCD01", "").is("state=enrolling", "banner=Pre enrolled Device")
	s.enroll(decision)
	s.do("GET /devices/C39XK1ABCD01", "").want(200).is("state=enrolled", "banner=", "facts.udid="+facts.UDID, "facts.os_version=26.1")
	s.do("GET /decisions/"+decision.ID, "").want(200).is("code=allow.listed", "facts.imei="+facts.IMEI, "trace.0.check=serial")
	s.do("GET /devices/C39XK1ABCD01/receipt", "").want(200)
	s.do("GET /devices/C39XK1ABCD01/declarations", "").want(200).is("declarations=[]", "errors=[]")

	id := s.do("POST /devices/C39XK1ABCD01/commands", `{"request_type":"Settings","args":{"Settings":[{"Item":"DeviceName","DeviceName":"Ü","Minutes":5}]}}`).want(202).at("command_id")
	s.do(fmt.Sprintf("GET /devices/C39XK1ABCD01/commands/%v", id), "").want(200).is("request_type=Settings", "state=queued", "attempts=0", "result=")
	s.do("POST /devices/C39XK1ABCD01/commands", `<plist version="1.0"><dict><key>RequestType</key><string>DeviceLock</string></dict></plist>`, "Content-Type: application/xml").want(202)
	s.do("POST /devices/C39XK1ABCD01/commands", `<plist`, "Content-Type: application/xml").want(422).is("code=plist_invalid")
	s.do("POST /devices/C39XK1ABCD01/commands", `request_type=x`, "Content-Type: application/x-www-form-urlencoded").want(415).is("code=content_type_unsupported")
	for _, bad := range []string{`{}`, `{"request_type":"x","argv":{}}`, `{"request_type":"x","args":{"a":null}}`, `{"request_type":"x"}{}`} {
		s.do("POST /devices/C39XK1ABCD01/commands", bad).want(422).is("code=command_invalid")
	}
	s.do("POST /devices/C39XK1ABCD01/push", "").want(202)
	s.do("DELETE /devices/C39XK1ABCD01", "").want(409).is("code=device_enrolled")
	s.do("POST /devices/C39XK1ABCD01/disenroll", "").want(202)
	s.do("GET /devices/C39XK1ABCD01/commands?limit=2", "").want(200).is("items.0.request_type=RemoveProfile", "items.1.request_type=DeviceLock")

	s.do("PUT /devices/C39XK1ABCD02", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.do(fmt.Sprintf("GET /devices/C39XK1ABCD02/commands/%v", id), "").want(404).is("code=command_unknown")
	s.do("DELETE /devices/C39XK1ABCD02", "").want(204)
	s.do("DELETE /devices/C39XK1ABCD02", "").want(404)
}

func TestDeviceList(t *testing.T) {
	s := newServer(t)
	for i := range 5 {
		platform := []string{"ios", "android"}[i%2]
		s.do(fmt.Sprintf("PUT /devices/SERIAL%d", i), fmt.Sprintf(`{"platform":%q,"ownership":"corporate","user":{"email":"u%d@example.com"}}`, platform, i%2)).want(201)
	}
	var got []string
	path := "/devices?limit=2"
	for range 4 {
		page := s.do("GET "+path, "").want(200)
		for i := range page.count() {
			got = append(got, fmt.Sprint(page.at(fmt.Sprintf("items.%d.serial", i))))
		}
		cursor, more := page.at("next_cursor").(string)
		if !more {
			break
		}
		path = "/devices?limit=2&cursor=" + url.QueryEscape(cursor)
	}
	if all := strings.Join(got, " "); all != "SERIAL0 SERIAL1 SERIAL2 SERIAL3 SERIAL4" {
		t.Errorf("the pages have %s", all)
	}
	owner := s.do("GET /devices/SERIAL1", "").at("user.id")
	for query, want := range map[string]int{"platform=android": 2, "state=enrolled": 0, "state=pre_enrolled": 5, "q=SERIAL3": 1, "q=u0@": 3, fmt.Sprintf("user=%v", owner): 2} {
		if n := s.do("GET /devices?"+query, "").want(200).count(); n != want {
			t.Errorf("%s: %d devices, want %d", query, n, want)
		}
	}
	s.do("GET /devices?group=nobody", "").want(404)
	for _, cursor := range []string{"%21", "_w", "AA"} {
		s.do("GET /devices?cursor="+cursor, "").want(400).is("code=cursor_invalid")
	}
	for query, code := range map[string]string{"limit=0": "request_invalid", "limit=1001": "request_invalid", "limit=x": "request_invalid",
		"state=lost": "request_invalid", "stat=enrolled": "request_invalid"} {
		s.do("GET /devices?"+query, "").want(422).is("code=" + code)
	}
}

const mobileconfig = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>com.example.wifi</string><key>PayloadUUID</key><string>6F0B3C6E-3C0E-4B5B-8B1D-0B6C0E6B3C6E</string><key>PayloadDisplayName</key><string>Wi-Fi</string>
<key>PayloadContent</key><array><dict><key>PayloadType</key><string>com.apple.wifi.managed</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>com.example.wifi.1</string><key>PayloadUUID</key><string>7F0B3C6E-3C0E-4B5B-8B1D-0B6C0E6B3C6E</string>
<key>SSID_STR</key><string>Example</string></dict></array></dict></plist>`

func TestGroupsAndPolicies(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/SERIAL1", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.do("POST /groups", `{"name":"Sales / East"}`).want(201).is("name=Sales / East", "devices=0")
	s.do("POST /groups", `{"name":"Sales / East"}`).want(409)
	s.do("POST /groups", `{"name":" x"}`).want(422).is("code=name_invalid")
	s.do("POST /groups/Sales%20%2F%20East/members", `{"add":["serial-1"]}`).want(200).is("devices=1")
	s.do("POST /groups/Sales%20%2F%20East/members", `{"add":["NOBODY"],"remove":["SERIAL1"]}`).want(404)
	s.do("GET /groups/Sales%20%2F%20East", "").want(200).is("devices=1")
	s.do("GET /devices?group=Sales%20/%20East", "").want(200).is("items.0.serial=SERIAL1", "items.0.groups.0=Sales / East")

	s.do("PUT /policies/base/profiles/wifi", mobileconfig, "Content-Type: application/x-apple-aspen-config").want(404).is("code=policy_unknown")
	const limits = `{"device_name":"Sales {serial}","apple":{"profiles":[{"id":"limits","payloads":[{"type":"com.apple.applicationaccess","content":{"allowCamera":false,"n":3,"key":{"$data":"AQI="}}}]}]}}`
	s.do("PUT /policies/base", `{"document":`+limits+`}`).want(201).
		is("created=true", "changed=true", "version=1", "document.apple.profiles.0.payloads.0.content.n=3", "document.apple.profiles.0.payloads.0.content.key.$data=AQI=")
	s.do("PUT /policies/base", `{"priority":0,"document":`+limits+`}`).want(200).is("created=false", "changed=false", "version=1")
	s.do("PUT /policies/base/profiles/wifi", mobileconfig, "Content-Type: application/x-apple-aspen-config").want(200).is("changed=true", "version=2", "document.apple.profiles.1.id=wifi", "document.apple.profiles.1.payloads.0.content.SSID_STR=Example", "features=[apple device_name]")
	s.do("PUT /policies/base/profiles/wifi", "nonsense", "Content-Type: application/x-apple-aspen-config").want(422)
	s.do("PUT /policies/base", `{"document":{"apple":{"profiles":[{"id":"m","payloads":[{"type":"com.apple.mdm","content":{}}]}]}}}`).want(422).is("code=payload_forbidden")
	s.do("PUT /policies/base", `{"document":{"apple":{"profiles":[{"id":"m","payloads":[{"type":"x","content":{"a":null}}]}]}}}`).want(422)
	s.do("GET /policies/base", "").want(200).is("version=2")

	s.do("POST /policies/base/bindings", `{"group":"Sales / East","serial":"SERIAL1"}`).want(422).is("code=target_invalid")
	s.do("POST /policies/base/bindings", `{}`).want(422).is("code=target_invalid")
	s.do("POST /policies/base/bindings", `{"group":"nobody"}`).want(404)
	kicks := s.kicks
	s.do("POST /policies/base/bindings", `{"group":"Sales / East"}`).want(200).is("changed=true")
	s.do("POST /policies/base/bindings", `{"group":"Sales / East"}`).want(200).is("changed=false")
	if s.kicks != kicks+1 {
		t.Errorf("two bindings, one of them new, woke the workers %d times", s.kicks-kicks)
	}
	s.do("GET /policies/base/bindings", "").want(200).is("items.0.group=Sales / East", "items.1=")
	s.do("GET /devices/SERIAL1/policies", "").want(200).is("items.0.name=base", "items.1=")
	s.do("POST /gate/evaluate", `{"serial":"serial1","platform":"ios","channel":"ota","evidence":"signed"}`).want(200).
		is("code=allow.listed", "on_roll=true", "policies.0=base", "groups.0=Sales / East", "id=")

	s.do("DELETE /policies/base/bindings?group=Sales%20%2F%20East", "").want(200).is("changed=true")
	s.do("GET /devices/SERIAL1/policies", "").want(200).is("items=[]")
	s.do("DELETE /policies/base/profiles/wifi", "").want(200).is("changed=true", "document.apple.profiles.1=")
	s.do("DELETE /policies/base/profiles/wifi", "").want(404).is("code=profile_unknown")
	s.do("GET /policies", "").want(200).is("items.0.name=base")
	s.do("DELETE /policies/base", "").want(204)
	s.do("GET /policies/base", "").want(404)
	s.do("DELETE /groups/Sales%20%2F%20East", "").want(204)
	s.do("GET /groups", "").want(200).is("items=[]")
}

func TestRequests(t *testing.T) {
	s := newServer(t)
	s.do("PUT /devices/SERIAL1", `{"platform":"ios","ownership":"selectuser","user":{"email":"a@example.com"}}`).want(201)
	s.do("POST /requests", `{"serials":[]}`).want(422)
	s.do("POST /requests", `{"serials":["SERIAL1","NOBODY"]}`).want(404)
	if n := s.do("GET /requests", "").want(200).count(); n != 0 {
		t.Fatalf("%d requests after one that failed", n)
	}
	sent := s.as(admin.RoleOperator, "POST /requests", `{"serials":["serial 1"]}`).want(201).is("items.0.serial=SERIAL1", "items.0.state=sent", "items.0.created_by=the operator")
	id := sent.at("items.0.id")
	secret, ok := strings.CutPrefix(fmt.Sprint(sent.at("items.0.link")), "https://mdm.example.com/enroll/r/")
	if !ok {
		t.Fatalf("the link is %v", sent.at("items.0.link"))
	}
	s.do("GET /devices/SERIAL1", "").is("state=invited", "banner=Pre enrolled Device")
	if _, err := s.api.Requests.Accept(t.Context(), secret, enroll.OwnershipPersonal); err != nil {
		t.Fatal(err)
	}
	s.do("GET /requests?serial=SERIAL1", "").want(200).is("items.0.state=accepted", "items.0.ownership=personal").says("!"+secret, `!"link":`)
	s.do("GET /devices/SERIAL1", "").is("banner=", "ownership=personal")
	s.do(fmt.Sprintf("POST /requests/%v/cancel", id), "").want(200).is("state=cancelled")
	s.do(fmt.Sprintf("GET /requests/%v", id), "").want(200).is("state=cancelled", "serial=SERIAL1")
	if _, err := s.api.Requests.Open(t.Context(), secret); enroll.KindOf(err) != enroll.KindGone {
		t.Errorf("a withdrawn request opens: %v", err)
	}
	s.do("GET /requests/none", "").want(404)
	s.do("POST /requests/none/cancel", "").want(404)
}

func TestGateAndSettings(t *testing.T) {
	s := newServer(t)
	const path = "/settings/enrollment-restrictions"
	s.do("GET "+path, "").want(200).is("pre_enrolled_devices_only=off", "updated_at=")
	s.do("PUT "+path, `{"pre_enrolled_devices_only":"on"}`).want(422).is("errors.0.pointer=/pre_enrolled_devices_only", "errors.0.value=on")
	s.do("PUT "+path, `{"pre_enrolled_devices_only":"enforce"}`).want(200).is("pre_enrolled_devices_only=enforce", "updated_at=2026-05-04T10:00:00Z")
	s.do("POST /gate/evaluate", `{"serial":"STRANGER","platform":"ios","channel":"ade"}`).want(200).
		is("code=deny.not_pre_enrolled", "outcome=deny", "on_roll=false", "evidence=claimed", "mode=enforce").says("PUT /api/v1/devices/{serial}")
	if n := s.do("GET /decisions", "").count(); n != 0 {
		t.Errorf("asking left %d decisions", n)
	}
	refused := s.arrive("STRANGER")
	s.do("GET /decisions?outcome=deny&code=deny.not_pre_enrolled&serial=stranger&since=2026-05-04T09:00:00Z", "").want(200).is("items.0.id="+refused.ID, "items.0.trace=", "items.0.remote_addr=192.0.2.7")
	s.do("GET /decisions?outcome=allow", "").want(200).is("items=[]")
	s.do("GET /decisions?since=2026-05-04T11:00:00Z", "").want(200).is("items=[]")
	s.do("GET /decisions?since=yesterday", "").want(422)
	s.do("GET /decisions/"+refused.ID, "").want(200).is("facts=").says(`"check":"listed","result":"fail"`, "not registered with your organisation")
	s.do("GET /decisions/none", "").want(404)
}

func TestTokenOperations(t *testing.T) {
	s := newServer(t)
	s.do("POST /tokens", `{"name":"ci","role":"owner"}`).want(422)
	s.do("POST /tokens", `{"name":"","role":"viewer"}`).want(422).is("code=name_invalid")
	s.do("POST /tokens", `{"name":"ci","role":"viewer","expires_at":"2026-05-04T10:00:00Z"}`).want(422).is("code=expires_past")
	made := s.do("POST /tokens", `{"name":"ci","role":"operator","expires_at":"2026-05-04T11:00:00Z"}`).want(201).is("name=ci", "role=operator", "expires_at=2026-05-04T11:00:00Z")
	secret := fmt.Sprint(made.at("token"))
	if !strings.HasPrefix(secret, admin.TokenPrefix) {
		t.Errorf("the token is %q", secret)
	}
	s.tokens["ci"] = secret
	s.as("ci", "POST /groups", `{"name":"g"}`).want(201)
	s.do("GET /tokens", "").want(200).is("items.0.name=ci", "items.0.last_used_at=2026-05-04T10:00:00Z").says("!"+secret, "!hash")
	s.do(fmt.Sprintf("DELETE /tokens/%v", made.at("id")), "").want(204)
	s.as("ci", "GET /groups", "").want(401).is("code=token_revoked")
	s.do("DELETE /tokens/none", "").want(404)
	tokens := s.do("GET /tokens", "").want(200)
	for i := range tokens.count() {
		if tokens.at(fmt.Sprintf("items.%d.role", i)) == "admin" {
			s.do(fmt.Sprintf("DELETE /tokens/%v", tokens.at(fmt.Sprintf("items.%d.id", i))), "").want(409)
		}
	}
	s.do("GET /groups", "").want(200)
}

// TestFirstToken lets several servers start at once on one new database.
func TestFirstToken(t *testing.T) {
	store := openStore(t)
	type made struct {
		secret  string
		created bool
		err     error
	}
	results := make(chan made)
	for range 4 {
		go func() {
			secret, created, err := admin.FirstToken(t.Context(), store)
			results <- made{secret, created, err}
		}()
	}
	var first string
	for range 4 {
		r := <-results
		if r.err != nil || r.created != (r.secret != "") || r.created && first != "" {
			t.Errorf("got %v %v, and there was one: %v", r.created, r.err, first != "")
		}
		first += r.secret
	}
	token, err := store.TokenByHash(t.Context(), enroll.HashSecret(first))
	if err != nil || token.Role != admin.RoleAdmin || !token.ExpiresAt.IsZero() {
		t.Errorf("the first token is %+v, %v", token, err)
	}
}

func TestExpiredToken(t *testing.T) {
	s := newServer(t)
	s.tokens["short"] = fmt.Sprint(s.do("POST /tokens", `{"name":"short","role":"viewer","expires_at":"2026-05-04T10:30:00Z"}`).want(201).at("token"))
	s.as("short", "GET /groups", "").want(200)
	s.now = s.now.Add(30 * time.Minute)
	s.as("short", "GET /groups", "").want(401).is("code=token_expired")
}

func TestPushCertificate(t *testing.T) {
	s := newServer(t)
	s.do("GET /push-certificate", "").want(200).is("installed=false", "pending_csr=false")
	s.do("POST /push-certificate/csr", `{"email":"it@example.com"}`).want(200).is("csr_pem=CSR for it@example.com")
	s.do("PUT /push-certificate", `{"certificate_pem":"cert","key_pem":"key","force":true}`).want(200).is("installed=true", "subject=cert", "not_after=2027-01-01T00:00:00Z").says("!key_pem")
	if s.push.key != "key" || !s.push.force {
		t.Errorf("handed on %+v", s.push)
	}
	s.push.err = enroll.Errorf(enroll.KindConflict, "topic_changed", "another topic").WithHint("force")
	s.do("PUT /push-certificate", `{"certificate_pem":"cert"}`).want(409).is("code=topic_changed", "hint=force")
}

// TestBadBodies asserts that a body that cannot be used says where, and that a
// broken one is not echoed: it may hold a key.
func TestBadBodies(t *testing.T) {
	s := newServer(t)
	s.do("PUT /push-certificate", `{"certificate_pem":"x","key_pem":"SECRET-KEY"`).want(400).is("code=body_malformed").says("!SECRET-KEY")
	s.do("PUT /push-certificate", ``).want(400).is("code=body_malformed")
	s.do("PUT /push-certificate", `{"key_pem":"SECRET-KEY"}`).want(422).is("code=request_invalid").says("certificate_pem", "!SECRET-KEY")
	s.do("PUT /push-certificate", `x=y`, "Content-Type: application/x-www-form-urlencoded").want(415).is("code=content_type_unsupported")
	s.do("POST /groups", `{"name":5}`).want(422).is("errors.0.pointer=/name", "errors.0.value=5")
	s.do("POST /groups", `{"nam":"x","name":"y"}`).want(422).is("errors.0.pointer=/nam")
	s.do("POST /groups", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`).want(413).is("code=body_too_large")
	s.do("POST /requests", `{"serials":["a",5]}`).want(422).is("errors.0.pointer=/serials/1")
	s.do("DELETE /groups", "").want(405).is("code=method_not_allowed")
	s.do("GET /nothing", "").want(404).is("code=route_unknown")
}
