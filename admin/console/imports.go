package console

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// The way of an import through the console: a file is sent (import_file.go), its
// columns are mapped (import_map.go), its rows reviewed and corrected
// (import_review.go), recipients chosen (import_send.go), and it is followed to
// its end, and undone (import_result.go).
var importPages = []route{
	get("/imports", imports),
	get("/imports/new", only("create-import", importFile)),
	upload("/imports/new", uploadImport),
	get("/imports/sample.csv", importSample),
	get("/import-presets", importPresets),
	post("/import-presets/{name}/delete", deleteImportPreset),
	get("/imports/{id}", importResult),
	get("/imports/{id}/progress", importProgress),
	get("/imports/{id}/map", importMapping),
	post("/imports/{id}/map", mapImport),
	post("/imports/{id}/preset", saveImportPreset),
	get("/imports/{id}/review", importReview),
	get("/imports/{id}/errors.csv", importErrors),
	get("/imports/{id}/rows/{line}", importRow),
	post("/imports/{id}/rows/{line}", correctImportRow),
	post("/imports/{id}/skip-errors", skipImportErrors),
	get("/imports/{id}/send", only("apply-import", importRecipients)),
	post("/imports/{id}/send", sendImport),
	post("/imports/{id}/send/button", importButton),
	get("/imports/{id}/preview", importPreview),
	get("/imports/{id}/preview/message", importPreviewMessage),
	get("/imports/{id}/revert", importRevert),
	post("/imports/{id}/revert", revertImport),
	post("/imports/{id}/cancel", cancelImport),
	post("/imports/{id}/delete", deleteImport),
}

// imported is what the pages show of an import; see the API's import.
type imported struct {
	ID        string         `json:"id"`
	State     string         `json:"state"`
	FileName  string         `json:"file_name"`
	Size      int64          `json:"size"`
	Options   importOptions  `json:"options"`
	Charset   string         `json:"charset"`
	Delimiter string         `json:"delimiter"`
	Columns   []importColumn `json:"columns"`
	Counts    importCounts   `json:"counts"`
	Progress  struct {
		Done  int `json:"done"`
		Total int `json:"total"`
	} `json:"progress"`
	Stale    int            `json:"stale"`
	Problem  *problem       `json:"problem"`
	Requests *importSending `json:"requests"`

	CreatedBy  string          `json:"created_by"`
	CreatedAt  time.Time       `json:"created_at"`
	AppliedBy  string          `json:"applied_by"`
	AppliedAt  time.Time       `json:"applied_at"`
	RevertedBy string          `json:"reverted_by"`
	RevertedAt time.Time       `json:"reverted_at"`
	Reverted   *importReverted `json:"reverted"`
	Existed    bool            `json:"existed"`
}

type importOptions struct {
	Domain      string                       `json:"domain"`
	Preset      string                       `json:"preset"`
	Charset     string                       `json:"charset"`
	Delimiter   string                       `json:"delimiter"`
	Header      string                       `json:"header"`
	Values      map[string]map[string]string `json:"values"`
	Defaults    map[string]string            `json:"defaults"`
	Owner       string                       `json:"owner"`
	OnDuplicate string                       `json:"on_duplicate"`
	OnError     string                       `json:"on_error"`
	Users       string                       `json:"users"`
	PreEnroll   bool                         `json:"pre_enroll"`
}

type importColumn struct {
	Position   int      `json:"position"`
	Header     string   `json:"header"`
	Field      string   `json:"field"`
	Suggested  string   `json:"suggested"`
	Confidence float64  `json:"confidence"`
	Samples    []string `json:"samples"`
}

// Percent is the confidence for people.
func (c importColumn) Percent() int { return int(c.Confidence * 100) }

type importCounts struct {
	Rows          int `json:"rows"`
	New           int `json:"new"`
	Changed       int `json:"changed"`
	Unchanged     int `json:"unchanged"`
	Conflict      int `json:"conflict"`
	Error         int `json:"error"`
	Skipped       int `json:"skipped"`
	Warnings      int `json:"warnings"`
	UsersNew      int `json:"users_new"`
	UsersChanged  int `json:"users_changed"`
	Recipients    int `json:"recipients"`
	RecipientsSMS int `json:"recipients_sms"`
}

// Of is the number of rows with an action.
func (c importCounts) Of(action string) int {
	return map[string]int{"new": c.New, "changed": c.Changed, "unchanged": c.Unchanged, "conflict": c.Conflict, "error": c.Error, "skipped": c.Skipped}[action]
}

// Bad is the number of rows that cannot be applied.
func (c importCounts) Bad() int { return c.Conflict + c.Error }

// Written is the number of rows that applying writes.
func (c importCounts) Written() int { return c.New + c.Changed }

type importSending struct {
	Via     string `json:"via"`
	Sent    int    `json:"sent"`
	LeftOut int    `json:"left_out"`
	Done    bool   `json:"done"`
}

type importReverted struct {
	Deleted      int `json:"deleted"`
	Restored     int `json:"restored"`
	KeptEnrolled int `json:"kept_enrolled"`
	KeptChanged  int `json:"kept_changed"`
	Gone         int `json:"gone"`
}

