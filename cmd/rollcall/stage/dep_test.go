package stage

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/dep"
	"rollcall/enroll"
	simdep "rollcall/sim/dep"
)

type depAccount struct {
	Certificate string `json:"certificate_pem"`
	Devices     int
	Token       *struct {
		DaysLeft int `json:"days_left"`
	}
	Sync struct {
		DoneAt  time.Time `json:"done_at"`
		Problem *dep.Problem
	}
}

// TestDEPThroughTheAPI is what an admin does with Apple's portal, against the
// real server: F1 and F2 of the acceptance list.
func TestDEPThroughTheAPI(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		cloud := simdep.New(simdep.Options{})
		if err := cloud.Start("127.0.0.1:0", apple); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cloud.Close() })
		roots := filepath.Join(t.TempDir(), "dep.pem")
		p := start(t, dsn, func(o *Options) {
			o.Change = func(o *app.Options) { o.DEPURL, o.DEPRoots = cloud.URL(), roots }
			if err := os.WriteFile(roots, pemOf(apple.PushCA()), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		devices := simdep.Fixture("F", 6) // the second and the fourth are iPads
		server, err := cloud.AddAccount("Berlin at Apple")
		p.must(err)
		p.must(server.AddDevices(devices...))

		var a depAccount
		p.admin(http.MethodPost, "/dep/accounts", object{"name": "Berlin", "add_as_pre_enrolled": true, "default": object{"group": "New"}, "families": object{"iPad": object{"group": "iPads"}}}, &a)
		p.check("it has a certificate and no token", a.Token == nil && strings.HasPrefix(a.Certificate, "-----BEGIN CERTIFICATE-----"), a)
		var certificate []byte
		p.admin(http.MethodGet, "/dep/accounts/Berlin/certificate", nil, &certificate)
		p.check("the certificate can be downloaded", string(certificate) == a.Certificate)
		p.refused(http.StatusConflict, "dep_token_missing", http.MethodPost, "/dep/accounts/Berlin/sync", nil)

		file, err := server.TokenFile([]byte(a.Certificate))
		p.must(err)
		p.admin(http.MethodPut, "/dep/accounts/Berlin/token", Raw{"application/pkcs7-mime", file}, &a)
		p.check("the token is good for a year", a.Token != nil && a.Token.DaysLeft >= 364, a)

		p.refused(http.StatusUnprocessableEntity, "dep_flags_invalid", http.MethodPut, "/dep/accounts/Berlin/profiles/Standard", object{"settings": object{"is_mdm_removable": false}})
		var profile struct{ Version, Created any }
		p.admin(http.MethodPut, "/dep/accounts/Berlin/profiles/Standard", object{"settings": object{"await_device_configured": true, "skip_setup_items": []string{"Siri"}}}, &profile)
		p.check("the profile is made", profile.Created == true, profile)
		p.admin(http.MethodPatch, "/dep/accounts/Berlin", object{"default": object{"group": "New", "profile": "Standard"}}, nil)

		p.until("every device has its profile", func() bool {
			for _, d := range devices {
				if s, _ := cloud.Device(d.Serial); s.ProfileStatus != simdep.ProfileAssigned {
					return false
				}
			}
			return true
		})
		configuration, ok := cloud.Activate(devices[1].Serial)
		p.check("a device finds this server", ok && strings.HasPrefix(configuration.Profile.URL, p.URL()+"/enroll/ade/") && configuration.Profile.AwaitDeviceConfigured, configuration)

		var row struct {
			ShownName string `json:"shown_name"`
			State     string
			Groups    []string
			Facts     *enroll.Facts
			Sources   map[string]enroll.Source
			Name      string
		}
		p.admin(http.MethodGet, "/devices/"+devices[1].Serial, nil, &row)
		p.check("it is pre-enrolled as DEP_device, in the group of its family, without facts", row.ShownName == "DEP_device" && row.Name == "" && row.State == "pre_enrolled" &&
			len(row.Groups) == 1 && row.Groups[0] == "iPads" && row.Facts == nil && row.Sources["serial"] == enroll.SourceDEP, row)
		p.admin(http.MethodGet, "/devices/"+devices[0].Serial, nil, &row)
		p.check("others are in the account's group", len(row.Groups) == 1 && row.Groups[0] == "New", row)

		quiet, err := cloud.AddAccount("Hamburg at Apple")
		p.must(err)
		known := simdep.Fixture("H", 2)
		p.must(quiet.AddDevices(known...))
		var b depAccount
		p.admin(http.MethodPost, "/dep/accounts", object{"name": "Hamburg"}, &b)
		file, err = quiet.TokenFile([]byte(b.Certificate))
		p.must(err)
		p.admin(http.MethodPut, "/dep/accounts/Hamburg/token", Raw{"application/pkcs7-mime", file}, nil)
		p.until("the second account is known", func() bool {
			p.admin(http.MethodGet, "/dep/accounts/Hamburg", nil, &b)
			return b.Devices == 2 && !b.Sync.DoneAt.IsZero()
		})
		p.check("its devices are not on the roll", p.unknown(known[0].Serial) && p.unknown(known[1].Serial))
		p.restrict(enroll.ModeEnforce)
		p.refusesStranger(known[0].Serial, enroll.DenyNotPreEnrolled)
		p.refused(http.StatusUnprocessableEntity, "dep_disown_unconfirmed", http.MethodPost, "/dep/accounts/Berlin/disown", object{"serials": []string{devices[0].Serial}, "confirm": "yes"})

		var report struct{ Counts map[dep.Finding]int }
		p.admin(http.MethodGet, "/dep/report", nil, &report)
		p.check("the report counts", report.Counts[dep.NotOnRoll] == 2 && report.Counts[dep.NotAssigned] == 2 && report.Counts[dep.InTwoAccounts] == 0, report)
		var rows struct {
			Items []struct{ Serial, Account string }
		}
		p.admin(http.MethodGet, "/dep/report/not_on_roll", nil, &rows)
		p.check("and lists", len(rows.Items) == 2 && rows.Items[0].Account == "Hamburg", rows)

		const discovery = "https://mdm.example.com/.well-known/com.apple.remotemanagement"
		p.admin(http.MethodPut, "/dep/accounts/Berlin/discovery", object{"url": discovery}, nil)
		p.check("Apple has the discovery URL", server.Discovery() == discovery, server.Discovery())
		p.admin(http.MethodDelete, "/dep/accounts/Berlin/discovery", nil, nil)
		p.check("and has it no more", server.Discovery() == "", server.Discovery())
	})
}

