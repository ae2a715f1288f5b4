package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// ImportCommands bring CSV files onto the roll: plan, look, apply, and undo.
type ImportCommands struct {
	Session
	Plan       importPlan       `cmd:"" help:"Upload a CSV file and tell what it would change. Nothing is written."`
	Correct    importCorrect    `cmd:"" help:"Give cells of a row other values; the file stays as it is."`
	Apply      importApply      `cmd:"" help:"Write the plan of an import."`
	Revert     importRevert     `cmd:"" help:"Undo an applied import, row by row."`
	Cancel     importCancel     `cmd:"" help:"Give up an import that is not applied."`
	Delete     importDelete     `cmd:"" help:"Delete an import with its file and plan. What it did to the roll stays."`
	List       importList       `cmd:"" help:"List the imports, newest first."`
	Show       importShow       `cmd:"" help:"Show an import, or with --rows each row of its plan."`
	Errors     importErrors     `cmd:"" help:"List the rows that cannot be applied; with -o csv as a file to correct and upload again."`
	Recipients importRecipients `cmd:"" help:"List who can be sent an enrollment request."`
	Presets    importPresets    `cmd:"" help:"List the presets for lists of other products."`
	Sample     importSample     `cmd:"" help:"Print the sample CSV file."`
}

// maxFile is the largest file that the API takes.
const maxFile = 64 << 20

var (
	importColumns = columns("id", "state", "file=file_name", "rows=counts.rows", "new=counts.new", "changed=counts.changed", "unchanged=counts.unchanged",
		"conflicts=counts.conflict", "errors=counts.error", "created_by", "created=created_at")
	importFields = columns("id", "state", "file=file_name", "domain=options.domain", "preset=options.preset", "read_as=charset", "delimiter",
		"rows=counts.rows", "new=counts.new", "changed=counts.changed", "unchanged=counts.unchanged", "skipped=counts.skipped", "conflicts=counts.conflict", "errors=counts.error",
		"warnings=counts.warnings", "users_new=counts.users_new", "users_changed=counts.users_changed", "problem=problem.detail",
		"created_by", "created_at", "planned_at", "applied_by", "applied_at", "reverted_by", "reverted_at",
		"deleted=reverted.deleted", "restored=reverted.restored", "kept_enrolled=reverted.kept_enrolled", "kept_changed=reverted.kept_changed", "gone=reverted.gone")
	mappingColumns = columns("column=header", "field", "suggested", "for_example=samples")
)

// importOptions say how a file is read, in the words of the API.
type importOptions struct {
	Domain      string   `help:"Directory the users of the file belong to." default:"local"`
	Preset      string   `help:"Whose list it is; import presets names them."`
	Charset     string   `help:"Code page of a file that is not Unicode, such as windows-1252."`
	Delimiter   string   `help:"One of , ; | tab. Default: found out."`
	Header      string   `help:"Whether the first line names the columns: yes or no. Default: found out."`
	Map         []string `help:"What a column is; repeat for several. - as the field leaves it out." placeholder:"COLUMN:FIELD" sep:"none"`
	Default     []string `help:"Value of rows that have none; repeat for several." placeholder:"FIELD:VALUE" sep:"none"`
	Owner       string   `help:"Whether each row needs an owner: required or optional."`
	OnDuplicate string   `help:"What becomes of a row whose serial is on the roll." enum:"skip,update,replace,fail" default:"update"`
	OnError     string   `help:"Whether the good rows of a file with bad ones can be applied: skip, or not: abort." enum:"abort,skip" default:"abort"`
	Users       string   `help:"Whether users who exist get name and mobile number of the file: replace, or not: skip." enum:"replace,skip" default:"replace"`
	PreEnroll   bool     `help:"Pre-enroll Devices; --no-pre-enroll makes users only." default:"true" negatable:""`
	Again       bool     `help:"Make another import of the same file."`
}

func (o importOptions) query(file string) url.Values {
	q := filter("domain", o.Domain, "file_name", file, "preset", o.Preset, "charset", o.Charset, "delimiter", o.Delimiter, "header", o.Header, "owner", o.Owner,
		"on_duplicate", o.OnDuplicate, "on_error", o.OnError, "users", o.Users, "pre_enroll", strconv.FormatBool(o.PreEnroll))
	q["map"], q["default"] = o.Map, o.Default
	if o.Again {
		q.Set("again", "true")
	}
	return q
}

type importPlan struct {
	File string `arg:"" help:"CSV file; - for standard input."`
	importOptions
	Apply bool `help:"Apply the plan at once if every row can be applied."`
}

