package console

import (
	"fmt"
	"maps"

	"rollcall/enroll/importer"
)

// use is the field a column is mapped to, or that it is left out.
func (c importColumn) use() string {
	if c.Field == "" {
		return importer.FieldNone
	}
	return c.Field
}

// key names a column in a mapping.
func (c importColumn) key() string {
	if c.Header == "" {
		return c.place()
	}
	return c.Header
}

func (c importColumn) place() string { return fmt.Sprintf("#%d", c.Position) }

// Select is the name of the field on the page that says what a column is.
func (c importColumn) Select() string { return fmt.Sprintf("field-%d", c.Position) }

// Use is use, for templates.
func (c importColumn) Use() string { return c.use() }

// importMapping is the second step: what the columns are.
func importMapping(q *request) error {
	imp, there, err := importStep(q, "planned", "failed")
	if !there {
		return err
	}
	return importMappingPage(q, imp, nil)
}

// importHint is what to do about a file that cannot be planned, in the words of
// the page rather than those of the API.
func importHint(p *problem) string {
	if hint, err := textOrError("import.hint." + p.Code); err == nil {
		return hint
	}
	return p.Hint
}

func importMappingPage(q *request, imp imported, p *problem) error {
	if imp.Problem != nil {
		imp.Problem.Hint = importHint(imp.Problem)
	}
	v := importView(imp, struct {
		imported
		Fields []string
	}{imp, append([]string{importer.FieldNone}, importer.FieldNames()...)})
	v.Problem = p
	return q.page("import_map", v)
}

// mapImport plans the import anew with what was chosen. Where that is what it
// was planned with, the plan stays.
func mapImport(q *request) error {
	imp, there, err := importStep(q, "planned", "failed")
	if !there {
		return err
	}
	o := imp.Options
	changes := map[string]any{}
	mapping, mapped := map[string]string{}, imp.State == "failed"
	for _, c := range imp.Columns {
		use := q.Typed(c.Select())
		if use == "" {
			use = c.use()
		}
		mapping[c.place()] = use
		mapped = mapped || use != c.use()
	}
	if mapped && len(mapping) > 0 {
		changes["mapping"] = mapping
	}
	defaults := maps.Clone(o.Defaults)
	if defaults == nil {
		defaults = map[string]string{}
	}
	for _, field := range importDefaults {
		if delete(defaults, field); q.Typed("default-"+field) != "" {
			defaults[field] = q.Typed("default-" + field)
		}
	}
	if !maps.Equal(defaults, o.Defaults) {
		changes["defaults"] = defaults
	}
	for name, now := range map[string]string{"domain": o.Domain, "on_duplicate": o.OnDuplicate, "users": o.Users, "on_error": o.OnError, "charset": o.Charset, "delimiter": o.Delimiter,
		"header": o.Header, "owner": o.Owner} {
		if v := q.Typed(name); v != "" && v != now {
			changes[name] = v
		}
	}
	if on := q.Typed("pre_enroll") != ""; on != o.PreEnroll {
		changes["pre_enroll"] = on
	}
	if len(changes) > 0 {
		err := q.patch(at("/imports/%s", imp.ID), changes, nil)
		if p := refusal(err); p != nil {
			return importMappingPage(q, imp, p)
		}
		if err != nil {
			return err
		}
	}
	q.redirect(importPath(imp.ID, "/review"))
	return nil
}
