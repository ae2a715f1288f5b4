package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// importRowOf is a row of a plan.
type importRowOf struct {
	Line     int               `json:"line"`
	Action   string            `json:"action"`
	Serial   string            `json:"serial"`
	Email    string            `json:"email"`
	Changes  []importChange    `json:"changes"`
	Errors   []importCellError `json:"errors"`
	Warnings []importCellError `json:"warnings"`
	Version  int64             `json:"version"`
	Revert   string            `json:"revert"`
	Cells    []importCell      `json:"cells"`
}

type importChange struct {
	Field string `json:"field"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

type importCellError struct {
	Column string `json:"column"`
	Value  string `json:"value"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint"`
}

// importProblem is how many rows have one thing wrong with them.
type importProblem struct {
	Code string `json:"code"`
	Rows int    `json:"rows"`
}

type importCell struct {
	Column    int    `json:"column"`
	Header    string `json:"header"`
	Field     string `json:"field"`
	Value     string `json:"value"`
	Uploaded  string `json:"uploaded"`
	Corrected bool   `json:"corrected"`
}

// Input is the name of the cell's field on the page.
func (c importCell) Input() string { return "cell-" + strconv.Itoa(c.Column) }

// Title is what the column is called.
func (c importCell) Title() string {
	if c.Header == "" {
		return "#" + strconv.Itoa(c.Column)
	}
	return c.Header
}

// is says whether a column is named so.
func (c importCell) is(name string) bool {
	return name != "" && (name == c.Header || name == c.Field || name == "#"+strconv.Itoa(c.Column))
}

// importActions are the tabs of a review, those that need somebody first.
var importActions = []string{"error", "conflict", "new", "changed", "unchanged", "skipped"}

// importReview is the third step: what the plan does, row by row. It stays to be
// read when the plan is applied.
func importReview(q *request) error {
	imp, there, err := importStep(q, "planned", "applied", "reverted")
	if !there {
		return err
	}
	action := q.Param("action")
	if !slices.Contains(importActions, action) {
		i := slices.IndexFunc(importActions, func(a string) bool { return imp.Counts.Of(a) > 0 })
		action = importActions[max(i, 0)]
	}
	query := q.filtersOf([]string{"cursor", "problem", "warned", "kept"})
	query.Set("limit", pageSize)
	if query.Get("kept") == "" {
		query.Set("action", action)
	}
	data := struct {
		imported
		Actions    []string
		Action     string
		Rows       []importRowOf
		NextCursor string
		Problems   []importProblem
		Editable   bool
		Back       string
	}{imported: imp, Actions: importActions, Action: action, Editable: imp.State == "planned", Back: q.URL.RequestURI()}
	var list struct {
		Items      []importRowOf `json:"items"`
		NextCursor string        `json:"next_cursor"`
	}
	if err := q.get(at("/imports/%s/rows", imp.ID), query, &list); err != nil {
		return err
	}
	data.Rows, data.NextCursor = list.Items, list.NextCursor
	if action == "error" || action == "conflict" {
		var problems struct {
			Items []importProblem `json:"items"`
		}
		if err := q.get(at("/imports/%s/problems", imp.ID), nil, &problems); err != nil {
			return err
		}
		data.Problems = problems.Items
	}
	return q.page("import_review", importView(imp, data))
}

func importErrors(q *request) error {
	return q.pass(call{Method: http.MethodGet, Path: at("/imports/%s/errors.csv", q.PathValue("id"))}, "errors.csv")
}

func importRow(q *request) error { return importRowPage(q, nil) }

// importRowPage shows all cells of a row. After a refusal they hold what was
// typed, beside what the row is by now.
func importRowPage(q *request, p *problem) error {
	imp, there, err := importStep(q, "planned", "applied", "reverted")
	if !there {
		return err
	}
	data := struct {
		imported
		Row      importRowOf
		Now      *importRowOf // of a version conflict
		Editable bool
		Back     string
	}{imported: imp, Editable: imp.State == "planned", Back: importBack(q)}
	if err := q.get(at("/imports/%s/rows/%s", imp.ID, q.PathValue("line")), nil, &data.Row); err != nil {
		return err
	}
	if p != nil && len(p.Current) > 0 {
		data.Now = new(importRowOf)
		if err := json.Unmarshal(p.Current, data.Now); err != nil {
			return err
		}
	}
	for _, c := range data.Row.Cells {
		if p != nil && c.is(q.Typed("column")) {
			q.form.Set(c.Input(), q.form.Get("value"))
		}
	}
	v := importView(imp, data)
	v.Title, v.Crumbs, v.Problem = text("import.row", data.Row.Line), append(v.Crumbs, crumb{importPath(imp.ID, "/review"), imp.Name()}), p
	return q.page("import_row", v)
}

// importBack is the page of the review that a row was opened from.
func importBack(q *request) string {
	back := q.Typed("back")
	if back == "" {
		back = q.Param("back")
	}
	if !local(back) {
		return Prefix + importPath(q.PathValue("id"), "/review")
	}
	return back
}

// correctImportRow gives one cell another value, or all that were changed.
func correctImportRow(q *request) error {
	id, line := q.PathValue("id"), q.PathValue("line")
	path := at("/imports/%s/rows/%s", id, line)
	cells := map[string]any{}
	if column := q.Typed("column"); column != "" {
		cells[column] = q.form.Get("value")
	} else {
		var now importRowOf
		if err := q.get(path, nil, &now); err != nil {
			return err
		}
		for _, c := range now.Cells {
			if v, sent := q.form[c.Input()]; sent && v[0] != c.Value {
				cells["#"+strconv.Itoa(c.Column)] = v[0]
				if v[0] == c.Uploaded && c.Corrected {
					cells["#"+strconv.Itoa(c.Column)] = nil
				}
			}
		}
	}
	back := importBack(q)
	if len(cells) == 0 {
		q.redirect(back[len(Prefix):])
		return nil
	}
	var row importRowOf
	err := q.do(call{Method: http.MethodPatch, Path: path, JSON: cells, IfMatch: q.Typed("version")}, &row)
	if p := refusal(err); p != nil {
		return importRowPage(q, p)
	}
	if err != nil {
		return err
	}
	if row.Action == "error" || row.Action == "conflict" {
		return q.done(importPath(id, "/rows/"+line+"?"+url.Values{"back": {back}}.Encode()), "import.corrected.still", row.Line)
	}
	return q.done(back[len(Prefix):], "import.corrected", row.Line, label("import.action", row.Action))
}

// skipImportErrors lets the good rows be applied without the bad ones.
func skipImportErrors(q *request) error {
	imp, there, err := importStep(q, "planned")
	if !there {
		return err
	}
	if err := q.patch(at("/imports/%s", imp.ID), map[string]string{"on_error": "skip"}, nil); err != nil {
		return err
	}
	q.redirect(importPath(imp.ID, "/send"))
	return nil
}
