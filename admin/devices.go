package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/policy"
)

// preEnrolledBanner is shown until the user accepts the enrollment request.
const preEnrolledBanner = "Pre enrolled Device"

type DeviceView struct {
	Serial     string                   `json:"serial" doc:"Normal form: upper case, without spaces, dots and dashes." example:"C39XK1ABCD01"`
	Platform   enroll.Platform          `json:"platform" enum:"android,ios,apple"`
	Ownership  enroll.Ownership         `json:"ownership" enum:"personal,corporate,selectuser"`
	Name       string                   `json:"name,omitempty" doc:"Device name it is to have."`
	User       *userView                `json:"user,omitempty" doc:"Owner."`
	State      enroll.State             `json:"state" enum:"pre_enrolled,invited,enrolling,enrolled,unenrolled,pending_approval,blocked,expired"`
	Banner     string                   `json:"banner,omitempty" doc:"\"Pre enrolled Device\" until the user has accepted the enrollment request." example:"Pre enrolled Device"`
	Facts      *enroll.Facts            `json:"facts,omitempty" doc:"What is known of the device itself. Absent until the user has accepted the enrollment request."`
	Sources    map[string]enroll.Source `json:"sources" doc:"Who told a field: csv, api, dep or device."`
	Blocked    *blockView               `json:"blocked,omitempty"`
	Groups     []string                 `json:"groups" doc:"Names of its groups."`
	AcceptedAt time.Time                `json:"accepted_at,omitzero" doc:"Enrollment request accepted, or enrolled without one."`
	EnrolledAt time.Time                `json:"enrolled_at,omitzero"`
	LastSeenAt time.Time                `json:"last_seen_at,omitzero"`
	CreatedAt  time.Time                `json:"created_at"`
	UpdatedAt  time.Time                `json:"updated_at"`
	Version    int64                    `json:"version" doc:"Grows by one with every change."`
}

type userView struct {
	ID     string `json:"id"`
	Domain string `json:"domain"`
	Name   string `json:"name,omitempty"`
	Email  string `json:"email"`
	Mobile string `json:"mobile,omitempty"`
}

type blockView struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// deviceChangeView is a device after a change.
type deviceChangeView struct {
	DeviceView
	Created bool `json:"created" doc:"The row is new."`
	Changed bool `json:"changed" doc:"false: it was so already."`
}

// deviceViews makes devices JSON. It is the only way a device leaves the API:
// what nobody may see before the user has accepted is taken out here.
type deviceViews struct {
	a     *API
	users map[string]*userView
}

func (v *deviceViews) view(ctx context.Context, d enroll.Device) (DeviceView, error) {
	d = d.Redacted()
	out := DeviceView{Serial: d.Serial, Platform: d.Platform, Ownership: d.Ownership, Name: d.Name, State: d.Effective(), Sources: d.Sources, Groups: []string{},
		AcceptedAt: utc(d.AcceptedAt), EnrolledAt: utc(d.EnrolledAt), LastSeenAt: utc(d.LastSeenAt), CreatedAt: utc(d.CreatedAt), UpdatedAt: utc(d.UpdatedAt), Version: d.Version}
	if out.Sources == nil {
		out.Sources = map[string]enroll.Source{}
	}
	if !d.Accepted() {
		out.Banner = preEnrolledBanner
	}
	if !d.Facts.Empty() {
		out.Facts = &d.Facts
	}
	if !d.BlockedAt.IsZero() {
		out.Blocked = &blockView{At: utc(d.BlockedAt), Reason: d.BlockReason}
	}
	var err error
	if out.User, err = v.user(ctx, d.UserID); err != nil {
		return DeviceView{}, err
	}
	groups, err := v.a.Roll.GroupsOf(ctx, d.ID)
	for _, g := range groups {
		out.Groups = append(out.Groups, g.Name)
	}
	return out, err
}

func (v *deviceViews) user(ctx context.Context, id string) (*userView, error) {
	if id == "" {
		return nil, nil
	}
	if u, known := v.users[id]; known {
		return u, nil
	}
	u, err := v.a.Roll.User(ctx, id)
	if err != nil {
		return nil, err
	}
	if v.users == nil {
		v.users = map[string]*userView{}
	}
	v.users[id] = &userView{ID: u.ID, Domain: u.Domain, Name: u.Name, Email: u.Email, Mobile: u.Mobile}
	return v.users[id], nil
}

// deviceBody is a device as the answer of an operation.
func (a *API) deviceBody(ctx context.Context, d enroll.Device) (*body[DeviceView], error) {
	view, err := (&deviceViews{a: a}).view(ctx, d)
	return &body[DeviceView]{view}, err
}