// Run implements the command.
func (c *importPlan) Run(ctx context.Context, s *Session) error {
	data, name, err := readInput(c.File, maxFile)
	if err != nil {
		return err
	}
	upload := post("/imports", data)
	upload.contentType, upload.query = "text/csv", c.query(name)
	imp, err := s.doImport(ctx, upload)
	if err != nil {
		return err
	}
	if err := s.refusedPlan(ctx, imp); err != nil || !c.Apply {
		if shown := s.showImport(imp.raw); shown != nil {
			return shown
		}
		if shown := s.warnedRows(ctx, imp); shown != nil {
			return shown
		}
		return err
	}
	return s.applyImport(ctx, imp.ID, nil)
}

// imported is what commands need of an import.
type imported struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Stale    int    `json:"stale"`
	Progress struct {
		Done  int `json:"done"`
		Total int `json:"total"`
	} `json:"progress"`
	Options struct {
		OnError string `json:"on_error"`
	} `json:"options"`
	Counts struct {
		Rows     int `json:"rows"`
		Conflict int `json:"conflict"`
		Error    int `json:"error"`
		Warnings int `json:"warnings"`
	} `json:"counts"`
	Problem *struct {
		Detail string `json:"detail"`
		Hint   string `json:"hint"`
	} `json:"problem"`

	raw []byte
}

func parseImport(raw []byte) (imported, error) {
	imp := imported{raw: raw}
	err := json.Unmarshal(raw, &imp)
	return imp, err
}

// working says whether a worker of the server has the import in hand.
func (i imported) working() bool {
	switch i.State {
	case "uploaded", "planning", "applying", "sending", "reverting":
		return true
	}
	return false
}

// doImport makes a call that answers with an import, and follows the work on it
// to its end.
func (s *Session) doImport(ctx context.Context, c call) (imported, error) {
	raw, err := s.do(ctx, c)
	if err != nil {
		return imported{}, err
	}
	imp, err := parseImport(raw)
	if err != nil {
		return imp, err
	}
	bar := newBar(os.Stderr)
	defer bar.end()
	for wait := 100 * time.Millisecond; imp.working(); wait = min(2*wait, time.Second) {
		bar.show(imp.State, imp.Progress.Done, imp.Progress.Total)
		select {
		case <-ctx.Done():
			return imp, failed("The server goes on; rollcall import show "+imp.ID+" tells how far.", "interrupted")
		case <-time.After(wait):
		}
		if raw, err = s.do(ctx, get(join("imports", imp.ID), nil)); err != nil {
			return imp, err
		}
		if imp, err = parseImport(raw); err != nil {
			return imp, err
		}
	}
	return imp, nil
}

// shownErrors is how many bad rows are told beside the plan.
const shownErrors = 20

