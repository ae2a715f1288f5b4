package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/enroll/importer"
)

type importView struct {
	ID        string    `json:"id"`
	FileName  string    `json:"file_name,omitempty"`
	SHA256    string    `json:"sha256" doc:"Of the uploaded bytes."`
	Domain    string    `json:"domain"`
	CreatedBy string    `json:"created_by" doc:"Name of the token."`
	CreatedAt time.Time `json:"created_at"`
	Rows      int       `json:"rows"`
	New       int       `json:"new"`
	Changed   int       `json:"changed"`
	Unchanged int       `json:"unchanged"`
	UsersNew  int       `json:"users_new"`
}

func viewImport(r enroll.ImportReport) importView {
	return importView{ID: r.ID, FileName: r.FileName, SHA256: r.SHA256, Domain: r.Domain, CreatedBy: r.CreatedBy, CreatedAt: utc(r.CreatedAt),
		Rows: r.Rows, New: r.New, Changed: r.Changed, Unchanged: r.Unchanged, UsersNew: r.UsersNew}
}

// importInput streams the file: it has no body field that huma would read into
// memory first.
type importInput struct {
	Domain      string `query:"domain" maxLength:"255" doc:"Directory the users of the file belong to; needed. \"local\" is always there." example:"local"`
	FileName    string `query:"file_name" maxLength:"255" doc:"For the list of imports."`
	ContentType string `header:"Content-Type" hidden:"true"`

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

var csvTypes = map[string]bool{"": true, "text/csv": true, "application/csv": true, "text/plain": true, "application/octet-stream": true, "application/vnd.ms-excel": true}

func (r routes) imports() {
	a := r.a
	upload := huma.Operation{OperationID: "create-import", Method: http.MethodPost, Path: "/imports", Tags: []string{"Imports"}, DefaultStatus: http.StatusCreated,
		MaxBodyBytes: importer.DefaultLimits.Bytes,
		Summary:      "Import a CSV file",
		Description: "Puts the rows on the roll, all or none. The header is `" + strings.Join(importer.Columns, ",") + "`; mobile and devicename may be left out. " +
			"A blank devicename leaves the name of a device that is on the roll as it is. What is wrong with the file is answered by 422 with line, column and value of each error; nothing is sent to anybody.",
		RequestBody: &huma.RequestBody{Required: true, Description: "The file: UTF-8, at most 64 MiB and 200,000 rows.", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}}},
	}
	add(r, RoleOperator, upload, func(ctx context.Context, in *importInput) (*body[importView], error) {
		if strings.TrimSpace(in.Domain) == "" {
			return nil, enroll.Errorf(enroll.KindInvalid, "domain_required", "the domain is missing").
				WithHint("Add ?domain= with the directory the users belong to; %q is always there.", enroll.DefaultDomain)
		}
		if !csvTypes[mediaType(in.ContentType)] {
			return nil, newProblem(http.StatusUnsupportedMediaType, "content_type_unsupported", "The body is not sent as text/csv.",
				"Send the file itself as the body, not a form: curl --data-binary @devices.csv -H 'Content-Type: text/csv'.")
		}
		sum := sha256.New()
		rows, err := importer.Read(io.TeeReader(in.file, sum), importer.DefaultLimits)
		if err != nil {
			return nil, err
		}
		report, err := a.Roll.Apply(ctx, enroll.Import{FileName: in.FileName, SHA256: hex.EncodeToString(sum.Sum(nil)), Domain: in.Domain, CreatedBy: caller(ctx).Name, Rows: rows})
		if err != nil {
			return nil, err
		}
		a.kick()
		return &body[importView]{viewImport(report)}, nil
	})

	add(r, RoleViewer, huma.Operation{OperationID: "list-imports", Method: http.MethodGet, Path: "/imports", Tags: []string{"Imports"}, Summary: "List the imports", Description: "Newest first."},
		func(ctx context.Context, in *ListParams) (*body[list[importView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			reports, err := a.Roll.Imports(ctx, p)
			if err != nil {
				return nil, err
			}
			return &body[list[importView]]{listOf(reports, p, func(r enroll.ImportReport) string { return r.ID }, viewImport)}, nil
		})

	type sample struct {
		ContentType string `header:"Content-Type"`
		Disposition string `header:"Content-Disposition"`
		Body        []byte
	}
	add(r, RoleViewer, huma.Operation{OperationID: "get-sample-csv", Method: http.MethodGet, Path: "/imports/sample.csv", Tags: []string{"Imports"},
		Summary: "Download the sample CSV file", Description: "It imports as it is.",
		Responses: map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}}}},
	}, func(context.Context, *struct{}) (*sample, error) {
		return &sample{ContentType: "text/csv; charset=utf-8", Disposition: `attachment; filename="sample.csv"`, Body: importer.Sample()}, nil
	})
}
