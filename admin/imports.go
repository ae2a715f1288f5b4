package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/enroll/importer"
)

type importView struct {
	ID        string             `json:"id"`
	State     enroll.ImportState `json:"state" enum:"uploaded,planning,planned,applying,sending,applied,reverting,reverted,failed,cancelled" doc:"sending: the roll is written, and enrollment requests are made. failed: no plan could be made, problem says why; PATCH leads out of it."`
	FileName  string             `json:"file_name,omitempty"`
	Size      int64              `json:"size" doc:"Bytes."`
	SHA256    string             `json:"sha256" doc:"Of the uploaded bytes."`
	Options   importOptionsView  `json:"options"`
	Charset   string             `json:"charset,omitempty" doc:"As the file was read." example:"utf-8"`
	Delimiter string             `json:"delimiter,omitempty" doc:"As the file was read."`
	Columns   []importColumnView `json:"columns,omitempty" doc:"How the columns are understood. One without a field is not used."`
	Counts    importCountsView   `json:"counts" doc:"What the plan does with its rows."`
	Progress  progressView       `json:"progress"`
	Stale     int                `json:"stale,omitempty" doc:"Rows of the roll that had changed when the plan was last applied, which is why there is a new plan."`
	Problem   *importProblemView `json:"problem,omitempty"`
	Version   int64              `json:"version" doc:"Grows with each change of the plan."`
	Requests  *importSendingView `json:"requests,omitempty" doc:"The enrollment requests that were last sent with it."`

	CreatedBy  string               `json:"created_by" doc:"Name of the token."`
	CreatedAt  time.Time            `json:"created_at"`
	PlannedAt  time.Time            `json:"planned_at,omitzero"`
	AppliedBy  string               `json:"applied_by,omitempty"`
	AppliedAt  time.Time            `json:"applied_at,omitzero"`
	RevertedBy string               `json:"reverted_by,omitempty"`
	RevertedAt time.Time            `json:"reverted_at,omitzero"`
	Reverted   *enroll.RevertCounts `json:"reverted,omitempty" doc:"What the revert did with the rows that the import had written."`
	Existed    bool                 `json:"existed,omitempty" doc:"On upload: this file had been uploaded with these options before."`
}

// importOptionsView is what an admin says of a file. A PATCH gives some of it.
type importOptionsView struct {
	Domain      string                       `json:"domain,omitempty" maxLength:"255"`
	Preset      string                       `json:"preset,omitempty" maxLength:"255"`
	Charset     string                       `json:"charset,omitempty" maxLength:"64"`
	Delimiter   string                       `json:"delimiter,omitempty" maxLength:"3"`
	Header      string                       `json:"header,omitempty" enum:"yes,no,"`
	Mapping     map[string]string            `json:"mapping,omitempty" doc:"Column, by its name or its position (#1), to field; - leaves a column out."`
	Values      map[string]map[string]string `json:"values,omitempty" doc:"Field to what cells say to what they mean."`
	Defaults    map[string]string            `json:"defaults,omitempty" doc:"Field to the value of rows that have none."`
	Owner       string                       `json:"owner,omitempty" enum:"required,optional,"`
	OnDuplicate string                       `json:"on_duplicate,omitempty" enum:"skip,update,replace,fail,"`
	OnError     string                       `json:"on_error,omitempty" enum:"abort,skip,"`
	Users       string                       `json:"users,omitempty" enum:"replace,skip,"`
	PreEnroll   *bool                        `json:"pre_enroll,omitempty"`
	Corrections []enroll.Correction          `json:"corrections,omitempty" maxItems:"10000" doc:"Other values for single cells; those of a PATCH come on top of earlier ones."`
}

