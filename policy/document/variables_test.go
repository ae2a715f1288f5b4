package document

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResolve(t *testing.T) {
	v := Variables{"serial": "S1", "user.email": "ada@example.com", "user.local_part": "ada", "organization": "{serial}"}
	for _, c := range []struct {
		doc, want string
		missing   []Missing
	}{
		{`{"device_name":"{serial}-{user.local_part}"}`, `{"device_name":"S1-ada"}`, nil},
		{`{"device_name":"{{serial}} {{x}} {x} {} {organization}"}`, `{"device_name":"{serial} {{x}} {x} {} {serial}"}`, nil},
		{`{"lock_message":"{imei} {udid} {imei}"}`, `{"lock_message":"{imei} {udid} {imei}"}`, []Missing{{"/lock_message", "imei"}, {"/lock_message", "udid"}}},
		{`{"wifi":[{"ssid":"{serial}","security":"eap","eap":{"methods":["peap"],"identity":"{user.email}","anonymous_identity":"{domain}","password":"{serial}"}}]}`,
			`{"wifi":[{"ssid":"{serial}","security":"eap","eap":{"methods":["peap"],"identity":"ada@example.com","anonymous_identity":"{domain}","password":"{serial}"}}]}`,
			[]Missing{{"/wifi/0/eap/anonymous_identity", "domain"}}},
		{`{"vpn":[{"name":"a","local_id":"{serial}","username":"{user.email}"}],"web_clips":[{"name":"a","url":"https://x/{serial}"}]}`,
			`{"vpn":[{"name":"a","local_id":"S1","username":"ada@example.com"}],"web_clips":[{"name":"a","url":"https://x/S1"}]}`, nil},
		{`{"email":[{"name":"a","address":"{user.email}","type":"imap","incoming":{"host":"h","username":"{user.local_part}"},"outgoing":{"host":"h","username":"{user.mobile}"}}]}`,
			`{"email":[{"name":"a","address":"ada@example.com","type":"imap","incoming":{"host":"h","username":"ada"},"outgoing":{"host":"h","username":"{user.mobile}"}}]}`,
			[]Missing{{"/email/0/outgoing/username", "user.mobile"}}},
		{`{"apps":{"required":[{"bundle_id":"x","configuration":{"a":{"b":["{serial}",1,"{\"json\":{}}"]}}}],"allowed":[{"bundle_id":"y","configuration":{"a/b":"{imei}"}}]},"single_app":{"bundle_id":"z","configuration":{"a":"{serial}"}}}`,
			`{"apps":{"required":[{"bundle_id":"x","configuration":{"a":{"b":["S1",1,"{\"json\":{}}"]}}}],"allowed":[{"bundle_id":"y","configuration":{"a/b":"{imei}"}}]},"single_app":{"bundle_id":"z","configuration":{"a":"S1"}}}`,
			[]Missing{{"/apps/allowed/0/configuration/a~1b", "imei"}}},
		{`{"apple":{"profiles":[{"id":"p","payloads":[{"type":"t","content":{"a":"{serial}","n":1.0}}]}]},"android":{"policy":{"a":{"b":"{serial}","n":12345678901234567890},"c":"{x}"}}}`,
			`{"apple":{"profiles":[{"id":"p","payloads":[{"type":"t","content":{"a":"S1","n":1.0}}]}]},"android":{"policy":{"a":{"b":"S1","n":12345678901234567890},"c":"{x}"}}}`, nil},
	} {
		d := parse(t, c.doc)
		got, missing := d.Resolve(v)
		if diff := cmp.Diff(parse(t, c.want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.doc, diff)
		}
		if diff := cmp.Diff(c.missing, missing); diff != "" {
			t.Errorf("%s: missing (-want +got):\n%s", c.doc, diff)
		}
		if diff := cmp.Diff(parse(t, c.doc), d); diff != "" {
			t.Errorf("the document itself was changed:\n%s", diff)
		}
	}
}

// TestEveryVariableResolves: nothing that everything.json uses is left.
func TestEveryVariableResolves(t *testing.T) {
	v := Variables{}
	for _, n := range VariableNames {
		v[n] = "value"
	}
	d, missing := parse(t, everything).Resolve(v)
	b, err := json.Marshal(d)
	if err != nil || missing != nil {
		t.Fatal(err, missing)
	}
	if left := anyVariable.FindAll(b, -1); left != nil {
		t.Errorf("%s is left", left)
	}
	for _, n := range VariableNames {
		text := strings.ReplaceAll(`{"device_name":"{X}"}`, "X", n)
		if d, missing := parse(t, text).Resolve(v); d.DeviceName != "value" || missing != nil {
			t.Errorf("%s: %q, %v", n, d.DeviceName, missing)
		}
	}
}
