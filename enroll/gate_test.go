package enroll

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// row is a row of the roll for an iPhone, put there by an admin.
func row(change ...func(*Device)) *Device {
	d := &Device{ID: "row", Serial: "C02XK1", Platform: PlatformIOS, Ownership: OwnershipCorporate, State: StatePreEnrolled, Sources: map[string]Source{"serial": SourceCSV}}
	for _, f := range change {
		f(d)
	}
	return d
}

func blocked(d *Device)      { d.BlockedAt, d.BlockReason = noon, "stolen" }
func selfReported(d *Device) { d.Sources = map[string]Source{"serial": SourceDevice} }
func android(d *Device)      { d.Platform = PlatformAndroid }
func enrolledAs(udid string) func(*Device) {
	return func(d *Device) { d.State, d.Facts.UDID = StateEnrolled, udid }
}

// invitation is an open request bound to the row.
func invitation(change ...func(*Request)) *Request {
	r := &Request{ID: "request", DeviceID: "row", State: RequestAccepted, AcceptedAt: noon, ExpiresAt: noon.Add(time.Hour)}
	for _, f := range change {
		f(r)
	}
	return r
}

func inState(s RequestState) func(*Request) { return func(r *Request) { r.State = s } }

// verdict is what a case of the gate wants in each mode.
type verdict struct {
	off, audit, enforce Code
	audited             Code // Enforced in audit mode
}

func always(c Code) verdict { return verdict{c, c, c, c} }

var unlisted = verdict{AllowOpen, AllowOpen, DenyNotPreEnrolled, DenyNotPreEnrolled}

type gateCase struct {
	name    string
	attempt func(*Attempt) // nil: an iPhone with the serial C02XK1 and without a request
	device  *Device
	request *Request
	want    verdict
	holder  *Device  // enrolled under the attempt's UDID
	signed  *verdict // where signed identifiers make a difference
}

func withSecret(a *Attempt)    { a.RequestSecret = "secret" }
func withRequestID(a *Attempt) { a.RequestID = "request" }
func serial(s string) func(*Attempt) {
	return func(a *Attempt) { a.Serial = s }
}

