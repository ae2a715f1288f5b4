package dep

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/dep/cloud"
	"rollcall/enroll"
)

func TestLatest(t *testing.T) {
	at := func(n int) cloud.Time { return cloud.Time{Time: now.Add(time.Duration(n) * time.Second)} }
	device := func(serial string, op cloud.OpType, when int, tag string) cloud.Device {
		return cloud.Device{Serial: serial, OpType: op, OpDate: at(when), AssetTag: tag}
	}
	got := latest([]cloud.Device{
		device("a1", cloud.Added, 1, "first"), device("A1", cloud.Modified, 3, "last"), device("A1", cloud.Modified, 2, "between"),
		device("B1", cloud.Deleted, 5, "gone"), device("B1", cloud.Added, 5, "tie"),
		device("C1", cloud.Added, 5, "tie"), device("C1", cloud.Deleted, 5, "gone"),
		{Serial: ""}, {Serial: "not a serial \u00e9"},
		{Serial: "D1", AssetTag: "listed"}, {Serial: "D1", AssetTag: "again"},
	})
	want := []cloud.Device{device("A1", cloud.Modified, 3, "last"), device("B1", cloud.Deleted, 5, "gone"), device("C1", cloud.Deleted, 5, "gone"), {Serial: "D1", AssetTag: "again"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMerge(t *testing.T) {
	listed := ListedOf(cloud.Device{Model: "iPhone 17", IMEI: []string{"35 000000 000000 6", ""}, MEID: []string{"A1"}, AssetTag: "INV-1"})
	d := Row("A1", FamilyIPad, listed, now)
	if d.Name != "" || d.Platform != enroll.PlatformIOS || d.Ownership != enroll.OwnershipCorporate || d.State != enroll.StatePreEnrolled || d.AssetTag != "INV-1" ||
		d.Facts.IMEI != "350000000000006" || d.Facts.Model != "iPhone 17" || d.Sources["imei"] != enroll.SourceDEP || ShownName(d.Redacted()) != DefaultName {
		t.Errorf("a new row is %+v", d)
	}
	if Row("A1", FamilyMac, listed, now).Platform != enroll.PlatformApple {
		t.Error("a Mac is no iOS device")
	}
	own := enroll.Device{AssetTag: "mine", Name: "Anna's", Facts: enroll.Facts{IMEI: "told by the device", Model: "told by a file"},
		Sources: map[string]enroll.Source{"serial": enroll.SourceCSV, "asset_tag": enroll.SourceAPI, "imei": enroll.SourceDevice, "model": enroll.SourceCSV}}
	Merge(&own, listed)
	if own.AssetTag != "mine" || own.Facts.IMEI != "told by the device" || own.Facts.Model != "iPhone 17" || own.Facts.MEID != "A1" || own.Sources["serial"] != enroll.SourceCSV || ShownName(own) != "Anna's" {
		t.Errorf("the row of an admin became %+v", own)
	}
	Merge(&d, Listed{AssetTag: "INV-2"})
	if d.AssetTag != "INV-2" {
		t.Errorf("Apple's asset tag stays %q", d.AssetTag)
	}
	stray := enroll.Device{Sources: map[string]enroll.Source{"serial": enroll.SourceDevice}}
	Merge(&stray, listed)
	if stray.Sources["serial"] != enroll.SourceDEP {
		t.Error("a row that came in by itself is not Apple's")
	}
}

func TestLeavesWithDevice(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*enroll.Device)
		leaves bool
	}{
		"as it came":  {func(*enroll.Device) {}, true},
		"renamed":     {func(d *enroll.Device) { d.Sources["name"] = enroll.SourceAPI }, true},
		"unenrolled":  {func(d *enroll.Device) { d.State = enroll.StateUnenrolled }, true},
		"enrolled":    {func(d *enroll.Device) { d.State = enroll.StateEnrolled }, false},
		"blocked":     {func(d *enroll.Device) { d.BlockedAt = now }, false},
		"in a file":   {func(d *enroll.Device) { d.Sources["user"] = enroll.SourceCSV }, false},
		"an admin's":  {func(d *enroll.Device) { d.Sources["serial"] = enroll.SourceAPI }, false},
		"by a device": {func(d *enroll.Device) { d.Sources["serial"] = enroll.SourceDevice }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := Row("A1", FamilyIPhone, Listed{}, now)
			c.change(&d)
			if LeavesWithDevice(d) != c.leaves {
				t.Errorf("leaves: %v", !c.leaves)
			}
		})
	}
}

func TestProfileCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Profile)
		code   string
	}{
		"good":             {func(p *Profile) { p.MinimumOS = map[string]string{"iPad": "26.1"} }, ""},
		"authentication":   {func(p *Profile) { p.Authentication = "password" }, "authentication_unknown"},
		"family":           {func(p *Profile) { p.MinimumOS = map[string]string{"Fridge": "26"} }, "family_unknown"},
		"minimum":          {func(p *Profile) { p.MinimumOS = map[string]string{"iPad": "newest"} }, "minimum_os_invalid"},
		"skip item":        {func(p *Profile) { p.Settings.SkipSetup = []string{"siri"} }, "skip_item_unknown"},
		"skip item twice":  {func(p *Profile) { p.Settings.SkipSetup = []string{"Siri", "Siri"} }, "skip_item_repeated"},
		"auto advance":     {func(p *Profile) { p.Settings.AutoAdvance = true }, "auto_advance_locale"},
		"by Apple's codes": {func(p *Profile) { p.Settings.Region = "USA" }, "dep_locale_invalid"},
		"name":             {func(p *Profile) { p.Name = " " }, "name_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Profile{Name: "Standard"}
			c.change(&p)
			err := p.check()
			var e *enroll.Error
			if c.code == "" && err != nil || c.code != "" && (!errors.As(err, &e) || e.Code != c.code) {
				t.Errorf("%v, want %q", err, c.code)
			}
		})
	}
}

func TestSkipItemsThatDevicesDoNotHaveAreWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		items    []string
		minimum  map[string]string
		warnings int
	}{
		"everywhere":            {[]string{"Siri", "FileVault"}, nil, 0},
		"removed":               {[]string{"Wallpaper"}, nil, 1},
		"removed and newer":     {[]string{"WebContentFiltering"}, nil, 2},
		"deprecated":            {[]string{"Zoom"}, nil, 1},
		"newer":                 {[]string{"LiquidGlass"}, map[string]string{"iPad": "27"}, 1},
		"newer, and kept out":   {[]string{"LiquidGlass"}, map[string]string{"iPhone": "27", "iPad": "27.1", "Mac": "27", "AppleTV": "27"}, 0},
		"newer, with one older": {[]string{"LiquidGlass"}, map[string]string{"iPhone": "27", "iPad": "26.1", "Mac": "27", "AppleTV": "27"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := Profile{Name: "Standard", MinimumOS: c.minimum, Settings: ProfileSettings{SkipSetup: c.items}}
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
			if got := p.Warnings(); len(got) != c.warnings {
				t.Errorf("warnings: %q, want %d", got, c.warnings)
			}
		})
	}
}

func TestToldProfile(t *testing.T) {
	p := Profile{Name: "Standard", Authentication: AuthenticationRequest, Settings: ProfileSettings{AwaitConfigured: true}}
	got := p.told("https://mdm.example.com", "secret", []byte{1, 2})
	if got.URL != "https://mdm.example.com/enroll/ade/secret" || got.WebURL != "https://mdm.example.com/enroll/ade/secret/web" || !got.AwaitConfigured || len(got.AnchorCerts) != 1 {
		t.Errorf("%+v", got)
	}
	open := p
	open.Authentication = AuthenticationNone
	if open.told("https://mdm.example.com", "secret", nil).WebURL != "" || open.sameForApple(p) {
		t.Error("a web view where nobody is asked")
	}
	oidc := p
	oidc.Authentication, oidc.MinimumOS = AuthenticationOIDC, map[string]string{"iPad": "26"}
	if !oidc.sameForApple(p) {
		t.Error("Apple would be told what it does not see")
	}
}

func TestPatience(t *testing.T) {
	for _, c := range []struct {
		outcome  cloud.Outcome
		attempts int
		asked    time.Duration
		want     time.Duration
	}{
		{cloud.OutcomeThrottled, 5, 10 * time.Second, 10 * time.Second}, {cloud.OutcomeThrottled, 5, 0, time.Minute},
		{cloud.OutcomeFailed, 0, time.Hour, time.Minute}, {cloud.OutcomeFailed, 3, 0, 8 * time.Minute}, {cloud.OutcomeNotAccessible, 1000, 0, 6 * time.Hour},
	} {
		if got := patience(c.outcome, c.attempts, c.asked); got != c.want {
			t.Errorf("%s, %d attempts, asked %v: %v, want %v", c.outcome, c.attempts, c.asked, got, c.want)
		}
	}
}

// TestEndOfARun: what is tried again, when, and in which words.
func TestEndOfARun(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		failures int
		wait     time.Duration
		code     string
	}{
		"done":            {nil, 0, syncInterval, ""},
		"first failure":   {&cloud.Error{Code: cloud.Unreachable}, 0, time.Minute, "dep_unreachable"},
		"fourth failure":  {&cloud.Error{Code: cloud.Unavailable}, 3, 8 * time.Minute, "dep_unavailable"},
		"many failures":   {&cloud.Error{Code: cloud.BadAnswer}, 90, time.Hour, "dep_bad_answer"},
		"terms":           {&cloud.Error{Code: cloud.TermsNotSigned}, 0, time.Hour, "dep_t_c_not_signed"},
		"asked to wait":   {&cloud.Error{Code: cloud.TooMany, RetryAfter: 3 * time.Hour}, 0, 3 * time.Hour, "dep_too_many_requests"},
		"something of us": {errors.New("sql: secret"), 0, time.Minute, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{Syncer: &Syncer{Now: func() time.Time { return now }}, account: Account{Sync: SyncState{Failures: c.failures}}}
			got := r.end(c.err)
			code := ""
			if got.Problem != nil {
				code = got.Problem.Code
			}
			if got.DueAt.Sub(now) != c.wait || code != c.code || got.Done != (c.err == nil) {
				t.Errorf("in %v: %+v", got.DueAt.Sub(now), got.Problem)
			}
		})
	}
}
