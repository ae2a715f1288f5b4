package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/android/zerotouch"
	"rollcall/enroll"
)

// ZeroTouchView is the organization's account at zero-touch.
type ZeroTouchView struct {
	Project          string                   `json:"project" doc:"Google Cloud project of the service account."`
	Account          string                   `json:"account" doc:"The service account."`
	Customer         string                   `json:"customer,omitempty" doc:"Absent: none is chosen, and nothing is listed." example:"customers/123456789"`
	Company          string                   `json:"company,omitempty" doc:"The customer's name at Google."`
	AddAsPreEnrolled bool                     `json:"add_as_pre_enrolled" doc:"Every device that Google lists becomes a row of the roll."`
	Group            string                   `json:"group,omitempty" doc:"Static group that new rows join."`
	Assign           zerotouch.Assign         `json:"assign" enum:"all,unassigned,chosen" doc:"Which devices get the configuration without being chosen one by one."`
	Configuration    *zerotouch.Configuration `json:"configuration,omitempty" doc:"What devices get out of their box. Absent: none is set."`
	Configured       string                   `json:"configured,omitempty" doc:"Google's name of it." example:"customers/123456789/configurations/1"`
	Devices          int                      `json:"devices" doc:"That Google lists."`
	WithoutSerial    int                      `json:"without_serial" doc:"Of them, which the roll cannot hold: the reseller gave an IMEI only."`
	Sync             zeroTouchSyncView        `json:"sync"`
}

type zeroTouchSyncView struct {
	Running   bool               `json:"running"`
	StartedAt time.Time          `json:"started_at,omitzero"`
	DoneAt    time.Time          `json:"done_at,omitzero" doc:"Last time that everything was brought up to date."`
	DueAt     time.Time          `json:"due_at,omitzero"`
	Failures  int                `json:"failures" doc:"Runs in a row that came to nothing."`
	Problem   *zerotouch.Problem `json:"problem,omitempty" doc:"What keeps it from being up to date."`
}

func viewZeroTouch(a zerotouch.Account, err error) (*body[ZeroTouchView], error) {
	if err != nil {
		return nil, err
	}
	v := ZeroTouchView{Project: a.Project, Account: a.Address, Customer: a.Customer, Company: a.Company, AddAsPreEnrolled: a.AddAsPreEnrolled, Group: a.Group, Assign: a.Assign,
		Configured: a.Configured, Devices: a.Devices, WithoutSerial: a.WithoutSerial,
		Sync: zeroTouchSyncView{Running: a.Sync.Running, StartedAt: utc(a.Sync.StartedAt), DoneAt: utc(a.Sync.DoneAt), DueAt: utc(a.Sync.DueAt), Failures: a.Sync.Failures, Problem: a.Sync.Problem}}
	if a.Configuration.Way != "" {
		v.Configuration = &a.Configuration
	}
	return &body[ZeroTouchView]{v}, nil
}

// ZeroTouchCustomerView is an organization that the service account may look
// after.
type ZeroTouchCustomerView struct {
	Name    string `json:"name" example:"customers/123456789"`
	Company string `json:"company"`
	Terms   string `json:"terms,omitempty" doc:"As Google says it: TERMS_STATUS_ACCEPTED, TERMS_STATUS_NOT_ACCEPTED or TERMS_STATUS_STALE."`
}

// ZeroTouchDeviceView is a device that Google lists.
type ZeroTouchDeviceView struct {
	Name          string           `json:"name" doc:"Google's." example:"customers/123456789/devices/42"`
	Serial        string           `json:"serial,omitempty" doc:"Absent: the reseller gave none."`
	OnRoll        bool             `json:"on_roll"`
	Configuration string           `json:"configuration,omitempty" doc:"That it has at Google; absent: none."`
	Choice        zerotouch.Choice `json:"choice" enum:"default,ours,none"`
	Outcome       string           `json:"outcome,omitempty" doc:"Why the last attempt to change its configuration came to nothing: invalid or not_found."`
	Attempts      int              `json:"attempts,omitempty" doc:"That came to nothing."`
	RetryAt       time.Time        `json:"retry_at,omitzero"`
}

func zeroTouchOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/android/zero-touch" + path, Tags: []string{"Android"}, Summary: summary, Description: description}
}

