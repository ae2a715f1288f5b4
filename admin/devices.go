package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/dep"
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
	ShownName  string                   `json:"shown_name,omitempty" doc:"What to call it: the name it is to have, else the one it has, else DEP_device where it came by DEP."`
	User       *UserView                `json:"user,omitempty" doc:"Owner."`
	State      enroll.State             `json:"state" enum:"pre_enrolled,invited,enrolling,enrolled,unenrolled,pending_approval,blocked,expired"`
	Banner     string                   `json:"banner,omitempty" doc:"\"Pre enrolled Device\" until the user has accepted the enrollment request." example:"Pre enrolled Device"`
	Facts      *enroll.Facts            `json:"facts,omitempty" doc:"What is known of the device itself. Absent until the user has accepted the enrollment request."`
	Sources    map[string]enroll.Source `json:"sources" doc:"Who told a field: csv, api, dep or device."`
	AssetTag   string                   `json:"asset_tag,omitempty"`
	Tags       []string                 `json:"tags" doc:"In order."`
	Notes      string                   `json:"notes,omitempty"`
	NotBefore  time.Time                `json:"not_before,omitzero" doc:"The row cannot be used to enroll earlier."`
	ExpiresAt  time.Time                `json:"expires_at,omitzero" doc:"The row cannot be used to enroll from then on; its state is expired unless the device has enrolled."`
	MaxUses    int                      `json:"max_uses,omitempty" doc:"How often the row can be used to enroll. Absent: any number."`
	Uses       int                      `json:"uses" doc:"Enrollments so far."`
	Blocked    *blockView               `json:"blocked,omitempty"`
	Groups     []string                 `json:"groups" doc:"Names of its groups."`
	AcceptedAt time.Time                `json:"accepted_at,omitzero" doc:"Enrollment request accepted, or enrolled without one."`
	EnrolledAt time.Time                `json:"enrolled_at,omitzero"`
	LastSeenAt time.Time                `json:"last_seen_at,omitzero"`
	CreatedAt  time.Time                `json:"created_at"`
	UpdatedAt  time.Time                `json:"updated_at"`
	Version    int64                    `json:"version" doc:"Grows by one with every change. Give it as If-Match to change the row only if nobody else has."`
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

// deviceViews makes devices JSON, with their owners and groups read at once.
// The devices are redacted ones: nothing else comes out of the roll.
func (a *API) deviceViews(ctx context.Context, devices ...enroll.Device) ([]DeviceView, error) {
	ids, owners := make([]string, len(devices)), make([]string, len(devices))
	for i, d := range devices {
		ids[i], owners[i] = d.ID, d.UserID
	}
	users, err := a.Roll.UsersByID(ctx, owners)
	if err != nil {
		return nil, err
	}
	groups, err := a.Roll.GroupNames(ctx, ids)
	if err != nil {
		return nil, err
	}
	views := make([]DeviceView, len(devices))
	for i, d := range devices {
		views[i] = a.viewDevice(d, users, groups[d.ID])
	}
	return views, nil
}