// Switching the setting on later adds what is known, switching it off leaves
// what is there.
func TestDEPSettingChanges(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		on, off := true, false
		devices := simdep.Fixture("F", 3)
		p.change(berlin, dep.Input{AddAsPreEnrolled: &off})
		p.add(p.server, devices...)
		p.synced(berlin)
		p.onRoll(devices[0].Serial, false)
		if _, listed, err := p.store.Listed(p.ctx, devices[0].Serial); err != nil || !listed {
			t.Errorf("known: %v, %v", listed, err)
		}
		p.change(berlin, dep.Input{AddAsPreEnrolled: &on})
		p.synced(berlin)
		p.onRoll(devices[0].Serial, true)
		p.must(p.store.DeleteDevice(p.ctx, devices[2].Serial))
		p.synced(berlin)
		p.onRoll(devices[2].Serial, false) // who was taken off by hand stays off
		p.change(berlin, dep.Input{AddAsPreEnrolled: &off})
		p.synced(berlin)
		p.onRoll(devices[0].Serial, true)
	})
}

// When the default group changes, rows join that nobody has sorted yet.
func TestDEPDefaultGroupChanges(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		devices := simdep.Fixture("F", 4) // the second and the fourth are iPads
		p.add(p.server, devices...)
		p.synced(berlin)
		p.must(p.store.CreateGroup(p.ctx, enroll.Group{ID: enroll.NewID(), Name: "Sorted"}))
		p.must(p.store.ChangeMembers(p.ctx, "Sorted", []string{devices[2].Serial}, nil))
		p.change(berlin, dep.Input{Default: &dep.NamedDefault{Group: "First", Profile: "Standard"}})
		p.synced(berlin)
		p.change(berlin, dep.Input{Default: &dep.NamedDefault{Group: "Second", Profile: "Standard"}})
		p.add(p.server, simdep.Fixture("G", 1)...)
		p.synced(berlin)
		for serial, want := range map[string]string{devices[0].Serial: "First", devices[1].Serial: "First", devices[2].Serial: "Sorted", simdep.Fixture("G", 1)[0].Serial: "Second"} {
			groups, err := p.store.GroupsOf(p.ctx, p.row(serial).ID)
			p.must(err)
			if len(groups) != 1 || groups[0].Name != want {
				t.Errorf("%s is in %v, want %s", serial, groups, want)
			}
		}
	})
}

