package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/enroll/importer"
)

// PresetFields say how a file is read.
type PresetFields struct {
	Title     string                       `json:"title,omitempty" maxLength:"255"`
	Charset   string                       `json:"charset,omitempty" maxLength:"64"`
	Delimiter string                       `json:"delimiter,omitempty" maxLength:"3"`
	Header    string                       `json:"header,omitempty" enum:"yes,no,"`
	Mapping   map[string]string            `json:"mapping,omitempty" doc:"Column, by its name or its position (#1), to field; - leaves a column out."`
	Values    map[string]map[string]string `json:"values,omitempty" doc:"Field to what cells say to what they mean."`
	Defaults  map[string]string            `json:"defaults,omitempty" doc:"Field to the value of rows that have none."`
	Owner     string                       `json:"owner,omitempty" enum:"required,optional,"`
}

type PresetView struct {
	Name    string `json:"name"`
	BuiltIn bool   `json:"built_in" doc:"It is always there and cannot be changed."`
	PresetFields
}

func viewPreset(p enroll.ImportPreset) PresetView {
	return PresetView{Name: p.Name, BuiltIn: p.BuiltIn, PresetFields: PresetFields{Title: p.Title, Charset: p.Charset, Delimiter: p.Delimiter, Header: p.Header, Mapping: p.Mapping,
		Values: p.Values, Defaults: p.Defaults, Owner: p.Owner}}
}

// PresetParam is the path of every operation on one preset.
type PresetParam struct {
	Name string `path:"name" maxLength:"255"`
}

func (r routes) importPresets() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/import-presets" + path, Tags: []string{"Imports"}, Summary: summary, Description: description}
	}
	add(r, RoleViewer, op("list-import-presets", http.MethodGet, "", "List the presets of imports", "Those for the lists of other products, which are always there, and those that were saved."),
		func(ctx context.Context, _ *struct{}) (*body[list[PresetView]], error) {
			saved, err := a.Imports.ImportPresets(ctx)
			if err != nil {
				return nil, err
			}
			return &body[list[PresetView]]{listOf(append(importer.BuiltInPresets(), saved...), enroll.Page{}, func(p enroll.ImportPreset) string { return p.Name }, viewPreset)}, nil
		})
	add(r, RoleViewer, op("get-import-preset", http.MethodGet, "/{name}", "Read a preset", ""),
		func(ctx context.Context, in *PresetParam) (*body[PresetView], error) {
			p, err := importer.BuiltIn(in.Name)
			if err != nil {
				p, err = a.Imports.ImportPreset(ctx, in.Name)
			}
			return &body[PresetView]{viewPreset(p)}, err
		})
	type putPreset struct {
		PresetParam
		Body PresetFields
	}
	type saved struct {
		Status int
		Body   PresetView
	}
	add(r, RoleOperator, orCreated[PresetView](r, op("put-import-preset", http.MethodPut, "/{name}", "Save a preset", "An import that names it takes what its own options do not say. Imports that were made with it before stay as they are.")),
		func(ctx context.Context, in *putPreset) (*saved, error) {
			if err := checkName("preset", in.Name); err != nil {
				return nil, err
			}
			b := in.Body
			p := enroll.ImportPreset{Name: in.Name, Title: b.Title, Charset: b.Charset, Delimiter: b.Delimiter, Header: b.Header, Mapping: b.Mapping, Values: b.Values, Defaults: b.Defaults, Owner: b.Owner}
			if err := importer.CheckPreset(p); err != nil {
				return nil, err
			}
			created, err := a.Imports.PutImportPreset(ctx, p, a.now().UTC())
			out := &saved{Status: http.StatusOK, Body: viewPreset(p)}
			if created {
				out.Status = http.StatusCreated
			}
			return out, err
		})
	add(r, RoleOperator, op("delete-import-preset", http.MethodDelete, "/{name}", "Delete a saved preset", "Imports that were made with it stay as they are."),
		func(ctx context.Context, in *PresetParam) (*struct{}, error) {
			if _, err := importer.BuiltIn(in.Name); err == nil {
				return nil, enroll.Errorf(enroll.KindConflict, "preset_built_in", "the preset %q is built in and cannot be deleted", in.Name)
			}
			return nil, a.Imports.DeleteImportPreset(ctx, in.Name)
		})
}
