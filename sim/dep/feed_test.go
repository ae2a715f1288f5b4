package dep

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func tlsFor(c *Cloud) *tls.Config { return &tls.Config{RootCAs: c.RootCAs()} }

func TestFetchPages(t *testing.T) {
	c, _ := start(t, Options{PageLimit: 40}, 95)
	want := c.account.Serials()
	var got []string
	var pages []int
	p := pageAnswer{MoreToFollow: true}
	for p.MoreToFollow {
		p = c.fetch(1000, p.Cursor)
		pages = append(pages, len(p.Devices))
		for _, d := range p.Devices {
			if d.OpType != "" || d.OpDate != "" || d.ProfileStatus != ProfileEmpty || d.DeviceAssignedDate == "" {
				t.Fatalf("%+v", d)
			}
			got = append(got, d.SerialNumber)
		}
		if len(p.Cursor) > 1000 || p.FetchedUntil == "" {
			t.Fatalf("cursor of %d, until %q", len(p.Cursor), p.FetchedUntil)
		}
	}
	if !slices.Equal(got, want) || !cmp.Equal(pages, []int{40, 40, 15}) {
		t.Errorf("pages %v, %d serials", pages, len(got))
	}
	if p := c.fetch(0, ""); len(p.Devices) != 40 {
		t.Errorf("without a limit: %d", len(p.Devices))
	}
	many, _ := start(t, Options{}, 150)
	if p := many.fetch(0, ""); len(p.Devices) != 100 {
		t.Errorf("the default page has %d", len(p.Devices))
	}
}

func TestCursors(t *testing.T) {
	c, now := start(t, Options{}, 5)
	other, err := c.cloud.AddAccount("Other")
	if err != nil {
		t.Fatal(err)
	}
	foreign := newClient(t, c.cloud, other).upToDate()
	half := c.fetch(2, "").Cursor
	done := c.upToDate()
	for _, tt := range []struct{ name, path, cursor, code string }{
		{"fetch, nonsense", "/server/devices", "abc", "INVALID_CURSOR"},
		{"fetch, another account's", "/server/devices", foreign, "INVALID_CURSOR"},
		{"fetch, too long", "/server/devices", strings.Repeat("A", 1004), "INVALID_CURSOR"},
		{"fetch, after the end", "/server/devices", done, "EXHAUSTED_CURSOR"},
		{"sync, none", "/devices/sync", "", "CURSOR_REQUIRED"},
		{"sync, nonsense", "/devices/sync", "abc", "INVALID_CURSOR"},
		{"sync, another account's", "/devices/sync", foreign, "INVALID_CURSOR"},
		{"sync, in the middle of a fetch", "/devices/sync", half, "INVALID_CURSOR"},
	} {
		c.refused(tt.name, "POST", tt.path, map[string]any{"cursor": tt.cursor}, 400, tt.code)
	}
	if p := c.sync(10, done); len(p.Devices) != 0 || p.MoreToFollow {
		t.Errorf("%+v", p)
	}
	now.advance(7 * 24 * time.Hour)
	if p := c.reborn().sync(10, done); len(p.Devices) != 0 {
		t.Errorf("after seven days: %+v", p)
	}
	now.advance(time.Second + time.Second)
	c.refused("sync, after more", "POST", "/devices/sync", map[string]any{"cursor": done}, 400, "EXPIRED_CURSOR")
	c.refused("fetch, after more", "POST", "/server/devices", map[string]any{"cursor": half}, 400, "INVALID_CURSOR")
	fresh := c.upToDate()
	c.account.ExpireCursors()
	c.refused("sync, expired on demand", "POST", "/devices/sync", map[string]any{"cursor": fresh}, 400, "EXPIRED_CURSOR")
}

// reborn has a session although the service's clock has moved.
func (c *client) reborn() *client {
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	c.session = c.cloud.begin(c.account).token
	return c
}

