package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
)

type RequestView struct {
	ID         string              `json:"id"`
	Serial     string              `json:"serial" doc:"The one device it is for."`
	Via        enroll.Via          `json:"via" enum:"link,email,sms" doc:"How its last link went to the user."`
	State      enroll.RequestState `json:"state" enum:"queued,sent,bounced,opened,accepted,completed,expired,cancelled" doc:"bounced: its message was refused, or not delivered within a day; send it again."`
	Problem    string              `json:"problem,omitempty" doc:"Why it bounced, in the words of the mail server or gateway."`
	Ownership  enroll.Ownership    `json:"ownership,omitempty" enum:"personal,corporate" doc:"What the user chose, where the row leaves it to the user."`
	CreatedBy  string              `json:"created_by" doc:"Name of the token; shown on the page and in the message."`
	CreatedAt  time.Time           `json:"created_at"`
	ExpiresAt  time.Time           `json:"expires_at"`
	OpenedAt   time.Time           `json:"opened_at,omitzero"`
	AcceptedAt time.Time           `json:"accepted_at,omitzero"`
	RemindedAt time.Time           `json:"reminded_at,omitzero"`
	ClosedAt   time.Time           `json:"closed_at,omitzero" doc:"Completed, expired or cancelled."`
}

func viewRequest(r enroll.Request, serial string) RequestView {
	return RequestView{ID: r.ID, Serial: serial, Via: r.Via, State: r.State, Problem: r.Problem, Ownership: r.Ownership, CreatedBy: r.CreatedBy,
		CreatedAt: utc(r.CreatedAt), ExpiresAt: utc(r.ExpiresAt), OpenedAt: utc(r.OpenedAt), AcceptedAt: utc(r.AcceptedAt), RemindedAt: utc(r.RemindedAt),
		ClosedAt: utc(r.ClosedAt)}
}

func (a *API) requestView(ctx context.Context, r enroll.Request) (RequestView, error) {
	d, err := a.Roll.DeviceByID(ctx, r.DeviceID)
	return viewRequest(r, d.Serial), err
}

type sentView struct {
	RequestView
	Link string `json:"link,omitempty" doc:"Of requests via link. For the user of this one device; it is shown here and never again."`
}

func (a *API) viewSent(s enroll.Sent) sentView {
	v := sentView{RequestView: viewRequest(s.Request, s.Serial)}
	if s.Secret != "" {
		v.Link = RequestLink(a.PublicURL, s.Secret)
	}
	return v
}

// RequestLink is the page of a request.
func RequestLink(publicURL, secret string) string {
	return strings.TrimSuffix(publicURL, "/") + "/enroll/r/" + secret
}

// RequestMessageView is an attempt to reach the user, or several with the same link.
type RequestMessageView struct {
	ID         string             `json:"id" doc:"The local part of the mail's Message-ID; the Idempotency-Key of an SMS."`
	Kind       enroll.MessageKind `json:"kind" enum:"invitation,reminder"`
	Via        enroll.Via         `json:"via" enum:"email,sms"`
	CreatedAt  time.Time          `json:"created_at"`
	Attempts   int                `json:"attempts"`
	DueAt      time.Time          `json:"due_at,omitzero" doc:"Next attempt. Absent: finished."`
	SentAt     time.Time          `json:"sent_at,omitzero" doc:"When the mail server or gateway took it."`
	FinishedAt time.Time          `json:"finished_at,omitzero"`
	Error      string             `json:"error,omitempty" doc:"Answer to the last attempt, or why there was none."`
}

func viewMessage(m enroll.Message) RequestMessageView {
	return RequestMessageView{ID: m.ID, Kind: m.Kind, Via: m.Via, CreatedAt: utc(m.CreatedAt), Attempts: m.Attempts, DueAt: utc(m.DueAt), SentAt: utc(m.SentAt),
		FinishedAt: utc(m.FinishedAt), Error: m.Error}
}

type oneRequest struct {
	ID string `path:"id" maxLength:"64"`
}

func requestOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/requests" + path, Tags: []string{"Requests"}, Summary: summary, Description: description}
}