var gateCases = []gateCase{
	{"listed", nil, row(), nil, always(AllowListed), nil, nil},
	{"listed by DEP", nil, row(func(d *Device) { d.Sources["serial"] = SourceDEP }), nil, always(AllowListed), nil, nil},
	{"listed for any Apple device", nil, row(func(d *Device) { d.Platform = PlatformApple }), nil, always(AllowListed), nil, nil},
	{"listed, enrolled before", nil, row(func(d *Device) { d.State = StateUnenrolled }), nil, always(AllowListed), nil, nil},
	{"listed, enrolled now", nil, row(func(d *Device) { d.State = StateEnrolled }), nil, always(AllowListed), nil, nil},
	{"unlisted", nil, nil, nil, unlisted, nil, nil},
	{"self-reported row", nil, row(selfReported), nil, unlisted, nil, nil},
	{"self-reported and enrolled", nil, row(selfReported, func(d *Device) { d.State = StateEnrolled }), nil, unlisted, nil, nil},

	{"blocked", nil, row(blocked), nil, always(DenyBlocked), nil, nil},
	{"blocked while enrolled", nil, row(blocked, func(d *Device) { d.State = StateEnrolled }), nil, always(DenyBlocked), nil, nil},
	{"blocked and self-reported", nil, row(blocked, selfReported), nil, always(DenyBlocked), nil, nil},
	{"blocked beats its own request", withSecret, row(blocked), invitation(), always(DenyBlocked), nil, nil},
	{"blocked beats a bad request", withSecret, row(blocked), nil, always(DenyBlocked), nil, nil},
	{"blocked beats the platform", nil, row(blocked, android), nil, always(DenyBlocked), nil, nil},

	{"other platform", nil, row(android), nil, always(DenyPlatform), nil, nil},
	{"other platform, self-reported", nil, row(android, selfReported), nil, always(DenyPlatform), nil, nil},
	{"other Apple product on an iOS row", func(a *Attempt) { a.Platform = PlatformApple }, row(), nil, always(DenyPlatform), nil, nil},
	{"no platform named", func(a *Attempt) { a.Platform = "" }, row(), nil, always(DenyPlatform), nil, nil},
	{"other platform with its request", withSecret, row(android), invitation(), always(DenyPlatform), nil, nil},

	{"no serial", serial(""), nil, nil, always(DenyEvidenceTooWeak), nil, nil},
	{"serial of separators", serial(" .-\u200b"), nil, nil, always(DenyEvidenceTooWeak), nil, nil},
	{"absurdly long serial", serial(strings.Repeat("A", MaxSerial+1)), nil, nil, always(DenyEvidenceTooWeak), nil, nil},
	{"serial in other letters", serial("ＡＢ１"), nil, nil, always(DenyEvidenceTooWeak), nil, nil},
	{"serial with a quote", serial("A'--"), nil, nil, always(DenyEvidenceTooWeak), nil, nil},
	{"no serial beats the request", func(a *Attempt) { a.Serial, a.RequestSecret = "", "secret" }, nil, invitation(), always(DenyEvidenceTooWeak), nil, nil},

	{"its request", withSecret, row(), invitation(), always(AllowListed), nil, nil},
	{"its request, by ID", withRequestID, row(), invitation(), always(AllowListed), nil, nil},
	{"its request in its last instant", func(a *Attempt) { a.RequestSecret, a.At = "secret", noon.Add(time.Hour) }, row(), invitation(), always(AllowListed), nil, nil},
	{"its request, self-reported row", withSecret, row(selfReported), invitation(), unlisted, nil, nil},
	{"unknown secret", withSecret, row(), nil, always(DenyTokenUnknown), nil, nil},
	{"unknown ID", withRequestID, row(), nil, always(DenyTokenUnknown), nil, nil},
	{"unknown secret, unlisted", withSecret, nil, nil, always(DenyTokenUnknown), nil, nil},
	{"cancelled request", withSecret, row(), invitation(inState(RequestCancelled)), always(DenyTokenRevoked), nil, nil},
	{"used request", withSecret, row(), invitation(inState(RequestCompleted)), always(DenyTokenUsedUp), nil, nil},
	{"closed as expired", withSecret, row(), invitation(inState(RequestExpired)), always(DenyTokenExpired), nil, nil},
	{"expired, not yet closed", func(a *Attempt) { a.RequestSecret, a.At = "secret", noon.Add(time.Hour+1) }, row(), invitation(), always(DenyTokenExpired), nil, nil},
	{"request of another row", withSecret, row(), invitation(func(r *Request) { r.DeviceID = "other" }), always(DenyTokenSerialMismatch), nil, nil},
	{"request of another row, unlisted", withSecret, nil, invitation(), always(DenyTokenSerialMismatch), nil, nil},
	{"a bad request beats the platform", withSecret, row(android), invitation(inState(RequestCancelled)), always(DenyTokenRevoked), nil, nil},

	{"enrolled now, under the same UDID", nil, row(enrolledAs("udid")), nil, always(AllowListed), row(enrolledAs("udid")), nil},
	{"enrolled under another UDID", nil, row(enrolledAs("other")), nil, always(DenyIdentityConflict), nil, ptr(always(AllowListed))},
	{"was enrolled under another UDID", nil, row(enrolledAs("other"), func(d *Device) { d.State = StateUnenrolled }), nil, always(AllowListed), nil, nil},
	{"another row has the UDID", nil, row(), nil, always(DenyIdentityConflict), row(enrolledAs("udid"), func(d *Device) { d.ID = "other" }), ptr(always(AllowListed))},
	{"another row has the UDID, unlisted", nil, nil, nil, always(DenyIdentityConflict), row(enrolledAs("udid")), &unlisted},
	{"its request does not prove the UDID", withSecret, row(enrolledAs("other")), invitation(), always(DenyIdentityConflict), nil, ptr(always(AllowListed))},
}

var enforced = Settings{PreEnrolledDevicesOnly: ModeEnforce}

func (c gateCase) attemptOn(channel Channel, e Evidence) Attempt {
	a := Attempt{At: noon, Channel: channel, Platform: PlatformIOS, Serial: "C02XK1", Evidence: e, RemoteAddr: "192.0.2.1", Facts: Facts{UDID: "udid"}}
	if c.attempt != nil {
		c.attempt(&a)
	}
	return a
}

