package admin

import (
	"bufio"
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/enroll/importer"
)

type ImportRowView struct {
	Line     int                  `json:"line" doc:"In the file, from 1."`
	Action   enroll.RowAction     `json:"action" enum:"new,changed,unchanged,conflict,error,skipped"`
	Serial   string               `json:"serial,omitempty"`
	Email    string               `json:"email,omitempty"`
	Changes  []enroll.FieldChange `json:"changes,omitempty" doc:"Each field with its old and its new value."`
	Errors   []ProblemDetail      `json:"errors,omitempty" doc:"Why the row cannot be applied."`
	Warnings []ProblemDetail      `json:"warnings,omitempty" doc:"What is doubtful in the row, and what its device will not honour of the policies and groups it names; one of a kind."`
	Version  int64                `json:"version" doc:"Of the plan the row was last planned in. Give it as If-Match to correct the row only if it is still as you have seen it."`
	Revert   enroll.RevertResult  `json:"revert,omitempty" enum:"deleted,restored,kept_enrolled,kept_changed,gone" doc:"What the revert did, or would do."`
}

func viewImportRow(r enroll.PlanRow) ImportRowView {
	details := func(es enroll.RowErrors) (out []ProblemDetail) {
		for _, e := range es {
			out = append(out, ProblemDetail{Line: e.Line, Column: e.Column, Value: e.Value, Code: e.Code, Detail: e.Detail, Hint: e.Hint})
		}
		return out
	}
	return ImportRowView{Line: r.Line, Action: r.Action, Serial: r.Serial, Email: r.Email, Changes: r.Changes, Errors: details(r.Errors), Warnings: details(r.Warnings), Version: r.Version, Revert: r.Revert}
}

type recipientView struct {
	Line    int          `json:"line"`
	Serial  string       `json:"serial,omitempty" doc:"Absent where the import makes users only."`
	State   enroll.State `json:"state,omitempty" doc:"Of the device; pre_enrolled where a plan would make it."`
	User    UserView     `json:"user" doc:"Without an ID where a plan would make the user."`
	Problem string       `json:"problem,omitempty" enum:"user_only,device_enrolled,device_blocked,email_missing,mobile_missing" doc:"Why no request can be sent that way; absent: one can."`
}

// importRows declares what is read of an import's rows.
func (r routes) importRows() {
	a := r.a
	op := func(id, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: "/imports" + path, Tags: []string{"Imports"}, Summary: summary, Description: description}
	}

	type listRows struct {
		ImportID
		ListParams
		Action []enroll.RowAction `query:"action" enum:"new,changed,unchanged,conflict,error,skipped" doc:"Only these; several are separated by commas."`
		Warned bool               `query:"warned" doc:"Only rows with warnings."`
		Kept   bool               `query:"kept" doc:"Only rows that a revert keeps, or would keep."`
		Code   string             `query:"problem" maxLength:"64" doc:"Only rows whose first error has this code." example:"email_invalid"`
	}
	add(r, RoleViewer, op("list-import-rows", "/{id}/rows", "List the rows of a plan", "In the order of the file, with old and new value of each field. Of a device whose user has not accepted, no old facts are shown."),
		func(ctx context.Context, in *listRows) (*body[list[ImportRowView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			if _, err := a.Imports.Import(ctx, in.ID); err != nil {
				return nil, err
			}
			rows, err := a.Imports.ImportRows(ctx, in.ID, enroll.ImportRowFilter{Actions: in.Action, Warned: in.Warned, Kept: in.Kept, Problem: in.Code}, p)
			if err != nil {
				return nil, err
			}
			return &body[list[ImportRowView]]{listOf(rows, p, func(r enroll.PlanRow) string { return strconv.Itoa(r.Line) }, viewImportRow)}, nil
		})

	r.importRow()

	type problemCountView struct {
		Code   string `json:"code"`
		Rows   int    `json:"rows" doc:"Whose first error it is."`
		Column string `json:"column,omitempty" doc:"Of one of them."`
		Detail string `json:"detail" doc:"Of one of them."`
		Hint   string `json:"hint,omitempty"`
	}
	add(r, RoleViewer, op("list-import-problems", "/{id}/problems", "Count what is wrong with the rows of a plan", "For each code, how many rows it is the first error of. GET /imports/{id}/rows?problem= lists them."),
		func(ctx context.Context, in *ImportID) (*body[list[problemCountView]], error) {
			if _, err := a.Imports.Import(ctx, in.ID); err != nil {
				return nil, err
			}
			counts, err := a.Imports.ImportProblems(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[list[problemCountView]]{listOf(counts, enroll.Page{}, func(c enroll.ProblemCount) string { return c.Code }, func(c enroll.ProblemCount) problemCountView {
				return problemCountView(c)
			})}, nil
		})

	type listRecipients struct {
		ImportID
		ListParams
		Via enroll.Via `query:"via" enum:"email,sms" default:"email" doc:"The way that problem speaks of."`
	}
	add(r, RoleViewer, op("list-import-recipients", "/{id}/recipients", "List who can be invited", "The users of an import with their devices, to choose who gets an enrollment request; of a plan, those it would make. Nothing is sent before."),
		func(ctx context.Context, in *listRecipients) (*body[list[recipientView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			recipients, err := a.Imports.ImportRecipients(ctx, in.ID, p)
			if err != nil {
				return nil, err
			}
			return &body[list[recipientView]]{listOf(recipients, p, func(r enroll.Recipient) string { return strconv.Itoa(r.Line) }, func(r enroll.Recipient) recipientView {
				return recipientView{Line: r.Line, Serial: r.Serial, State: r.State, User: viewUser(r.User), Problem: r.Unreachable(in.Via)}
			})}, nil
		})

	csvAnswer := map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	errorsFile := op("get-import-errors", "/{id}/errors.csv", "Download the rows that cannot be applied", "The columns as they were uploaded, and `line` and `error` behind them. Corrected, it can be uploaded as it is.")
	errorsFile.Responses = csvAnswer
	add(r, RoleViewer, errorsFile, func(ctx context.Context, in *ImportID) (*huma.StreamResponse, error) {
		if err := a.Imports.HasPlan(ctx, in.ID); err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			c.SetHeader("Content-Type", "text/csv; charset=utf-8")
			c.SetHeader("Content-Disposition", `attachment; filename="errors.csv"`)
			c.SetStatus(http.StatusOK)
			w := bufio.NewWriterSize(c.BodyWriter(), 64<<10)
			if err := a.Imports.WriteErrors(ctx, in.ID, w); err != nil {
				a.Logger.WarnContext(ctx, "errors.csv cut short", "import", in.ID, "error", err)
				panic(http.ErrAbortHandler) // nobody is to take a part for the whole
			}
			w.Flush()
		}}, nil
	})

	type sample struct {
		ContentType string `header:"Content-Type"`
		Disposition string `header:"Content-Disposition"`
		Body        []byte
	}
	sampleFile := op("get-sample-csv", "/sample.csv", "Download the sample CSV file", "It imports as it is.")
	sampleFile.Responses = map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	add(r, RoleViewer, sampleFile, func(context.Context, *struct{}) (*sample, error) {
		return &sample{ContentType: "text/csv; charset=utf-8", Disposition: `attachment; filename="sample.csv"`, Body: importer.Sample()}, nil
	})
}
