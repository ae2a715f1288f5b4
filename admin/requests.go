package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type RequestView struct {
	ID         string              `json:"id"`
	Serial     string              `json:"serial" doc:"The one device it is for."`
	State      enroll.RequestState `json:"state" enum:"queued,sent,opened,accepted,completed,expired,cancelled"`
	Ownership  enroll.Ownership    `json:"ownership,omitempty" enum:"personal,corporate" doc:"What the user chose, where the row leaves it to the user."`
	CreatedBy  string              `json:"created_by" doc:"Name of the token; shown on the page."`
	CreatedAt  time.Time           `json:"created_at"`
	ExpiresAt  time.Time           `json:"expires_at"`
	OpenedAt   time.Time           `json:"opened_at,omitzero"`
	AcceptedAt time.Time           `json:"accepted_at,omitzero"`
	ClosedAt   time.Time           `json:"closed_at,omitzero" doc:"Completed, expired or cancelled."`
}

func viewRequest(r enroll.Request, serial string) RequestView {
	return RequestView{ID: r.ID, Serial: serial, State: r.State, Ownership: r.Ownership, CreatedBy: r.CreatedBy, CreatedAt: utc(r.CreatedAt), ExpiresAt: utc(r.ExpiresAt),
		OpenedAt: utc(r.OpenedAt), AcceptedAt: utc(r.AcceptedAt), ClosedAt: utc(r.ClosedAt)}
}

func (a *API) requestView(ctx context.Context, r enroll.Request) (RequestView, error) {
	d, err := a.Roll.DeviceByID(ctx, r.DeviceID)
	return viewRequest(r, d.Serial), err
}

type sentView struct {
	RequestView
	Link string `json:"link" doc:"For the user of this one device. It is shown here and never again."`
}

// requestLink is the page of a request.
func (a *API) requestLink(secret string) string {
	return strings.TrimSuffix(a.PublicURL, "/") + "/enroll/r/" + secret
}

func (r routes) requests() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/requests" + path, Tags: []string{"Requests"}, Summary: summary, Description: description}
	}

	type sendRequests struct {
		Body struct {
			Serials []string `json:"serials" minItems:"1" maxItems:"1000"`
		}
	}
	create := op("create-requests", http.MethodPost, "", "Make enrollment requests",
		"One for each serial, all or none; earlier open requests of the same devices are withdrawn. Nothing is sent: the answer has the links, and they can be read only here.")
	create.DefaultStatus = http.StatusCreated
	add(r, RoleOperator, create, func(ctx context.Context, in *sendRequests) (*body[list[sentView]], error) {
		sent, err := a.Requests.Send(ctx, in.Body.Serials, caller(ctx).Name)
		if err != nil {
			return nil, err
		}
		return &body[list[sentView]]{listOf(sent, enroll.Page{}, func(s enroll.Sent) string { return s.Request.ID },
			func(s enroll.Sent) sentView {
				return sentView{RequestView: viewRequest(s.Request, s.Serial), Link: a.requestLink(s.Secret)}
			})}, nil
	})

	type listRequests struct {
		ListParams
		Serial string `query:"serial" maxLength:"200" doc:"Of this device only."`
	}
	add(r, RoleViewer, op("list-requests", http.MethodGet, "", "List the enrollment requests", "Newest first, without their links."),
		func(ctx context.Context, in *listRequests) (*body[list[RequestView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			var deviceID string
			if in.Serial != "" {
				d, err := SerialParam{in.Serial}.device(ctx, a)
				if err != nil {
					return nil, err
				}
				deviceID = d.ID
			}
			rs, err := a.Requests.Requests(ctx, deviceID, p)
			if err != nil {
				return nil, err
			}
			var failed error
			out := listOf(rs, p, func(r enroll.Request) string { return r.ID }, func(r enroll.Request) RequestView {
				v, err := a.requestView(ctx, r)
				failed = errors.Join(failed, err)
				return v
			})
			return &body[list[RequestView]]{out}, failed
		})

	type oneRequest struct {
		ID string `path:"id" maxLength:"64"`
	}
	// one answers a request that was read or changed.
	one := func(ctx context.Context, req enroll.Request, err error) (*body[RequestView], error) {
		if err != nil {
			return nil, err
		}
		v, err := a.requestView(ctx, req)
		return &body[RequestView]{v}, err
	}
	add(r, RoleViewer, op("get-request", http.MethodGet, "/{id}", "Read an enrollment request", ""),
		func(ctx context.Context, in *oneRequest) (*body[RequestView], error) {
			req, err := a.Requests.Request(ctx, in.ID)
			return one(ctx, req, err)
		})
	add(r, RoleOperator, op("cancel-request", http.MethodPost, "/{id}/cancel", "Withdraw an enrollment request", "Its link stops working at once."),
		func(ctx context.Context, in *oneRequest) (*body[RequestView], error) {
			req, err := a.Requests.Cancel(ctx, in.ID)
			return one(ctx, req, err)
		})
}