// TestEvaluate runs one table on every channel, in every mode and at every
// level of evidence.
func TestEvaluate(t *testing.T) {
	for _, c := range gateCases {
		t.Run(c.name, func(t *testing.T) {
			for _, e := range []Evidence{"", EvidenceClaimed, EvidenceToken, EvidenceSigned, EvidenceAttested} {
				want := c.want
				if c.signed != nil && (e == EvidenceSigned || e == EvidenceAttested) {
					want = *c.signed
				}
				for _, m := range []struct {
					mode           Mode
					code, enforced Code
				}{
					{ModeOff, want.off, want.off}, {ModeAudit, want.audit, want.audited}, {ModeEnforce, want.enforce, want.enforce},
					{"", want.enforce, want.enforce}, {"Off", want.enforce, want.enforce},
				} {
					for _, channel := range Channels {
						a := c.attemptOn(channel, e)
						d := Evaluate(a, c.known(m.mode))
						if d.Code != m.code || d.Enforced != m.enforced || d.Outcome != m.code.Outcome() {
							t.Errorf("%q on %s by %q: %s %s (enforcing: %s), want %s (%s)", m.mode, channel, e, d.Outcome, d.Code, d.Enforced, m.code, m.enforced)
						}
						checkTold(t, d, a, c)
					}
				}
			}
		})
	}
}

func (c gateCase) known(mode Mode) Known {
	return Known{Settings: Settings{PreEnrolledDevicesOnly: mode}, Device: c.device, Request: c.request, Holder: c.holder}
}

