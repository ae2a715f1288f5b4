package amapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEnrollmentTokens(t *testing.T) {
	b := newBench(t)
	tokens := b.enterprise + "/enrollmentTokens"
	for words, body := range map[string]object{
		"1 minute":    {"duration": "59s"},
		"between":     {"duration": "-60s"},
		"1024":        {"additionalData": strings.Repeat("ä", 1025)},
		"UNSPECIFIED": {"allowPersonalUsage": "ALLOW_PERSONAL_USAGE_UNSPECIFIED"},
		"not a pol":   {"policyName": "enterprises/other/policies/p"},
		"REQUIRED":    {"googleAuthenticationOptions": object{"requiredAccountEmail": "a@example.com"}},
	} {
		b.refused("POST", tokens, body, "INVALID_ARGUMENT", words)
	}
	out := b.token(object{})
	if got, want := text(out, "expirationTimestamp"), b.clock.now().Add(time.Hour).Format(time.RFC3339); got != want {
		t.Errorf("expires %s, want %s", got, want)
	}
	if got := text(out, "policyName"); got != b.enterprise+"/policies/default" {
		t.Error(got)
	}
	full := b.token(object{"policyName": "p", "duration": "600s", "oneTimeOnly": true, "additionalData": strings.Repeat("ä", 1024), "allowPersonalUsage": corporate})
	if text(full, "policyName") != b.enterprise+"/policies/p" || !flag(full, "oneTimeOnly") || text(full, "additionalData") == "" {
		t.Error(full)
	}
	want := object{}
	for _, name := range []string{"name", "value", "qrCode", "expirationTimestamp", "allowPersonalUsage"} {
		want[name] = full[name]
	}
	if diff := cmp.Diff(want, b.ok("GET", text(full, "name"), nil)); diff != "" {
		t.Error("get shows more, or less, than Google:", diff)
	}
	if got := list(b.ok("GET", tokens, nil), "enrollmentTokens"); len(got) != 2 {
		t.Error(got)
	}
	b.clock.advance(10 * time.Minute)
	b.refused("GET", text(full, "name"), nil, "NOT_FOUND", "")
	b.setup(b.device(Hardware{Serial: "S1"}), text(full, "value"), ErrToken)
	b.ok("DELETE", text(out, "name"), nil)
	b.refused("DELETE", text(out, "name"), nil, "NOT_FOUND", "")
	b.setup(b.device(Hardware{Serial: "S2"}), text(out, "qrCode"), ErrToken)
	if got := b.ok("GET", tokens, nil); len(got) != 0 {
		t.Error(got)
	}
	far := b.token(object{"duration": "315360000000s"})
	if got := text(far, "expirationTimestamp"); got != "9999-12-31T23:59:59Z" {
		t.Error(got)
	}
}

func TestPages(t *testing.T) {
	b := newBench(t)
	for i := range 25 {
		b.policy(fmt.Sprintf("p%02d", i), object{})
	}
	var got []string
	query := ""
	for {
		out := b.ok("GET", b.enterprise+"/policies"+query, nil)
		items := list(out, "policies")
		if len(items) > 10 {
			t.Fatal(len(items))
		}
		for _, p := range items {
			got = append(got, text(p, "name"))
		}
		if text(out, "nextPageToken") == "" {
			break
		}
		query = "?pageToken=" + text(out, "nextPageToken")
	}
	if len(got) != 25 || got[24] != b.enterprise+"/policies/p24" {
		t.Error(got)
	}
	b.refused("GET", b.enterprise+"/policies?pageToken=x", nil, "INVALID_ARGUMENT", "page token")
	b.refused("GET", b.enterprise+"/policies?pageSize=-1", nil, "INVALID_ARGUMENT", "negative")
	for i := range 100 {
		b.policy(fmt.Sprintf("q%02d", i), object{})
	}
	if got := list(b.ok("GET", b.enterprise+"/policies?pageSize=1000", nil), "policies"); len(got) != 100 {
		t.Error(len(got))
	}
}