func (r routes) requests() {
	r.sendRequests()
	r.previewRequest()
	r.listRequests()
	a := r.a
	// one answers a request that was read or changed.
	one := func(ctx context.Context, req enroll.Request, err error) (*body[RequestView], error) {
		if err != nil {
			return nil, err
		}
		v, err := a.requestView(ctx, req)
		return &body[RequestView]{v}, err
	}
	add(r, RoleViewer, requestOperation("get-request", http.MethodGet, "/{id}", "Read an enrollment request", ""),
		func(ctx context.Context, in *oneRequest) (*body[RequestView], error) {
			req, err := a.Requests.Request(ctx, in.ID)
			return one(ctx, req, err)
		})
	add(r, RoleOperator, requestOperation("cancel-request", http.MethodPost, "/{id}/cancel", "Withdraw an enrollment request",
		"Its links stop working at once, and a message that waits is not sent."),
		func(ctx context.Context, in *oneRequest) (*body[RequestView], error) {
			req, err := a.Requests.Cancel(ctx, in.ID)
			return one(ctx, req, err)
		})
	add(r, RoleViewer, requestOperation("list-request-messages", http.MethodGet, "/{id}/messages", "List the messages of an enrollment request",
		"Oldest first: invitations and the reminder, and what became of each."),
		func(ctx context.Context, in *oneRequest) (*body[list[RequestMessageView]], error) {
			if _, err := a.Requests.Request(ctx, in.ID); err != nil {
				return nil, err
			}
			messages, err := a.Requests.Messages(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[list[RequestMessageView]]{listOf(messages, enroll.Page{}, func(m enroll.Message) string { return m.ID }, viewMessage)}, nil
		})
}

func (r routes) sendRequests() {
	a := r.a
	type sendRequests struct {
		Body struct {
			Serials []string   `json:"serials,omitempty" minItems:"1" maxItems:"1000" doc:"The devices. A serial that is unknown, enrolled, blocked or out of reach refuses the call."`
			Group   string     `json:"group,omitempty" maxLength:"200" doc:"Instead of serials: its members that are neither enrolled nor blocked, 10,000 at most."`
			Via     enroll.Via `json:"via,omitempty" enum:"link,email,sms" doc:"How the users get their links. Absent: link."`
		}
	}
	create := requestOperation("create-requests", http.MethodPost, "", "Send enrollment requests",
		"One for each device, all or none; earlier open requests of the same devices are withdrawn. Via link the answer has the links, which can be read only here, "+
			"and nothing is sent. Via email and sms the requests are queued, and their messages go out within seconds.")
	create.DefaultStatus = http.StatusCreated
	add(r, RoleOperator, create, func(ctx context.Context, in *sendRequests) (*body[list[sentView]], error) {
		sent, err := a.Requests.Send(ctx, enroll.Order{Serials: in.Body.Serials, Group: in.Body.Group, Via: in.Body.Via, By: caller(ctx).Name})
		if err != nil {
			return nil, err
		}
		a.kick()
		return &body[list[sentView]]{listOf(sent, enroll.Page{}, func(s enroll.Sent) string { return s.Request.ID }, a.viewSent)}, nil
	})

	type resendRequest struct {
		ID   string `path:"id" maxLength:"64"`
		Body *struct {
			Via enroll.Via `json:"via,omitempty" enum:"link,email,sms" doc:"Another way than before."`
		}
	}
	add(r, RoleOperator, requestOperation("resend-request", http.MethodPost, "/{id}/resend", "Send an enrollment request again",
		"With a new link. Links that were sent before stay good, and the request ends when it would have ended."),
		func(ctx context.Context, in *resendRequest) (*body[sentView], error) {
			var via enroll.Via
			if in.Body != nil {
				via = in.Body.Via
			}
			sent, err := a.Requests.Resend(ctx, in.ID, via)
			if err != nil {
				return nil, err
			}
			a.kick()
			return &body[sentView]{a.viewSent(sent)}, nil
		})
}

func (r routes) listRequests() {
	a := r.a
	type listRequests struct {
		ListParams
		Serial string              `query:"serial" maxLength:"200" doc:"Of this device only."`
		State  enroll.RequestState `query:"state" enum:"queued,sent,bounced,opened,accepted,completed,expired,cancelled" doc:"In this state only."`
	}
	addList(r, RoleViewer, requestOperation("list-requests", http.MethodGet, "", "List the enrollment requests", "Newest first, without their links."), requestColumns,
		func(ctx context.Context, in *listRequests) (*body[list[RequestView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			f := enroll.RequestFilter{State: in.State}
			if in.Serial != "" {
				d, err := SerialParam{in.Serial}.device(ctx, a)
				if err != nil {
					return nil, err
				}
				f.DeviceID = d.ID
			}
			rs, err := a.Requests.Requests(ctx, f, p)
			if err != nil {
				return nil, err
			}
			ids := make([]string, len(rs))
			for i, r := range rs {
				ids[i] = r.DeviceID
			}
			serials, err := a.Roll.Serials(ctx, ids)
			if err != nil {
				return nil, err
			}
			return &body[list[RequestView]]{listOf(rs, p, func(r enroll.Request) string { return r.ID }, func(r enroll.Request) RequestView {
				return viewRequest(r, serials[r.DeviceID])
			})}, nil
		})
}