func (a *API) viewDevice(d enroll.Device, users map[string]enroll.User, groups []string) DeviceView {
	out := DeviceView{Serial: d.Serial, Platform: d.Platform, Ownership: d.Ownership, Name: d.Name, ShownName: dep.ShownName(d), State: d.EffectiveAt(a.now()), Sources: d.Sources, Groups: groups,
		AssetTag: d.AssetTag, Tags: d.Tags, Notes: d.Notes, NotBefore: utc(d.NotBefore), ExpiresAt: utc(d.ExpiresAt), MaxUses: d.MaxUses, Uses: d.Uses,
		AcceptedAt: utc(d.AcceptedAt), EnrolledAt: utc(d.EnrolledAt), LastSeenAt: utc(d.LastSeenAt), CreatedAt: utc(d.CreatedAt), UpdatedAt: utc(d.UpdatedAt), Version: d.Version}
	if out.Sources == nil {
		out.Sources = map[string]enroll.Source{}
	}
	if out.Groups == nil {
		out.Groups = []string{}
	}
	if out.Tags == nil {
		out.Tags = []string{}
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
	if u, known := users[d.UserID]; known {
		v := viewUser(u)
		out.User = &v
	}
	return out
}

func (a *API) deviceView(ctx context.Context, d enroll.Device) (DeviceView, error) {
	views, err := a.deviceViews(ctx, d)
	if err != nil {
		return DeviceView{}, err
	}
	return views[0], nil
}

// taggedDevice is a device as the answer of an operation, with its version as
// the entity tag.
type taggedDevice struct {
	ETag string `header:"ETag" doc:"The version, for If-Match."`
	Body DeviceView
}

func (a *API) taggedBody(ctx context.Context, d enroll.Device) (*taggedDevice, error) {
	view, err := a.deviceView(ctx, d)
	return &taggedDevice{ETag: etag(d), Body: view}, err
}

func etag(d enroll.Device) string { return fmt.Sprintf("\"%d\"", d.Version) }

// VersionParam is the version an admin has seen.
type VersionParam struct {
	IfMatch string `header:"If-Match" maxLength:"40" doc:"Version of the row as it was read. Where somebody else has changed it since, nothing is changed: 409 with the current row." example:"\"7\""`
}

func (in VersionParam) version() (int64, error) {
	if in.IfMatch == "" || in.IfMatch == "*" {
		return 0, nil
	}
	v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(in.IfMatch, "W/"), "\""), 10, 64)
	if err != nil || v < 1 {
		return 0, enroll.Errorf(enroll.KindInvalid, "if_match_invalid", "If-Match is not a version").WithHint("Send the version that the row has in the API, like If-Match: \"7\".")
	}
	return v, nil
}

// versionProblem adds the current row to the refusal of a change.
func (a *API) versionProblem(ctx context.Context, err error) error {
	var conflict *enroll.VersionConflict
	if !errors.As(err, &conflict) {
		return err
	}
	view, viewErr := a.deviceView(ctx, conflict.Current)
	if viewErr != nil {
		return viewErr
	}
	p := a.problem(ctx, err)
	p.Current = view
	return p
}

// DeviceFilterParams narrow a list of devices.
type DeviceFilterParams struct {
	State     enroll.State     `query:"state" enum:"pre_enrolled,invited,enrolling,enrolled,unenrolled,pending_approval,blocked,expired"`
	Platform  enroll.Platform  `query:"platform" enum:"android,ios,apple"`
	Ownership enroll.Ownership `query:"ownership" enum:"personal,corporate,selectuser"`
	Group     string           `query:"group" maxLength:"255" doc:"Name of a group the device is a member of."`
	User      string           `query:"user" maxLength:"64" doc:"ID of the owner."`
	Domain    string           `query:"domain" maxLength:"255" doc:"Domain of the owner."`
	Source    enroll.Source    `query:"source" enum:"csv,api,dep,zero_touch,device" doc:"Who put the device on the roll."`
	Tag       string           `query:"tag" maxLength:"64"`
	Model     string           `query:"model" maxLength:"255" doc:"Model as the device reports it, in any case. Devices whose user has not accepted the enrollment request have none."`
	Expiring  int              `query:"expiring_days" minimum:"1" maximum:"3650" doc:"Rows that have not enrolled and expire within so many days, in the order of their end. Such a list cannot be sorted otherwise."`
	Search    string           `query:"q" maxLength:"255" doc:"Beginning of the serial, the device name, the owner's e-mail address or name, the IMEI or the asset tag."`
}

func (in DeviceFilterParams) filter(ctx context.Context, a *API) (enroll.DeviceFilter, error) {
	f := enroll.DeviceFilter{State: in.State, Platform: in.Platform, Ownership: in.Ownership, UserID: in.User, Domain: in.Domain, Source: in.Source, Tag: in.Tag, Model: in.Model}
	if in.Expiring > 0 {
		f.EndsAfter = a.now().UTC()
		f.EndsBy = f.EndsAfter.AddDate(0, 0, in.Expiring)
	}
	if in.Group == "" {
		return f, nil
	}
	g, err := a.Roll.Group(ctx, in.Group)
	f.GroupID = g.ID
	return f, err
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
	AssetTag  *string           `json:"asset_tag,omitempty" maxLength:"255"`
	Tags      *[]string         `json:"tags,omitempty" maxItems:"50" doc:"All of them: tags that are not named are taken away."`
	Notes     *string           `json:"notes,omitempty" maxLength:"4000"`
	NotBefore *time.Time        `json:"not_before,omitempty" doc:"The row cannot be used to enroll earlier."`
	ExpiresAt *time.Time        `json:"expires_at,omitempty" doc:"The row cannot be used to enroll from then on."`
	MaxUses   *int              `json:"max_uses,omitempty" minimum:"0" doc:"How often the row can be used to enroll; 0 for any number."`
	Facts     *factsInput       `json:"facts,omitempty" doc:"What you know of the device itself. It is not shown before its user has accepted the enrollment request, and what the device says of itself is believed more."`
}

