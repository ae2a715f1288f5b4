package console

import (
	"errors"
	"io"
	"net/http"
	"net/url"

	"rollcall/admin"
	"rollcall/enroll/importer"
)

// Bounds of what stands beside the file in the form.
const (
	importFieldLimit = 4 << 10 // of one field
	importFields     = 50
)

// importFile is the first step.
func importFile(q *request) error { return importFilePage(q, nil) }

func importFilePage(q *request, p *problem) error {
	var data struct {
		Domains struct {
			Items []struct {
				Name string `json:"name"`
			} `json:"items"`
		}
		Presets importPresetList
	}
	if err := q.get("/domains", nil, &data.Domains); err != nil {
		return err
	}
	if err := q.get("/import-presets", nil, &data.Presets); err != nil {
		return err
	}
	return q.page("import_file", view{Title: text("import.new"), Area: "import", Crumbs: []crumb{{"/imports", text("import.title")}}, Data: data, Problem: p})
}

// uploadImport hands the file to the API as it comes. The fields stand before
// the file in the form, which is why they are known by then.
func uploadImport(q *request) error {
	form, err := q.parts()
	if err != nil {
		return err
	}
	q.form = url.Values{}
	for fields := 0; ; fields++ {
		if fields > importFields {
			return errBroken
		}
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return importFilePage(q, importFileProblem(&problem{Status: http.StatusUnprocessableEntity, Code: "file_empty", Detail: text("import.file.missing")}))
		}
		if err != nil {
			return errBroken
		}
		if part.FormName() != "file" {
			b, err := io.ReadAll(io.LimitReader(part, importFieldLimit))
			if err != nil {
				return errBroken
			}
			q.form.Add(part.FormName(), string(b))
			continue
		}
		var imp imported
		err = q.do(call{Method: http.MethodPost, Path: "/imports", Query: importUploadQuery(q, part.FileName()), Raw: part, ContentType: "text/csv", Once: q.Typed("once")}, &imp)
		if p := refusal(err); p != nil {
			// A browser that is still sending would not see the answer.
			_, _ = io.Copy(io.Discard, io.LimitReader(part, importer.DefaultLimits.Bytes))
			return importFilePage(q, importFileProblem(p))
		}
		if err != nil {
			return err
		}
		if imp.Existed {
			return q.done(importPath(imp.ID, ""), "import.existed")
		}
		q.redirect(importPath(imp.ID, "/map"))
		return nil
	}
}

func importUploadQuery(q *request, fileName string) url.Values {
	query := url.Values{"pre_enroll": {"false"}}
	if q.Typed("pre_enroll") != "" {
		query.Set("pre_enroll", "true")
	}
	if fileName != "" {
		query.Set("file_name", fileName)
	}
	for _, name := range []string{"domain", "preset", "on_duplicate", "users", "on_error", "charset", "delimiter", "header", "owner"} {
		if v := q.Typed(name); v != "" {
			query.Set(name, v)
		}
	}
	for _, field := range importDefaults {
		if v := q.Typed("default-" + field); v != "" {
			query.Add("default", field+":"+v)
		}
	}
	if q.Typed("again") != "" {
		query.Set("again", "true")
	}
	return query
}

// importDefaults are the fields that the wizard asks a value for all rows of.
var importDefaults = []string{importer.FieldPlatform, importer.FieldOwnership}

// importFileProblem says at which field a file was refused.
func importFileProblem(p *problem) *problem {
	place := map[string]string{"domain_required": "domain", "name_too_long": "domain", "name_characters": "domain", "preset_unknown": "preset", "charset_unknown": "charset", "delimiter_unknown": "delimiter",
		"file_empty": "file", "file_too_large": "file", "body_too_large": "file", "upload_broken": "file"}[p.Code]
	if place == "" {
		return p
	}
	return &problem{Status: p.Status, Code: p.Code, Detail: text("import.file.refused"), Errors: []admin.ProblemDetail{{Pointer: "/" + place, Detail: p.Detail, Hint: p.Hint}}}
}
