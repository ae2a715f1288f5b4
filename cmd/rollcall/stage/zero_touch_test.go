package stage

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/android/google"
	"rollcall/android/zerotouch"
	"rollcall/cmd/rollcall/app"
	"rollcall/enroll"
	simamapi "rollcall/sim/amapi"
)

const listClaimed = "zerotouch.customers.devices.list"

// reseller is a play with a customer of zero-touch.
type reseller struct {
	*googled
	customer string
}

// withReseller plays on both databases. The server has the agent of tests, and
// is connected to the customer.
func withReseller(t *testing.T, run func(r *reseller)) {
	t.Helper()
	onEngines(t, func(t *testing.T, dsn string) {
		cloud := startGoogle(t)
		r := &reseller{customer: cloud.AddCustomer("Example at Google")}
		r.googled = cloud.serve(start(t, dsn, func(o *Options) {
			o.Now, o.Change = cloud.both.Now, func(a *app.Options) {
				cloud.options(a)
				a.ZeroTouchURL = cloud.URL()
				a.AgentComponent = "org.example.agent/.AdminReceiver"
			}
		}))
		key, err := cloud.ServiceAccountKey()
		r.must(err)
		r.refused(http.StatusNotFound, "zero_touch_not_connected", http.MethodPut, "/android/zero-touch", object{"assign": "all"})
		var a zeroTouchAccount
		r.admin(http.MethodPut, "/android/zero-touch", object{"key": json.RawMessage(key)}, &a)
		r.check("the only customer is chosen by itself", a.Customer == r.customer && a.Company == "Example at Google" && a.Assign == "chosen" && !a.AddAsPreEnrolled, a)
		r.admin(http.MethodPut, "/android/zero-touch", object{"add_as_pre_enrolled": true, "group": "New"}, nil)
		run(r)
	})
}

type zeroTouchAccount struct {
	Customer, Company, Assign, Configured string
	AddAsPreEnrolled                      bool `json:"add_as_pre_enrolled"`
	Devices                               int
	WithoutSerial                         int `json:"without_serial"`
	Sync                                  struct {
		DoneAt   time.Time `json:"done_at"`
		DueAt    time.Time `json:"due_at"`
		Failures int
		Problem  *zerotouch.Problem
	}
}

// swept sweeps now, and waits for the end.
func (r *reseller) swept() (a zeroTouchAccount) {
	r.t.Helper()
	asked := r.clock.Now()
	r.admin(http.MethodPost, "/android/zero-touch/sync", nil, nil)
	r.until("the sweep", func() bool {
		a = r.account()
		return !a.Sync.DoneAt.Before(asked) && a.Sync.DueAt.After(asked.Add(time.Minute)) // not that of a run before
	})
	return a
}

func (r *reseller) account() (a zeroTouchAccount) {
	r.t.Helper()
	r.admin(http.MethodGet, "/android/zero-touch", nil, &a)
	return a
}

// failed sweeps now, and waits for a problem.
func (r *reseller) failed(code string) (a zeroTouchAccount) {
	r.t.Helper()
	r.admin(http.MethodPost, "/android/zero-touch/sync", nil, nil)
	r.until("the problem "+code, func() bool {
		a = r.account()
		return a.Sync.Problem != nil && a.Sync.Problem.Code == code
	})
	return a
}

// configurationOf is what a device has at Google, as the server knows it.
func (r *reseller) configurationOf(serial string) string {
	r.t.Helper()
	var out struct {
		Items []struct{ Serial, Configuration string }
	}
	r.admin(http.MethodGet, "/android/zero-touch/devices", nil, &out)
	for _, d := range out.Items {
		if d.Serial == serial {
			return d.Configuration
		}
	}
	return "unknown"
}

