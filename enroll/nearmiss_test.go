package enroll

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNearMisses(t *testing.T) {
	for _, c := range []struct {
		name, device, row string
		near              bool
	}{
		{"one character differs", "C39XK1ABCD01", "C39XK1ABCE01", true},
		{"the row lacks one", "C39XK1ABCD01", "C39XK1ABD01", true},
		{"the row has one too many", "C39XK1ABCD01", "C39XK1ABCCD01", true},
		{"one too many at the end", "C39XK1ABCD01", "C39XK1ABCD017", true},
		{"two are swapped", "C39XK1ABCD01", "C39XK1BACD01", true},
		{"O for 0", "C39XK1ABCD01", "C39XK1ABCDO1", true},
		{"several confused", "C30BK1S0CD01", "C3O8KI5OCDOI", true},
		{"all of very many confused", "OIBS0OIBS0OIBS", "01850018500185", false}, // 0 and O become alike only pair by pair
		{"every O a zero", "OAOBOCODOEOFOGOHOIOK", "0A0B0C0D0E0F0G0H0I0K", true},
		{"lost leading zeros", "000012345678", "12345678", true},
		{"more leading zeros", "12345678", "0012345678", true},
		{"prefix S", "C39XK1ABCD01", "SC39XK1ABCD01", true},
		{"prefix 1S", "C39XK1ABCD01", "1SC39XK1ABCD01", true},
		{"prefix of a short one", "ABC123", "1SABC123", true},
		{"two differ", "C39XK1ABCD01", "C39XK1ABEE01", false},
		{"another device", "C39XK1ABCD01", "F17ZQ0WXYV99", false},
		{"the same", "C39XK1ABCD01", "C39XK1ABCD01", false},
		{"too short for an edit", "ABC12", "ABC13", false},
		{"confusion in a short one", "ABC10", "ABC1O", true},
		{"too long for every character", strings.Repeat("A", 30), strings.Repeat("A", 29) + "C", false},
		{"a long one without a character", strings.Repeat("AC", 15), strings.Repeat("AC", 14) + "A", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &gateStore{open: []Device{*row(func(d *Device) { d.Serial = c.row })}}
			got, err := gate(s).NearMisses(t.Context(), strings.ToLower(c.device), PlatformIOS)
			if err != nil || (len(got) == 1) != c.near {
				t.Fatalf("%+v, %v", got, err)
			}
			if c.near && (got[0].Serial != c.row || got[0].Reason == "") {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

// TestVariants holds the number of keys within what a look-up by index may
// cost, whatever a device calls itself.
func TestVariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		serial := rapid.OneOf(rapid.StringMatching(`[0-9A-Z]{0,64}`), rapid.StringMatching(`[0OI1B8S5]{4,64}`), rapid.StringMatching(`0{0,64}`), rapid.String()).Draw(t, "serial")
		keys, reason := variants(serial)
		if len(keys) > 2000 {
			t.Fatalf("%d keys for %q", len(keys), serial)
		}
		seen := map[string]bool{serial: true}
		for _, k := range keys {
			if seen[k] || reason[k] == "" {
				t.Fatalf("%q has the variant %q twice, without a reason, or is one itself", serial, k)
			}
			seen[k] = true
		}
	})
}

func TestNearMissesOfDecisions(t *testing.T) {
	near := row(func(d *Device) { d.Serial = "C02XK12" })
	self := row(selfReported, func(d *Device) { d.Serial = "C02XK13" })
	other := row(android, func(d *Device) { d.Serial = "C02XK14" })
	attempt := Attempt{Channel: ChannelOTA, Platform: PlatformIOS, Serial: "C02XK10"}
	for _, c := range []struct {
		name  string
		known Known
		want  bool
	}{
		{"refused", Known{Settings: enforced}, true},
		{"held", Known{Settings: Settings{PreEnrolledDevicesOnly: ModeEnforce, UnlistedDevices: UnlistedHold}}, true},
		{"would be refused", Known{Settings: Settings{PreEnrolledDevicesOnly: ModeAudit}}, true},
		{"admitted", Known{Settings: Settings{PreEnrolledDevicesOnly: ModeOff}}, false},
		{"listed", Known{Settings: enforced, Device: row()}, false},
		{"blocked", Known{Settings: enforced, Device: row(blocked)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &gateStore{known: c.known, open: []Device{*other, *near, *self}}
			d, err := gate(s).Decide(t.Context(), attempt)
			if err != nil || (len(d.NearMisses) > 0) != c.want || (s.looked > 0) != c.want || !slices.Equal(s.noted, d.NearMisses) {
				t.Fatalf("%s, %v: %+v, noted %+v, looked %d times", d.Code, err, d.NearMisses, s.noted, s.looked)
			}
			if c.want && (len(d.NearMisses) != 1 || d.NearMisses[0].Serial != near.Serial) {
				t.Errorf("%+v", d.NearMisses)
			}
		})
	}
}

// failsLater answers the decision and nothing after it.
type failsLater struct{ *gateStore }

func (failsLater) OpenRows(context.Context, []string) ([]Device, error) {
	return nil, errors.New("no connection")
}

func TestNearMissesAreNotNeeded(t *testing.T) {
	g := NewGate(failsLater{&gateStore{known: Known{Settings: enforced}}}, nil)
	if d, err := g.Decide(t.Context(), Attempt{Platform: PlatformIOS, Serial: "C02XK10"}); err != nil || d.Code != DenyNotPreEnrolled || len(d.NearMisses) > 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestRepairSerial(t *testing.T) {
	refused := Decision{ID: "d", Serial: "C02XK10", Outcome: OutcomeDeny, Code: DenyNotPreEnrolled}
	for _, c := range []struct {
		name string
		d    Decision
		row  *Device
		kind Kind
		code string
	}{
		{"pre-enrolled", refused, row(), "", ""},
		{"invited", refused, row(func(d *Device) { d.State = StateInvited }), "", ""},
		{"held", Decision{ID: "d", Serial: "C02XK10", Outcome: OutcomeHold, Code: HoldPendingApproval}, row(), "", ""},
		{"enrolled", refused, row(enrolledAs("u")), KindConflict, "device_not_open"},
		{"was enrolled", refused, row(func(d *Device) { d.State = StateUnenrolled }), KindConflict, "device_not_open"},
		{"self-reported", refused, row(selfReported), KindConflict, "device_not_listed"},
		{"admitted", Decision{ID: "d", Serial: "C02XK10", Outcome: OutcomeAllow, Code: AllowOpen}, row(), KindConflict, "decision_allowed"},
		{"without a serial", Decision{ID: "d", Serial: "'", Outcome: OutcomeDeny, Code: DenyEvidenceTooWeak}, row(), KindConflict, "decision_without_serial"},
		{"the same", Decision{ID: "d", Serial: "C02XK1", Outcome: OutcomeDeny, Code: DenyBlocked}, row(), KindConflict, "serial_same"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &gateStore{open: []Device{*c.row}, repairs: c.d}
			d, err := gate(s).RepairSerial(t.Context(), "d", "c02-xk1", "ann")
			wantError(t, err, c.kind, c.code)
			if c.code == "" && (d.Serial != c.d.Serial || *s.repairs.Repair != Repair{Serial: "C02XK1", At: noon, By: "ann"}) {
				t.Errorf("row %+v, repair %+v", d, s.repairs.Repair)
			}
		})
	}
}

func TestForecast(t *testing.T) {
	s := &restrictionStore{settings: Settings{PreEnrolledDevicesOnly: ModeAudit}, more: true}
	s.known.Settings = s.settings
	for i := range maxForecastLists + 3 {
		s.reviewed = append(s.reviewed, Decision{Serial: "C02XK1" + string(rune('A'+i%26)) + string(rune('A'+i/26)), At: noon, Outcome: OutcomeAllow, Code: AllowOpen, Platform: PlatformIOS, Channel: ChannelOTA})
	}
	s.reviewed[0].Outcome, s.reviewed[0].Code = OutcomeDeny, DenyTokenRevoked
	s.reviewed[1].Outcome, s.reviewed[1].Code = OutcomeDeny, DenyBlocked // it was; now it is not
	g := &gateStore{open: []Device{*row(func(d *Device) { d.Serial = "C02XK1CB" })}}
	f, err := restrictionsOf(s, g).Forecast(t.Context(), 7, Enforcing)
	if err != nil || f.Devices != maxForecastLists+3 || f.Admitted != 0 || !f.More || len(f.Listed) != maxForecastLists || s.since != noon.AddDate(0, 0, -7) {
		t.Fatalf("%+v, %v", f, err)
	}
	if !slices.Equal(f.Refused, []ForecastCode{{DenyNotPreEnrolled, maxForecastLists + 2}, {DenyTokenRevoked, 1}}) {
		t.Errorf("%+v", f.Refused)
	}
	if f.Listed[0].Code != DenyTokenRevoked || len(f.Listed[0].NearMisses) > 0 || f.Listed[2].Was != AllowOpen || len(f.Listed[2].NearMisses) != 1 {
		t.Errorf("%+v", f.Listed[:3])
	}
	if s.settings.PreEnrolledDevicesOnly != ModeAudit {
		t.Error("a forecast changed the settings")
	}
	for _, days := range []int{0, -1, MaxForecastDays + 1} {
		_, err := restrictionsOf(s, g).Forecast(t.Context(), days, Enforcing)
		wantError(t, err, KindInvalid, "days_range")
	}
}
