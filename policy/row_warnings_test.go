package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/policy/document"
)

func TestRowWarnings(t *testing.T) {
	supervised, denied := true, document.Deny
	limits := Policy{ID: "1", Name: "Limits", Version: 1, Document: document.Document{Restrictions: &document.Restrictions{NFC: denied, AppInstall: denied, SMS: denied}}}
	named := Policy{ID: "2", Name: "Named", Version: 1, Document: document.Document{LockMessage: "{user.name} {serial} {udid}"}}
	for _, c := range []struct {
		name   string
		row    enroll.ImportRow
		device enroll.Device
		owner  *Person
		want   []string
	}{
		{"no policy, no group", enroll.ImportRow{}, enroll.Device{Platform: enroll.PlatformIOS}, &Person{}, nil},
		{"a policy nobody knows", enroll.ImportRow{Policies: []string{"Other"}, Groups: []string{"Other"}}, enroll.Device{Platform: enroll.PlatformIOS}, &Person{}, nil},
		{"not known to be supervised", enroll.ImportRow{Policies: []string{"Limits"}}, enroll.Device{Platform: enroll.PlatformIOS}, &Person{},
			[]string{"policy Limits not_supervised", "policy Limits platform"}},
		{"what is known is not told before the user accepted", enroll.ImportRow{Policies: []string{"Limits"}},
			enroll.Device{Platform: enroll.PlatformIOS, Facts: enroll.Facts{Supervised: &supervised}}, &Person{}, []string{"policy Limits not_supervised", "policy Limits platform"}},
		{"supervised", enroll.ImportRow{Groups: []string{"All"}},
			enroll.Device{Platform: enroll.PlatformIOS, AcceptedAt: time.Now(), Facts: enroll.Facts{Supervised: &supervised}}, &Person{}, []string{"group Limits platform"}},
		{"by model", enroll.ImportRow{Policies: []string{"Limits"}, Model: "AppleTV14,1"}, enroll.Device{Platform: enroll.PlatformApple}, &Person{}, []string{"policy Limits platform"}},
		{"Android", enroll.ImportRow{Policies: []string{"Limits"}}, enroll.Device{Platform: enroll.PlatformAndroid, Ownership: enroll.OwnershipCorporate}, &Person{}, nil},
		{"a person's Android", enroll.ImportRow{Policies: []string{"Limits"}}, enroll.Device{Platform: enroll.PlatformAndroid, Ownership: enroll.OwnershipPersonal}, &Person{},
			[]string{"policy Limits management_mode"}},
		{"no name", enroll.ImportRow{Policies: []string{"Named"}}, enroll.Device{Platform: enroll.PlatformAndroid, Serial: "S"}, &Person{}, []string{"name  variable_missing"}},
		{"a name", enroll.ImportRow{Policies: []string{"Named"}}, enroll.Device{Platform: enroll.PlatformAndroid, Serial: "S"}, &Person{Name: "Ann"}, nil},
		{"owner out of sight", enroll.ImportRow{Policies: []string{"Named"}}, enroll.Device{Platform: enroll.PlatformAndroid, Serial: "S"}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewRowWarner(map[string]Policy{"Limits": limits, "Named": named}, map[string][]Policy{"All": {limits}})
			for line := range 2 { // the second time from memory
				c.row.Line = line + 1
				var got []string
				for _, e := range w.Warnings(c.row, c.device, c.owner) {
					if e.Line != c.row.Line || e.Detail == "" {
						t.Errorf("%+v", e)
					}
					got = append(got, strings.Join([]string{e.Column, e.Value, e.Code}, " "))
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			}
			if len(w.known) > 1 {
				t.Errorf("%d kinds of one row", len(w.known))
			}
		})
	}
}

// TestRowWarningsAreFew: a row has one warning of a kind, whatever the policy.
func TestRowWarningsAreFew(t *testing.T) {
	var d document.Document
	for i := range 20 {
		d.WebClips = append(d.WebClips, document.WebClip{Name: fmt.Sprint(i), URL: fmt.Sprintf("https://example.com/%d", i)})
	}
	w := NewRowWarner(map[string]Policy{"Many": {ID: "1", Name: "Many", Document: d}}, nil)
	got := w.Warnings(enroll.ImportRow{Line: 7, Policies: []string{"Many"}}, enroll.Device{Platform: enroll.PlatformAndroid}, nil)
	want := enroll.RowErrors{{Line: 7, Column: "policy", Value: "Many", Code: "platform",
		Detail: "/web_clips/0: A web app is an object of its own at Google; once made, its package can be required. Likewise /web_clips/1, /web_clips/2, /web_clips/3, /web_clips/4 and 15 more."}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
