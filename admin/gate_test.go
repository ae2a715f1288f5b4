package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

const restrictions = "PUT /settings/enrollment-restrictions"

// attempt lets an iPhone arrive, and wants this answer.
func (s *server) attempt(serial string, want enroll.Code, change ...func(*enroll.Attempt)) enroll.Decision {
	s.t.Helper()
	a := enroll.Attempt{Channel: enroll.ChannelOTA, Platform: enroll.PlatformIOS, Serial: serial, Evidence: enroll.EvidenceSigned, Facts: enroll.Facts{UDID: "udid-" + serial}}
	for _, f := range change {
		f(&a)
	}
	d, err := s.api.Gate.Decide(s.t.Context(), a)
	if err != nil {
		s.t.Fatal(err)
	}
	if d.Code != want {
		s.t.Fatalf("%s on %s was decided %s, want %s: %+v", serial, a.Channel, d.Code, want, d.Trace)
	}
	return d
}

func by(c enroll.Channel) func(*enroll.Attempt) {
	return func(a *enroll.Attempt) {
		if a.Channel = c; c == enroll.ChannelAgent || c == enroll.ChannelAMAPI {
			a.Platform = enroll.PlatformAndroid
		}
	}
}

func osVersion(v string) func(*enroll.Attempt) {
	return func(a *enroll.Attempt) { a.Facts.OSVersion = v }
}

func (s *server) roll(serial string, fields ...string) {
	s.t.Helper()
	s.do("PUT /devices/"+serial, `{"platform":"ios","ownership":"corporate"`+strings.Join(append([]string{""}, fields...), ",")+`}`).want(201)
}

// TestF14RestrictionRefusesStrangersOnEveryChannel: Pre-enrolled Devices Only
// is on, and a serial that is not on the roll comes by every channel.
func TestF14RestrictionRefusesStrangersOnEveryChannel(t *testing.T) {
	s := newServer(t)
	s.do(restrictions, `{"pre_enrolled_devices_only":"enforce"}`).want(200)
	for i, channel := range enroll.Channels {
		serial := fmt.Sprintf("STRANGER%d", i)
		d := s.attempt(serial, enroll.DenyNotPreEnrolled, by(channel))
		s.do("GET /decisions/"+d.ID, "").want(200).is("outcome=deny", "channel="+string(channel), "serial="+serial).says("not registered with your organisation")
		s.do("GET /devices/"+serial, "").want(404)
	}
}

// TestF15WithoutRestrictionUnknownDevicesPass: off admits them, audit admits
// them and says what enforcing would have done.
func TestF15WithoutRestrictionUnknownDevicesPass(t *testing.T) {
	s := newServer(t)
	for i, channel := range enroll.Channels {
		s.attempt(fmt.Sprintf("STRANGER%d", i), enroll.AllowOpen, by(channel))
	}
	s.do(restrictions, `{"pre_enrolled_devices_only":"audit"}`).want(200)
	d := s.attempt("STRANGER9", enroll.AllowOpen)
	s.do("GET /decisions/"+d.ID, "").want(200).is("code=allow.open", "enforced=deny.not_pre_enrolled", "mode=audit")
}

// TestF16TurningItOnLeavesEnrolledDevicesAlone: who enrolled while it was off
// stays enrolled, and is asked at the next enrollment only.
func TestF16TurningItOnLeavesEnrolledDevicesAlone(t *testing.T) {
	s := newServer(t)
	d := s.attempt("STRANGER1", enroll.AllowOpen)
	s.enroll(d)
	s.do(restrictions, `{"pre_enrolled_devices_only":"enforce"}`).want(200)
	s.do("GET /devices/STRANGER1", "").want(200).is("state=enrolled")
	s.do("POST /devices/STRANGER1/push", "").want(202)
	s.attempt("STRANGER1", enroll.DenyNotPreEnrolled)
	s.do("GET /devices/STRANGER1", "").want(200).is("state=enrolled")
}