// checkTold compares the parts of a decision that do not depend on its outcome.
func checkTold(t *testing.T, d Decision, a Attempt, c gateCase) {
	t.Helper()
	want := Decision{At: a.At, Channel: a.Channel, Platform: a.Platform, Serial: a.Serial, Evidence: a.Evidence, Facts: a.Facts, RemoteAddr: a.RemoteAddr,
		RequestID: a.RequestID, Mode: d.Mode, Code: d.Code, Enforced: d.Enforced, Outcome: d.Outcome, Trace: d.Trace}
	if c.device != nil {
		want.DeviceID = c.device.ID
	}
	if c.request != nil {
		want.RequestID = c.request.ID
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var order []string
	for _, c := range checks {
		order = append(order, c.name)
	}
	order = append(order, "listed")
	for i, s := range d.Trace {
		last := i == len(d.Trace)-1
		fails := last && !d.Allowed()
		if s.Check != order[i] || s.Detail == "" || (s.Result == "fail") != fails || (s.Result == "pass" || s.Result == "skip") == fails {
			t.Errorf("step %d of %s is %+v", i, d.Code, s)
		}
	}
	if len(d.Trace) == 0 || d.Allowed() && len(d.Trace) != len(order) {
		t.Errorf("%s was decided by %d checks", d.Code, len(d.Trace))
	}
}

// TestGateReachesItsCodes keeps the tables complete: every code is the answer
// of some case, but the one that says that there is no answer.
func TestGateReachesItsCodes(t *testing.T) {
	reached := map[Code]bool{ErrorStoreUnavailable: true}
	for _, c := range gateCases {
		for _, code := range []Code{c.want.off, c.want.audit, c.want.enforce} {
			reached[code] = true
		}
	}
	for _, c := range restrictionCases {
		for _, code := range []Code{c.want.off, c.want.audit, c.want.enforce} {
			reached[code] = true
		}
	}
	for code, name := range constantsOfType(t, "codes.go", "Code") {
		if !reached[Code(code)] {
			t.Errorf("no case is answered %s (%s)", code, name)
		}
	}
}

// gateStore answers every attempt with what is known, and may run the decision
// more than once, as a store does after a conflict.
type gateStore struct {
	known    Known
	err      error
	runs     int // 0: once
	asked    []Attempt
	decided  []Decision // by each run
	recorded []Decision
	open     []Device // rows that a serial may be meant for
	looked   int      // how often they were looked for
	noted    []NearMiss
	repairs  Decision // what there is to repair by
}

func (s *gateStore) Decide(_ context.Context, a Attempt, decide func(Known) Decision) (Decision, error) {
	s.asked = append(s.asked, a)
	var d Decision
	for range max(s.runs, 1) {
		d = decide(s.known)
		s.decided = append(s.decided, d)
	}
	if s.err != nil {
		return Decision{Outcome: OutcomeAllow, Code: AllowListed}, s.err // what a careless store could leave
	}
	s.recorded = append(s.recorded, d)
	return d, nil
}

func (s *gateStore) Known(_ context.Context, a Attempt) (Known, error) {
	s.asked = append(s.asked, a)
	return s.known, s.err
}

func (s *gateStore) RecordDecision(_ context.Context, d Decision) error {
	if s.err == nil {
		s.recorded = append(s.recorded, d)
	}
	return s.err
}

func (s *gateStore) OpenRows(_ context.Context, serials []string) (rows []Device, err error) {
	s.looked++
	for _, d := range s.open {
		if slices.Contains(serials, d.Serial) {
			rows = append(rows, d)
		}
	}
	return rows, s.err
}

func (s *gateStore) NoteNearMisses(_ context.Context, id string, near []NearMiss) error {
	if id == s.recorded[len(s.recorded)-1].ID {
		s.noted = near
	}
	return s.err
}

func (s *gateStore) RepairSerial(_ context.Context, id, serial string, check func(Decision, Device) (Repair, error)) (Device, error) {
	i := slices.IndexFunc(s.open, func(d Device) bool { return d.Serial == serial })
	if i < 0 || id != s.repairs.ID {
		return Device{}, NoDevice(serial)
	}
	r, err := check(s.repairs, s.open[i])
	if err == nil {
		s.repairs.Repair, s.open[i].Serial = &r, s.repairs.Serial
	}
	return s.open[i], err
}

func gate(s *gateStore) *Gate {
	return NewGate(s, func() time.Time { return noon.In(time.FixedZone("", 3600)) })
}

func TestGateDecide(t *testing.T) {
	s := &gateStore{known: Known{Settings: enforced, Device: row()}, runs: 2}
	d, err := gate(s).Decide(t.Context(), Attempt{Channel: ChannelOTA, Platform: PlatformIOS, Serial: " c02x-k1\u200b"})
	if err != nil || d.Code != AllowListed || d.ID == "" {
		t.Fatalf("%+v, %v", d, err)
	}
	if s.decided[0].ID != s.decided[1].ID || d.ID != s.decided[0].ID {
		t.Errorf("a repeated transaction makes another decision: %s, %s, answered %s", s.decided[0].ID, s.decided[1].ID, d.ID)
	}
	if a := s.asked[0]; a.Serial != "C02XK1" || a.Evidence != EvidenceClaimed || a.At != noon || d.At != noon || d.Serial != "C02XK1" {
		t.Errorf("the store was asked %+v, the decision is %+v", a, d)
	}
	other, _ := gate(s).Decide(t.Context(), Attempt{Serial: "C02XK1", At: noon.Add(time.Minute), Evidence: EvidenceSigned})
	if other.ID == d.ID || other.At != noon.Add(time.Minute) || other.Evidence != EvidenceSigned {
		t.Errorf("the second attempt is %+v", other)
	}
}

// TestGateDecideWithoutStore has a store that fails after it has admitted.
func TestGateDecideWithoutStore(t *testing.T) {
	cause := errors.New("sql: the disk is full")
	for _, c := range gateCases {
		for _, mode := range Modes {
			s := &gateStore{known: c.known(mode), err: cause}
			d, err := gate(s).Decide(t.Context(), c.attemptOn(ChannelOTA, EvidenceSigned))
			if d.Allowed() || d.Outcome != OutcomeError || d.Code != ErrorStoreUnavailable || d.Enforced != ErrorStoreUnavailable || d.DeviceID != "" || d.ID == "" {
				t.Fatalf("%s, %s: %+v", c.name, mode, d)
			}
			wantError(t, err, KindUnavailable, "error.store_unavailable")
			if !errors.Is(err, cause) || strings.Contains(err.(*Error).Text, "sql") {
				t.Fatalf("the error loses its cause or tells it to everybody: %#v", err)
			}
		}
	}
	if d, err := gate(&gateStore{}).Decide(t.Context(), Attempt{}); err != nil || d.Allowed() {
		t.Errorf("an empty attempt on an empty store: %+v, %v", d, err)
	}
}

func TestGateAbsurdSerials(t *testing.T) {
	for _, serial := range []string{strings.Repeat("A", 1<<20), strings.Repeat("ä", 1<<19), strings.Repeat("漢", 1<<18), strings.Repeat("\xff", 1<<20),
		strings.Repeat("A", recordedSerial), "A" + strings.Repeat("漢", recordedSerial)} {
		s := &gateStore{known: Known{Settings: Settings{PreEnrolledDevicesOnly: ModeOff}}}
		d, err := gate(s).Decide(t.Context(), Attempt{Serial: serial, Platform: PlatformIOS})
		if err != nil || d.Code != DenyEvidenceTooWeak {
			t.Errorf("%.9q...: %s, %v", serial, d.Code, err)
		}
		if got := s.recorded[0].Serial; len(got) > recordedSerial || len(got) <= MaxSerial || !utf8.ValidString(got) || s.asked[0].Serial != got {
			t.Errorf("%.9q...: %d bytes are recorded, %d are asked for", serial, len(got), len(s.asked[0].Serial))
		}
	}
}

func TestGateRefuse(t *testing.T) {
	a := Attempt{Channel: ChannelProfile, Platform: PlatformIOS, Serial: "c02xk1", RequestID: "request", RemoteAddr: "192.0.2.1", Facts: Facts{UDID: "u"}}
	s := &gateStore{known: Known{Device: row()}}
	d, err := gate(s).Refuse(t.Context(), a, DenyIdentityConflict, "the certificate was issued for another serial")
	want := Decision{ID: d.ID, At: noon, Channel: ChannelProfile, Platform: PlatformIOS, Serial: "C02XK1", Evidence: EvidenceClaimed, Facts: a.Facts,
		Outcome: OutcomeDeny, Code: DenyIdentityConflict, Enforced: DenyIdentityConflict, RequestID: "request", RemoteAddr: "192.0.2.1",
		Trace: []Step{{Check: "protocol", Result: "fail", Detail: "the certificate was issued for another serial"}}}
	if diff := cmp.Diff(want, d); err != nil || d.ID == "" || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]Decision{d}, s.recorded); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}

	s.err = errors.New("no connection")
	d, err = gate(s).Refuse(t.Context(), a, DenyIdentityConflict, "x")
	wantError(t, err, KindUnavailable, "error.store_unavailable")
	if d.Allowed() || d.Code != DenyIdentityConflict {
		t.Errorf("an unrecorded refusal is %+v", d)
	}
}

