package amapi

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/android/google"
	"rollcall/enroll"
	sim "rollcall/sim/amapi"
)

// schemaFile is Google's discovery document, beside the repository.
var schemaFile = filepath.Join("..", "..", "..", "shared", "data", "amapi-schema.json")

// bench is Google, which refuses whatever its schema refuses, and a client.
type bench struct {
	*testing.T
	cloud        *sim.Cloud
	client       *Client
	budget       *fakeBudget
	enterprise   string
	topic        string
	subscription string
}

type fakeBudget struct {
	taken int
	wait  time.Duration
	held  time.Time
}

func (b *fakeBudget) TakeCall(context.Context, string, time.Time) (time.Duration, error) {
	b.taken++
	return b.wait, nil
}

func (b *fakeBudget) HoldCalls(_ context.Context, _ string, until time.Time) error {
	b.held = until
	return nil
}

func newBench(t *testing.T) *bench {
	t.Helper()
	schema, err := sim.LoadSchema(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	cloud, err := sim.New(sim.Options{Schema: schema, PerMinute: -1, PullWait: time.Millisecond, Client: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cloud.Close()
		transport.CloseIdleConnections()
	})
	file, err := cloud.ServiceAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := google.ParseServiceAccount(file)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, cloud: cloud, budget: &fakeBudget{}, enterprise: cloud.AddEnterprise("Example")}
	b.topic = cloud.AddTopic("rollcall")
	b.subscription = cloud.AddSubscription("rollcall", b.topic)
	tokens := google.NewTokenSource(key, ManagementScope, &http.Client{Transport: transport}, nil)
	b.client = NewClient(cloud.URL(), tokens, transport, cloud.Project(), b.budget, nil)
	return b
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) spoil(f sim.Fault, call string, times int) {
	b.Helper()
	b.ok(b.cloud.Spoil(f.On(call, times)))
}

func (b *bench) device(h sim.Hardware) *sim.Device {
	b.Helper()
	d, err := b.cloud.AddDevice(h)
	b.ok(err)
	return d
}

// TestEveryCallIsOneThatGoogleTakes makes each call against Google's schema.
func TestEveryCallIsOneThatGoogleTakes(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	signup, err := b.client.CreateSignupURL(ctx, "https://mdm.example.com/android/signup?state=x")
	b.ok(err)
	if signup.Name == "" || signup.URL == "" {
		t.Errorf("sign-up %+v", signup)
	}
	e, err := b.client.SetUp(ctx, Enterprise{Name: b.enterprise, PubsubTopic: b.topic, EnabledNotificationTypes: []string{"ENROLLMENT"},
		SigninDetails: []SigninDetail{{SigninURL: "https://mdm.example.com/android/signin", AllowPersonalUsage: PersonalDisallowed, TokenTag: "fm", DefaultStatus: defaultSignin}}})
	b.ok(err)
	if len(e.SigninDetails) != 1 || e.SigninDetails[0].QRCode == "" || e.SigninDetails[0].SigninEnrollmentToken == "" {
		t.Errorf("set-up answered %+v", e)
	}
	if e, err = b.client.Enterprise(ctx, b.enterprise); err != nil || e.PubsubTopic != b.topic {
		t.Errorf("enterprise %+v, %v", e, err)
	}
	version, err := b.client.PutPolicy(ctx, b.enterprise+"/policies/quarantine", quarantine)
	b.ok(err)
	if again, err := b.client.PutPolicy(ctx, b.enterprise+"/policies/quarantine", quarantine); err != nil || again != version+1 {
		t.Errorf("version %d, then %d, %v", version, again, err)
	}
	token, err := b.client.CreateToken(ctx, b.enterprise, EnrollmentToken{PolicyName: b.enterprise + "/policies/quarantine", Duration: "600s", OneTimeOnly: true,
		AllowPersonalUsage: PersonalDisallowed, AdditionalData: `{"v":1}`})
	b.ok(err)
	d := b.device(sim.Hardware{Serial: "R58N12ABCDE", IMEI: "490154203237518"})
	b.ok(d.Setup(ctx, token.QRCode))
	var listed []Device
	b.ok(b.client.Devices(ctx, b.enterprise, func(page []Device) error { listed = append(listed, page...); return nil }))
	if len(listed) != 1 || listed[0].serial() != "R58N12ABCDE" || listed[0].EnrollmentTokenData != `{"v":1}` || listed[0].Network.IMEI != "490154203237518" {
		t.Fatalf("devices %+v", listed)
	}
	name := listed[0].Name
	_, err = b.client.PutPolicy(ctx, b.enterprise+"/policies/p1", map[string]any{"cameraAccess": "CAMERA_ACCESS_DISABLED"})
	b.ok(err)
	b.ok(b.client.AssignPolicy(ctx, name, b.enterprise+"/policies/p1"))
	if got, err := b.client.Device(ctx, name); err != nil || got.AppliedPolicyName != b.enterprise+"/policies/p1" || got.State != stateActive {
		t.Errorf("device %+v, %v", got, err)
	}
	operation, err := b.client.IssueCommand(ctx, name, map[string]any{"type": "LOCK"})
	b.ok(err)
	if got, err := b.client.Operation(ctx, operation.Name); err != nil || !got.Done || got.Metadata.Type != "LOCK" {
		t.Errorf("operation %+v, %v", got, err)
	}
	if list, err := b.client.Operations(ctx, name); err != nil || len(list) != 1 || deviceOf(list[0].Name) != name {
		t.Errorf("operations %+v, %v", list, err)
	}
	d.SetOffline(true)
	operation, err = b.client.IssueCommand(ctx, name, map[string]any{"type": "REBOOT"})
	b.ok(err)
	b.ok(b.client.CancelOperation(ctx, operation.Name))
	b.ok(b.client.DeleteDevice(ctx, name, ""))
	b.ok(b.client.DeleteDevice(ctx, name, "")) // it is gone
	b.ok(b.client.DeletePolicy(ctx, b.enterprise+"/policies/p1"))
	b.ok(b.client.DeleteToken(ctx, token.Name))
	if w := b.cloud.Warnings(); len(w) != 0 {
		t.Errorf("Google reads past %v", w)
	}
}