// TestF21OwnerMismatch: the row came to belong to Bob after Ann was invited.
func TestF21OwnerMismatch(t *testing.T) {
	s := newServer(t)
	s.roll("SERIAL1", `"user":{"email":"ann@example.com"}`)
	sent := s.do("POST /requests", `{"serials":["SERIAL1"]}`).want(201)
	secret := fmt.Sprint(sent.at("items.0.link"))
	secret = secret[strings.LastIndex(secret, "/")+1:]
	if _, err := s.api.Requests.Accept(t.Context(), secret, ""); err != nil {
		t.Fatal(err)
	}
	invited := func(a *enroll.Attempt) { a.RequestSecret = secret }
	s.do("PATCH /devices/SERIAL1", `{"user":{"email":"bob@example.com"}}`).want(200)
	s.attempt("SERIAL1", enroll.DenyUserMismatch, invited)
	s.do(restrictions, `{"owner_mismatch":"warn"}`).want(200)
	d := s.attempt("SERIAL1", enroll.AllowListed, invited)
	s.do("GET /decisions/"+d.ID, "").want(200).says(`"check":"owner","result":"warn"`)
	s.do(restrictions, `{"owner_mismatch":"ignore"}`).want(200)
	s.attempt("SERIAL1", enroll.AllowListed, invited)
	s.do(restrictions, `{"owner_mismatch":"refuse"}`).want(200)
	s.attempt("SERIAL1", enroll.DenyUserMismatch, invited)
	s.attempt("SERIAL1", enroll.AllowListed) // nobody knows who enrolls
}

func TestRestrictions(t *testing.T) {
	s := newServer(t)
	s.do("GET /settings/enrollment-restrictions", "").want(200).is("pre_enrolled_devices_only=off", "unlisted_devices=refuse", "owner_mismatch=refuse", "required_evidence=claimed", "devices_per_user=0", "decision_days=400", "updated_at=")
	s.do(restrictions, `{"devices_per_user":2,"required_evidence":"token"}`).want(200).is("pre_enrolled_devices_only=off", "devices_per_user=2", "required_evidence=token", "updated_at=2026-05-04T10:00:00Z")
	s.do(restrictions, `{"pre_enrolled_devices_only":"audit"}`).want(200).is("pre_enrolled_devices_only=audit", "devices_per_user=2")
	for _, bad := range []string{`{"decision_days":0}`, `{"devices_per_user":-1}`, `{"owner_mismatch":"ask"}`, `{"required_evidence":"sworn"}`, `{"unlisted_devices":"admit"}`, `{"mode":"off"}`} {
		s.do(restrictions, bad).want(422)
	}
	s.roll("SERIAL1")
	s.attempt("SERIAL1", enroll.DenyEvidenceTooWeak, func(a *enroll.Attempt) { a.Evidence = enroll.EvidenceClaimed })
	s.as(admin.RoleOperator, restrictions, `{"decision_days":30}`).want(403)
}

