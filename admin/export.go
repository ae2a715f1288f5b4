package admin

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"rollcall/enroll"
	"rollcall/enroll/importer"
)

// Snapshots lets a whole export be of one state of the database.
type Snapshots interface {
	// Snapshot runs fn once; everything read with its context is of one state.
	// It holds a connection until fn returns.
	Snapshot(ctx context.Context, fn func(ctx context.Context) error) error
}

const (
	maxExports     = 2 // each holds a connection to the database
	exportPage     = 1000
	exportDeadline = time.Minute // for a client to take a page
	formCSV        = "text/csv"
	formNDJSON     = "application/x-ndjson"
)

// column is a column of a CSV export.
type column[T any] struct {
	name  string
	value func(T) string
}

// listInput is the input of a list: whatever embeds ListParams.
type listInput[I any] interface {
	*I
	params() *ListParams
}

func (in *ListParams) params() *ListParams { return in }

// addList declares a list. It answers a page as JSON, and the whole filtered
// set where the client asks for CSV or NDJSON; page gives one page of either.
func addList[I, T any, P listInput[I]](r routes, role Role, op huma.Operation, columns []column[T], page func(context.Context, *I) (*body[list[T]], error)) {
	op.Description = strings.TrimSpace(op.Description + "\n\nWith Accept: text/csv or application/x-ndjson the whole filtered set is streamed, as of one moment, whatever limit and cursor say. " +
		"In CSV a value that a spreadsheet would run as a formula begins with an apostrophe, which an import takes away again.")
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schemaOf[list[T]](r)},
		formCSV:            {Schema: &huma.Schema{Type: huma.TypeString}},
		formNDJSON:         {Schema: schemaOf[T](r)},
	}}}
	name := strings.TrimPrefix(op.OperationID, "list-")
	add(r, role, op, func(_ context.Context, in *I) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(c huma.Context) {
			ctx := c.Context()
			form := Accepting{c.Header("Accept")}.form("application/json", formCSV, formNDJSON)
			if form != "application/json" {
				next := func(ctx context.Context, cursor string) (*body[list[T]], error) {
					p := P(in).params()
					p.Limit, p.Cursor = exportPage, cursor
					return page(ctx, in)
				}
				var to exporter[T] = &ndjsonExporter[T]{}
				if form == formCSV {
					to = &csvExporter[T]{columns: columns}
				}
				export(r, c, name, to, next)
				return
			}
			out, err := page(ctx, in)
			if err != nil {
				r.a.refuse(r.api, c, r.a.problem(ctx, err))
				return
			}
			answerJSON(r, out.Body).Body(c)
		}}, nil
	})
}

// exporter writes rows in one form.
type exporter[T any] interface {
	form() (contentType, suffix string)
	begin(w io.Writer) error
	rows(items []T) error
}

// export streams all pages. What goes wrong before the first row is a problem;
// later the connection is cut, so that nobody takes a part for the whole.
func export[T any](r routes, c huma.Context, name string, to exporter[T], next func(ctx context.Context, cursor string) (*body[list[T]], error)) {
	a := r.a
	if a.exports.Add(1) > maxExports {
		a.exports.Add(-1)
		a.refuse(r.api, c, a.problem(c.Context(), enroll.Errorf(enroll.KindUnavailable, "exports_many", "%d exports are under way already", maxExports).WithHint("Try again when one has ended.")))
		return
	}
	defer a.exports.Add(-1)
	_, raw := humamux.Unwrap(c)
	control := http.NewResponseController(raw)
	w := bufio.NewWriterSize(raw, 64<<10)
	started := false
	err := a.Snapshots.Snapshot(c.Context(), func(ctx context.Context) error {
		for cursor := ""; ; {
			page, err := next(ctx, cursor)
			if err != nil {
				return err
			}
			_ = control.SetWriteDeadline(time.Now().Add(exportDeadline)) // a recorder in a test has none
			if !started {
				started = true
				contentType, suffix := to.form()
				c.SetHeader("Content-Type", contentType)
				c.SetHeader("Content-Disposition", fmt.Sprintf(`attachment; filename="%s.%s"`, name, suffix))
				c.SetStatus(http.StatusOK)
				if err := to.begin(w); err != nil {
					return err
				}
			}
			if err := to.rows(page.Body.Items); err != nil {
				return err
			}
			if cursor = page.Body.NextCursor; cursor == "" {
				return w.Flush()
			}
			select {
			case <-a.Stopping:
				return http.ErrServerClosed
			default:
			}
		}
	})
	switch {
	case err == nil:
	case !started:
		a.refuse(r.api, c, a.problem(c.Context(), err))
	default:
		if c.Context().Err() == nil {
			a.Logger.WarnContext(c.Context(), "export cut short", "export", name, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

type ndjsonExporter[T any] struct{ enc *json.Encoder }

func (e *ndjsonExporter[T]) form() (string, string) { return formNDJSON, "ndjson" }

func (e *ndjsonExporter[T]) begin(w io.Writer) error {
	e.enc = json.NewEncoder(w)
	e.enc.SetEscapeHTML(false)
	return nil
}

func (e *ndjsonExporter[T]) rows(items []T) error {
	for _, item := range items {
		if err := e.enc.Encode(item); err != nil {
			return err
		}
	}
	return nil
}

type csvExporter[T any] struct {
	columns []column[T]
	w       *csv.Writer
	cells   []string
}

func (e *csvExporter[T]) form() (string, string) { return formCSV + "; charset=utf-8", "csv" }

func (e *csvExporter[T]) begin(w io.Writer) error {
	e.w = csv.NewWriter(w)
	e.cells = make([]string, len(e.columns))
	for i, c := range e.columns {
		e.cells[i] = c.name
	}
	return e.w.Write(e.cells)
}

func (e *csvExporter[T]) rows(items []T) error {
	for _, item := range items {
		for i, c := range e.columns {
			e.cells[i] = importer.Neutral(c.value(item))
		}
		if err := e.w.Write(e.cells); err != nil {
			return err
		}
	}
	e.w.Flush()
	return e.w.Error()
}