// Undone is the number of rows that are taken back.
func (r importReverted) Undone() int { return r.Deleted + r.Restored }

// Kept is the number of rows that stay as they are.
func (r importReverted) Kept() int { return r.KeptEnrolled + r.KeptChanged + r.Gone }

// Working says whether the server has the import in hand.
func (i imported) Working() bool {
	return slices.Contains([]string{"uploaded", "planning", "applying", "sending", "reverting"}, i.State)
}

// Blocked says whether bad rows keep the plan from being applied.
func (i imported) Blocked() bool { return i.Counts.Bad() > 0 && i.Options.OnError != "skip" }

// Name is what to call the import.
func (i imported) Name() string {
	if i.FileName == "" {
		return text("import.unnamed")
	}
	return i.FileName
}

func importPath(id, rest string) string { return "/imports/" + url.PathEscape(id) + rest }

// imported reads the import that the path names.
func (q *request) imported() (imported, error) {
	var imp imported
	err := q.get(at("/imports/%s", q.PathValue("id")), nil, &imp)
	return imp, err
}

// importView is a page of one import. While it can still be changed, its steps
// are tabs.
func importView(imp imported, data any) view {
	v := view{Title: imp.Name(), Area: "import", Crumbs: []crumb{{"/imports", text("import.title")}}, Data: data}
	if imp.State == "planned" || imp.State == "failed" {
		v.Tabs = []tab{{importPath(imp.ID, "/map"), "import.step.map", ""}, {importPath(imp.ID, "/review"), "import.step.review", ""}, {importPath(imp.ID, "/send"), "import.step.send", "apply-import"}}
	}
	return v
}

// importStep reads the import of a step. Where the server works on it, its
// progress is shown in place of the step, and where it is past the step, its end.
func importStep(q *request, states ...string) (imp imported, there bool, err error) {
	if imp, err = q.imported(); err != nil {
		return imp, false, err
	}
	switch {
	case imp.Working():
		return imp, false, q.page("import_working", importView(imp, imp))
	case !slices.Contains(states, imp.State):
		q.redirect(importPath(imp.ID, ""))
		return imp, false, nil
	}
	return imp, true, nil
}

// imports is the history.
func imports(q *request) error {
	query := q.filtersOf([]string{"cursor"})
	query.Set("limit", pageSize)
	var data struct {
		Items      []imported `json:"items"`
		NextCursor string     `json:"next_cursor"`
	}
	if err := q.get("/imports", query, &data); err != nil {
		return err
	}
	return q.page("imports", view{Title: text("import.title"), Area: "import", Tabs: importTabs, Data: data})
}

var importTabs = []tab{{"/imports", "import.history", ""}, {"/import-presets", "import.presets", ""}}

func importSample(q *request) error {
	return q.pass(call{Method: http.MethodGet, Path: "/imports/sample.csv"}, "sample.csv")
}

// importPreset is a way of reading files that has a name.
type importPreset struct {
	Name      string                       `json:"name,omitempty"`
	BuiltIn   bool                         `json:"built_in,omitempty"`
	Title     string                       `json:"title,omitempty"`
	Charset   string                       `json:"charset,omitempty"`
	Delimiter string                       `json:"delimiter,omitempty"`
	Header    string                       `json:"header,omitempty"`
	Mapping   map[string]string            `json:"mapping,omitempty"`
	Values    map[string]map[string]string `json:"values,omitempty"`
	Defaults  map[string]string            `json:"defaults,omitempty"`
	Owner     string                       `json:"owner,omitempty"`
}

type importPresetList struct {
	Items []importPreset `json:"items"`
}

func importPresets(q *request) error {
	var data importPresetList
	if err := q.get("/import-presets", nil, &data); err != nil {
		return err
	}
	return q.page("import_presets", view{Title: text("import.presets"), Area: "import", Tabs: importTabs, Data: data})
}

func deleteImportPreset(q *request) error {
	if err := q.delete(at("/import-presets/%s", q.PathValue("name")), nil, nil); err != nil {
		return err
	}
	return q.done("/import-presets", "import.preset.deleted", q.PathValue("name"))
}

// saveImportPreset keeps how this import was read, under a name.
func saveImportPreset(q *request) error {
	imp, there, err := importStep(q, "planned", "failed")
	if !there {
		return err
	}
	o := imp.Options
	p := importPreset{Title: q.Typed("title"), Charset: o.Charset, Delimiter: o.Delimiter, Header: o.Header, Values: o.Values, Defaults: o.Defaults, Owner: o.Owner, Mapping: map[string]string{}}
	for _, c := range imp.Columns {
		p.Mapping[c.key()] = c.use()
	}
	err = q.put(at("/import-presets/%s", q.Typed("name")), p, nil)
	if p := refusal(err); p != nil {
		return importMappingPage(q, imp, p)
	}
	if err != nil {
		return err
	}
	return q.done(importPath(imp.ID, "/map"), "import.preset.saved", q.Typed("name"))
}