// factsInput is what an admin can know of a device from its box.
type factsInput struct {
	IMEI    string `json:"imei,omitempty" maxLength:"20"`
	MEID    string `json:"meid,omitempty" maxLength:"20"`
	UDID    string `json:"udid,omitempty" maxLength:"64"`
	Model   string `json:"model,omitempty" maxLength:"255"`
	Product string `json:"product,omitempty" maxLength:"64"`
}

func (in *factsInput) facts() enroll.Facts {
	if in == nil {
		return enroll.Facts{}
	}
	return enroll.Facts{IMEI: in.IMEI, MEID: in.MEID, UDID: in.UDID, Model: in.Model, Product: in.Product}
}

func (in deviceInput) input() enroll.DeviceInput {
	return enroll.DeviceInput{Platform: in.Platform, Ownership: in.Ownership, Name: in.Name, User: in.User.user(), AssetTag: in.AssetTag, Tags: in.Tags, Notes: in.Notes,
		NotBefore: in.NotBefore, ExpiresAt: in.ExpiresAt, MaxUses: in.MaxUses, Facts: in.Facts.facts()}
}

func (r routes) devices() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/devices" + path, Tags: []string{"Devices"}, Summary: summary, Description: description}
	}

	type listDevices struct {
		ListParams
		DeviceFilterParams
		Sort  enroll.DeviceSort `query:"sort" enum:"serial,name,updated_at,enrolled_at,last_seen_at" doc:"serial if left out. last_seen_at is to the minute."`
		Order string            `query:"order" enum:"asc,desc" doc:"asc if left out."`
	}
	addList(r, RoleViewer, op("list-devices", http.MethodGet, "", "List the roll", "Pre-enrolled and enrolled devices in one list. "+
		"The matches of a search come in the order serial, device name, e-mail address, user's name, IMEI, asset tag, and cannot be sorted. "+
		"Where filters, or a filter and an order, let few devices pass, a page may be short or empty although there is a next_cursor."), deviceColumns,
		func(ctx context.Context, in *listDevices) (*body[list[DeviceView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			q := enroll.DeviceQuery{Search: in.Search, Sort: in.Sort, Desc: in.Order == "desc"}
			if q.DeviceFilter, err = in.filter(ctx, a); err != nil {
				return nil, err
			}
			page, err := a.Roll.DeviceList(ctx, q, p)
			if err != nil {
				return nil, err
			}
			views, err := a.deviceViews(ctx, page.Devices...)
			if err != nil {
				return nil, err
			}
			out := list[DeviceView]{Items: views}
			if page.Next != "" {
				out.NextCursor = encodeCursor(page.Next)
			}
			return &body[list[DeviceView]]{out}, nil
		})

	add(r, RoleViewer, op("get-device", http.MethodGet, "/{serial}", "Read a device", "Until the user has accepted the enrollment request there is a banner, and nothing about the device itself but its serial."),
		func(ctx context.Context, in *SerialParam) (*taggedDevice, error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			return a.taggedBody(ctx, d)
		})

	type putDevice struct {
		SerialParam
		VersionParam
		Body deviceInput
	}
	type changed struct {
		Status int
		ETag   string `header:"ETag" doc:"The version, for If-Match."`
		Body   deviceChangeView
	}
	changedBody := func(ctx context.Context, d enroll.Device, created, isChanged bool) (*changed, error) {
		if isChanged {
			a.kick()
		}
		view, err := a.deviceView(ctx, d)
		out := &changed{Status: http.StatusOK, ETag: etag(d), Body: deviceChangeView{DeviceView: view, Created: created, Changed: isChanged}}
		if created {
			out.Status = http.StatusCreated
		}
		return out, err
	}
	add(r, RoleOperator, orCreated[deviceChangeView](r, op("put-device", http.MethodPut, "/{serial}", "Put a device on the roll, or change it", "Fields that are left out stay as they are. 201 for a new row, 200 otherwise; `changed` is false where it was so already.")),
		func(ctx context.Context, in *putDevice) (*changed, error) {
			change := in.Body.input()
			var err error
			if change.Version, err = in.version(); err != nil {
				return nil, err
			}
			d, created, isChanged, err := a.Roll.Put(ctx, in.Serial, change)
			if err != nil {
				return nil, a.versionProblem(ctx, err)
			}
			return changedBody(ctx, d, created, isChanged)
		})

	type patchDevice struct {
		SerialParam
		VersionParam
		RawBody []byte `contentType:"application/merge-patch+json"`
	}
	patch := op("patch-device", http.MethodPatch, "/{serial}", "Change a device", "JSON merge patch (RFC 7396): fields that are left out stay, null clears those that can be empty.")
	patch.SkipValidateBody = true // a schema cannot tell null from absent; patchInput does
	patch.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[deviceInput](r)}}}
	add(r, RoleOperator, patch, func(ctx context.Context, in *patchDevice) (*changed, error) {
		change, err := patchInput(in.RawBody)
		if err != nil {
			return nil, err
		}
		if change.Version, err = in.version(); err != nil {
			return nil, err
		}
		d, isChanged, err := a.Roll.Patch(ctx, in.Serial, change)
		if err != nil {
			return nil, a.versionProblem(ctx, err)
		}
		return changedBody(ctx, d, false, isChanged)
	})

	add(r, RoleOperator, op("delete-device", http.MethodDelete, "/{serial}", "Take a device off the roll", "For rows that are not enrolled; an enrolled device is disenrolled instead. An enrollment that has only begun ends with its row."),
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
		func(ctx context.Context, in *blockDevice) (*taggedDevice, error) {
			d, err := a.Roll.Block(ctx, in.Serial, in.Body.Reason)
			if err != nil {
				return nil, err
			}
			return a.taggedBody(ctx, d)
		})
	add(r, RoleOperator, op("unblock-device", http.MethodPost, "/{serial}/unblock", "Unblock a device", "The gate lets it pass again as the roll says."),
		func(ctx context.Context, in *SerialParam) (*taggedDevice, error) {
			d, err := a.Roll.Unblock(ctx, in.Serial)
			if err != nil {
				return nil, err
			}
			return a.taggedBody(ctx, d)
		})

	add(r, RoleViewer, op("list-device-policies", http.MethodGet, "/{serial}/policies", "List the policies a device gets", "Its own, its user's, then those of its groups, without their documents. Before enrollment: what it will get at its first check-in."),
		func(ctx context.Context, in *SerialParam) (*body[list[boundPolicyView]], error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			bound, err := a.Policies.Reaching(ctx, policy.Reach{DeviceID: d.ID})
			if err != nil {
				return nil, err
			}
			return &body[list[boundPolicyView]]{listOf(bound, enroll.Page{}, func(p policy.Bound) string { return p.Name }, viewBound)}, nil
		})
}