// zeroTouch declares what is about zero-touch enrollment.
func (r routes) zeroTouch() {
	a := r.a
	add(r, RoleViewer, zeroTouchOperation("get-zero-touch", http.MethodGet, "", "Read the zero-touch account", ""),
		func(ctx context.Context, _ *struct{}) (*body[ZeroTouchView], error) {
			return viewZeroTouch(a.ZeroTouch.Account(ctx))
		})
	type put struct {
		Body struct {
			Key              json.RawMessage   `json:"key,omitempty" doc:"Key of a service account that the zero-touch portal lists among the customer's users: the JSON file as Google's console gives it. It is proven at Google first."`
			Customer         *string           `json:"customer,omitempty" maxLength:"200" doc:"Where the service account has one only, it is chosen by itself."`
			AddAsPreEnrolled *bool             `json:"add_as_pre_enrolled,omitempty" doc:"Switching it on adds the devices that are known already. Switching it off leaves the rows that are there."`
			Group            *string           `json:"group,omitempty" maxLength:"255" doc:"It is made where it is missing. Rows that are not enrolled and in no group yet join another group at once."`
			Assign           *zerotouch.Assign `json:"assign,omitempty" enum:"all,unassigned,chosen"`
		}
	}
	add(r, RoleAdmin, zeroTouchOperation("put-zero-touch", http.MethodPut, "", "Connect the zero-touch account, or change its settings", "Fields that are left out stay as they are. It is swept at once."),
		func(ctx context.Context, in *put) (*body[ZeroTouchView], error) {
			return viewZeroTouch(a.ZeroTouch.Put(ctx, zerotouch.Input{Key: in.Body.Key, Customer: in.Body.Customer, AddAsPreEnrolled: in.Body.AddAsPreEnrolled, Group: in.Body.Group, Assign: in.Body.Assign}))
		})
	type configuration struct {
		Body zerotouch.Configuration
	}
	add(r, RoleAdmin, zeroTouchOperation("put-zero-touch-configuration", http.MethodPut, "/configuration", "Set what devices get out of their box",
		"Made or changed at Google at once, and then assigned as assign says. All of it; fields that are left out are blank."),
		func(ctx context.Context, in *configuration) (*body[ZeroTouchView], error) {
			return viewZeroTouch(a.ZeroTouch.Put(ctx, zerotouch.Input{Configuration: &in.Body}))
		})
	add(r, RoleAdmin, zeroTouchOperation("delete-zero-touch", http.MethodDelete, "", "Disconnect the zero-touch account",
		"The server forgets the key and the devices. Rows on the roll stay, and devices keep at Google what they have; the enrollment token in the extras of an agent is revoked."),
		func(ctx context.Context, _ *struct{}) (*struct{}, error) { return nil, a.ZeroTouch.Disconnect(ctx) })
	add(r, RoleViewer, zeroTouchOperation("list-zero-touch-customers", http.MethodGet, "/customers", "List the customers that the service account may look after", "As Google says now."),
		func(ctx context.Context, _ *struct{}) (*body[list[ZeroTouchCustomerView]], error) {
			customers, err := a.ZeroTouch.Customers(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[ZeroTouchCustomerView]]{listOf(customers, enroll.Page{}, func(zerotouch.Customer) string { return "" },
				func(c zerotouch.Customer) ZeroTouchCustomerView {
					return ZeroTouchCustomerView{c.Name, c.Company, c.Terms}
				})}, nil
		})
	now := zeroTouchOperation("sync-zero-touch", http.MethodPost, "/sync", "Sweep Google's list now", "Instead of at the next hour. Read the account to see when it is done.")
	now.DefaultStatus = http.StatusAccepted
	add(r, RoleAdmin, now, func(ctx context.Context, _ *struct{}) (*body[ZeroTouchView], error) {
		return viewZeroTouch(a.ZeroTouch.Sync(ctx))
	})
	type listDevices struct{ ListParams }
	add(r, RoleViewer, zeroTouchOperation("list-zero-touch-devices", http.MethodGet, "/devices", "List the devices that Google lists", "What kind of device it is shows on the roll once its user has accepted."),
		func(ctx context.Context, in *listDevices) (*body[list[ZeroTouchDeviceView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			known, err := a.ZeroTouch.Store.ZeroTouchDevices(ctx, p)
			if err != nil {
				return nil, err
			}
			return &body[list[ZeroTouchDeviceView]]{listOf(known, p, func(k zerotouch.Known) string { return k.Name }, func(k zerotouch.Known) ZeroTouchDeviceView {
				return ZeroTouchDeviceView{k.Name, k.Serial, k.OnRoll, k.Configuration, k.Choice, k.Outcome, k.Attempts, utc(k.RetryAt)}
			})}, nil
		})
	type choose struct {
		Body struct {
			Serials []string         `json:"serials" minItems:"1" maxItems:"1000"`
			Choice  zerotouch.Choice `json:"choice" enum:"default,ours,none" doc:"ours: it gets the configuration. none: it is taken away. default: as the account says."`
		}
	}
	add(r, RoleAdmin, zeroTouchOperation("choose-zero-touch-devices", http.MethodPost, "/devices/choose", "Choose which devices have the configuration",
		"Google is told within minutes, a device at a time. A device that is set up already notices nothing before it is reset."),
		func(ctx context.Context, in *choose) (*struct{}, error) {
			return nil, a.ZeroTouch.Choose(ctx, in.Body.Serials, in.Body.Choice)
		})
}
