package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/policy"
	"rollcall/policy/document"
)

type differenceView struct {
	Pointer string          `json:"pointer" doc:"JSON pointer (RFC 6901) into the document." example:"/restrictions/camera"`
	From    json.RawMessage `json:"from,omitempty" doc:"Absent: nothing stood there."`
	To      json.RawMessage `json:"to,omitempty" doc:"Absent: nothing stands there."`
}

type comparisonView struct {
	From        int64            `json:"from"`
	To          int64            `json:"to"`
	Differences []differenceView `json:"differences" doc:"Secrets are \"********\" on both sides where they differ."`
}

func viewDifference(d policy.Difference) (differenceView, error) {
	v := differenceView{Pointer: d.Pointer}
	for _, side := range []struct {
		value any
		to    *json.RawMessage
	}{{d.From, &v.From}, {d.To, &v.To}} {
		if side.value == nil {
			continue
		}
		b, err := json.Marshal(side.value)
		if err != nil {
			return v, err
		}
		*side.to = b
	}
	return v, nil
}

// policyVersions declares what is done with older versions of policies.
func (r routes) policyVersions() {
	a := r.a
	type VersionParam struct {
		PolicyParam
		Version int64 `path:"version" minimum:"1"`
	}
	type listVersions struct {
		PolicyParam
		ListParams
	}
	add(r, RoleViewer, r.policyOperation("list-policy-versions", http.MethodGet, "/{name}/versions", "List the versions of a policy", "The newest first."),
		func(ctx context.Context, in *listVersions) (*body[list[versionView]], error) {
			page, err := in.page()
			if err != nil {
				return nil, err
			}
			versions, err := a.Policies.Versions(ctx, in.Name, page)
			if err != nil {
				return nil, err
			}
			return &body[list[versionView]]{listOf(versions, page, func(p policy.Policy) string { return strconv.FormatInt(p.Version, 10) }, viewVersion)}, nil
		})
	add(r, RoleViewer, r.policyOperation("get-policy-version", http.MethodGet, "/{name}/versions/{version}", "Read a version of a policy", ""),
		func(ctx context.Context, in *VersionParam) (*body[PolicyView], error) {
			p, err := a.Policies.Version(ctx, in.Name, in.Version)
			return &body[PolicyView]{viewPolicy(p)}, err
		})

	type comparePolicy struct {
		PolicyParam
		From int64 `query:"from" required:"true" minimum:"1" doc:"A version."`
		To   int64 `query:"to" minimum:"1" doc:"Another version; the newest if left out."`
	}
	add(r, RoleViewer, r.policyOperation("compare-policy-versions", http.MethodGet, "/{name}/compare", "Compare two versions of a policy", "Every place where they differ."),
		func(ctx context.Context, in *comparePolicy) (*body[comparisonView], error) {
			from, err := a.Policies.Version(ctx, in.Name, in.From)
			if err != nil {
				return nil, err
			}
			var to policy.Policy
			if in.To == 0 {
				to, err = a.Policies.Policy(ctx, in.Name)
			} else {
				to, err = a.Policies.Version(ctx, in.Name, in.To)
			}
			if err != nil {
				return nil, err
			}
			out := comparisonView{From: from.Version, To: to.Version, Differences: []differenceView{}}
			for _, d := range policy.Compare(from.Document, to.Document) {
				v, err := viewDifference(d)
				if err != nil {
					return nil, err
				}
				out.Differences = append(out.Differences, v)
			}
			return &body[comparisonView]{out}, nil
		})

	add(r, RoleAdmin, r.policyOperation("restore-policy-version", http.MethodPost, "/{name}/versions/{version}/restore", "Roll a policy back", "Makes a new version with the document and the priority of an older one."),
		func(ctx context.Context, in *VersionParam) (*policyChanged, error) {
			old, err := a.Policies.Version(ctx, in.Name, in.Version)
			if err != nil {
				return nil, err
			}
			return a.changePolicy(ctx, in.Name, false, func(p *policy.Policy) error {
				p.Document, p.Priority, p.Restored = old.Document, old.Priority, old.Version
				return nil
			})
		})
}

// versionView is a version in a list.
type versionView struct {
	Version   int64  `json:"version"`
	Restored  int64  `json:"restored,omitempty" doc:"The version whose content this one has again."`
	Priority  int    `json:"priority"`
	UpdatedAt string `json:"updated_at" format:"date-time" doc:"When it was saved."`
	UpdatedBy string `json:"updated_by,omitempty" doc:"Name of the token that saved it."`
}

func viewVersion(p policy.Policy) versionView {
	return versionView{Version: p.Version, Restored: p.Restored, Priority: p.Priority, UpdatedAt: utc(p.UpdatedAt).Format("2006-01-02T15:04:05.999999Z"), UpdatedBy: p.UpdatedBy}
}

// policySchema serves the JSON Schema of the document.
func (r routes) policySchema() {
	type output struct {
		ContentType string `header:"Content-Type"`
		Body        []byte `contentType:"application/schema+json"`
	}
	op := huma.Operation{OperationID: "get-policy-schema", Method: http.MethodGet, Path: "/policy-schema", Tags: []string{"Policies"},
		Summary: "Read the JSON Schema of policy documents", Description: "JSON Schema 2020-12, made from the declarations that check documents at save.",
		Responses: map[string]*huma.Response{"200": {Description: "JSON Schema", Content: map[string]*huma.MediaType{"application/schema+json": {Schema: &huma.Schema{Type: huma.TypeObject}}}}}}
	var schema []byte
	var err error
	add(r, RoleViewer, op, func(context.Context, *struct{}) (*output, error) {
		return &output{ContentType: "application/schema+json", Body: schema}, err
	})
	schema, err = documentSchema()
}

// documentSchema is the schema of document.Document, complete in itself.
func documentSchema() ([]byte, error) {
	registry := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	root := registry.Schema(reflect.TypeFor[document.Document](), true, "")
	defs := registry.Map()
	b, err := json.Marshal(struct {
		Schema string                  `json:"$schema"`
		Title  string                  `json:"title"`
		Ref    string                  `json:"$ref"`
		Defs   map[string]*huma.Schema `json:"$defs"`
	}{"https://json-schema.org/draft/2020-12/schema", "Rollcall policy document", root.Ref, defs})
	if err != nil {
		return nil, &enroll.Error{Kind: enroll.KindInternal, Text: "the schema of policy documents has no JSON", Err: err}
	}
	return b, nil
}
