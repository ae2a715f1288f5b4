package amapi

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestZeroTouch(t *testing.T) {
	b := newBench(t)
	b.policy("default", object{})
	customer := b.cloud.AddCustomer("Acme")
	var devices []*Device
	for _, h := range Fixture("ZT", 3) {
		devices = append(devices, b.device(h))
	}
	if err := b.cloud.Claim(customer, devices...); err != nil {
		t.Fatal(err)
	}
	if b.cloud.Claim(customer, devices[0]) == nil || b.cloud.Claim("customers/none") == nil {
		t.Error("a device claimed twice, or by nobody")
	}
	if got := list(b.ok("GET", "customers", nil), "customers"); len(got) != 1 || text(got[0], "name") != customer {
		t.Fatal(got)
	}
	dpc := text(list(b.ok("GET", customer+"/dpcs", nil), "dpcs")[0], "name")
	configuration := object{"configurationName": "Rollcall", "companyName": "Acme", "contactEmail": "it@example.com", "contactPhone": "+1 555 0100", "dpcResourcePath": dpc, "isDefault": true,
		"dpcExtras": text(b.token(object{"allowPersonalUsage": corporate}), "qrCode")}
	for words, change := range map[string]func(object){
		"missing":       func(o object) { delete(o, "contactPhone") },
		"dpcs.list":     func(o object) { o["dpcResourcePath"] = customer + "/dpcs/other" },
		"no JSON":       func(o object) { o["dpcExtras"] = "{" },
		"JSON object":   func(o object) { o["dpcExtras"] = "[]" },
		"6 hours":       func(o object) { o["forcedResetTime"] = "21601s" },
		`name "nothing`: func(o object) { o["nothing"] = true },
	} {
		broken := clone(configuration)
		change(broken)
		b.refused("POST", customer+"/configurations", broken, "INVALID_ARGUMENT", words)
	}
	made := b.ok("POST", customer+"/configurations", configuration)
	name := text(made, "name")
	if diff := cmp.Diff(made, b.ok("GET", name, nil)); diff != "" {
		t.Error(diff)
	}
	other := clone(configuration)
	other["configurationName"] = "Other"
	second := text(b.ok("POST", customer+"/configurations", other), "name")
	if flag(b.ok("GET", name, nil), "isDefault") {
		t.Error("two defaults")
	}
	// Devices by page.
	page := b.ok("GET", customer+"/devices?pageSize=2", nil)
	rest := b.ok("GET", customer+"/devices?pageSize=2&pageToken="+text(page, "nextPageToken"), nil)
	all := append(list(page, "devices"), list(rest, "devices")...)
	if len(all) != 3 || text(all[2], "deviceIdentifier.serialNumber") != "ZT0000003" {
		t.Fatal(all)
	}
	if diff := cmp.Diff(all[0], b.ok("GET", text(all[0], "name"), nil)); diff != "" {
		t.Error(diff)
	}
	if err := devices[0].SetupZeroTouch(t.Context()); err == nil {
		t.Error("set up without a configuration")
	}
	apply := func(device object) object { return object{"device": device, "configuration": name} }
	h := devices[1].Hardware()
	b.ok("POST", customer+"/devices:applyConfiguration", apply(object{"deviceId": text(all[0], "deviceId")}))
	b.ok("POST", customer+"/devices:applyConfiguration", apply(object{"deviceIdentifier": object{"serialNumber": h.Serial, "manufacturer": h.Manufacturer, "model": h.Model}}))
	b.ok("POST", customer+"/devices:applyConfiguration", apply(object{"deviceIdentifier": object{"imei": devices[2].Hardware().IMEI}}))
	b.refused("POST", customer+"/devices:applyConfiguration", apply(object{"deviceIdentifier": object{"serialNumber": h.Serial}}), "INVALID_ARGUMENT", "manufacturer")
	b.refused("POST", customer+"/devices:applyConfiguration", apply(object{"deviceIdentifier": object{"serialNumber": h.Serial, "manufacturer": "Other"}}), "NOT_FOUND", "")
	b.refused("POST", customer+"/devices:applyConfiguration", object{"device": object{"deviceId": "1000001"}, "configuration": customer + "/configurations/99"}, "NOT_FOUND", "")
	if err := devices[0].SetupZeroTouch(context.Background()); err != nil || !devices[0].State().Managed {
		t.Error(err)
	}
	b.refused("PATCH", name, object{"customMessage": "x"}, "INVALID_ARGUMENT", "updateMask")
	b.refused("PATCH", name+"?updateMask=name", object{}, "INVALID_ARGUMENT", "cannot be written")
	if got := b.ok("PATCH", name+"?updateMask=customMessage", object{"customMessage": "Welcome", "companyName": "Ignored"}); text(got, "customMessage") != "Welcome" || text(got, "companyName") != "Acme" {
		t.Error(got)
	}
	b.refused("DELETE", name, nil, "FAILED_PRECONDITION", "applied")
	b.ok("DELETE", second, nil)
	b.ok("POST", customer+"/devices:removeConfiguration", object{"device": object{"deviceId": text(all[1], "deviceId")}})
	if b.ok("GET", text(all[1], "name"), nil)["configuration"] != nil {
		t.Error("the configuration stays")
	}
	b.ok("POST", customer+"/devices:unclaim", object{"device": object{"deviceId": text(all[1], "deviceId")}})
	b.refused("GET", text(all[1], "name"), nil, "NOT_FOUND", "")
	b.refused("GET", "customers/1/devices", nil, "PERMISSION_DENIED", "")
	b.refused("GET", customer+"/devices?filter=x", nil, "INVALID_ARGUMENT", "Cannot bind")
	if got := list(b.ok("GET", customer+"/configurations", nil), "configurations"); len(got) != 1 {
		t.Error(got)
	}
}