type importColumnView struct {
	Position   int      `json:"position" doc:"From 1."`
	Header     string   `json:"header,omitempty"`
	Field      string   `json:"field,omitempty"`
	Suggested  string   `json:"suggested,omitempty" doc:"A field it may be, too unsure to be taken."`
	Confidence float64  `json:"confidence" doc:"Of field or suggested, 0 to 1."`
	Samples    []string `json:"samples,omitempty" doc:"The first three values."`
}

type importSendingView struct {
	Via     enroll.Via `json:"via" enum:"email,sms"`
	Sent    int        `json:"sent" doc:"Requests so far."`
	LeftOut int        `json:"left_out" doc:"Recipients who were chosen and could not be invited: enrolled or blocked devices, users without a mobile number."`
	Done    bool       `json:"done"`
}

type importCountsView struct {
	enroll.ImportCounts
}

type progressView struct {
	Done  int `json:"done" doc:"Rows that the present step has done."`
	Total int `json:"total" doc:"Rows of the file; while it is planned, its lines, which can be a few more."`
}

type importProblemView struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

func viewImport(i enroll.Import) importView {
	o := i.Options
	v := importView{ID: i.ID, State: i.State, FileName: i.FileName, Size: i.Size, SHA256: i.SHA256, Charset: i.Charset, Delimiter: i.Delimiter, Counts: importCountsView{i.Counts},
		Progress: progressView{Done: i.Done, Total: i.Counts.Rows}, Stale: i.Stale, Version: i.Version, CreatedBy: i.CreatedBy, CreatedAt: utc(i.CreatedAt), PlannedAt: utc(i.PlannedAt),
		AppliedBy: i.AppliedBy, AppliedAt: utc(i.AppliedAt), RevertedBy: i.RevertedBy, RevertedAt: utc(i.RevertedAt),
		Options: importOptionsView{Domain: o.Domain, Preset: o.Preset, Charset: o.Charset, Delimiter: o.Delimiter, Header: o.Header, Mapping: o.Mapping, Values: o.Values, Defaults: o.Defaults,
			Owner: o.Owner, OnDuplicate: o.OnDuplicate, OnError: o.OnError, Users: o.Users, PreEnroll: &o.PreEnroll, Corrections: o.Corrections}}
	for _, c := range i.Columns {
		v.Columns = append(v.Columns, importColumnView(c))
	}
	if i.State == enroll.ImportUploaded || i.State == enroll.ImportPlanning {
		v.Progress.Total = i.Lines
	}
	if i.Problem != nil {
		p := importProblemView(*i.Problem)
		v.Problem = &p
	}
	if s := i.Sending; s != nil {
		v.Requests = &importSendingView{Via: s.Via, Sent: s.Sent, LeftOut: s.LeftOut, Done: s.Done}
	}
	if i.State == enroll.ImportReverted {
		v.Reverted = &i.Reverted
	}
	return v
}

// importInput streams the file: it has no body field that huma would read into
// memory first.
type importInput struct {
	Domain      string   `query:"domain" maxLength:"255" doc:"Directory the users of the file belong to; needed. \"local\" is always there, others are made." example:"local"`
	FileName    string   `query:"file_name" maxLength:"255" doc:"For the list of imports."`
	Preset      string   `query:"preset" maxLength:"255" doc:"Whose list it is; GET /import-presets names them."`
	Charset     string   `query:"charset" maxLength:"64" doc:"Code page of a file that is not Unicode." example:"windows-1252"`
	Delimiter   string   `query:"delimiter" maxLength:"3" doc:"One of , ; | tab. Left out, it is found out."`
	Header      string   `query:"header" enum:"yes,no" doc:"Whether the first line names the columns. Left out, it is found out."`
	Map         []string `query:"map,explode" maxItems:"200" doc:"What a column is, as column:field; may be repeated." example:"Geraet:devicename"`
	Default     []string `query:"default,explode" maxItems:"30" doc:"The value of rows that have none, as field:value; may be repeated." example:"platform:ios"`
	Owner       string   `query:"owner" enum:"required,optional" doc:"Whether each row needs name and e-mail address of an owner. Left out: what the preset says, else required."`
	OnDuplicate string   `query:"on_duplicate" enum:"skip,update,replace,fail" default:"update" doc:"What becomes of a row whose serial is on the roll: the roll stays; cells with a value change it; blank ones empty it, too; it is an error."`
	OnError     string   `query:"on_error" enum:"abort,skip" default:"abort" doc:"Whether the good rows of a file with bad ones can be applied."`
	Users       string   `query:"users" enum:"replace,skip" default:"replace" doc:"Whether users who exist already get name and mobile number of the file."`
	PreEnroll   bool     `query:"pre_enroll" default:"true" doc:"false: only users are made, no device goes on the roll."`
	Again       bool     `query:"again" doc:"Make another import, even where the same file was uploaded with the same options."`
	Apply       bool     `query:"apply" doc:"Apply the plan at once if every row can be applied."`
	ContentType string   `header:"Content-Type" hidden:"true"`

	file io.Reader
}