// TestFailures is the table of what an answer of Google's means.
func TestFailures(t *testing.T) {
	const get, issue = "enterprises.get", "enterprises.devices.issueCommand"
	reply := func(status int, code string) sim.Fault {
		return sim.Fault{Kind: sim.Reply, Status: status, Code: code, Message: "words"}
	}
	for _, test := range []struct {
		name    string
		fault   sim.Fault
		code    Code
		kind    enroll.Kind
		lasting bool
		calls   int  // of a call that is idempotent
		unknown bool // of one that is not
	}{
		{"400 INVALID_ARGUMENT", reply(400, "INVALID_ARGUMENT"), Invalid, enroll.KindConflict, true, 1, false},
		{"400 FAILED_PRECONDITION", reply(400, "FAILED_PRECONDITION"), Precondition, enroll.KindConflict, true, 1, false},
		{"401 with a fresh token too", reply(401, "UNAUTHENTICATED"), Unauthorized, enroll.KindConflict, true, 2, false},
		{"403", reply(403, "PERMISSION_DENIED"), Forbidden, enroll.KindConflict, true, 1, false},
		{"404", reply(404, "NOT_FOUND"), NotFound, enroll.KindNotFound, true, 1, false},
		{`500 "Requested entity was not found"`, sim.NotFound500(), NotFound, enroll.KindNotFound, true, 1, false},
		{"409", reply(409, "ABORTED"), Conflict, enroll.KindConflict, true, 1, false},
		{"429", sim.Throttled(), TooMany, enroll.KindUnavailable, false, 1, false},
		{"500", sim.Internal(), Unavailable, enroll.KindUnavailable, false, 3, true},
		{"503", sim.Unavailable(), Unavailable, enroll.KindUnavailable, false, 3, true},
		{"no answer", sim.Fault{Kind: sim.Drop}, Unreachable, enroll.KindUnavailable, false, 3, true},
		{"an answer that was lost", sim.Fault{Kind: sim.Lose}, Unreachable, enroll.KindUnavailable, false, 3, true},
		{"half an answer", sim.Fault{Kind: sim.HalfBody}, BadAnswer, enroll.KindUnavailable, false, 3, false}, // the command's refusal is told by its status
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.spoil(test.fault, get, 0)
			_, err := b.client.Enterprise(t.Context(), b.enterprise)
			var e *Error
			if !errors.As(err, &e) || e.Code != test.code || enroll.KindOf(err) != test.kind || e.Lasting() != test.lasting {
				t.Errorf("error %v", err)
			}
			// A connection that breaks before anything was answered may be tried
			// once more by net/http.
			if got := b.cloud.Calls()[get]; got < test.calls || got > test.calls+1 || got > test.calls && test.code != Unreachable {
				t.Errorf("%d calls, want %d", got, test.calls)
			}
			b.cloud.Heal()
			b.spoil(test.fault, issue, 0)
			_, err = b.client.IssueCommand(t.Context(), b.enterprise+"/devices/1", map[string]any{"type": "LOCK"})
			// One that was refused for its token was not carried out.
			if test.code == Unauthorized {
				return
			}
			if got := b.cloud.Calls()[issue]; got != 1 || mayHaveHappened(err) != test.unknown {
				t.Errorf("a command was issued %d times: %v", got, err)
			}
		})
	}
}