func TestGateRules(t *testing.T) {
	s := newServer(t)
	const old = "/gate/rules/iOS%2018%20or%20later"
	s.do("PUT "+old, `{"action":"deny","conditions":{"platforms":["ios"],"os_minimum":"18"}}`).want(201).is("name=iOS 18 or later", "enabled=true", "action=deny", "conditions.os_minimum=18", "created_at=2026-05-04T10:00:00Z")
	s.roll("SERIAL1")
	s.attempt("SERIAL1", enroll.AllowListed) // it has not told its version yet
	d := s.attempt("SERIAL1", enroll.DenyOSVersion, osVersion("17.7.2"))
	s.do("GET /decisions/"+d.ID, "").want(200).says(`"check":"rule iOS 18 or later","result":"fail"`)
	s.attempt("SERIAL1", enroll.AllowListed, osVersion("18.0"))

	s.do("PUT /gate/rules/kiosks", `{"action":"allow","conditions":{"models":["iPad*"]}}`).want(201)
	s.do("PUT /gate/rules/kiosks", `{"enabled":false,"action":"allow","conditions":{"models":["iPad*"]}}`).want(200).is("enabled=false")
	s.do("GET /gate/rules/kiosks", "").want(200).is("conditions.models.0=iPad*")
	s.do("PUT /gate/rule-order", `{"names":["kiosks"]}`).want(409).is("code=rules_missing")
	s.do("PUT /gate/rule-order", `{"names":["kiosks","iOS 18 or later"]}`).want(200).is("items.0.name=kiosks")
	s.do("GET /gate/rules", "").want(200).is("items.0.name=kiosks", "items.1.name=iOS 18 or later", "items.2=")

	for body, code := range map[string]string{
		`{"action":"deny","conditions":{}}`:                                                                                  "deny_without_reason",
		`{"action":"deny","conditions":{"os_minimum":"18 beta"}}`:                                                            "",
		`{"action":"deny","conditions":{"os_minimum":"beta"}}`:                                                               "version_invalid",
		`{"action":"admit","conditions":{}}`:                                                                                 "request_invalid",
		`{"action":"deny","conditions":{"channels":["mail"]}}`:                                                               "request_invalid",
		`{"action":"allow","conditions":{"on_roll":true}}`:                                                                   "rule_never_applies",
		`{"action":"require_evidence","evidence":"signed","conditions":{"platforms":["android"],"ownerships":["personal"]}}`: "evidence_impossible",
		`{"action":"deny","conditions":{"channels":["ota"],"groups":["nobody"]}}`:                                            "group_unknown",
		`{"action":"require_evidence","evidence":"claimed","conditions":{}}`:                                                 "request_invalid",
		`{"action":"deny","conditions":{"os_minimum":"18","os_maximum":"17"}}`:                                               "version_range",
		`{"action":"deny","conditions":{"channels":["ade"],"platforms":["android"]}}`:                                        "rule_never_applies",
		`{"action":"allow","evidence":"signed","conditions":{}}`:                                                             "evidence_unused",
	} {
		a := s.do("PUT /gate/rules/x", body)
		if code == "" {
			a.want(201)
			continue
		}
		if a.is("code=" + code); a.status != 422 && a.status != 404 {
			t.Errorf("%s: %d", body, a.status)
		}
	}
	s.do("DELETE /gate/rules/kiosks", "").want(204)
	s.do("DELETE /gate/rules/kiosks", "").want(404).is("code=rule_unknown")
	s.do("GET /gate/rules/kiosks", "").want(404)
	s.as(admin.RoleOperator, "DELETE "+old, "").want(403)
}

func TestApprovals(t *testing.T) {
	s := newServer(t)
	s.do(restrictions, `{"pre_enrolled_devices_only":"enforce","unlisted_devices":"hold"}`).want(200)
	for _, serial := range []string{"STRANGER1", "STRANGER2", "STRANGER3"} {
		d := s.attempt(serial, enroll.HoldPendingApproval)
		s.do("GET /decisions/"+d.ID, "").want(200).is("outcome=hold").says("waits for approval by your administrator")
		s.do("GET /devices/"+serial, "").want(200).is("state=pending_approval", "sources.serial=device")
	}
	s.do("GET /approvals?limit=2", "").want(200).is("items.0.serial=STRANGER1", "items.0.attempts=1", "items.0.state=pending", "items.1.serial=STRANGER2", "items.2=")
	s.as(admin.RoleViewer, "POST /approvals/STRANGER1/approve", "").want(403)
	s.as(admin.RoleOperator, "POST /approvals/stranger-1/approve", "").want(200).is("state=approved", "decided_by=the operator", "decided_at=2026-05-04T10:00:00Z")
	s.attempt("STRANGER1", enroll.AllowApproved)

	s.do("POST /approvals/STRANGER2/reject", "").want(200).is("state=rejected")
	s.attempt("STRANGER2", enroll.DenyNotPreEnrolled)
	s.do("GET /devices/STRANGER2", "").want(404)
	s.do("GET /approvals?state=rejected", "").want(200).is("items.0.serial=STRANGER2")

	s.do("POST /approvals/STRANGER3/approve-and-add", `{"ownership":"corporate","name":"Kiosk","user":{"email":"ann@example.com"}}`).want(200).
		is("state=pre_enrolled", "ownership=corporate", "platform=ios", "name=Kiosk", "user.email=ann@example.com", "sources.serial=api")
	s.attempt("STRANGER3", enroll.AllowListed)
	s.do("GET /approvals", "").want(200).is("items=[]")
	s.do("GET /approvals/STRANGER3", "").want(404).is("code=approval_unknown")
	s.do("POST /approvals/NOBODY/approve", "").want(404)
}