// importTimeout is how long an upload may take.
const importTimeout = 5 * time.Minute

// Resolve implements huma.Resolver: it takes hold of the body.
func (in *importInput) Resolve(c huma.Context) []error {
	// A deadline that cannot be set leaves the server's own in place.
	_ = c.SetReadDeadline(time.Now().Add(importTimeout))
	in.file = http.MaxBytesReader(nil, io.NopCloser(c.BodyReader()), c.Operation().MaxBodyBytes)
	return nil
}

func (in *importInput) options() (enroll.ImportOptions, error) {
	o := enroll.ImportOptions{Domain: in.Domain, Preset: in.Preset, Charset: in.Charset, Delimiter: in.Delimiter, Header: in.Header, Owner: in.Owner,
		OnDuplicate: in.OnDuplicate, OnError: in.OnError, Users: in.Users, PreEnroll: in.PreEnroll}
	for _, m := range []struct {
		name  string
		pairs []string
		last  bool // the last colon counts: a column may have some in its name
		to    *map[string]string
	}{{"map", in.Map, true, &o.Mapping}, {"default", in.Default, false, &o.Defaults}} {
		for _, pair := range m.pairs {
			i := strings.Index(pair, ":")
			if m.last {
				i = strings.LastIndex(pair, ":")
			}
			if i < 1 || i == len(pair)-1 {
				return o, enroll.Errorf(enroll.KindInvalid, m.name+"_invalid", "%s cannot be %q", m.name, shorten(pair)).WithHint("Write two names with a colon between them.")
			}
			if *m.to == nil {
				*m.to = map[string]string{}
			}
			(*m.to)[pair[:i]] = pair[i+1:]
		}
	}
	return o, nil
}

var csvTypes = map[string]bool{"": true, "text/csv": true, "application/csv": true, "text/plain": true, "application/octet-stream": true, "application/vnd.ms-excel": true}

// ImportID is the path of every operation on one import.
type ImportID struct {
	ID string `path:"id" maxLength:"64"`
}

// WaitInput bounds how long a call waits for the work to be done.
type WaitInput struct {
	ImportID
	Wait int `query:"wait" minimum:"0" maximum:"240" default:"60" doc:"Seconds to wait for the end of the work; the answer is 202 where it goes on."`
}

func (in WaitInput) wait() time.Duration { return time.Duration(in.Wait) * time.Second }

type importAnswer struct {
	Status int
	Body   importView
}

// worked answers 202 where the work goes on.
func worked(imp enroll.Import, done int) *importAnswer {
	if imp.State.Working() {
		done = http.StatusAccepted
	}
	return &importAnswer{Status: done, Body: viewImport(imp)}
}

