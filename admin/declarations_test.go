package admin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/policy"
)

func TestViewDeclarations(t *testing.T) {
	var status policy.DeclarativeStatus
	report := `{"StatusItems":{"passcode":{"is-present":true},"management":{"declarations":{"configurations":[
		{"identifier":"on","server-token":"1","active":true,"valid":"valid"},
		{"identifier":"off","server-token":"1","active":false,"valid":"valid","reasons":[{"code":"Info.NotReferencedByActivation","description":"no"}]},
		{"identifier":"bad","server-token":"1","active":false,"valid":"invalid"},
		{"identifier":"older","server-token":"0","active":true,"valid":"valid"}]}}},"Errors":[{"StatusItem":"x"}]}`
	if err := status.Merge([]byte(report), time.Unix(5, 0)); err != nil {
		t.Fatal(err)
	}
	set := policy.DeclarationSet{Token: "t", ChangedAt: time.Unix(1, 0)}
	for _, id := range []string{"on", "off", "bad", "older"} {
		set.Declarations = append(set.Declarations, policy.Declaration{Kind: "configuration", Type: "c", Identifier: id, ServerToken: "1"})
	}
	v := viewDeclarations(set, status)
	got := map[string]string{}
	for _, d := range v.Declarations {
		got[d.Identifier] = d.State
	}
	if diff := cmp.Diff(map[string]string{"on": "applied", "off": "inactive", "bad": "failed", "older": "waiting"}, got); diff != "" {
		t.Error(diff)
	}
	if v.Declarations[1].Reasons[0].Code != "Info.NotReferencedByActivation" || len(v.Errors) != 1 || v.Status["passcode"] == nil || v.ReportedAt.IsZero() {
		t.Errorf("view %+v", v)
	}
	if none := viewDeclarations(policy.DeclarationSet{}, policy.DeclarativeStatus{}); none.Declarations == nil || none.Status == nil || none.Errors == nil {
		t.Errorf("lists and trees are never null: %+v", none)
	}
}