// patchInput reads a merge patch.
func patchInput(raw []byte) (enroll.DeviceInput, error) {
	bad := func(format string, args ...any) (enroll.DeviceInput, error) {
		return enroll.DeviceInput{}, enroll.Errorf(enroll.KindInvalid, "patch_invalid", format, args...)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return bad("the patch is not a JSON object")
	}
	// An empty value of each field that can be cleared.
	empty := map[string]any{"name": "", "asset_tag": "", "tags": []string{}, "notes": "", "not_before": time.Time{}, "expires_at": time.Time{}, "max_uses": 0}
	noUser := false
	for field, value := range fields {
		if string(value) != "null" {
			continue
		}
		cleared, can := empty[field]
		switch {
		case field == "user":
			noUser = true
			delete(fields, field)
		case !can:
			return bad("%s cannot be cleared", field)
		default:
			fields[field], _ = json.Marshal(cleared) // each has a form
		}
	}
	plain, err := json.Marshal(fields)
	if err != nil {
		return bad("the patch is not a JSON object")
	}
	for field, value := range fields {
		var one deviceInput
		if err := strict([]byte(`{"`+field+`":`+string(value)+`}`), &one); err != nil {
			return bad("%q does not exist, cannot be changed, or its value has the wrong form", field)
		}
	}
	var in deviceInput
	if err := strict(plain, &in); err != nil {
		return bad("the patch has the wrong form")
	}
	out := in.input()
	out.NoUser = noUser
	return out, nil
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