// Whose row it was first is asked when the device leaves.
func TestDEPMergesWithRows(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		roll := enroll.NewRoll(p.store, p.now)
		ios, personal, name := enroll.PlatformIOS, enroll.OwnershipPersonal, "Anna's"
		devices := simdep.Fixture("F", 4)
		_, _, _, err := roll.Put(p.ctx, devices[0].Serial, enroll.DeviceInput{Platform: &ios, Ownership: &personal, Name: &name})
		p.must(err)
		p.add(p.server, devices...)
		p.synced(berlin)
		if d := p.row(devices[0].Serial); d.Name != name || d.Ownership != personal || d.Sources["serial"] != enroll.SourceAPI {
			t.Errorf("the row that was there is %+v", d)
		}
		_, err = roll.Block(p.ctx, devices[1].Serial, "stolen")
		p.must(err)
		for _, d := range devices[:3] {
			p.must(p.apple.Release(d.Serial))
		}
		p.synced(berlin)
		p.onRoll(devices[0].Serial, true)  // an admin's
		p.onRoll(devices[1].Serial, true)  // blocked
		p.onRoll(devices[2].Serial, false) // DEP's
		p.onRoll(devices[3].Serial, true)
	})
}

// A device that moves to another account keeps its row, in whatever order the
// accounts are looked at.
func TestDEPDeviceInTwoAccountsAndMoving(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		const hamburg = "Hamburg"
		other := p.at(hamburg)
		p.account(hamburg, other)
		devices := simdep.Fixture("F", 3)
		p.add(p.server, devices...)
		p.synced(berlin)
		id := p.row(devices[0].Serial).ID
		p.must(p.apple.Move(devices[0].Serial, other))
		p.synced(berlin) // leaves here first
		p.onRoll(devices[0].Serial, true)
		p.synced(hamburg)
		if p.status(devices[0].Serial) != simdep.ProfileAssigned {
			t.Error("a device that moved has no profile")
		}
		p.later(2 * time.Hour)
		p.synced(berlin)
		if d := p.row(devices[0].Serial); d == nil || d.ID != id {
			t.Errorf("the row is %+v, want the one that was there", d)
		}
		p.must(p.apple.Move(devices[1].Serial, other))
		p.later(time.Minute)
		_, err := p.accounts.Sync(p.ctx, hamburg, false)
		p.must(err)
		p.syncer.Step(p.ctx, "worker") // only the other one: both list it now
		counts, err := p.store.CountFindings(p.ctx, "", p.now())
		p.must(err)
		if counts[dep.InTwoAccounts] != 2 {
			t.Errorf("the report counts %v, want a device in two accounts", counts)
		}
		p.synced(berlin)
		p.onRoll(devices[1].Serial, true)
		p.must(p.apple.Release(devices[2].Serial))
		p.synced(berlin)
		p.onRoll(devices[2].Serial, true) // it may have moved
		p.later(2 * time.Hour)
		p.synced(berlin)
		p.onRoll(devices[2].Serial, false)
	})
}