func TestRepair(t *testing.T) {
	s := newServer(t)
	s.do(restrictions, `{"pre_enrolled_devices_only":"enforce"}`).want(200)
	s.roll("C39XK1ABCDO1", `"name":"Desk 4"`)
	s.roll("C39XK1ABCDE9")
	d := s.attempt("C39XK1ABCD01", enroll.DenyNotPreEnrolled)
	s.do("GET /decisions/"+d.ID, "").want(200).is("near_misses.0.serial=C39XK1ABCDO1", "near_misses.1=", "repair=")
	s.as(admin.RoleViewer, "POST /decisions/"+d.ID+"/repair", `{"serial":"C39XK1ABCDO1"}`).want(403)
	s.as(admin.RoleOperator, "POST /decisions/"+d.ID+"/repair", `{"serial":"C39XK1ABCDO1"}`).want(200).is("serial=C39XK1ABCD01", "name=Desk 4", "state=pre_enrolled")
	s.do("GET /decisions/"+d.ID, "").want(200).is("repair.serial=C39XK1ABCDO1", "repair.by=the operator")
	s.do("GET /devices/C39XK1ABCDO1", "").want(404)
	s.do("POST /decisions/"+d.ID+"/repair", `{"serial":"C39XK1ABCDE9"}`).want(409).is("code=serial_taken")
	s.attempt("C39XK1ABCD01", enroll.AllowListed)
}

func TestEvaluate(t *testing.T) {
	s := newServer(t)
	s.do(restrictions, `{"pre_enrolled_devices_only":"enforce"}`).want(200)
	s.do("PUT /gate/rules/old", `{"action":"deny","conditions":{"os_minimum":"18"}}`).want(201)
	s.do("PUT /gate/rules/own", `{"action":"deny","conditions":{"ownerships":["personal"],"manufacturers":["Acme*"]}}`).want(201)
	s.roll("C39XK1ABCD01", `"user":{"email":"ann@example.com"}`)
	s.do("POST /gate/evaluate", `{"serial":"C39XK1ABCDO1","platform":"ios","channel":"ade"}`).want(200).
		is("code=deny.not_pre_enrolled", "on_roll=false", "near_misses.0.serial=C39XK1ABCD01").says(`"check":"rule old"`)
	s.do("POST /gate/evaluate", `{"serial":"C39XK1ABCD01","platform":"ios","channel":"ota","os_version":"17.1"}`).want(200).is("code=deny.os_version", "near_misses=")
	s.do("POST /gate/evaluate", `{"serial":"C39XK1ABCD01","platform":"ios","channel":"ota","os_version":"18.1","user_id":"somebody"}`).want(200).is("code=deny.user_mismatch")
	s.do("POST /gate/evaluate", `{"serial":"NEW","platform":"android","channel":"agent","manufacturer":"ACME Ltd","ownership":"personal"}`).want(200).is("code=deny.model")
	s.do("POST /gate/evaluate", `{"serial":"C39XK1ABCD01","platform":"ios","channel":"ota","os_version":"18.1","product":"iPhone17,1"}`).want(200).is("code=allow.listed")
	if n := s.do("GET /decisions", "").count(); n != 0 {
		t.Errorf("asking left %d decisions", n)
	}
}