func TestWhatHappensDuringAFetchComesWithSync(t *testing.T) {
	c, _ := start(t, Options{}, 6)
	serials := c.account.Serials()
	p := c.fetch(3, "")
	if err := c.account.AddDevices(Device{Serial: "NEW1", Family: "iPad"}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{serials[0], serials[5]} {
		if err := c.cloud.Release(s); err != nil {
			t.Fatal(err)
		}
	}
	p = c.fetch(3, p.Cursor)
	if got := operations(p); got != serials[3]+" , "+serials[4]+" " || p.MoreToFollow {
		t.Errorf("second page %q, more %v", got, p.MoreToFollow)
	}
	p = c.sync(100, p.Cursor)
	if got, want := operations(p), fmt.Sprintf("NEW1 added, %s deleted, %s deleted", serials[0], serials[5]); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStreamOfChanges(t *testing.T) {
	c, _ := start(t, Options{}, 2)
	other, err := c.cloud.AddAccount("Other")
	if err != nil {
		t.Fatal(err)
	}
	o := newClient(t, c.cloud, other)
	cursor, otherCursor := c.upToDate(), o.upToDate()
	one, two := c.account.Serials()[0], c.account.Serials()[1]
	expect := func(what, want, wantOther string) {
		t.Helper()
		p, q := c.sync(100, cursor), o.sync(100, otherCursor)
		if got := operations(p); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		if got := operations(q); got != wantOther {
			t.Errorf("%s: the other account %q, want %q", what, got, wantOther)
		}
		for _, d := range append(p.Devices, q.Devices...) {
			if d.OpDate == "" || d.OpType == deleted && (d.ProfileStatus != "" || d.ProfileUUID != "") {
				t.Errorf("%s: %+v", what, d)
			}
		}
		cursor, otherCursor = p.Cursor, q.Cursor
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	profile := c.define()
	expect("a definition", "", "")
	c.assign(profile, one)
	expect("assignment", one+" modified", "")
	if _, ok := c.cloud.Activate(one); !ok {
		t.Error("no configuration")
	}
	expect("activation", one+" modified", "")
	check(c.cloud.Move(one, other))
	expect("a move", one+" deleted", one+" modified")
	if s, _ := c.cloud.Device(one); s.Account != "Other" || s.ProfileStatus != ProfileRemoved || s.ProfileUUID != "" {
		t.Errorf("after the move %+v", s)
	}
	check(c.cloud.Move(one, c.account))
	expect("back", one+" modified", one+" deleted")
	c.assign(profile, one)
	check(c.cloud.Move(one, c.account))
	expect("a move to where it is", one+" modified, "+one+" modified", "")
	if s, _ := c.cloud.Device(one); s.ProfileStatus != ProfileRemoved {
		t.Errorf("after the same account again %+v", s)
	}
	check(c.cloud.Move(two, nil))
	check(c.cloud.Move(two, c.account))
	expect("away and back in one page", two+" deleted, "+two+" modified", "")
	check(c.cloud.Change(two, func(d *Device) { d.AssetTag = "42" }))
	expect("an asset tag", two+" modified", "")
	check(c.account.AddDevices(Device{Serial: "NEW1", Family: "iPhone"}))
	c.assign(profile, "NEW1")
	expect("add and modify in one page", "NEW1 added, NEW1 modified", "")
	check(c.cloud.Release("NEW1"))
	expect("release", "NEW1 deleted", "")
	check(other.AddDevices(Device{Serial: "NEW1", Family: "iPhone"}))
	expect("bought again", "", "NEW1 added")

	if err := c.cloud.Move("NOBODY", other); err == nil {
		t.Error("a device that is not there moves")
	}
	if err := other.AddDevices(Device{Serial: two, Family: "iPad"}); err == nil {
		t.Error("a serial is in two accounts")
	}
}

func TestSyncPages(t *testing.T) {
	c, _ := start(t, Options{}, 5)
	cursor := c.upToDate()
	profile := c.define()
	c.assign(profile, c.account.Serials()...)
	p := c.sync(3, cursor)
	if len(p.Devices) != 3 || !p.MoreToFollow {
		t.Errorf("%d, more %v", len(p.Devices), p.MoreToFollow)
	}
	// At least once: a page whose cursor was lost comes again.
	again := c.sync(3, cursor)
	if diff := cmp.Diff(p.Devices, again.Devices); diff != "" {
		t.Error(diff)
	}
	if p = c.sync(3, p.Cursor); len(p.Devices) != 2 || p.MoreToFollow {
		t.Errorf("%d, more %v", len(p.Devices), p.MoreToFollow)
	}
}

func TestFieldsByProtocolVersion(t *testing.T) {
	c, _ := start(t, Options{}, 0)
	deadline := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	err := c.account.AddDevices(Device{Serial: "IPAD1", Family: "iPad", IMEI: []string{"350000000000006"}, EID: "89", WiFi: "02:00", Bluetooth: "02:01", Ethernet: "02:02",
		MEID: []string{"35"}, MigrationDeadline: deadline})
	if err != nil {
		t.Fatal(err)
	}
	keys := func(version string) (device map[string]any, account map[string]any) {
		t.Helper()
		c.version = version
		var page struct{ Devices []map[string]any }
		c.get("POST", "/server/devices", map[string]any{}, &page)
		c.get("GET", "/account", nil, &account)
		return page.Devices[0], account
	}
	since := map[string]int{"os": 2, "device_family": 2, "mdm_migration_deadline": 8, "imei": 10, "meid": 10, "eid": 10, "wifi_mac_address": 10,
		"bluetooth_mac_address": 10, "ethernet_mac_address": 10, "is_replacement_device": 10, "released_by_replacement": 10}
	for version := 0; version <= 11; version++ {
		name := fmt.Sprint(version)
		if version == 0 {
			name = ""
		}
		device, account := keys(name)
		for key, from := range since {
			if _, there := device[key]; there != (version >= from) {
				t.Errorf("version %q: %s there: %v", name, key, there)
			}
		}
		if _, there := account["urls"]; there != (version >= 3) {
			t.Errorf("version %q: urls there: %v", name, there)
		}
		if _, there := account["org_id_hash"]; there != (version >= 3) {
			t.Errorf("version %q: org_id_hash there: %v", name, there)
		}
		if os := map[bool]any{true: "iPadOS", false: "iOS"}[version >= 7]; version >= 2 && device["os"] != os {
			t.Errorf("version %q: os %v", name, device["os"])
		}
	}
	c.version = "10"
	var out accountDetail
	c.get("GET", "/account", nil, &out)
	i := slices.IndexFunc(out.URLs, func(u urlDetail) bool { return u.URI == "/profile/devices" })
	if i < 0 || !cmp.Equal(out.URLs[i], urlDetail{"/profile/devices", []string{"DELETE", "POST", "PUT"}, &limitDetail{100, 1000}}) {
		t.Errorf("%+v", out.URLs)
	}
}

func TestDetails(t *testing.T) {
	c, _ := start(t, Options{}, 1)
	one := c.account.Serials()[0]
	var out struct {
		Devices map[string]wireDevice `json:"devices"`
	}
	c.get("POST", "/devices", map[string]any{"devices": []string{one, "NOBODY"}}, &out)
	if d := out.Devices[one]; d.ResponseStatus != "SUCCESS" || d.DeviceFamily != "iPhone" || len(d.IMEI) != 2 {
		t.Errorf("%+v", d)
	}
	if d := out.Devices["NOBODY"]; d.ResponseStatus != "NOT_FOUND" {
		t.Errorf("%+v", d)
	}
	c.refused("none", "POST", "/devices", map[string]any{"devices": []string{}}, 400, "DEVICE_ID_REQUIRED")
	c.refused("too many", "POST", "/devices", map[string]any{"devices": make([]string, 1001)}, 400, malformed)
}

func TestReplacement(t *testing.T) {
	c, now := start(t, Options{}, 1)
	old := c.account.Serials()[0]
	cursor := c.upToDate()
	if err := c.cloud.Replace(old, Device{Serial: "NEW1"}); err != nil {
		t.Fatal(err)
	}
	p := c.sync(10, cursor)
	if got := operations(p); got != old+" deleted, NEW1 added" {
		t.Fatal(got)
	}
	if !*p.Devices[0].ReleasedByReplacement || *p.Devices[0].IsReplacement || *p.Devices[1].ReleasedByReplacement || !*p.Devices[1].IsReplacement || p.Devices[1].DeviceFamily != "iPhone" {
		t.Errorf("%+v", p.Devices)
	}
	var out map[string]string
	c.get("GET", "/device/replacementDetails?device=NEW1", nil, &out)
	want := map[string]string{"serial_number": "NEW1", "original_device_serial_number": old, "replacement_date": now.now().UTC().Format("2006-01-02")}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	c.refused("none", "GET", "/device/replacementDetails", nil, 400, "DEVICE_ID_REQUIRED")
	c.refused("the old one", "GET", "/device/replacementDetails?device="+old, nil, 404, "DEVICE_NOT_FOUND")
	c.version = "9"
	c.refused("version 9", "GET", "/device/replacementDetails?device=NEW1", nil, 404, "DEVICE_NOT_FOUND")
}

func TestDisown(t *testing.T) {
	c, _ := start(t, Options{}, 2)
	one := c.account.Serials()[0]
	var out statuses
	c.get("POST", "/devices/disown", map[string]any{"devices": []string{one, "NOBODY"}}, &out)
	if diff := cmp.Diff(map[string]Status{one: Success, "NOBODY": NotAccessible}, out.Devices); diff != "" {
		t.Error(diff)
	}
	if _, there := c.cloud.Device(one); there || len(c.account.Serials()) != 1 {
		t.Error("the device is still there")
	}
}

func TestFixture(t *testing.T) {
	const n = 100_000
	seen := map[string]bool{}
	for i, d := range Fixture("ABC", n) {
		if len(d.Serial) != 10 || seen[d.Serial] || d.Family == "" {
			t.Fatalf("device %d: %+v", i, d)
		}
		seen[d.Serial] = true
		for _, imei := range d.IMEI {
			if len(imei) != 15 || !luhn(imei) {
				t.Fatalf("device %d: IMEI %s", i, imei)
			}
		}
	}
}

func luhn(s string) bool {
	sum := 0
	for i := range s {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			d = d*2/10 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}

// BenchmarkFetch is a full fetch of 100,000 devices.
func BenchmarkFetch(b *testing.B) {
	c, _ := start(b, Options{}, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		c.upToDateFetch()
	}
}

func (c *client) upToDateFetch() {
	p := pageAnswer{MoreToFollow: true}
	for p.MoreToFollow {
		body := map[string]any{"limit": 1000}
		if p.Cursor != "" {
			body["cursor"] = p.Cursor
		}
		p = pageAnswer{}
		if err := json.Unmarshal(c.call("POST", "/server/devices", body).body, &p); err != nil {
			c.t.Fatal(err)
		}
	}
}