// release is an administrator who lets go of a device in Google's portal.
func (r *reseller) release(serial string) {
	r.t.Helper()
	file, err := r.cloud.ServiceAccountKey()
	r.must(err)
	key, err := google.ParseServiceAccount(file)
	r.must(err)
	token, err := google.NewTokenSource(key, zerotouch.Scope, http.DefaultClient, r.clock.Now).Token(r.ctx)
	r.must(err)
	body, err := json.Marshal(object{"device": object{"deviceIdentifier": object{"serialNumber": serial, "manufacturer": "Google"}}})
	r.must(err)
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, r.cloud.URL()+"/v1/"+r.customer+"/devices:unclaim", bytes.NewReader(body))
	r.must(err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	r.must(err)
	res.Body.Close()
	r.check("the device is released", res.StatusCode == http.StatusOK, res.Status)
}

// TestZeroTouch is the straight way: a reseller registers devices, they are on
// the roll, and enroll on both ways; a stranger does not.
func TestZeroTouch(t *testing.T) {
	withReseller(t, func(r *reseller) {
		managed, withAgent, stranger := r.droid("ZT00000001"), r.droid("ZT00000002"), r.droid("ZT00000003")
		r.must(r.cloud.Claim(r.customer, managed, withAgent))
		r.restrict(enroll.ModeEnforce)
		a := r.swept()
		r.check("the devices are known", a.Devices == 2 && a.WithoutSerial == 0 && a.Sync.Problem == nil, a)
		var row struct {
			State, Platform, Ownership string
			Groups                     []string
			Facts                      *enroll.Facts
			Sources                    map[string]enroll.Source
		}
		r.admin(http.MethodGet, "/devices/ZT00000001", nil, &row)
		r.check("it is pre-enrolled, in the group, without facts", row.State == "pre_enrolled" && row.Platform == "android" && row.Ownership == "corporate" &&
			slices.Equal(row.Groups, []string{"New"}) && row.Facts == nil && row.Sources["serial"] == enroll.SourceZeroTouch, row)

		configuration := object{"way": "device_policy", "company": "Example", "email": "it@example.com", "phone": "+49 30 123456", "message": "Welcome"}
		r.refused(http.StatusUnprocessableEntity, "zero_touch_configuration_invalid", http.MethodPut, "/android/zero-touch/configuration",
			object{"way": "device_policy", "company": "Example", "email": "Ann <it@example.com>", "phone": "+49 30 123456"})
		r.admin(http.MethodPut, "/android/zero-touch/configuration", configuration, nil)
		a = r.swept()
		r.check("there is a configuration, and nobody has it by itself", strings.HasPrefix(a.Configured, r.customer+"/configurations/") && a.Sync.Problem == nil && r.configurationOf("ZT00000001") == "", a)
		if err := managed.SetupZeroTouch(r.ctx); err == nil {
			r.t.Error("a device without a configuration is set up")
		}
		r.admin(http.MethodPut, "/android/zero-touch", object{"assign": "all"}, nil)
		r.until("everybody has the configuration", func() bool {
			return r.configurationOf("ZT00000001") == a.Configured && r.configurationOf("ZT00000002") == a.Configured
		})
		before := r.cloud.Calls()
		r.swept()
		after := r.cloud.Calls()
		for _, call := range []string{"devices.applyConfiguration", "configurations.create", "configurations.patch"} {
			r.check("nothing is repeated: "+call, before["zerotouch.customers."+call] == after["zerotouch.customers."+call], after)
		}

		r.must(managed.SetupZeroTouch(r.ctx))
		r.untilState("ZT00000001", "enrolled")
		r.decided("ZT00000001", enroll.AllowListed)
		if err := stranger.Setup(r.ctx, r.ways["fully_managed"]); !errors.Is(err, simamapi.ErrRefused) {
			r.t.Errorf("the stranger: %v", err)
		}

		token := r.token(object{"max_uses": 2})
		r.must(r.play.droid("ZT00000002").Enroll(r.ctx, token.Token))
		r.decided("ZT00000002", enroll.AllowListed)
		r.turnedAway(r.play.droid("ZT00000003").Enroll(r.ctx, token.Token), http.StatusForbidden, string(enroll.DenyNotPreEnrolled))

		r.admin(http.MethodPost, "/android/zero-touch/devices/choose", object{"serials": []string{"zt00000002"}, "choice": "none"}, nil)
		r.until("the chosen one has lost it", func() bool { return r.configurationOf("ZT00000002") == "" })
		r.check("the other has not", r.configurationOf("ZT00000001") == a.Configured)
		r.refused(http.StatusNotFound, "zero_touch_device_unknown", http.MethodPost, "/android/zero-touch/devices/choose", object{"serials": []string{"ZT00000003"}, "choice": "ours"})

		r.admin(http.MethodPut, "/android/zero-touch/configuration", object{"way": "agent", "company": "Example", "email": "it@example.com", "phone": "+49 30 123456"}, nil)
		r.failed("zero_touch_agent_unlisted")
		r.admin(http.MethodPut, "/android/zero-touch/configuration", configuration, nil)
		r.until("the problem is over", func() bool { return r.account().Sync.Problem == nil })
		r.admin(http.MethodDelete, "/android/zero-touch", nil, nil)
		r.refused(http.StatusNotFound, "zero_touch_not_connected", http.MethodGet, "/android/zero-touch", nil)
		r.check("rows stay", !r.unknown("ZT00000001") && !r.unknown("ZT00000002"))
	})
}