// SerialParam is the path of every operation on one device.
type SerialParam struct {
	Serial string `path:"serial" maxLength:"200" doc:"Serial in any spelling."`
}

func (in SerialParam) device(ctx context.Context, a *API) (enroll.Device, error) {
	d, err := a.Roll.Device(ctx, enroll.NormalizeSerial(in.Serial))
	if enroll.KindOf(err) == enroll.KindNotFound {
		return d, enroll.NoDevice(in.Serial)
	}
	return d, err
}

// userInput names the owner of a device.
type userInput struct {
	Domain string `json:"domain,omitempty" maxLength:"255" doc:"Directory of the user; \"local\" if left out."`
	Name   string `json:"name,omitempty" maxLength:"255"`
	Email  string `json:"email" maxLength:"254"`
	Mobile string `json:"mobile,omitempty" maxLength:"40"`
}

func (in *userInput) user() *enroll.User {
	if in == nil {
		return nil
	}
	return &enroll.User{Domain: in.Domain, Name: in.Name, Email: in.Email, Mobile: in.Mobile}
}

// deviceInput is what an admin says of a device.
type deviceInput struct {
	Platform  *enroll.Platform  `json:"platform,omitempty" enum:"android,ios,apple" doc:"ios is iPhone and iPad, apple any Apple device. Needed for a new row."`
	Ownership *enroll.Ownership `json:"ownership,omitempty" enum:"personal,corporate,selectuser" doc:"selectuser lets the user choose while enrolling. Needed for a new row."`
	Name      *string           `json:"name,omitempty" maxLength:"255" doc:"Device name it is to have; empty for none."`
	User      *userInput        `json:"user,omitempty" doc:"Owner, who is found or made by domain and e-mail."`
}

