package console

import (
	"net/http"
	"net/url"
)

// importResult is where an import stands, and what became of it. What is not at
// its end goes on where it was left.
func importResult(q *request) error {
	imp, there, err := importStep(q, "planned", "failed", "applied", "reverted", "cancelled")
	if !there {
		return err
	}
	switch imp.State {
	case "planned":
		q.redirect(importPath(imp.ID, "/review"))
		return nil
	case "failed":
		q.redirect(importPath(imp.ID, "/map"))
		return nil
	}
	return q.page("import_result", importView(imp, imp))
}

// begin has the server do something with an import that may take its time.
func (q *request) begin(path string, body any) error {
	return q.do(call{Method: http.MethodPost, Path: path, Query: url.Values{"wait": {"0"}}, JSON: body, Once: q.Typed("once")}, nil)
}

// importProgress is how far the work is, for a page that waits. When it is done
// the whole page is loaded anew.
func importProgress(q *request) error {
	imp, err := q.imported()
	if err != nil {
		return err
	}
	if !imp.Working() {
		q.w.Header().Set("HX-Refresh", "true")
	}
	return q.part("import_progress", imp)
}

// importRevert shows what a revert would do.
func importRevert(q *request) error { return importRevertPage(q, nil) }

func importRevertPage(q *request, p *problem) error {
	imp, there, err := importStep(q, "applied")
	if !there {
		return err
	}
	var counts importReverted
	if err := q.get(at("/imports/%s/revert", imp.ID), nil, &counts); err != nil {
		return err
	}
	var kept struct {
		Items      []importRowOf `json:"items"`
		NextCursor string        `json:"next_cursor"`
	}
	if counts.Kept() > 0 {
		if err := q.get(at("/imports/%s/rows", imp.ID), map[string][]string{"kept": {"true"}, "limit": {pageSize}}, &kept); err != nil {
			return err
		}
	}
	v := importView(imp, struct {
		imported
		Preview importReverted
		Rows    []importRowOf
		More    bool
		Typing  bool
	}{imp, counts, kept.Items, kept.NextCursor != "", counts.Undone() > typedConfirmation})
	v.Title, v.Crumbs, v.Problem = text("import.revert.title"), append(v.Crumbs, crumb{importPath(imp.ID, ""), imp.Name()}), p
	return q.page("import_revert", v)
}

// typedConfirmation is above how many devices a revert has to be confirmed by
// typing.
const typedConfirmation = 50

func revertImport(q *request) error {
	imp, there, err := importStep(q, "applied")
	if !there {
		return err
	}
	var counts importReverted
	if err := q.get(at("/imports/%s/revert", imp.ID), nil, &counts); err != nil {
		return err
	}
	if counts.Undone() > typedConfirmation && q.Typed("confirm") != text("import.revert.word") {
		return importRevertPage(q, &problem{Status: http.StatusUnprocessableEntity, Detail: text("import.revert.unconfirmed", text("import.revert.word"))})
	}
	err = q.begin(at("/imports/%s/revert", imp.ID), nil)
	if p := refusal(err); p != nil {
		return importRevertPage(q, p)
	}
	if err != nil {
		return err
	}
	q.redirect(importPath(imp.ID, ""))
	return nil
}

func cancelImport(q *request) error {
	id := q.PathValue("id")
	if err := q.post(at("/imports/%s/cancel", id), nil, nil); err != nil {
		return err
	}
	return q.done("/imports", "import.cancelled")
}

func deleteImport(q *request) error {
	if err := q.delete(at("/imports/%s", q.PathValue("id")), nil, nil); err != nil {
		return err
	}
	return q.done("/imports", "import.deleted")
}
