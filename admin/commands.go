package admin

import (
	"context"
	"encoding/base64"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/policy"
	"rollcall/policy/document"
)

type commandView struct {
	ID          string              `json:"id" doc:"CommandUUID."`
	RequestType string              `json:"request_type" example:"DeviceInformation"`
	State       policy.CommandState `json:"state" enum:"queued,sent,acknowledged,failed,cancelled"`
	NotNow      bool                `json:"not_now,omitempty" doc:"The device answered NotNow last; it is asked again."`
	Attempts    int                 `json:"attempts" doc:"How often it was handed to the device."`
	Error       string              `json:"error,omitempty" doc:"The device's own words."`
	QueuedAt    time.Time           `json:"queued_at"`
	SentAt      time.Time           `json:"sent_at,omitzero" doc:"First hand-out."`
	FinishedAt  time.Time           `json:"finished_at,omitzero"`
	Result      string              `json:"result,omitempty" doc:"The device's answer as an XML property list, in base64 where it is a binary one. Only when a single command is read."`
}

func viewCommand(c mdm.CommandRecord) commandView {
	v := commandView{ID: c.ID, RequestType: c.RequestType, State: c.State, NotNow: c.NotNow, Attempts: c.Attempts, Error: c.Error,
		QueuedAt: utc(c.QueuedAt), SentAt: utc(c.SentAt), FinishedAt: utc(c.FinishedAt), Result: string(c.Result)}
	if !utf8.Valid(c.Result) {
		v.Result = base64.StdEncoding.EncodeToString(c.Result)
	}
	return v
}

// commandInput is a command by its name.
type commandInput struct {
	RequestType string        `json:"request_type" minLength:"1" maxLength:"100" example:"DeviceLock"`
	Args        document.Dict `json:"args,omitempty" doc:"Keys of the command as Apple documents them. Bytes are {\"$data\": base64}, dates {\"$date\": RFC 3339}."`
}

type queuedView struct {
	CommandID string `json:"command_id"`
}

type disenrollView struct {
	CommandID string       `json:"command_id,omitempty" doc:"Absent where the enrollment was ended by force."`
	State     enroll.State `json:"state" doc:"Of the device now."`
	Detail    string       `json:"detail"`
}

// DeviceHistory is what happened to a device over all its enrollments.
type DeviceHistory interface {
	mdm.DeviceHistory
	enroll.Timeline
}

type entryView struct {
	At       time.Time            `json:"at"`
	Kind     enroll.EntryKind     `json:"kind" enum:"created,changed,request,decision,enrollment,command"`
	What     string               `json:"what" doc:"The step of a request or enrollment, the code of a decision, the request_type of a command." example:"allow.listed"`
	State    string               `json:"state,omitempty" doc:"State of a command, outcome of a decision."`
	Detail   string               `json:"detail,omitempty" doc:"Channel of a decision, error of a command."`
	Actor    string               `json:"actor,omitempty" doc:"Name of the token. Absent: the device, or the server by itself."`
	ImportID string               `json:"import_id,omitempty" doc:"The import that did it."`
	ID       string               `json:"id" doc:"Of the change, request, decision, enrollment or command."`
	Changes  []enroll.FieldChange `json:"changes,omitempty" doc:"What a change changed."`
}

func viewEntry(e enroll.Entry) entryView {
	return entryView{At: utc(e.At), Kind: e.Kind, What: e.What, State: e.State, Detail: e.Detail, Actor: e.Actor, ImportID: e.ImportID, ID: e.ID, Changes: e.Changes}
}