func (r routes) devices() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/devices" + path, Tags: []string{"Devices"}, Summary: summary, Description: description}
	}

	type listDevices struct {
		ListParams
		State    enroll.State    `query:"state" enum:"pre_enrolled,invited,enrolling,enrolled,unenrolled,pending_approval,blocked,expired"`
		Platform enroll.Platform `query:"platform" enum:"android,ios,apple"`
		Group    string          `query:"group" maxLength:"255" doc:"Name of a group the device is a member of."`
		User     string          `query:"user" maxLength:"64" doc:"ID of the owner."`
		Search   string          `query:"q" maxLength:"255" doc:"Start of the serial, of the device name or of the owner's e-mail address."`
	}
	add(r, RoleViewer, op("list-devices", http.MethodGet, "", "List the roll", "Pre-enrolled and enrolled devices in one list, in the order of serials."),
		func(ctx context.Context, in *listDevices) (*body[list[DeviceView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			f := enroll.DeviceFilter{State: in.State, Platform: in.Platform, UserID: in.User, Search: in.Search}
			if in.Group != "" {
				g, err := a.Roll.Group(ctx, in.Group)
				if err != nil {
					return nil, err
				}
				f.GroupID = g.ID
			}
			devices, err := a.Roll.Devices(ctx, f, p)
			if err != nil {
				return nil, err
			}
			views := deviceViews{a: a}
			var failed error
			out := listOf(devices, p, func(d enroll.Device) string { return d.Serial }, func(d enroll.Device) DeviceView {
				v, err := views.view(ctx, d)
				failed = errors.Join(failed, err)
				return v
			})
			return &body[list[DeviceView]]{out}, failed
		})

	add(r, RoleViewer, op("get-device", http.MethodGet, "/{serial}", "Read a device", "Until the user has accepted the enrollment request there is a banner, and nothing about the device itself but its serial."),
		func(ctx context.Context, in *SerialParam) (*body[DeviceView], error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			return a.deviceBody(ctx, d)
		})

	type putDevice struct {
		SerialParam
		Body deviceInput
	}
	type changed struct {
		Status int
		Body   deviceChangeView
	}
	changedBody := func(ctx context.Context, d enroll.Device, created, isChanged bool) (*changed, error) {
		if isChanged {
			a.kick()
		}
		view, err := (&deviceViews{a: a}).view(ctx, d)
		out := &changed{Status: http.StatusOK, Body: deviceChangeView{DeviceView: view, Created: created, Changed: isChanged}}
		if created {
			out.Status = http.StatusCreated
		}
		return out, err
	}
	add(r, RoleOperator, orCreated[deviceChangeView](r, op("put-device", http.MethodPut, "/{serial}", "Put a device on the roll, or change it", "Fields that are left out stay as they are. 201 for a new row, 200 otherwise; `changed` is false where it was so already.")),
		func(ctx context.Context, in *putDevice) (*changed, error) {
			d, created, isChanged, err := a.Roll.Put(ctx, in.Serial, enroll.DeviceInput{Platform: in.Body.Platform, Ownership: in.Body.Ownership, Name: in.Body.Name, User: in.Body.User.user()})
			if err != nil {
				return nil, err
			}
			return changedBody(ctx, d, created, isChanged)
		})

	type patchDevice struct {
		SerialParam
		RawBody []byte `contentType:"application/merge-patch+json"`
	}
	patch := op("patch-device", http.MethodPatch, "/{serial}", "Change a device", "JSON merge patch (RFC 7396): fields that are left out stay, null clears name and user.")
	patch.SkipValidateBody = true // a schema cannot tell null from absent; patchInput does
	patch.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[deviceInput](r)}}}
	add(r, RoleOperator, patch, func(ctx context.Context, in *patchDevice) (*changed, error) {
		change, err := patchInput(in.RawBody)
		if err != nil {
			return nil, err
		}
		d, isChanged, err := a.Roll.Patch(ctx, in.Serial, change)
		if err != nil {
			return nil, err
		}
		return changedBody(ctx, d, false, isChanged)
	})

	add(r, RoleOperator, op("delete-device", http.MethodDelete, "/{serial}", "Take a device off the roll", "For rows that are not enrolled; an enrolled device is disenrolled instead."),
		func(ctx context.Context, in *SerialParam) (*struct{}, error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			if !d.Deletable() {
				return nil, enroll.Errorf(enroll.KindConflict, "device_enrolled", "the device %s is %s", d.Serial, d.State).
					WithHint("Disenroll it first (POST %s/devices/%s/disenroll).", Prefix, d.Serial)
			}
			return nil, a.Roll.DeleteDevice(ctx, d.Serial)
		})

	type blockDevice struct {
		SerialParam
		Body struct {
			Reason string `json:"reason" maxLength:"500" doc:"For other admins; the person at the device does not see it."`
		}
	}
	add(r, RoleOperator, op("block-device", http.MethodPost, "/{serial}/block", "Block a device", "The gate refuses it from now on, in every mode, until it is unblocked. An existing enrollment goes on."),
		func(ctx context.Context, in *blockDevice) (*body[DeviceView], error) {
			d, err := a.Roll.Block(ctx, in.Serial, in.Body.Reason)
			if err != nil {
				return nil, err
			}
			return a.deviceBody(ctx, d)
		})
	add(r, RoleOperator, op("unblock-device", http.MethodPost, "/{serial}/unblock", "Unblock a device", "The gate lets it pass again as the roll says."),
		func(ctx context.Context, in *SerialParam) (*body[DeviceView], error) {
			d, err := a.Roll.Unblock(ctx, in.Serial)
			if err != nil {
				return nil, err
			}
			return a.deviceBody(ctx, d)
		})

	add(r, RoleViewer, op("list-device-policies", http.MethodGet, "/{serial}/policies", "List the policies a device gets", "Its own, then those of its groups, in the order of binding. Before enrollment: what it will get at its first check-in."),
		func(ctx context.Context, in *SerialParam) (*body[list[PolicyView]], error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			ps, err := a.Policies.Effective(ctx, d.ID)
			if err != nil {
				return nil, err
			}
			return &body[list[PolicyView]]{listOf(ps, enroll.Page{}, func(p policy.Policy) string { return p.Name }, viewPolicy)}, nil
		})
}

// patchInput reads a merge patch.
func patchInput(raw []byte) (enroll.DeviceInput, error) {
	bad := func(format string, args ...any) (enroll.DeviceInput, error) {
		return enroll.DeviceInput{}, enroll.Errorf(enroll.KindInvalid, "patch_invalid", format, args...)
	}
	var in enroll.DeviceInput
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return bad("the patch is not a JSON object")
	}
	for field, value := range fields {
		null := string(value) == "null"
		var err error
		switch field {
		case "platform", "ownership":
			if null {
				return bad("%s cannot be cleared", field)
			}
			if field == "platform" {
				err = json.Unmarshal(value, &in.Platform)
			} else {
				err = json.Unmarshal(value, &in.Ownership)
			}
		case "name":
			in.Name = new(string) // null clears it
			err = json.Unmarshal(value, in.Name)
		case "user":
			if in.NoUser = null; null {
				continue
			}
			var u userInput
			if err = strict(value, &u); err == nil {
				in.User = u.user()
			}
		default:
			return bad("the field %q does not exist or cannot be changed", field)
		}
		if err != nil {
			return bad("the value of %s has the wrong form", field)
		}
	}
	return in, nil
}

// strict decodes one JSON value and refuses fields that do not exist.
func strict(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}
