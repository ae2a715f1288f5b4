package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/android/amapi"
	"rollcall/enroll"
)

// AndroidEnterpriseView is the organization at Google.
type AndroidEnterpriseView struct {
	Project      string         `json:"project" doc:"Google Cloud project of the service account."`
	Account      string         `json:"account" doc:"The service account."`
	Name         string         `json:"name,omitempty" doc:"Google's name of the enterprise. Absent: none is bound." example:"enterprises/LC01234567"`
	DisplayName  string         `json:"display_name,omitempty"`
	SignupURL    string         `json:"signup_url,omitempty" doc:"Where an administrator of the organization goes through the sign-up that is under way."`
	Topic        string         `json:"topic" doc:"Pub/Sub topic that Google reports to."`
	Subscription string         `json:"subscription"`
	Delivery     amapi.Delivery `json:"delivery" enum:"pull,push"`
	PushAccount  string         `json:"push_account,omitempty"`
	Settings     amapi.Settings `json:"settings" doc:"By mode: fully_managed, work_profile_company, dedicated, work_profile_personal."`
	SetUpAt      time.Time      `json:"set_up_at,omitzero"`
	ReconciledAt time.Time      `json:"reconciled_at,omitzero" doc:"When the devices were last compared with Google's."`
	Problem      *amapi.Problem `json:"problem,omitempty" doc:"Why it is not managed at the moment."`
}

func viewEnterprise(o amapi.Organization, err error) (*body[AndroidEnterpriseView], error) {
	if err != nil {
		return nil, err
	}
	v := AndroidEnterpriseView{Project: o.Project, Account: o.Account, Name: o.Name, DisplayName: o.DisplayName, Topic: o.Topic, Subscription: o.Subscription, Delivery: o.Delivery,
		PushAccount: o.PushAccount, Settings: o.Settings, SetUpAt: utc(o.SetUpAt), ReconciledAt: utc(o.ReconciledAt), Problem: o.Problem}
	if o.Signup != nil {
		v.SignupURL = o.Signup.URL
	}
	return &body[AndroidEnterpriseView]{v}, nil
}

// AndroidWayView is what devices are set up with.
type AndroidWayView struct {
	Mode   amapi.Mode `json:"mode"`
	Token  string     `json:"token" doc:"For Android's setup: scanned, or as a zero-touch or Knox extra."`
	QRCode string     `json:"qr_code" doc:"Content of the QR code."`
}

// AndroidBoundTokenView is a token that is good for one row.
type AndroidBoundTokenView struct {
	ID        string    `json:"id"`
	Link      string    `json:"link" doc:"Opened on the device."`
	QRCode    string    `json:"qr_code" doc:"Content of a QR code for Android's setup."`
	ExpiresAt time.Time `json:"expires_at"`
}

// AndroidDeviceView is a device at Google.
type AndroidDeviceView struct {
	ID         string            `json:"id" doc:"Google's."`
	Serial     string            `json:"serial,omitempty" doc:"Absent: Google tells none."`
	Mode       amapi.Mode        `json:"mode"`
	State      amapi.RecordState `json:"state" enum:"enrolled,quarantined,removed,gone"`
	Code       enroll.Code       `json:"code,omitempty" doc:"Of the last decision."`
	DecisionID string            `json:"decision_id,omitempty"`
	Policy     string            `json:"policy,omitempty" doc:"Google's name of the policy that it is given."`
	Applied    string            `json:"applied_policy,omitempty" doc:"As it reported last."`
	Version    int64             `json:"applied_version,omitempty"`
	Complaints []amapi.Complaint `json:"non_compliance,omitempty" doc:"What it does not comply with."`
	ReportedAt time.Time         `json:"reported_at,omitzero"`
}