// TestZeroTouchFaults: whatever goes wrong at Google takes nobody off the roll
// but who was released, and is told to the admin.
func TestZeroTouchFaults(t *testing.T) {
	withReseller(t, func(r *reseller) {
		first, second := r.droid("ZT00000001"), r.droid("ZT00000002")
		r.must(r.cloud.Claim(r.customer, first, second))
		r.swept()
		r.release("ZT00000002")
		stay := func(when string) {
			r.t.Helper()
			r.check("both are on the roll "+when, !r.unknown("ZT00000001") && !r.unknown("ZT00000002"))
		}
		refuse := func(status int, code string) simamapi.Fault {
			return simamapi.Fault{Kind: simamapi.Reply, Status: status, Code: code, Message: "No."}
		}
		for _, c := range []struct {
			fault simamapi.Fault
			code  string
			wait  time.Duration // until it is tried again, at least
		}{
			{simamapi.Throttled(), "zero_touch_too_many", 90 * time.Second},
			{simamapi.Fault{Kind: simamapi.HalfBody}, "zero_touch_bad_answer", 30 * time.Second},
			{simamapi.Fault{Kind: simamapi.Drop}, "zero_touch_unreachable", 30 * time.Second},
			{simamapi.Unavailable(), "zero_touch_unavailable", 30 * time.Second},
			{refuse(http.StatusForbidden, "PERMISSION_DENIED"), "zero_touch_forbidden", 50 * time.Minute},
			{refuse(http.StatusNotFound, "NOT_FOUND"), "zero_touch_not_found", 50 * time.Minute},
		} {
			r.must(r.cloud.Spoil(c.fault.On(listClaimed, 0)))
			a := r.failed(c.code)
			r.check("it is tried again later: "+c.code, a.Sync.DueAt.Sub(r.clock.Now()) > c.wait && a.Sync.Failures > 0, a)
			stay("after " + c.code)
			r.cloud.Heal()
		}
		r.cloud.ExpireTokens()
		a := r.swept()
		r.check("the problem is over", a.Sync.Problem == nil && a.Sync.Failures == 0 && a.Devices == 1, a)
		r.check("who was released is off the roll, the other is not", r.unknown("ZT00000002") && !r.unknown("ZT00000001"))
		r.restrict(enroll.ModeEnforce)
		if err := second.Setup(r.ctx, r.ways["fully_managed"]); !errors.Is(err, simamapi.ErrRefused) {
			r.t.Errorf("the released one: %v", err)
		}
		// An hour later it looks by itself.
		r.must(r.cloud.Claim(r.customer, second))
		r.clock.advance(61 * time.Minute)
		r.until("the next hour's sweep", func() bool { return !r.unknown("ZT00000002") })
	})
}