func (r routes) imports() {
	a := r.a
	r.importRows() // first, since sample.csv could be an ID
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/imports" + path, Tags: []string{"Imports"}, Summary: summary, Description: description}
	}
	alsoAnswers := func(op huma.Operation, status ...string) huma.Operation {
		op.Responses = map[string]*huma.Response{}
		for _, s := range status {
			op.Responses[s] = &huma.Response{Description: map[string]string{"200": "OK", "201": "Created", "202": "The work goes on"}[s],
				Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[importView](r)}}}
		}
		return op
	}

	upload := op("create-import", http.MethodPost, "", "Upload a CSV file",
		"A plan is made of what the file changes; nothing is written before it is applied, and nothing is sent to anybody. The header `"+strings.Join(importer.Columns, ",")+"` needs no mapping; "+
			"other headers are recognised in English and German, and `columns` says how. Further columns: group, tags, asset_tag, imei, imei2, udid, model, not_before, expires_at, uses, policy, notes; | separates several values. "+
			"On update a blank cell leaves a value as it is and `CLEAR!` empties it. The same file with the same options is the same import: 200 instead of 201.")
	upload.MaxBodyBytes = importer.DefaultLimits.Bytes
	upload.RequestBody = &huma.RequestBody{Required: true, Description: fmt.Sprintf("The file, at most 64 MiB and %d rows.", importer.DefaultLimits.Rows),
		Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	add(r, RoleOperator, alsoAnswers(upload, "200", "201", "202"), func(ctx context.Context, in *importInput) (*importAnswer, error) {
		if strings.TrimSpace(in.Domain) == "" {
			return nil, enroll.Errorf(enroll.KindInvalid, "domain_required", "the domain is missing").
				WithHint("Add ?domain= with the directory the users belong to; %q is always there.", enroll.DefaultDomain)
		}
		if !csvTypes[mediaType(in.ContentType)] {
			return nil, newProblem(http.StatusUnsupportedMediaType, "content_type_unsupported", "The body is not sent as text/csv.",
				"Send the file itself as the body, not a form: curl --data-binary @devices.csv -H 'Content-Type: text/csv'.")
		}
		options, err := in.options()
		if err != nil {
			return nil, err
		}
		imp, existed, err := a.Imports.Upload(ctx, importer.Upload{File: in.file, FileName: in.FileName, Options: options, By: caller(ctx).Name, Again: in.Again})
		if err != nil {
			return nil, err
		}
		if in.Apply {
			if imp, err = a.applyAtOnce(ctx, imp.ID); err != nil {
				return nil, err
			}
		}
		status := http.StatusCreated
		if existed {
			status = http.StatusOK
		}
		out := &importAnswer{Status: status, Body: viewImport(imp)}
		out.Body.Existed = existed
		return out, nil
	})

	add(r, RoleViewer, op("list-imports", http.MethodGet, "", "List the imports", "Newest first."),
		func(ctx context.Context, in *ListParams) (*body[list[importView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			imports, err := a.Imports.Imports(ctx, p)
			if err != nil {
				return nil, err
			}
			return &body[list[importView]]{listOf(imports, p, func(i enroll.Import) string { return i.ID }, viewImport)}, nil
		})

	add(r, RoleViewer, op("get-import", http.MethodGet, "/{id}", "Read an import", "With its progress, while it is worked on."),
		func(ctx context.Context, in *ImportID) (*body[importView], error) {
			imp, err := a.Imports.Get(ctx, in.ID)
			return &body[importView]{viewImport(imp)}, err
		})

	type patchImport struct {
		ImportID
		Body importOptionsView
	}
	add(r, RoleOperator, op("patch-import", http.MethodPatch, "/{id}", "Change an import that is not applied", "What is left out stays; mapping, values and defaults are replaced as a whole, corrections are added. A new plan is made."),
		func(ctx context.Context, in *patchImport) (*body[importView], error) {
			imp, err := a.Imports.Change(ctx, in.ID, func(o *enroll.ImportOptions) error { in.Body.over(o); return nil })
			return &body[importView]{viewImport(imp)}, err
		})

	type applyImport struct {
		WaitInput
		Body *struct {
			Requests *sendingInput `json:"requests,omitempty" doc:"Who gets an enrollment request when everything is written. Absent: nobody."`
		}
	}
	add(r, RoleOperator, alsoAnswers(op("apply-import", http.MethodPost, "/{id}/apply", "Apply the plan of an import",
		"All rows that can be applied, in one transaction; with `requests`, its recipients are then sent enrollment requests, also where the server stops in between. "+
			"409 `plan_stale` where the roll has changed since the plan was made: nothing is written or sent, and there is a new plan. One that is applied already is answered as it is."), "200", "202"),
		func(ctx context.Context, in *applyImport) (*importAnswer, error) {
			var sending *enroll.Sending
			if in.Body != nil && in.Body.Requests != nil {
				sending = new(in.Body.Requests.sending(ctx))
				if err := sending.Check(a.Requests.Channels); err != nil {
					return nil, err
				}
			}
			imp, err := a.Imports.Apply(ctx, in.ID, caller(ctx).Name, sending, in.wait())
			if err != nil {
				return nil, err
			}
			a.kick()
			return worked(imp, http.StatusOK), nil
		})

	type sendImport struct {
		WaitInput
		Body sendingInput
	}
	add(r, RoleOperator, alsoAnswers(op("send-import-requests", http.MethodPost, "/{id}/requests", "Send enrollment requests to recipients of an import",
		"Of an applied import: all recipients, those of some lines, or all but those of some lines, in one call. Who cannot be invited is left out and counted in `requests`; earlier open requests of the same devices are withdrawn."), "200", "202"),
		func(ctx context.Context, in *sendImport) (*importAnswer, error) {
			sending := in.Body.sending(ctx)
			if err := sending.Check(a.Requests.Channels); err != nil {
				return nil, err
			}
			imp, err := a.Imports.Send(ctx, in.ID, sending)
			if err == nil {
				imp, err = a.Imports.Await(ctx, in.ID, in.wait())
			}
			if err != nil {
				return nil, err
			}
			a.kick()
			return worked(imp, http.StatusOK), nil
		})

	add(r, RoleOperator, alsoAnswers(op("revert-import", http.MethodPost, "/{id}/revert", "Undo an applied import",
		"Row by row: new rows are deleted, changed ones get back what they were. Rows whose device has enrolled or that were changed since are kept; `reverted` counts them and GET /imports/{id}/rows?kept=true names them."), "200", "202"),
		func(ctx context.Context, in *WaitInput) (*importAnswer, error) {
			imp, err := a.Imports.Revert(ctx, in.ID, caller(ctx).Name, in.wait())
			if err != nil {
				return nil, err
			}
			a.kick()
			return worked(imp, http.StatusOK), nil
		})

	add(r, RoleViewer, op("preview-revert", http.MethodGet, "/{id}/revert", "Preview the revert of an import", "What a revert would do now with the rows that the import has written."),
		func(ctx context.Context, in *ImportID) (*body[enroll.RevertCounts], error) {
			imp, err := a.Imports.Get(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if imp.State != enroll.ImportApplied {
				return nil, enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so it cannot be reverted", imp.State)
			}
			counts, err := a.Imports.PreviewRevert(ctx, in.ID)
			return &body[enroll.RevertCounts]{counts}, err
		})

	add(r, RoleOperator, op("cancel-import", http.MethodPost, "/{id}/cancel", "Give up an import", "One that is not applied. Its file and plan are removed."),
		func(ctx context.Context, in *ImportID) (*body[importView], error) {
			imp, err := a.Imports.Cancel(ctx, in.ID)
			return &body[importView]{viewImport(imp)}, err
		})
	add(r, RoleOperator, op("delete-import", http.MethodDelete, "/{id}", "Delete an import",
		"With its file and plan; what it did to the roll stays. 409 while it is worked on, and for 30 days after it was applied, in which it can be reverted. Imports go by themselves 90 days after the last thing that was done with them."),
		func(ctx context.Context, in *ImportID) (*struct{}, error) {
			return nil, a.Imports.DeleteImport(ctx, in.ID, func(imp enroll.Import) error { return imp.Removable(a.now()) })
		})
	r.importPresets()
}

// sendingInput is a choice among the recipients of an import.
type sendingInput struct {
	Via    enroll.Via `json:"via" enum:"email,sms"`
	Lines  []int      `json:"lines,omitempty" maxItems:"100000" doc:"Only the recipients of these lines."`
	Except []int      `json:"except,omitempty" maxItems:"100000" doc:"All recipients but those of these lines."`
}

func (in sendingInput) sending(ctx context.Context) enroll.Sending {
	return enroll.Sending{Via: in.Via, Only: in.Lines, Except: in.Except, By: caller(ctx).Name}
}

// over lays what a PATCH says over options.
func (v importOptionsView) over(o *enroll.ImportOptions) {
	for _, f := range []struct {
		to   *string
		from string
	}{{&o.Domain, v.Domain}, {&o.Preset, v.Preset}, {&o.Charset, v.Charset}, {&o.Delimiter, v.Delimiter}, {&o.Header, v.Header}, {&o.Owner, v.Owner},
		{&o.OnDuplicate, v.OnDuplicate}, {&o.OnError, v.OnError}, {&o.Users, v.Users}} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	if v.Mapping != nil {
		o.Mapping = v.Mapping
	}
	if v.Values != nil {
		o.Values = v.Values
	}
	if v.Defaults != nil {
		o.Defaults = v.Defaults
	}
	if v.PreEnroll != nil {
		o.PreEnroll = *v.PreEnroll
	}
	o.Corrections = append(o.Corrections, v.Corrections...)
}

// applyWait is how long an upload waits to be planned and applied.
const applyWait = 4 * time.Minute

// applyAtOnce waits for the plan and applies it. What is wrong with rows is
// told as one problem.
func (a *API) applyAtOnce(ctx context.Context, id string) (enroll.Import, error) {
	imp, err := a.Imports.Await(ctx, id, applyWait)
	if err != nil {
		return imp, err
	}
	if imp.State == enroll.ImportPlanned && imp.Counts.Bad() > 0 && imp.Options.OnError != enroll.ErrorSkip {
		rows, err := a.Imports.ImportRows(ctx, id, enroll.ImportRowFilter{Actions: []enroll.RowAction{enroll.ActionError, enroll.ActionConflict}}, enroll.Page{Limit: listedRows})
		if err != nil {
			return imp, err
		}
		return imp, rowProblem(imp, rows)
	}
	imp, err = a.Imports.Apply(ctx, id, caller(ctx).Name, nil, applyWait)
	if err == nil {
		a.kick()
	}
	return imp, err
}

// listedRows is how many bad rows one answer lists.
const listedRows = 1000

func rowProblem(imp enroll.Import, rows []enroll.PlanRow) *Problem {
	detail := fmt.Sprintf("%d of %d rows have errors, so nothing was imported.", imp.Counts.Bad(), imp.Counts.Rows)
	if imp.Counts.Bad() > len(rows) {
		detail += fmt.Sprintf(" The first %d are listed.", len(rows))
	}
	p := newProblem(http.StatusUnprocessableEntity, "rows_invalid", detail,
		fmt.Sprintf("Correct the file and upload it again; GET %s/imports/%s/errors.csv has the rows.", Prefix, imp.ID))
	for _, r := range rows {
		for _, e := range r.Errors {
			p.Errors = append(p.Errors, ProblemDetail{Line: e.Line, Column: e.Column, Value: e.Value, Code: e.Code, Detail: e.Detail, Hint: e.Hint})
		}
	}
	return p
}