func viewRecord(r amapi.Record) AndroidDeviceView {
	last := func(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
	return AndroidDeviceView{ID: last(r.Name), Serial: r.Serial, Mode: r.Mode, State: r.State, Code: r.Code, DecisionID: r.DecisionID, Policy: last(r.Policy), Applied: last(r.Applied),
		Version: r.AppliedVersion, Complaints: r.Complaints, ReportedAt: utc(r.ReportedAt)}
}

// AndroidPoisonView is a notification that could not be processed.
type AndroidPoisonView struct {
	ID          string    `json:"id"`
	Type        string    `json:"type,omitempty"`
	Problem     string    `json:"problem"`
	PublishedAt time.Time `json:"published_at,omitzero"`
	ReceivedAt  time.Time `json:"received_at"`
	Data        []byte    `json:"data" doc:"As it came, 4 KiB of it at most."`
}

const shownPoison = 4 << 10

func enterpriseOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/android/enterprise" + path, Tags: []string{"Android"}, Summary: summary, Description: description}
}

// androidEnterprise declares what is about the Android Management API.
func (r routes) androidEnterprise() {
	a := r.a
	add(r, RoleViewer, enterpriseOperation("get-android-enterprise", http.MethodGet, "", "Read the organization at Google", ""),
		func(ctx context.Context, _ *struct{}) (*body[AndroidEnterpriseView], error) {
			return viewEnterprise(a.Enterprise.Store.Organization(ctx))
		})

	type connect struct {
		Body struct {
			Key          json.RawMessage `json:"key,omitempty" doc:"Key of the service account, the JSON file as Google's console gives it. It is proven at Google first."`
			Topic        *string         `json:"topic,omitempty" maxLength:"400" doc:"Default: projects/PROJECT/topics/rollcall."`
			Subscription *string         `json:"subscription,omitempty" maxLength:"400"`
			Delivery     *amapi.Delivery `json:"delivery,omitempty" enum:"pull,push" doc:"pull works behind any firewall; push lets Google call this server."`
			PushAccount  *string         `json:"push_account,omitempty" maxLength:"400" doc:"Service account that Pub/Sub signs pushes as."`
			Settings     amapi.Settings  `json:"settings,omitempty" doc:"Modes that are left out stay as they are. What cannot work is refused, with the reason."`
		}
	}
	add(r, RoleAdmin, enterpriseOperation("put-android-enterprise", http.MethodPut, "", "Connect the organization at Google, or change its settings",
		"Needs a Google Cloud project that Google has approved for the Android Management API (docs/android.md). Fields that are left out stay as they are. A bound enterprise is set up at once."),
		func(ctx context.Context, in *connect) (*body[AndroidEnterpriseView], error) {
			return viewEnterprise(a.Enterprise.Connect(ctx, amapi.Connection{Key: in.Body.Key, Topic: in.Body.Topic, Subscription: in.Body.Subscription,
				Delivery: in.Body.Delivery, PushAccount: in.Body.PushAccount, Settings: in.Body.Settings}))
		})
	add(r, RoleAdmin, enterpriseOperation("delete-android-enterprise", http.MethodDelete, "", "Disconnect the organization",
		"The server forgets the key, the devices at Google and their enrollments. Google goes on to manage the devices as they are; an administrator of the organization removes the enterprise in Google's console."),
		func(ctx context.Context, _ *struct{}) (*struct{}, error) { return nil, a.Enterprise.Disconnect(ctx) })
	add(r, RoleAdmin, enterpriseOperation("signup-android-enterprise", http.MethodPost, "/signup", "Begin the sign-up of an enterprise", "An administrator of the organization opens signup_url, and comes back to this server."),
		func(ctx context.Context, _ *struct{}) (*body[AndroidEnterpriseView], error) {
			return viewEnterprise(a.Enterprise.SignUp(ctx))
		})
	type bind struct {
		Body struct {
			Name string `json:"name" maxLength:"200" example:"enterprises/LC01234567"`
		}
	}
	add(r, RoleAdmin, enterpriseOperation("bind-android-enterprise", http.MethodPost, "/bind", "Take an enterprise that is bound to the project", ""),
		func(ctx context.Context, in *bind) (*body[AndroidEnterpriseView], error) {
			return viewEnterprise(a.Enterprise.Bind(ctx, in.Body.Name))
		})
	add(r, RoleAdmin, enterpriseOperation("setup-android-enterprise", http.MethodPost, "/setup", "Repeat the set-up", "Topic, subscription, the quarantine policy and the ways in."),
		func(ctx context.Context, _ *struct{}) (*body[AndroidEnterpriseView], error) {
			return viewEnterprise(a.Enterprise.SetUp(ctx))
		})
	reconcile := enterpriseOperation("reconcile-android-enterprise", http.MethodPost, "/reconcile", "Compare the devices with Google's now", "Instead of at the next hour.")
	reconcile.DefaultStatus = http.StatusAccepted
	add(r, RoleOperator, reconcile, func(ctx context.Context, _ *struct{}) (*struct{}, error) { return nil, a.Google.ReconcileNow(ctx) })

	add(r, RoleOperator, enterpriseOperation("list-android-ways", http.MethodGet, "/ways", "List what devices are set up with", "Of the modes whose gate is sign_in. The same for all devices: who may enroll is decided at the sign-in page."),
		func(ctx context.Context, _ *struct{}) (*body[list[AndroidWayView]], error) {
			o, err := a.Enterprise.Store.Organization(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[AndroidWayView]]{listOf(o.Ways, enroll.Page{}, func(amapi.Way) string { return "" }, func(w amapi.Way) AndroidWayView { return AndroidWayView{w.Mode, w.Token, w.QRCode} })}, nil
		})
	type bindToken struct {
		Body struct {
			Serial  string     `json:"serial" maxLength:"100"`
			Mode    amapi.Mode `json:"mode" enum:"fully_managed,work_profile_company,dedicated,work_profile_personal"`
			Minutes int        `json:"minutes,omitempty" minimum:"1" maximum:"129600" default:"1440"`
		}
	}
	token := enterpriseOperation("create-android-bound-token", http.MethodPost, "/tokens", "Make a one-time token for a row of the roll",
		"For personal devices, of which Google tells no serial number, it is the only way in. It is shown once.")
	token.DefaultStatus = http.StatusCreated
	add(r, RoleOperator, token, func(ctx context.Context, in *bindToken) (*body[AndroidBoundTokenView], error) {
		d, err := a.Roll.Device(ctx, enroll.NormalizeSerial(in.Body.Serial))
		if err != nil {
			return nil, err
		}
		t, err := a.Enterprise.BindToken(ctx, d, in.Body.Mode, time.Duration(in.Body.Minutes)*time.Minute)
		return &body[AndroidBoundTokenView]{AndroidBoundTokenView{ID: t.ID, Link: t.Link, QRCode: t.QRCode, ExpiresAt: utc(t.ExpiresAt)}}, err
	})
	r.androidDevices()
}

