package stage

import (
	"bytes"
	"encoding/csv"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	simamapi "rollcall/sim/amapi"
	simdep "rollcall/sim/dep"
	"rollcall/sim/iphone"
	"rollcall/sim/mail"
)

// TestAcceptance is the acceptance list of pre-enrollment, a scene for each of
// its lines, in the words of the list. They share a server; none depends on
// what another has left, but for the restriction, which each sets that minds.
func TestAcceptance(t *testing.T) {
	onEngines(t, func(t *testing.T, dsn string) {
		post, err := mail.New(mail.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(post.Close)
		apples, listed := startCloud(t)
		provider := startIDP(t)
		cloud := startGoogle(t)
		p := start(t, dsn, func(o *Options) {
			o.Now = cloud.both.Now
			o.Change = func(a *app.Options) {
				listed(a)
				cloud.options(a)
				provider.options(a)
				a.SMTPURL, a.MailFrom, a.SMTPRoots = post.URL(), "Example IT <mdm@example.com>", filepath.Join(t.TempDir(), "mail.pem")
				if err := os.WriteFile(a.SMTPRoots, post.RootsPEM(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
		provider.serve(p)
		droids := cloud.serve(p)
		for _, line := range []struct {
			name string
			play func(p *play)
		}{
			{"F01EveryDeviceOfDEPIsPreEnrolledAsDEPDevice", func(p *play) { everyDeviceOfDEPIsPreEnrolled(p, apples) }},
			{"F02WithoutTheSettingItIsKnownAndRefused", func(p *play) { withoutTheSettingItIsKnownAndRefused(p, apples) }},
			{"F03ExactHeaderImportsWithoutMapping", exactHeaderImportsWithoutMapping},
			{"F04AnyOtherHeaderIsSuggestedAndMappedByHand", anyOtherHeaderIsSuggestedAndMappedByHand},
			{"F05MissingMandatoryValueIsARowError", missingMandatoryValueIsARowError},
			{"F06SpellingsOfOwnershipAndPlatform", spellingsOfOwnershipAndPlatform},
			{"F07DomainIsRequired", domainIsRequired},
			{"F08PreEnrollDevicesOffMakesUsersOnly", preEnrollDevicesOffMakesUsersOnly},
			{"F09ChooseRecipientsThenSend", func(p *play) { chooseRecipientsThenSend(p, post) }},
			{"F10ReplaceOrSkipExistingUsers", replaceOrSkipExistingUsers},
			{"F11OneListWithAStatePerRow", oneListWithAStatePerRow},
			{"F12BannerUntilAcceptance", bannerUntilAcceptance},
			{"F13RedactionUntilAcceptance", redactionUntilAcceptance},
			{"F14RestrictionOnRefusesOnEveryChannel", func(p *play) { restrictionOnRefusesOnEveryChannel(p, channels(p, provider, droids)) }},
			{"F15RestrictionOffAdmitsUnknownDevices", func(p *play) { restrictionOffAdmitsUnknownDevices(p, channels(p, provider, droids)) }},
			{"F16TurningItOnLeavesEnrolledDevicesAlone", turningItOnLeavesEnrolledDevicesAlone},
			{"F17WhatWasSetBeforeEnrollmentComesAtFirstCheckIn", whatWasSetBeforeEnrollmentComesAtFirstCheckIn},
			{"F18SelectuserAsksAndStoresTheAnswer", selectuserAsksAndStoresTheAnswer},
			{"F19DeleteOnlyBeforeEnrollment", deleteOnlyBeforeEnrollment},
			{"F20SampleCSVRoundTrips", sampleCSVRoundTrips},
			{"F21OwnerMismatch", ownerMismatch},
		} {
			p.scene(line.name, line.play)
		}
	})
}

const exactHeader = "name,email,mobile,ownership,devicename,SerialNumber,platform\n"

// imported is an import as the API tells of it.
type imported struct {
	ID, State string
	Columns   []struct{ Header, Field, Suggested string }
	Counts    enroll.ImportCounts
	Problem   *struct{ Code, Detail, Hint string }
}

// upload uploads a file and waits for its plan; query adds options.
func (p *play) upload(file, query string) (imp imported) {
	p.t.Helper()
	p.admin(http.MethodPost, "/imports?domain=local"+query, Raw{"text/csv", []byte(file)}, &imp)
	return p.planned(imp.ID)
}

func (p *play) planned(id string) (imp imported) {
	p.t.Helper()
	p.until("the plan", func() bool {
		p.admin(http.MethodGet, "/imports/"+id, nil, &imp)
		return imp.State == "planned" || imp.State == "failed"
	})
	return imp
}

// apply applies a plan.
func (p *play) apply(imp imported) imported {
	p.t.Helper()
	p.admin(http.MethodPost, "/imports/"+imp.ID+"/apply", nil, &imp)
	p.check("it is applied", imp.State == "applied", imp)
	return imp
}

type rowError struct {
	Line                              int
	Column, Value, Code, Detail, Hint string
}

// rowErrors are those of a plan, in the order of lines.
func (p *play) rowErrors(imp imported) (all []rowError) {
	p.t.Helper()
	var rows struct{ Items []struct{ Errors []rowError } }
	p.admin(http.MethodGet, "/imports/"+imp.ID+"/rows?action=error", nil, &rows)
	for _, r := range rows.Items {
		all = append(all, r.Errors...)
	}
	return all
}

// refused wants the API to refuse with a code and says how to go on.
func (p *play) refused(status int, code, method, path string, body any) *Problem {
	p.t.Helper()
	var problem *Problem
	if err := p.API(p.ctx, method, path, body, nil); !errors.As(err, &problem) || problem.Status != status || problem.Code != code {
		p.t.Fatalf("%s %s: %v; want %d %s", method, path, err, status, code)
	}
	return problem
}

func everyDeviceOfDEPIsPreEnrolled(p *play, apples *simdep.Cloud) {
	devices := simdep.Fixture("F01", 4)
	p.depAccountOf(apples, "F01", true, object{"settings": object{}}, devices...)
	for _, d := range devices {
		var row struct {
			ShownName string `json:"shown_name"`
			State     string
		}
		p.admin(http.MethodGet, "/devices/"+d.Serial, nil, &row)
		p.check("it is on the roll as DEP_device", row.ShownName == "DEP_device" && row.State == "pre_enrolled", row)
	}
}

func withoutTheSettingItIsKnownAndRefused(p *play, apples *simdep.Cloud) {
	p.restrict(enroll.ModeEnforce)
	d := simdep.Fixture("F02", 1)[0]
	p.depAccountOf(apples, "F02", false, object{"settings": object{}}, d)
	var known struct {
		Items []struct {
			Serial string
			OnRoll bool `json:"on_roll"`
		}
	}
	p.admin(http.MethodGet, "/dep/accounts/F02/devices", nil, &known)
	p.check("it is known", len(known.Items) == 1 && known.Items[0].Serial == d.Serial && !known.Items[0].OnRoll, known)
	p.check("it is not pre-enrolled", p.unknown(d.Serial))
	ph, c := p.unboxed(apples, d.Serial)
	ph.turnedAway(ph.SetupAssistant(p.ctx, c))
	p.decided(d.Serial, enroll.DenyNotPreEnrolled)
}

func exactHeaderImportsWithoutMapping(p *play) {
	imp := p.upload(exactHeader+"Anna,anna@f03.example,,corporate,Desk 1,F03000000001,ios\n", "")
	for _, c := range imp.Columns {
		p.check("the column is its own field", c.Field == c.Header, c)
	}
	p.apply(imp)
	p.check("it is on the roll", p.device("F03000000001").State == "pre_enrolled")
}

func anyOtherHeaderIsSuggestedAndMappedByHand(p *play) {
	imp := p.upload("Seriennr.;Mitarbeiter;E-Mail-Adresse;Eigentum;Plattform;Zettel\nF04000000001;Anna;anna@f04.example;corporate;ios;Desk 1\n", "")
	found := map[string]string{}
	for _, c := range imp.Columns {
		found[c.Header] = c.Field
	}
	p.check("what is recognised is mapped", found["Seriennr."] == "SerialNumber" && found["Mitarbeiter"] == "name" && found["E-Mail-Adresse"] == "email", found)
	p.check("what is not stays open", found["Zettel"] == "", found)
	p.admin(http.MethodPatch, "/imports/"+imp.ID, object{"mapping": object{"Zettel": "devicename"}}, nil)
	p.apply(p.planned(imp.ID))
	var d struct{ Name string }
	p.admin(http.MethodGet, "/devices/F04000000001", nil, &d)
	p.check("the column mapped by hand is taken", d.Name == "Desk 1", d)
}

func missingMandatoryValueIsARowError(p *play) {
	imp := p.upload(exactHeader+"Anna,anna@f05.example,,corporate,,F05000000001,ios\n"+
		",bernd@f05.example,,leased,,F05000000002,ios\nCleo,,,corporate,,F05000000003,\nDora,dora@f05.example,,,,,ios\n", "")
	p.check("three rows are wrong", imp.Counts.Error == 3, imp.Counts)
	wrong := map[string]rowError{}
	for _, e := range p.rowErrors(imp) {
		wrong[string(rune('0'+e.Line))+e.Column] = e
		p.check("it says what to do", e.Hint != "", e)
	}
	for _, at := range []string{"3name", "3ownership", "4email", "4platform", "5ownership", "5SerialNumber"} {
		_, named := wrong[at]
		p.check("line and column are named: "+at, named, wrong)
	}
	e := wrong["3ownership"]
	p.check("the value and what is allowed are named", e.Value == "leased" && strings.Contains(e.Hint, "personal, corporate, selectuser"), e)
}

func spellingsOfOwnershipAndPlatform(p *play) {
	file, wanted := "", map[string][2]string{}
	for i, c := range []struct{ ownership, platform, means, on string }{
		{"personal", "ios", "personal", "ios"}, {"Corporate", "IOS", "corporate", "ios"}, {"selectuser", "apple", "selectuser", "apple"},
		{"user_choice", "Apple", "selectuser", "apple"}, {"Allow user to select", "ANDROID", "selectuser", "android"},
	} {
		serial := "F0600000000" + string(rune('A'+i))
		file += "Anna,anna@f06.example,," + c.ownership + ",," + serial + "," + c.platform + "\n"
		wanted[serial] = [2]string{c.means, c.on}
	}
	p.apply(p.upload(exactHeader+file, ""))
	for serial, want := range wanted {
		var d struct{ Ownership, Platform string }
		p.admin(http.MethodGet, "/devices/"+serial, nil, &d)
		p.check(serial+" is understood", d.Ownership == want[0] && d.Platform == want[1], d)
	}
	other := p.rowErrors(p.upload(exactHeader+"Anna,anna@f06.example,,lent,,F06000000009,windows\n", ""))
	codes := map[string]string{}
	for _, e := range other {
		codes[e.Column] = e.Code
	}
	p.check("anything else is a row error", codes["ownership"] == "ownership_unknown" && codes["platform"] == "platform_unknown", other)
}

func domainIsRequired(p *play) {
	file := Raw{"text/csv", []byte(exactHeader + "Anna,anna@f07.example,,corporate,,F07000000001,ios\n")}
	problem := p.refused(http.StatusUnprocessableEntity, "domain_required", http.MethodPost, "/imports", file)
	p.check("it says what to do", strings.Contains(problem.Hint, "domain="), problem)
}

func preEnrollDevicesOffMakesUsersOnly(p *play) {
	p.apply(p.upload(exactHeader+"Anna Eight,anna@f08.example,,corporate,,F08000000001,ios\n", "&pre_enroll=false"))
	p.check("no device is on the roll", p.unknown("F08000000001"))
	p.check("the user is there", p.owner("anna@f08.example").Name == "Anna Eight")
}

type owner struct{ Name, Email, Mobile string }

func (p *play) owner(email string) owner {
	p.t.Helper()
	var out struct{ Items []owner }
	p.admin(http.MethodGet, "/users?q="+url.QueryEscape(email), nil, &out)
	if len(out.Items) != 1 {
		p.t.Fatalf("users with %s: %+v", email, out)
	}
	return out.Items[0]
}

func chooseRecipientsThenSend(p *play, post *mail.Server) {
	imp := p.apply(p.upload(exactHeader+"Anna,anna@f09.example,,corporate,,F09000000001,ios\nBernd,bernd@f09.example,,corporate,,F09000000002,ios\n", ""))
	var who struct{ Items []struct{ Serial string } }
	p.admin(http.MethodGet, "/imports/"+imp.ID+"/recipients", nil, &who)
	p.check("both can be chosen", len(who.Items) == 2, who)
	p.check("no request is made by an import", p.rows("requests", "device_id IN (SELECT id FROM devices WHERE serial LIKE 'F0900%')") == 0 && len(post.Messages()) == 0)
	p.admin(http.MethodPost, "/requests", object{"serials": []string{who.Items[0].Serial}, "via": "email"}, nil)
	_, err := post.Wait(p.ctx, "anna@f09.example", 1)
	p.must(err)
	p.check("who was not chosen gets nothing", len(post.To("bernd@f09.example")) == 0 && p.device("F09000000002").State == "pre_enrolled")
}

func replaceOrSkipExistingUsers(p *play) {
	const row = ",anna@f10.example,,corporate,,F10000000001,ios\n"
	p.apply(p.upload(exactHeader+"Anna"+row, ""))
	p.apply(p.upload(exactHeader+"Anna Skipped"+row, "&users=skip"))
	p.check("skip leaves the user", p.owner("anna@f10.example").Name == "Anna", p.owner("anna@f10.example"))
	p.apply(p.upload(exactHeader+"Anna Replaced"+row, "&users=replace"))
	p.check("replace takes the file", p.owner("anna@f10.example").Name == "Anna Replaced", p.owner("anna@f10.example"))
}

func oneListWithAStatePerRow(p *play) {
	p.restrict(enroll.ModeEnforce)
	want := map[string]string{"F11000000001": "pre_enrolled", "F11000000002": "invited", "F11000000003": "enrolled", "F11000000004": "blocked"}
	for serial := range want {
		p.roll(serial, object{"tags": []string{"f11"}})
	}
	p.invite("F11000000002")
	p.phone("F11000000003").enroll(p.url + "/enroll")
	p.admin(http.MethodPost, "/devices/F11000000004/block", object{"reason": "lost"}, nil)
	var out struct{ Items []device }
	p.admin(http.MethodGet, "/devices?tag=f11", nil, &out)
	p.check("all of them are in one list", len(out.Items) == len(want), out)
	for _, d := range out.Items {
		p.check(d.Serial+" has its state", d.State == want[d.Serial], d)
	}
}

func bannerUntilAcceptance(p *play) {
	p.roll("F12000000001")
	p.check("on the roll", p.device("F12000000001").Banner == "Pre enrolled Device")
	p.check("invited", p.accepted("F12000000001").Link != "" && p.device("F12000000001").Banner == "", p.device("F12000000001"))
}

func redactionUntilAcceptance(p *play) {
	const serial, imei, udid = "F13000000001", "490154203237518", "00008130-F13F13F13F13F13F"
	p.roll(serial, object{"facts": object{"imei": imei, "udid": udid, "model": "iPhone Seventeen"}})
	everywhere := []string{"/devices/" + serial, "/devices?q=" + serial, "/devices/" + serial + "/timeline", "/decisions?serial=" + serial, "/events?limit=1000", "/audit?kind=device&key=" + serial}
	told := func() (paths []string) {
		for _, path := range everywhere {
			var answer []byte
			p.admin(http.MethodGet, path, nil, &answer)
			if bytes.Contains(answer, []byte(imei)) || bytes.Contains(answer, []byte(udid)) || bytes.Contains(answer, []byte("Seventeen")) {
				paths = append(paths, path)
			}
		}
		if export := p.export("/devices?q=" + serial); bytes.Contains(export, []byte(imei)) {
			paths = append(paths, "export")
		}
		return paths
	}
	p.check("nothing but the serial is told", told() == nil, told())
	var found struct{ Items []device }
	p.admin(http.MethodGet, "/devices?q="+imei, nil, &found)
	p.check("nor does a search find it", len(found.Items) == 0, found)
	p.accepted(serial)
	p.check("afterwards the device itself is shown", slices.Contains(told(), "/devices/"+serial), told())
}

// export downloads a list as CSV.
func (p *play) export(path string) []byte {
	p.t.Helper()
	res, body := p.send(http.MethodGet, "/api/v1"+path, "", nil, "Authorization", "Bearer "+p.Token, "Accept", "text/csv")
	p.check("the export is there", res.StatusCode == http.StatusOK, res.StatusCode, string(body))
	return body
}

// channel is a way onto the server for who has no request.
type channel struct {
	name  string
	comes func(serial string) comer
}

// comer is a device out of its box.
type comer struct {
	arrive     func() error
	turnedAway func(err error) // wants the channel's own refusal
	list       func()          // puts it on the roll, by what the channel goes by
	enrolled   func() bool
}

// channels are all that there are.
func channels(p *play, provider *identityProvider, signedUp *googled) []channel {
	droids := &googled{play: p, cloud: signedUp.cloud, ways: signedUp.ways}
	owner := func(serial string) string { return strings.ToLower(serial) + "@example.com" }
	bySerial := func(serial string) { p.roll(serial) }
	apple := func(arrive func(ph *phone) error, list func(serial string)) func(string) comer {
		return func(serial string) comer {
			ph := p.phone(serial, p.trusting(provider))
			return comer{func() error { return arrive(ph) }, func(err error) { ph.turnedAway(err) }, func() { list(serial) }, ph.Enrolled}
		}
	}
	token := p.token(object{"max_uses": 0}).Token
	return []channel{
		{"ota", apple(func(ph *phone) error { return ph.Install(p.ctx, p.otaProfile("")) }, bySerial)},
		{"profile", apple(func(ph *phone) error { return ph.Install(p.ctx, p.plainProfile("")) }, bySerial)},
		{"ade", apple(func(ph *phone) error { return ph.SetupAssistant(p.ctx, p.adeProfile(enroll.NewID())) }, bySerial)},
		{"account", apple(func(ph *phone) error {
			p.person(owner(ph.Serial()))
			provider.Person(owner(ph.Serial()))
			return ph.SignIn(p.ctx, iphone.Account{Identifier: owner(ph.Serial()), Domain: p.url})
		}, func(serial string) { p.invited(serial, owner(serial), enroll.OwnershipPersonal) })},
		{"agent", func(serial string) comer {
			return comer{func() error { return p.droid(serial).Enroll(p.ctx, token) },
				func(err error) { p.turnedAway(err, http.StatusForbidden, string(enroll.DenyNotPreEnrolled)) },
				func() { p.androidRow(serial) }, func() bool { return p.device(serial).State == "enrolled" }}
		}},
		{"amapi", func(serial string) comer {
			d := droids.droid(serial)
			return comer{func() error { return d.Setup(p.ctx, droids.ways["fully_managed"]) },
				func(err error) {
					p.check("the sign-in page sends it away", errors.Is(err, simamapi.ErrRefused) && !d.State().Managed, err)
				},
				func() { droids.listed(serial) }, func() bool { droids.untilState(serial, "enrolled"); return d.State().Managed }}
		}},
	}
}

// newest is the last decision of the gate. A device that enrolls by an account
// does not tell its serial, so nothing else finds it.
func (p *play) newest() decision {
	p.t.Helper()
	var out struct{ Items []decision }
	p.admin(http.MethodGet, "/decisions?limit=1", nil, &out)
	if len(out.Items) != 1 {
		p.t.Fatal("nothing was decided")
	}
	return out.Items[0]
}

func restrictionOnRefusesOnEveryChannel(p *play, ways []channel) {
	p.restrict(enroll.ModeEnforce)
	for i, way := range ways {
		serial := "F1400000000" + string(rune('A'+i))
		device := way.comes(serial)
		device.turnedAway(device.arrive())
		d := p.newest()
		p.check("it was refused on "+way.name, d.Code == string(enroll.DenyNotPreEnrolled) && d.Channel == way.name, d)
		p.check("it is not on the roll", p.unknown(d.Serial) && p.unknown(serial))
		device.list()
		p.must(device.arrive())
		p.check("on the roll it passes on "+way.name, p.decided(serial, enroll.AllowListed).Channel == way.name && device.enrolled())
	}
}

func restrictionOffAdmitsUnknownDevices(p *play, ways []channel) {
	p.restrict(enroll.ModeOff)
	for i, way := range ways {
		device := way.comes("F1500000000" + string(rune('A'+i)))
		p.must(device.arrive())
		d := p.newest()
		p.check("it passes on "+way.name, d.Code == string(enroll.AllowOpen) && d.Channel == way.name, d)
		p.check("it is enrolled by "+way.name, device.enrolled() && p.device(d.Serial).State == "enrolled")
	}
}

func turningItOnLeavesEnrolledDevicesAlone(p *play) {
	const serial = "F16000000001"
	p.restrict(enroll.ModeOff)
	ph := p.phone(serial).enroll(p.url + "/enroll")
	p.restrict(enroll.ModeEnforce)
	id := p.command(serial, "DeviceInformation", object{"Queries": []string{"SerialNumber"}})
	p.check("it still obeys", p.done(serial, id).State == "acknowledged")
	p.must(ph.SendTokenUpdate(p.ctx))
	p.check("it is still enrolled", p.device(serial).State == "enrolled")
}

func whatWasSetBeforeEnrollmentComesAtFirstCheckIn(p *play) {
	const serial = "F17000000001"
	p.restrict(enroll.ModeEnforce)
	p.roll(serial)
	p.group("F17 old", serial)
	p.policy("F17 left", wifi("left"))
	p.bind("F17 left", object{"group": "F17 old"})
	p.group("F17 new", serial)
	p.policy("F17 kept", passcode(4))
	p.bind("F17 kept", object{"group": "F17 new"})
	p.members("F17 old", object{"remove": []string{serial}})
	p.policy("F17 kept", passcode(8), wifi("kept"))

	ph := p.phone(serial).enroll(p.url + "/enroll")
	p.acknowledged(serial)
	p.check("it has what was set last", hasAll("passcode", "kept")(ph.Phone) && minLength(ph.Phone) == 8, ph.InstalledProfiles())
	p.check("and not what was taken away", !has(ph.Phone, "left"), ph.InstalledProfiles())
	p.check("it was pushed", ph.Pushes() > 0)
}

func selectuserAsksAndStoresTheAnswer(p *play) {
	const serial = "F18000000001"
	p.roll(serial, object{"ownership": "selectuser"})
	r := p.invite(serial)
	res, page := p.send(http.MethodGet, r.Link, "", nil)
	p.check("the page asks", res.StatusCode == http.StatusOK && bytes.Contains(page, []byte(`name="ownership"`)), string(page))
	res, _ = p.send(http.MethodPost, r.Link, "application/x-www-form-urlencoded", nil)
	p.check("no answer is no acceptance", res.StatusCode == http.StatusUnprocessableEntity, res.StatusCode)
	ph := p.phone(serial)
	p.must(ph.OpenLink(p.ctx, r.Link, iphone.Choice{Ownership: "personal"}))
	p.check("the answer is stored", ph.Enrolled() && p.device(serial).Ownership == "personal", p.device(serial))
}

func deleteOnlyBeforeEnrollment(p *play) {
	p.restrict(enroll.ModeEnforce)
	p.roll("F19000000001")
	p.admin(http.MethodDelete, "/devices/F19000000001", nil, nil)
	p.check("the row is gone", p.unknown("F19000000001"))
	p.roll("F19000000002")
	p.phone("F19000000002").enroll(p.url + "/enroll")
	problem := p.refused(http.StatusConflict, "device_enrolled", http.MethodDelete, "/devices/F19000000002", nil)
	p.check("it names the other verb", strings.Contains(problem.Hint, "disenroll"), problem)
	p.check("it is still enrolled", p.device("F19000000002").State == "enrolled")
}

func sampleCSVRoundTrips(p *play) {
	var sample []byte
	p.admin(http.MethodGet, "/imports/sample.csv", nil, &sample)
	rows, err := csv.NewReader(bytes.NewReader(sample)).ReadAll()
	p.must(err)
	first := p.apply(p.upload(string(sample), ""))
	p.check("every row is new", first.Counts.New == len(rows)-1, first.Counts)
	second := p.upload(string(p.export("/devices?q=SAMPLE0")), "")
	p.check("exported and uploaded again, nothing changes", second.Counts.Unchanged == len(rows)-1 && second.Counts.Rows == len(rows)-1, second.Counts, second.Problem, p.rowErrors(second))
}

func ownerMismatch(p *play) {
	p.restrict(enroll.ModeEnforce)
	for _, way := range []struct {
		serial  string
		setting enroll.OwnerMismatch
		code    enroll.Code
	}{
		{"F21000000001", "", enroll.DenyUserMismatch}, // the default
		{"F21000000002", enroll.MismatchIgnore, enroll.AllowListed},
		{"F21000000003", enroll.MismatchWarn, enroll.AllowListed},
		{"F21000000004", enroll.MismatchRefuse, enroll.DenyUserMismatch},
	} {
		serial := way.serial
		if way.setting != "" {
			p.admin(http.MethodPut, "/settings/enrollment-restrictions", object{"owner_mismatch": way.setting}, nil)
		}
		p.roll(serial, object{"user": object{"name": "Anna", "email": "anna@f21.example"}})
		r := p.accepted(serial)
		p.roll(serial, object{"user": object{"name": "Bernd", "email": "bernd@f21.example"}})
		ph := p.phone(serial)
		err := ph.Install(p.ctx, p.otaProfile(r.secret()))
		if way.code == enroll.AllowListed {
			p.must(err)
		} else {
			ph.turnedAway(err)
		}
		p.decided(serial, way.code)
	}
}
