package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/enroll"
	"rollcall/enroll/importer"
)

// importRowCellsView is a row of a plan with the cells it was planned from.
type importRowCellsView struct {
	ImportRowView
	Cells []importCellView `json:"cells" doc:"In the order of the file's columns."`
}

type importCellView struct {
	Column    int    `json:"column" doc:"Position, from 1."`
	Header    string `json:"header,omitempty"`
	Field     string `json:"field,omitempty" doc:"Absent: the column is not used."`
	Value     string `json:"value" doc:"That it is planned with."`
	Uploaded  string `json:"uploaded,omitempty" doc:"What the file says, where the cell was corrected."`
	Corrected bool   `json:"corrected,omitempty"`
}

func viewImportRowCells(row enroll.PlanRow, cells []importer.Cell) importRowCellsView {
	v := importRowCellsView{ImportRowView: viewImportRow(row), Cells: make([]importCellView, len(cells))}
	for i, c := range cells {
		v.Cells[i] = importCellView{Column: c.Column, Header: c.Header, Field: c.Field, Value: c.Value, Corrected: c.Corrected}
		if c.Corrected {
			v.Cells[i].Uploaded = c.Uploaded
		}
	}
	return v
}

// correctWait is how long a correction that touches much waits for its plan.
const correctWait = time.Minute

// ImportLine is the path of every operation on one row of an import.
type ImportLine struct {
	ImportID
	Line int `path:"line" minimum:"1" doc:"Line of the file the row begins in."`
}

// importRow declares what can be done with one row.
func (r routes) importRow() {
	a := r.a
	op := func(id, method, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/imports/{id}/rows/{line}", Tags: []string{"Imports"}, Summary: summary, Description: description}
	}
	read := func(ctx context.Context, in ImportLine) (*body[importRowCellsView], error) {
		row, cells, err := a.Imports.Row(ctx, in.ID, in.Line)
		if err != nil {
			return nil, err
		}
		return &body[importRowCellsView]{viewImportRowCells(row, cells)}, nil
	}
	add(r, RoleViewer, op("get-import-row", http.MethodGet, "Read a row of a plan", "With its cells as the file has them, and as they were corrected."),
		func(ctx context.Context, in *ImportLine) (*body[importRowCellsView], error) { return read(ctx, *in) })

	type patchRow struct {
		ImportLine
		VersionParam
		Body map[string]*string `doc:"Other values, by column: its name, the field it is, or its position (#1). null takes a correction back." example:"{\"email\": \"ann@example.com\"}"`
	}
	add(r, RoleOperator, op("patch-import-row", http.MethodPatch, "Correct cells of a row",
		"Of an import that is planned. The file stays as it was uploaded: the correction is kept beside it, also when a new plan is made. "+
			"The row is planned anew with those it has to do with: the ones with the same serial number or user, before or after."),
		func(ctx context.Context, in *patchRow) (*body[importRowCellsView], error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			_, err = a.Imports.Correct(ctx, in.ID, in.Line, in.Body, version, correctWait)
			var conflict *enroll.RowConflict
			if errors.As(err, &conflict) {
				p := a.problem(ctx, err)
				p.Current = viewImportRow(conflict.Current)
				return nil, p
			}
			if err != nil {
				return nil, err
			}
			return read(ctx, in.ImportLine)
		})
}