// TestThrottled waits a minute at least, and everybody with it.
func TestThrottled(t *testing.T) {
	b := newBench(t)
	b.spoil(sim.Throttled(), "", 1)
	before := time.Now()
	_, err := b.client.Enterprise(t.Context(), b.enterprise)
	b.cloud.Heal()
	// The first call of all is for the token.
	if err == nil {
		t.Fatal("a 429 went unnoticed")
	}
	b.spoil(sim.Throttled(), "enterprises.get", 1)
	_, err = b.client.Enterprise(t.Context(), b.enterprise)
	if wait := retryAfter(err, 0); wait < 60*time.Second || wait > 90*time.Second {
		t.Errorf("waits %v", wait)
	}
	if b.budget.held.Before(before.Add(60 * time.Second)) {
		t.Errorf("others go on at %v", b.budget.held)
	}
	b.budget.wait = time.Minute
	if _, err = b.client.Enterprise(t.Context(), b.enterprise); CodeOf(err) != TooMany || retryAfter(err, 0) != time.Minute {
		t.Errorf("an empty budget: %v", err)
	}
	if got := b.cloud.Calls()["enterprises.get"]; got != 1 {
		t.Errorf("%d calls, want 1", got)
	}
}

// TestTokenIsRefreshedOnce goes on by itself after a 401.
func TestTokenIsRefreshedOnce(t *testing.T) {
	b := newBench(t)
	_, err := b.client.Enterprise(t.Context(), b.enterprise)
	b.ok(err)
	b.cloud.ExpireTokens()
	_, err = b.client.Enterprise(t.Context(), b.enterprise)
	b.ok(err)
	if calls := b.cloud.Calls(); calls["oauth.token"] != 2 || calls["enterprises.get"] != 3 {
		t.Errorf("calls %v", calls)
	}
}

// TestSchemaRevision makes another revision of the API a decision.
func TestSchemaRevision(t *testing.T) {
	schema, err := sim.LoadSchema(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"20261102"}; !slices.Contains(want, schema.Revision) {
		t.Errorf("the discovery document is of revision %s", schema.Revision)
	}
	if _, err := os.Stat(schemaFile); err != nil {
		t.Error(err)
	}
}

// TestSerial is about what stands in serialNumber without being one.
func TestSerial(t *testing.T) {
	device := func(ownership, serial, specific string, api int) Device {
		d := Device{Ownership: ownership, APILevel: api}
		d.Hardware.SerialNumber, d.Hardware.EnterpriseSpecificID = serial, specific
		return d
	}
	for name, test := range map[string]struct {
		device Device
		want   string
	}{
		"company":                 {device(CompanyOwned, "R58", "", 36), "R58"},
		"personal":                {device(PersonallyOwned, "ESID", "ESID", 36), ""},
		"personal, Android 11":    {device(PersonallyOwned, "R58", "ESID", 30), "R58"},
		"personal, no id in it":   {device(PersonallyOwned, "X", "", 31), ""},
		"company, without either": {device(CompanyOwned, "", "", 36), ""},
	} {
		if got := test.device.serial(); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
