package storagetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/enroll"
	"rollcall/storage"
)

// rows are the planned rows of an import.
func (w *importing) rows(id string, f enroll.ImportRowFilter) []enroll.PlanRow {
	w.Helper()
	rows, err := w.ImportRows(w.ctx, id, f, enroll.Page{})
	w.ok(err)
	return rows
}

// correct gives cells of a row other values.
func (w *importing) correct(id string, line int, cells map[string]*string) enroll.PlanRow {
	w.Helper()
	row, err := w.im.Correct(w.ctx, id, line, cells, 0, time.Minute)
	w.ok(err)
	return row
}

func testCorrections(t *testing.T, open func(t *testing.T) *storage.Store) {
	imports := func(test func(w *importing)) func(w *world) { return func(w *world) { test(w.imports()) } }
	each(t, open, map[string]func(w *world){
		"as if the file had been so": imports(func(w *importing) {
			w.policy("Basics", "x")
			w.applied(csv(importHeader, "Ann Old,ann@example.com,,corporate,,KNOWN,ios"), options())
			lines := []string{
				"Ann,ann@example.com,,corporate,,AAA,ios,,",
				"Ben,ben@example,,corporate,,BBB,ios,Basics,", // no e-mail address
				"Ann B,ann@example.com,,corporate,,CCC,ios,,",
				"Cem,cem@example.com,,leased,,AAA,ios,,", // and twice
				"Dora,dora@example.com,,corporate,,KNOWN,android,,",
				"Eve,eve@example.com,,corporate,,EEE,ios,Missing,Office",
			}
			const header = importHeader + ",policy,group"
			imp := w.planned(csv(header, lines...), options())
			set := func(line, column int, value string) map[string]*string {
				cells := strings.Split(lines[line-2], ",")
				cells[column-1] = value
				lines[line-2] = strings.Join(cells, ",")
				return map[string]*string{fmt.Sprintf("#%d", column): &value}
			}
			for _, c := range []struct {
				line, column int
				value        string
				others       int // rows that are planned anew beside this one
			}{
				{3, 2, "ben@example.com", 0},
				{5, 4, "corporate", 2},       // still twice, with the row it is twice of and the other row of Ann
				{5, 6, "DDD", 2},             // and not any more
				{2, 2, "eve@example.com", 2}, // the other row of Ann, and Eve's
				{6, 7, "ios", 0},
				{7, 8, "Basics", 1},
				{4, 6, "DDD", 1}, // twice now, further up in the file
				{7, 2, "", 1},
			} {
				before := w.rows(imp.ID, enroll.ImportRowFilter{})
				w.correct(imp.ID, c.line, set(c.line, c.column, c.value))
				after := w.rows(imp.ID, enroll.ImportRowFilter{})
				anew := 0
				for i := range after {
					if after[i].Version != before[i].Version {
						anew++
					}
				}
				if anew != 1+c.others {
					w.Errorf("line %d, column %d: %d rows were planned anew", c.line, c.column, anew)
				}
				// A file that had been so from the beginning gets the same plan.
				fresh := w.planned(csv(header, lines...), options())
				if diff := cmp.Diff(w.rows(fresh.ID, enroll.ImportRowFilter{}), after, cmpopts.IgnoreFields(enroll.PlanRow{}, "Version")); diff != "" {
					w.Errorf("line %d, column %d: a new file (-) and a correction (+) differ:\n%s", c.line, c.column, diff)
				}
				got, err := w.im.Get(w.ctx, imp.ID)
				w.ok(err)
				if got.Counts != fresh.Counts || got.State != enroll.ImportPlanned {
					w.Errorf("line %d, column %d: %+v, want %+v", c.line, c.column, got.Counts, fresh.Counts)
				}
				_, err = w.im.Cancel(w.ctx, fresh.ID)
				w.ok(err)
			}
			row, cells, err := w.im.Row(w.ctx, imp.ID, 3)
			w.ok(err)
			if c := cells[1]; row.Line != 3 || c.Value != "ben@example.com" || c.Uploaded != "ben@example" || !c.Corrected || cells[0].Corrected || cells[0].Value != "Ben" {
				w.Errorf("row %+v, cells %+v", row, cells)
			}
			// A plan that is made anew honours them, and so does errors.csv.
			_, err = w.im.Change(w.ctx, imp.ID, func(o *enroll.ImportOptions) error { o.OnError = enroll.ErrorSkip; return nil })
			w.ok(err)
			w.settled(imp.ID)
			var file strings.Builder
			w.ok(w.im.WriteErrors(w.ctx, imp.ID, &file))
			if !strings.Contains(file.String(), "Cem,cem@example.com,,corporate,,DDD,ios") || strings.Contains(file.String(), "leased") {
				w.Errorf("errors.csv is %s", file.String())
			}
			done, err := w.im.Apply(w.ctx, imp.ID, "ann", nil, time.Minute)
			if err != nil || done.State != enroll.ImportApplied {
				w.Fatalf("applied: %+v, %v", done, err)
			}
			if d, err := w.Device(w.ctx, "BBB"); err != nil || d.UserID == "" {
				w.Errorf("device %+v, %v", d, err)
			}
			_, err = w.im.Correct(w.ctx, imp.ID, 3, set(3, 2, "x@example.com"), 0, time.Minute)
			w.code(err, "import_applied")
		}),
		"taken back, seen late, unknown": imports(func(w *importing) {
			imp := w.planned(csv(importHeader, "Ann,ann@example,,corporate,,AAA,ios", "Ben,ben@example.com,,corporate,,BBB,ios"), options())
			if n := w.rows(imp.ID, enroll.ImportRowFilter{Problem: "email_invalid"}); len(n) != 1 || n[0].Line != 2 {
				w.Errorf("rows with the problem: %+v", n)
			}
			if counts, err := w.ImportProblems(w.ctx, imp.ID); err != nil || len(counts) != 1 || counts[0].Rows != 1 || counts[0].Code != "email_invalid" || counts[0].Column != "email" {
				w.Errorf("problems %+v, %v", counts, err)
			}
			seen := w.rows(imp.ID, enroll.ImportRowFilter{Line: 2})[0].Version
			address, serial := "ann@example.com", "CCC"
			row, err := w.im.Correct(w.ctx, imp.ID, 2, map[string]*string{"email": &address}, seen, time.Minute)
			if err != nil || row.Action != enroll.ActionNew || row.Version == seen {
				w.Fatalf("corrected: %+v, %v", row, err)
			}
			var late *enroll.RowConflict
			if _, err := w.im.Correct(w.ctx, imp.ID, 2, map[string]*string{"email": &serial}, seen, time.Minute); !errors.As(err, &late) || late.Current.Action != enroll.ActionNew {
				w.Errorf("by somebody who had seen the row before: %v", err)
			}
			// Another row is not concerned.
			other := w.rows(imp.ID, enroll.ImportRowFilter{Line: 3})[0]
			if row, err := w.im.Correct(w.ctx, imp.ID, 3, map[string]*string{"SerialNumber": &serial}, other.Version, time.Minute); err != nil || row.Serial != "CCC" {
				w.Errorf("another row: %+v, %v", row, err)
			}
			if row := w.correct(imp.ID, 2, map[string]*string{"#2": nil}); row.Action != enroll.ActionError {
				w.Errorf("taken back: %+v", row)
			}
			_, err = w.im.Correct(w.ctx, imp.ID, 2, map[string]*string{"shoe size": &serial}, 0, time.Minute)
			w.code(err, "correction_unknown")
			_, err = w.im.Correct(w.ctx, imp.ID, 4, map[string]*string{"email": &serial}, 0, time.Minute)
			w.code(err, "row_unknown")
			w.kind(w.ReplanRows(w.ctx, imp.ID, enroll.Replan{Version: 1, Options: imp.Options}, at(1)), enroll.KindConflict)
		}),
		"of a user with many rows": imports(func(w *importing) {
			imp := w.planned(csv(importHeader, strings.Split(strings.Repeat("Ann,ann@example.com,,corporate,,#,ios\n", 5002), "\n")...), options())
			serial := "AAA"
			if row := w.correct(imp.ID, 2, map[string]*string{"SerialNumber": &serial}); row.Serial != "AAA" || row.Action != enroll.ActionNew {
				w.Errorf("row %+v", row)
			}
			if got := w.settled(imp.ID); got.State != enroll.ImportPlanned || got.Counts.New != 1 || got.Counts.Error != 5001 {
				w.Errorf("import %+v", got)
			}
		}),
		"requests": imports(func(w *importing) {
			w.enroll("ENROLLED", fingerprint(1))
			var lines []string
			for i := range 450 { // more than two batches
				lines = append(lines, fmt.Sprintf("User %d,u%d@example.com,,corporate,,S%06d,ios", i, i, i))
			}
			lines = append(lines, "Eve,eve@example.com,+49 151 2345678,corporate,,ENROLLED,ios")
			imp := w.planned(csv(importHeader, lines...), options())
			if imp.Counts.Recipients != 450 || imp.Counts.RecipientsSMS != 0 {
				w.Errorf("counted: %+v", imp.Counts)
			}
			list := func(after string) []enroll.Recipient {
				rs, err := w.ImportRecipients(w.ctx, imp.ID, enroll.Page{Limit: 2, After: after})
				w.ok(err)
				return rs
			}
			if first := list(""); len(first) != 2 || first[0].Serial != "S000000" || first[0].User.Email != "u0@example.com" || first[0].User.Name != "User 0" || first[0].Unreachable(enroll.ViaEmail) != "" ||
				first[0].Unreachable(enroll.ViaSMS) != "mobile_missing" || first[0].State != enroll.StatePreEnrolled {
				w.Errorf("recipients of a plan: %+v", first)
			}
			if last := list("451"); len(last) != 1 || last[0].Unreachable(enroll.ViaEmail) != "device_enrolled" {
				w.Errorf("the last: %+v", last)
			}
			_, err := w.im.Send(w.ctx, imp.ID, enroll.Sending{Via: enroll.ViaEmail})
			w.code(err, "import_planned")
			done, err := w.im.Apply(w.ctx, imp.ID, "ann", &enroll.Sending{Via: enroll.ViaEmail, Except: []int{300, 3}, By: "ann"}, time.Minute)
			if err != nil || done.State != enroll.ImportApplied || done.Sending == nil || done.Sending.Sent != 448 || done.Sending.LeftOut != 1 || !done.Sending.Done {
				w.Fatalf("applied and sent: %+v %+v, %v", done, done.Sending, err)
			}
			w.state("S000000", enroll.StateInvited)
			w.state("S000001", enroll.StatePreEnrolled)
			w.state("S000298", enroll.StatePreEnrolled)
			w.state("S000449", enroll.StateInvited)
			w.state("ENROLLED", enroll.StateEnrolled)
			open := func() int {
				n := 0
				for p := (enroll.Page{}); ; {
					rs, err := w.Requests(w.ctx, enroll.RequestFilter{State: enroll.RequestQueued}, p)
					w.ok(err)
					if n += len(rs); len(rs) < 1000 {
						return n
					}
					p.After = rs[len(rs)-1].ID
				}
			}
			if n := open(); n != 448 {
				w.Errorf("%d requests wait", n)
			}
			again, err := w.im.Apply(w.ctx, imp.ID, "ann", &enroll.Sending{Via: enroll.ViaEmail}, time.Minute)
			if err != nil || again.Sending.Sent != 448 || open() != 448 {
				w.Errorf("applied again: %+v, %v", again.Sending, err)
			}
			_, err = w.im.Send(w.ctx, imp.ID, enroll.Sending{Via: enroll.ViaEmail, Only: []int{3}, By: "ben"})
			w.ok(err)
			if then := w.settled(imp.ID); then.State != enroll.ImportApplied || then.Sending.Sent != 1 || open() != 449 {
				w.Errorf("one more: %+v", then.Sending)
			}
			w.state("S000001", enroll.StateInvited)
		}),
		"requests, reverted": imports(func(w *importing) {
			w.applied(csv(importHeader, "Ann,ann@example.com,,corporate,old,KNOWN,ios"), options())
			imp := w.planned(csv(importHeader, "Ann,ann@example.com,,corporate,new,KNOWN,ios", "Ben,ben@example.com,,corporate,,NEW,ios", "Cem,cem@example.com,,corporate,,EDITED,ios", "Dora,dora@example.com,,corporate,,AGAIN,ios"), options())
			done, err := w.im.Apply(w.ctx, imp.ID, "ann", &enroll.Sending{Via: enroll.ViaEmail, By: "ann"}, time.Minute)
			if err != nil || done.Sending.Sent != 4 {
				w.Fatalf("sent: %+v, %v", done.Sending, err)
			}
			_, _, err = w.ChangeDevice(w.ctx, "EDITED", nil, rename("by hand"))
			w.ok(err)
			_, err = w.im.Send(w.ctx, imp.ID, enroll.Sending{Via: enroll.ViaEmail, By: "ann"}) // who was edited stays so
			w.ok(err)
			w.settled(imp.ID)
			want := enroll.RevertCounts{Deleted: 2, Restored: 1, KeptChanged: 1}
			if got, err := w.PreviewRevert(w.ctx, imp.ID); err != nil || got != want {
				w.Errorf("preview %+v, %v", got, err)
			}
			if back := w.settledRevert(imp.ID); back.Reverted != want {
				w.Errorf("reverted %+v", back.Reverted)
			}
			w.state("KNOWN", enroll.StatePreEnrolled)
			d, err := w.Device(w.ctx, "KNOWN")
			if w.ok(err); d.Name != "old" {
				w.Errorf("restored: %+v", d)
			}
			rs, err := w.Requests(w.ctx, enroll.RequestFilter{DeviceID: d.ID, State: enroll.RequestQueued}, enroll.Page{})
			if w.ok(err); len(rs) != 0 {
				w.Errorf("the restored device is still invited: %+v", rs)
			}
			w.state("EDITED", enroll.StateInvited)
		}),
		"requests of a server that died": imports(func(w *importing) {
			imp := w.applied(importFile(30, "x"), options())
			_, err := w.ChangeImport(w.ctx, imp.ID, func(i enroll.Import) (enroll.Import, error) {
				i.State, i.Sending = enroll.ImportSending, &enroll.Sending{Via: enroll.ViaEmail, After: 21, Sent: 20}
				return i, nil
			})
			w.ok(err)
			_, err = w.im.Apply(w.ctx, imp.ID, "", nil, time.Minute) // has the worker look
			w.ok(err)
			if got := w.settled(imp.ID); got.State != enroll.ImportApplied || got.Sending.Sent != 30 || !got.Sending.Done {
				w.Errorf("went on: %+v", got.Sending)
			}
			rs, err := w.Requests(w.ctx, enroll.RequestFilter{}, enroll.Page{})
			if w.ok(err); len(rs) != 10 {
				w.Errorf("%d requests", len(rs))
			}
			lost := enroll.ImportLease{ImportID: imp.ID, Worker: "another"}
			if err := w.SendImport(w.ctx, lost, nil, enroll.Sending{}); !errors.Is(err, enroll.ErrLeaseLost) {
				w.Errorf("without a lease: %v", err)
			}
		}),
	})
}