// TestGateExplain wants the same answer as Decide and no trace of the question.
func TestGateExplain(t *testing.T) {
	for _, c := range gateCases {
		for _, mode := range Modes {
			s := &gateStore{known: c.known(mode)}
			a := c.attemptOn(ChannelADE, "")
			explained, err := gate(s).Explain(t.Context(), a)
			if err != nil || len(s.recorded)+len(s.decided) > 0 || explained.ID != "" {
				t.Fatalf("%s, %s: %+v, %v; recorded %v", c.name, mode, explained, err, s.recorded)
			}
			decided, err := gate(s).Decide(t.Context(), a)
			if explained.ID = decided.ID; err != nil || cmp.Diff(decided, explained) != "" {
				t.Errorf("%s, %s: %v (-decided +explained):\n%s", c.name, mode, err, cmp.Diff(decided, explained))
			}
		}
	}
	cause := errors.New("no connection")
	if d, err := gate(&gateStore{err: cause}).Explain(t.Context(), Attempt{Serial: "A"}); !errors.Is(err, cause) || d.Allowed() {
		t.Errorf("without a store: %+v, %v", d, err)
	}
}

func TestRowFor(t *testing.T) {
	d := Decision{ID: "X", At: noon, Serial: "C02XK1", Platform: PlatformIOS, Facts: Facts{UDID: "u"}, Code: AllowOpen, Outcome: OutcomeAllow}
	got := RowFor(d)
	want := Device{ID: got.ID, Serial: "C02XK1", SerialRaw: "C02XK1", Platform: PlatformIOS, Ownership: OwnershipSelectUser, State: StateEnrolling,
		Facts: Facts{UDID: "u"}, Sources: map[string]Source{"serial": SourceDevice, "platform": SourceDevice}, CreatedAt: noon, UpdatedAt: noon, Version: 1}
	if diff := cmp.Diff(want, got); diff != "" || got.ID == "" || got.ID == RowFor(d).ID {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := Evaluate(Attempt{At: noon, Serial: "C02XK1", Platform: PlatformIOS}, Known{Settings: enforced, Device: &got})
	if again.Code != DenyNotPreEnrolled {
		t.Errorf("a device that came in while the restriction was off counts as listed: %s", again.Code)
	}
}