// AndroidDeviceParam is the path of every operation on one device at Google.
type AndroidDeviceParam struct {
	ID string `path:"id" minLength:"1" maxLength:"200" doc:"Google's ID of the device."`
}

// androidDevices declares what is about devices at Google.
func (r routes) androidDevices() {
	a := r.a
	type listDevices struct {
		State amapi.RecordState `query:"state" enum:"enrolled,quarantined,removed,gone" doc:"Left out: all."`
		ListParams
	}
	add(r, RoleViewer, enterpriseOperation("list-android-devices", http.MethodGet, "/devices", "List the devices at Google", ""),
		func(ctx context.Context, in *listDevices) (*body[list[AndroidDeviceView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			records, err := a.Enterprise.Store.Records(ctx, in.State, p)
			if err != nil {
				return nil, err
			}
			return &body[list[AndroidDeviceView]]{listOf(records, p, func(r amapi.Record) string { return r.Name }, viewRecord)}, nil
		})
	record := func(ctx context.Context, id string) (amapi.Organization, amapi.Record, error) {
		o, err := a.Enterprise.Store.Organization(ctx)
		if err != nil {
			return o, amapi.Record{}, err
		}
		rec, err := a.Enterprise.Store.Record(ctx, o.Name+"/devices/"+id)
		return o, rec, err
	}
	add(r, RoleOperator, enterpriseOperation("approve-android-device", http.MethodPost, "/devices/{id}/approve", "Admit a device in quarantine",
		"Its serial number is put on the roll and the gate is asked again. Devices whose row is put on the roll in another way are admitted within a minute by themselves."),
		func(ctx context.Context, in *AndroidDeviceParam) (*body[AndroidDeviceView], error) {
			o, rec, err := record(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if err := amapi.Approvable(rec); err != nil {
				return nil, err
			}
			platform, ownership := enroll.PlatformAndroid, enroll.OwnershipCorporate
			input := enroll.DeviceInput{Platform: &platform, Ownership: &ownership}
			row, err := a.Roll.Device(ctx, enroll.NormalizeSerial(rec.Serial))
			switch {
			case err == nil && !row.Platform.Admits(platform):
				return nil, enroll.Errorf(enroll.KindConflict, "not_android", "the row of %s is for %s", row.Serial, row.Platform).
					WithHint("If the device is the one the row was meant for, change the platform of the row; the gate is asked again within a minute.")
			case err == nil:
				input.Version = row.Version
			case enroll.KindOf(err) != enroll.KindNotFound:
				return nil, err
			}
			if _, _, _, err := a.Roll.Put(ctx, rec.Serial, input); err != nil {
				return nil, err
			}
			if err := a.Google.Recheck(ctx, o, rec); err != nil {
				return nil, err
			}
			_, rec, err = record(ctx, in.ID)
			return &body[AndroidDeviceView]{viewRecord(rec)}, err
		})
	type removal struct {
		AndroidDeviceParam
		Body struct {
			Confirm string `json:"confirm" doc:"Must be \"wipe\": a company-owned device loses everything on it, a personal one its work profile." example:"wipe"`
			Reason  string `json:"reason,omitempty" maxLength:"200" doc:"Shown on personal devices."`
		}
	}
	add(r, RoleAdmin, enterpriseOperation("remove-android-device", http.MethodPost, "/devices/{id}/remove", "Remove a device at Google", "Google forgets it at once, and wipes it when it is next online, within 30 days."),
		func(ctx context.Context, in *removal) (*body[AndroidDeviceView], error) {
			if in.Body.Confirm != "wipe" {
				return nil, enroll.Errorf(enroll.KindInvalid, "amapi_remove_unconfirmed", "removing a device wipes it, and was not confirmed").WithHint(`Send "confirm": "wipe".`)
			}
			_, rec, err := record(ctx, in.ID)
			if err == nil {
				rec, err = a.Google.RemoveDevice(ctx, rec.Name, in.Body.Reason)
			}
			return &body[AndroidDeviceView]{viewRecord(rec)}, err
		})
	add(r, RoleAdmin, enterpriseOperation("list-android-poison", http.MethodGet, "/poison", "List notifications that could not be processed", "The newest first. They are acknowledged, so Google does not send them again; what they tell of devices is made up for by the hourly comparison."),
		func(ctx context.Context, in *ListParams) (*body[list[AndroidPoisonView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			messages, err := a.Enterprise.Store.PoisonedNotifications(ctx, p)
			if err != nil {
				return nil, err
			}
			return &body[list[AndroidPoisonView]]{listOf(messages, p, func(m amapi.Message) string { return m.ID }, func(m amapi.Message) AndroidPoisonView {
				return AndroidPoisonView{ID: m.ID, Type: m.Kind, Problem: m.Problem, PublishedAt: utc(m.PublishedAt), ReceivedAt: utc(m.ReceivedAt), Data: m.Data[:min(len(m.Data), shownPoison)]}
			})}, nil
		})
}