// warnedRows lists for people the first warnings of a plan.
func (s *Session) warnedRows(ctx context.Context, imp imported) error {
	if s.Output != formTable || imp.Counts.Warnings == 0 {
		return nil
	}
	var warnings []json.RawMessage
	err := s.pages(ctx, join("imports", imp.ID, "rows"), url.Values{"warned": {"true"}}, shownErrors, func(rows []json.RawMessage) error {
		for _, raw := range rows {
			var row struct {
				Warnings []json.RawMessage `json:"warnings"`
			}
			if err := json.Unmarshal(raw, &row); err != nil {
				return err
			}
			warnings = append(warnings, row.Warnings...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.table(warnings, columns("line", "column", "value", "warning=detail")); err != nil {
		return err
	}
	if imp.Counts.Warnings > shownErrors {
		fmt.Fprintf(os.Stderr, "%d rows have warnings; rollcall import show %s --warned lists them.\n", imp.Counts.Warnings, imp.ID)
	}
	return nil
}

// refusedPlan is why a plan cannot be applied, or nil.
func (s *Session) refusedPlan(ctx context.Context, imp imported) error {
	bad := imp.Counts.Error + imp.Counts.Conflict
	switch {
	case imp.State == "failed" && imp.Problem != nil:
		return &Error{code: exitInvalid, Detail: imp.Problem.Detail, Hint: imp.Problem.Hint}
	case imp.State != "planned" || bad == 0 || imp.Options.OnError == "skip":
		return nil
	}
	e := &Error{code: exitInvalid, Detail: fmt.Sprintf("%d of %d rows cannot be applied, so none is", bad, imp.Counts.Rows),
		Hint: fmt.Sprintf("rollcall import errors %s -o csv gives these rows to correct and plan again; with --on-error skip the others can be applied.", imp.ID)}
	err := s.pages(ctx, join("imports", imp.ID, "rows"), url.Values{"action": {"error,conflict"}}, shownErrors, func(rows []json.RawMessage) error {
		for _, raw := range rows {
			var row struct {
				Errors []problemRow `json:"errors"`
			}
			if err := json.Unmarshal(raw, &row); err != nil {
				return err
			}
			e.Rows = append(e.Rows, row.Errors...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e
}

type oneImport struct {
	ID string `arg:"" help:"ID of the import."`
}

type importApply struct {
	oneImport
	Send   string `enum:"email,sms," default:"" help:"Send its recipients enrollment requests when everything is written: email or sms."`
	Except []int  `help:"Lines whose recipients get none."`
}

// Run implements the command.
func (c *importApply) Run(ctx context.Context, s *Session) error {
	if c.Send == "" {
		return s.applyImport(ctx, c.ID, nil)
	}
	requests := map[string]any{"via": c.Send}
	if len(c.Except) > 0 {
		requests["except"] = c.Except
	}
	return s.applyImport(ctx, c.ID, map[string]any{"requests": requests})
}

// applyImport applies a plan. Where the roll has changed meanwhile, there is a
// new plan to be looked at: a conflict.
func (s *Session) applyImport(ctx context.Context, id string, body any) error {
	apply := post(join("imports", id, "apply"), body)
	apply.query = filter("wait", "0")
	imp, err := s.doImport(ctx, apply)
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "plan_has_errors" {
		return s.tellErrors(ctx, id, err)
	}
	if err != nil {
		return err
	}
	switch imp.State {
	case "applied":
	case "planned":
		return &Error{code: exitConflict, Detail: fmt.Sprintf("%d rows of the roll had changed since the plan was made, so nothing was applied", imp.Stale),
			Hint: "There is a new plan: look at it with rollcall import show " + id + ", and apply it."}
	case "failed":
		return s.refusedPlan(ctx, imp)
	default:
		return &Error{code: exitConflict, Detail: "the import is " + imp.State + ", so it was not applied"}
	}
	said := counted(imp.raw, "counts", "new", "changed", "unchanged", "skipped", "conflict", "error")
	if body != nil {
		said += "; requests: " + counted(imp.raw, "requests", "sent", "left_out")
	}
	return s.done(imp.raw, importFields, "the import %s is applied: %s", id, said)
}

type importCorrect struct {
	oneImport
	Line  int      `arg:"" help:"Line of the file the row begins in."`
	Cells []string `arg:"" name:"column=value" help:"Columns by their name, their field or their position (#1)."`
	versioned
}

// Run implements the command.
func (c *importCorrect) Run(ctx context.Context, s *Session) error {
	cells := map[string]string{}
	for _, cell := range c.Cells {
		i := strings.LastIndex(cell, "=")
		if i < 1 {
			return &Error{code: exitInvalid, Detail: fmt.Sprintf("%q is not COLUMN=VALUE", cell)}
		}
		cells[cell[:i]] = cell[i+1:]
	}
	raw, err := s.do(ctx, call{method: "PATCH", path: join("imports", c.ID, "rows", strconv.Itoa(c.Line)), body: cells, ifMatch: c.etag()})
	if err != nil {
		return err
	}
	row, err := parseRecord(raw)
	if err != nil {
		return err
	}
	return s.done(raw, columns("line", "action", "serial", "email", "version"), "line %d is %s now", c.Line, row.text("action"))
}

// tellErrors adds to a refusal the rows it is about.
func (s *Session) tellErrors(ctx context.Context, id string, refusal error) error {
	raw, err := s.do(ctx, get(join("imports", id), nil))
	if err != nil {
		return err
	}
	imp, err := parseImport(raw)
	if err != nil {
		return err
	}
	if err := s.refusedPlan(ctx, imp); err != nil {
		return err
	}
	return refusal // it was changed meanwhile
}

// counted is the counts of an object that are not zero, as words.
func counted(raw []byte, under string, names ...string) string {
	r, err := parseRecord(raw)
	if err != nil {
		return ""
	}
	text := ""
	for _, n := range names {
		if v := r.text(under + "." + n); v != "" && v != "0" {
			text += ", " + v + " " + clean(n)
		}
	}
	if text == "" {
		return "nothing to do"
	}
	return text[2:]
}

type importRevert struct {
	oneImport
	Preview bool `help:"Only tell what it would do now."`
}

// Run implements the command.
func (c *importRevert) Run(ctx context.Context, s *Session) error {
	path := join("imports", c.ID, "revert")
	if c.Preview {
		raw, err := s.do(ctx, get(path, nil))
		if err != nil {
			return err
		}
		return s.show(raw, columns("deleted", "restored", "kept_enrolled", "kept_changed", "gone"))
	}
	revert := post(path, nil)
	revert.query = filter("wait", "0")
	imp, err := s.doImport(ctx, revert)
	if err != nil {
		return err
	}
	if imp.State != "reverted" {
		return &Error{code: exitConflict, Detail: "the import is " + imp.State + ", so it was not reverted"}
	}
	return s.done(imp.raw, importFields, "the import %s is reverted: %s", c.ID, counted(imp.raw, "reverted", "deleted", "restored", "kept_enrolled", "kept_changed", "gone"))
}

type importCancel struct{ oneImport }

// Run implements the command.
func (c *importCancel) Run(ctx context.Context, s *Session) error {
	raw, err := s.do(ctx, post(join("imports", c.ID, "cancel"), nil))
	if err != nil {
		return err
	}
	return s.done(raw, importFields, "the import %s is cancelled", c.ID)
}

type importDelete struct{ oneImport }

// Run implements the command.
func (c *importDelete) Run(ctx context.Context, s *Session) error {
	if _, err := s.do(ctx, remove(join("imports", c.ID))); err != nil {
		return err
	}
	return s.done(nil, nil, "the import %s is deleted", c.ID)
}

type importList struct{ limited }

// Run implements the command.
func (c *importList) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/imports", nil, c.Limit, importColumns)
}

type importShow struct {
	oneImport
	Rows   bool   `help:"Show the rows, each with what changes."`
	Action string `help:"Of the rows only these: new, changed, unchanged, conflict, error, skipped; several with commas." placeholder:"ACTION"`
	Warned bool   `help:"Of the rows only those with warnings."`
	Kept   bool   `help:"Of the rows only those that a revert keeps."`
	limited
}

// changesText is what a plan changes in a row.
func changesText(r record) string {
	text := ""
	for _, c := range r.list("changes") {
		if text != "" {
			text += "; "
		}
		text += c.text("field") + ": "
		if old := c.text("old"); old != "" {
			text += old + " -> "
		}
		text += c.text("new")
	}
	for _, list := range []string{"errors", "warnings"} {
		for _, e := range r.list(list) {
			if text != "" {
				text += "; "
			}
			text += e.text("detail")
		}
	}
	return text
}

// Run implements the command.
func (c *importShow) Run(ctx context.Context, s *Session) error {
	if c.Rows || c.Action != "" || c.Warned || c.Kept {
		q := filter("action", c.Action)
		if c.Warned {
			q.Set("warned", "true")
		}
		if c.Kept {
			q.Set("kept", "true")
		}
		cols := append(columns("line", "action", "serial", "email", "revert"), column{name: "changes", of: changesText})
		return s.list(ctx, join("imports", c.ID, "rows"), q, c.Limit, cols)
	}
	raw, err := s.do(ctx, get(join("imports", c.ID), nil))
	if err != nil {
		return err
	}
	return s.showImport(raw)
}

// showImport writes an import and how its columns are understood; as CSV it is
// one row.
func (s *Session) showImport(raw []byte) error {
	if s.Output == formCSV {
		return s.show(raw, importFields)
	}
	return s.showWith(raw, importFields, "columns", mappingColumns)
}

type importErrors struct {
	oneImport
	limited
}

// Run implements the command.
func (c *importErrors) Run(ctx context.Context, s *Session) error {
	if s.Output == formCSV {
		if c.Limit > 0 {
			return usage("Leave it out.", "the file of errors is always whole, without --limit")
		}
		return s.download(ctx, join("imports", c.ID, "errors.csv"))
	}
	query := url.Values{"action": {"error,conflict"}}
	if s.Output == formJSON {
		return s.list(ctx, join("imports", c.ID, "rows"), query, c.Limit, nil)
	}
	w := bufio.NewWriter(os.Stdout)
	out := s.rows(w, columns("line", "column", "value", "error=detail", "remedy=hint"))
	if err := out.begin(); err != nil {
		return err
	}
	return s.pages(ctx, join("imports", c.ID, "rows"), query, c.Limit, func(rows []json.RawMessage) error {
		var wrong []json.RawMessage
		for _, raw := range rows {
			var row struct {
				Errors []json.RawMessage `json:"errors"`
			}
			if err := json.Unmarshal(raw, &row); err != nil {
				return err
			}
			wrong = append(wrong, row.Errors...)
		}
		if err := out.page(wrong); err != nil {
			return err
		}
		return w.Flush()
	})
}

// download writes a file of the server to standard output.
func (s *Session) download(ctx context.Context, path string) error {
	body, err := s.open(ctx, get(path, nil))
	if err != nil {
		return err
	}
	defer body.Close()
	return s.copyTo(os.Stdout, body)
}

type importRecipients struct {
	oneImport
	limited
}

// Run implements the command.
func (c *importRecipients) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, join("imports", c.ID, "recipients"), nil, c.Limit, columns("serial", "state", "name=user.name", "email=user.email", "mobile=user.mobile", "line"))
}

type importPresets struct{}

// Run implements the command.
func (c *importPresets) Run(ctx context.Context, s *Session) error {
	return s.list(ctx, "/import-presets", nil, unpaged, columns("name", "title", "built_in"))
}

type importSample struct{}

// Run implements the command.
func (c *importSample) Run(ctx context.Context, s *Session) error {
	return s.download(ctx, "/imports/sample.csv")
}