func TestForecast(t *testing.T) {
	s := newServer(t)
	s.roll("C39XK1ABCD01")
	s.attempt("C39XK1ABCD01", enroll.AllowListed)
	s.attempt("C39XK1ABCDO1", enroll.AllowOpen)
	s.now = s.now.Add(24 * time.Hour)
	s.attempt("STRANGER1", enroll.AllowOpen)
	s.do("GET /settings/enrollment-restrictions/forecast", "").want(200).is("devices=3", "admitted=1", "refused.0.code=deny.not_pre_enrolled", "refused.0.devices=2",
		"items.0.serial=STRANGER1", "items.0.was=allow.open", "items.1.serial=C39XK1ABCDO1", "more=false", "since=2026-04-28T10:00:00Z")
	for ask, want := range map[string]string{"pre_enrolled_devices_only=off": "admitted=3", "pre_enrolled_devices_only=audit": "admitted=3", "unlisted_devices=hold": "refused.0.code=hold.pending_approval",
		"pre_enrolled_devices_only=off&required_evidence=attested": "refused.0.code=deny.evidence_too_weak"} {
		s.do("GET /settings/enrollment-restrictions/forecast?"+ask, "").want(200).is(want)
	}
	s.now = s.now.Add(6*24*time.Hour + time.Minute)
	s.do("GET /settings/enrollment-restrictions/forecast?days=7", "").want(200).is("devices=1")
	s.do("GET /settings/enrollment-restrictions/forecast?days=0", "").want(422)
	s.do("GET /settings/enrollment-restrictions", "").want(200).is("pre_enrolled_devices_only=off")
}

// TestBlockSurvives: a block is not lost with wipe, disenrollment or a new row
// of facts, and unblocking ends it.
func TestBlockSurvives(t *testing.T) {
	s := newServer(t)
	s.roll("SERIAL1")
	e := s.enroll(s.attempt("SERIAL1", enroll.AllowListed))
	s.do("POST /devices/SERIAL1/block", `{"reason":"lost"}`).want(200)
	s.attempt("SERIAL1", enroll.DenyBlocked)
	if err := s.store.CheckOut(t.Context(), e.ID, s.now); err != nil {
		t.Fatal(err)
	}
	s.do("PUT /devices/SERIAL1", `{"platform":"ios","ownership":"corporate","name":"new"}`).want(200)
	s.do("GET /devices/SERIAL1", "").want(200).is("state=blocked")
	s.attempt("SERIAL1", enroll.DenyBlocked)
	s.do("POST /devices/SERIAL1/unblock", "").want(200)
	s.attempt("SERIAL1", enroll.AllowListed)
}

// TestValidityOfRows: the fields of a row that limit when and how often it can
// be used.
func TestValidityOfRows(t *testing.T) {
	s := newServer(t)
	s.roll("SERIAL1", `"not_before":"2026-05-04T11:00:00Z","expires_at":"2026-05-04T12:00:00Z","max_uses":1`)
	s.attempt("SERIAL1", enroll.DenyNotYetValid)
	s.now = s.now.Add(time.Hour)
	d := s.attempt("SERIAL1", enroll.AllowListed)
	e := s.enroll(d)
	s.attempt("SERIAL1", enroll.AllowListed, func(a *enroll.Attempt) { a.Facts.UDID = facts.UDID }) // wiped, and back
	if err := s.store.CheckOut(t.Context(), e.ID, s.now); err != nil {
		t.Fatal(err)
	}
	s.attempt("SERIAL1", enroll.DenyUsedUp)
	s.do("PATCH /devices/SERIAL1", `{"max_uses":2}`).want(200)
	s.attempt("SERIAL1", enroll.AllowListed)
	s.now = s.now.Add(time.Hour)
	s.attempt("SERIAL1", enroll.DenyExpired)
}