func (r routes) commands() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/devices/{serial}" + path, Tags: []string{"Commands"}, Summary: summary, Description: description}
	}
	accepted := func(op huma.Operation) huma.Operation {
		op.DefaultStatus = http.StatusAccepted
		return op
	}

	add(r, RoleViewer, op("get-receipt", http.MethodGet, "/receipt", "Read what a device got of its policies", "Each item of its desired state with the command that carried it, and the time from enrollment to policy."),
		func(ctx context.Context, in *SerialParam) (*body[receiptView], error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			receipt, err := a.Deliveries.Receipt(ctx, d.ID)
			return &body[receiptView]{viewReceipt(receipt)}, err
		})

	type listCommands struct {
		SerialParam
		ListParams
	}
	add(r, RoleViewer, op("list-commands", http.MethodGet, "/commands", "List the commands of a device", "Over all its enrollments, also those that have ended: the newest enrollment first, in it the newest command first."),
		func(ctx context.Context, in *listCommands) (*body[list[commandView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			commands, err := a.History.DeviceCommands(ctx, d.ID, p)
			if err != nil {
				return nil, err
			}
			return &body[list[commandView]]{listOf(commands, p, func(c mdm.CommandRecord) string { return c.ID }, viewCommand)}, nil
		})

	type getCommand struct {
		SerialParam
		ID string `path:"id" maxLength:"64"`
	}
	add(r, RoleViewer, op("get-command", http.MethodGet, "/commands/{id}", "Read a command", "With the device's answer."),
		func(ctx context.Context, in *getCommand) (*body[commandView], error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			c, err := a.History.DeviceCommand(ctx, d.ID, in.ID)
			return &body[commandView]{viewCommand(c)}, err
		})

	type sendCommand struct {
		SerialParam
		ContentType string `header:"Content-Type" hidden:"true"`
		RawBody     []byte `contentType:"application/xml"`
	}
	send := accepted(op("send-command", http.MethodPost, "/commands", "Send a command", "Either JSON with request_type and args, or, as application/xml, the property list of the command as it is."))
	send.SkipValidateBody = true // one of two forms; see below
	send.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[commandInput](r)}}}
	add(r, RoleOperator, send, func(ctx context.Context, in *sendCommand) (*body[queuedView], error) {
		d, err := in.device(ctx, a)
		if err != nil {
			return nil, err
		}
		var id string
		switch mediaType(in.ContentType) {
		case "application/xml", "text/xml", "application/x-plist":
			id, err = a.Commands.SendRaw(ctx, d, in.RawBody)
		case "application/json", "":
			var c commandInput
			if strict(in.RawBody, &c) != nil || c.RequestType == "" {
				return nil, enroll.Errorf(enroll.KindInvalid, "command_invalid", "the body is not a JSON object with request_type and args")
			}
			id, err = a.Commands.Send(ctx, d, c.RequestType, c.Args)
		default:
			return nil, newProblem(http.StatusUnsupportedMediaType, "content_type_unsupported", "The body has a type that is not understood.", "Use application/json or application/xml.")
		}
		if err != nil {
			return nil, err
		}
		a.kick()
		return &body[queuedView]{queuedView{id}}, nil
	})

	type disenroll struct {
		SerialParam
		Body *struct {
			Force bool `json:"force,omitempty" doc:"End the enrollment on the server at once, without waiting for the device."`
		}
	}
	type disenrolled struct {
		Status int
		Body   disenrollView
	}
	leave := accepted(op("disenroll-device", http.MethodPost, "/disenroll", "Disenroll a device", "Removes the enrollment profile, and with it all that was managed. The device becomes unenrolled when it has done so; the row stays on the roll. "+
		"With force the enrollment ends on the server alone, at once: for a device that is lost, wiped or never answers, or is stuck in enrolling. A device that is still managed then keeps its profiles until they are removed by hand; it gets no commands any more and may enroll again."))
	leave.Responses = map[string]*huma.Response{"200": {Description: "Ended by force", Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[disenrollView](r)}}}}
	add(r, RoleOperator, leave,
		func(ctx context.Context, in *disenroll) (*disenrolled, error) {
			d, err := in.device(ctx, a)
			if err != nil {
				return nil, err
			}
			if in.Body != nil && in.Body.Force {
				d, err = a.Roll.ReleaseDevice(ctx, d.Serial, a.now().UTC())
				return &disenrolled{Status: http.StatusOK, Body: disenrollView{State: d.EffectiveAt(a.now()), Detail: "The enrollment has ended on the server. If the device still has the profile, remove it by hand."}}, err
			}
			id, err := a.Commands.Send(ctx, d, "Disenroll", nil)
			if err != nil {
				return nil, err
			}
			a.kick()
			return &disenrolled{Status: http.StatusAccepted, Body: disenrollView{CommandID: id, State: d.EffectiveAt(a.now()), Detail: "The device is told to remove the profile. If it never answers, call again with {\"force\": true}."}}, nil
		})

	type listTimeline struct {
		SerialParam
		ListParams
	}
	timeline := op("get-timeline", http.MethodGet, "/timeline", "Read the history of a device", "Imports and edits, enrollment requests, decisions of the gate, enrollments and commands, newest first.")
	timeline.Tags = []string{"Devices"}
	add(r, RoleViewer, timeline, func(ctx context.Context, in *listTimeline) (*body[list[entryView]], error) {
		p, err := in.page()
		if err != nil {
			return nil, err
		}
		d, err := in.device(ctx, a)
		if err != nil {
			return nil, err
		}
		entries, next, err := a.History.Timeline(ctx, d.ID, p)
		if err != nil {
			return nil, err
		}
		out := listOf(entries, enroll.Page{}, func(enroll.Entry) string { return "" }, viewEntry)
		if next != "" {
			out.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(next))
		}
		return &body[list[entryView]]{out}, nil
	})

	push := op("push-device", http.MethodPost, "/push", "Wake a device", "It asks for its commands. Every command does this by itself.")
	push.DefaultStatus = http.StatusAccepted
	add(r, RoleOperator, push, func(ctx context.Context, in *SerialParam) (*struct{}, error) {
		d, err := in.device(ctx, a)
		if err != nil {
			return nil, err
		}
		if err := a.Commands.Push(ctx, d); err != nil {
			return nil, err
		}
		a.kick()
		return nil, nil
	})
}

// mediaType is a Content-Type without its parameters.
func mediaType(contentType string) string {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(contentType))
	}
	return t
}