// Token files: what is not this account's token changes nothing.
func TestDEPTokenFiles(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		p.add(p.server, simdep.Fixture("F", 2)...)
		before := p.synced(berlin)
		file, err := p.at("Elsewhere").TokenFile(before.CertificatePEM)
		p.must(err)
		_, err = p.accounts.InstallToken(p.ctx, berlin, file, false)
		p.code(err, enroll.KindConflict, "token_other_server")

		p.server.Deny(true)
		p.code(p.token(berlin, p.server, before, false), enroll.KindConflict, "dep_access_denied")
		p.server.Deny(false)
		if a, err := p.store.Account(p.ctx, berlin); err != nil || !a.Token.InstalledAt.Equal(before.Token.InstalledAt) {
			t.Errorf("a token that Apple refuses has taken the place of the one before: %v", err)
		}
		p.failed(berlin, "dep_unauthorized") // the portal ended the old token with each new one
		p.must(p.token(berlin, p.server, before, false))
		p.synced(berlin)

		a, err := p.accounts.Create(p.ctx, "Twice", dep.Input{})
		p.must(err)
		p.code(p.token("Twice", p.server, a, false), enroll.KindConflict, "dep_server_taken")
		p.must(p.token(berlin, p.server, before, false))

		p.must(p.token(berlin, p.apple.Account("Elsewhere"), before, true))
		if a := p.synced(berlin); a.Devices != 0 {
			t.Errorf("%d devices of the old server are left", a.Devices)
		}
		p.later(366 * 24 * time.Hour)
		p.failed(berlin, "dep_token_expired")
	})
}

// A changed profile is another one at Apple, and all devices get it; one that
// Apple lost is told again; no default takes the profile away.
func TestDEPProfileVersions(t *testing.T) {
	onPrograms(t, simdep.Options{}, func(p *program) {
		devices := simdep.Fixture("F", 2)
		p.add(p.server, devices...)
		p.synced(berlin)
		first, _ := p.apple.Device(devices[0].Serial)
		_, _, changed, err := p.accounts.PutProfile(p.ctx, berlin, "Standard", dep.ProfileInput{MinimumOS: &map[string]string{"iPad": "26"}})
		p.must(err)
		p.synced(berlin)
		if now, _ := p.apple.Device(devices[0].Serial); !changed || now.ProfileUUID != first.ProfileUUID {
			t.Error("Apple was told what is none of its business")
		}
		_, _, _, err = p.accounts.PutProfile(p.ctx, berlin, "Standard", dep.ProfileInput{Settings: &dep.ProfileSettings{Department: "IT"}})
		p.must(err)
		p.synced(berlin)
		if now, _ := p.apple.Device(devices[0].Serial); now.ProfileUUID == first.ProfileUUID {
			t.Error("the device has the old version")
		}
		versions, err := p.store.ProfileVersions(p.ctx, berlin, "Standard")
		p.must(err)
		if len(versions) != 2 || versions[0].Version != 2 || versions[0].Devices != 2 || versions[1].Devices != 0 {
			t.Errorf("versions: %+v", versions)
		}
		p.code(p.store.DeleteProfile(p.ctx, berlin, "Standard"), enroll.KindConflict, "ade_profile_default")

		p.spoil(simdep.Refuse(http.StatusBadRequest, "DEPARTMENT_INVALID").On("POST /profile", 1))
		_, _, _, err = p.accounts.PutProfile(p.ctx, berlin, "Standard", dep.ProfileInput{Settings: &dep.ProfileSettings{Department: "HR"}})
		p.must(err)
		p.failed(berlin, "ade_profile_refused")
		since := p.failed(berlin, "ade_profile_refused").Sync.Problem.Since // it stays until it is mended
		if refused, err := p.store.Profile(p.ctx, berlin, "Standard"); err != nil || refused.Problem == nil || refused.Problem.Since.After(since) {
			t.Errorf("the profile does not say why: %+v, %v", refused.Problem, err)
		}
		p.allAssigned(p.server, 2)
		_, _, _, err = p.accounts.PutProfile(p.ctx, berlin, "Standard", dep.ProfileInput{Settings: &dep.ProfileSettings{Department: "Sales"}})
		p.must(err)
		p.synced(berlin)

		p.spoil(simdep.Refuse(http.StatusNotFound, "PROFILE_NOT_FOUND").On(assignCall, 1))
		p.add(p.server, simdep.Fixture("G", 1)...)
		p.failed(berlin, "dep_profile_not_found")
		p.synced(berlin)
		p.allAssigned(p.server, 3)

		p.change(berlin, dep.Input{Default: &dep.NamedDefault{}})
		p.synced(berlin)
		for _, s := range p.server.Serials() {
			if st := p.status(s); st != simdep.ProfileEmpty && st != simdep.ProfileRemoved {
				t.Errorf("%s still has a profile: %s", s, st)
			}
		}
		p.must(p.store.DeleteProfile(p.ctx, berlin, "Standard"))
	})
}
