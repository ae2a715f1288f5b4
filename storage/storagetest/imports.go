package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/enroll/importer"
	"rollcall/policy"
	"rollcall/policy/document"
	"rollcall/storage"
)

// importing is a world with a worker of imports.
type importing struct {
	*world
	im *importer.Imports
}

// imports begins to work on imports, until the test ends.
func (w *world) imports() *importing {
	w.Helper()
	im := importer.New(w.Store, nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	var running sync.WaitGroup
	running.Go(func() { im.Run(ctx) })
	w.Cleanup(func() { cancel(); running.Wait() })
	return &importing{w, im}
}

const importHeader = "name,email,mobile,ownership,devicename,SerialNumber,platform"

// csv makes a file of a header and lines.
func csv(header string, lines ...string) string {
	return header + "\n" + strings.Join(lines, "\n") + "\n"
}

// importFile is a file with n devices of n/10 users.
func importFile(n int, name string) string {
	var b strings.Builder
	b.WriteString(importHeader + "\n")
	for i := range n {
		fmt.Fprintf(&b, "User %d,u%d@example.com,,corporate,%s,S%06d,ios\n", i/10, i/10, name, i)
	}
	return b.String()
}

// options are those of a test, changed.
func options(change ...func(*enroll.ImportOptions)) enroll.ImportOptions {
	o := enroll.ImportOptions{Domain: "local", PreEnroll: true}
	for _, f := range change {
		f(&o)
	}
	return o
}

// planned uploads a file and waits for its plan.
func (w *importing) planned(file string, o enroll.ImportOptions) enroll.Import {
	w.Helper()
	imp, _, err := w.im.Upload(w.ctx, importer.Upload{File: strings.NewReader(file), FileName: "roll.csv", Options: o, By: "admin"})
	w.ok(err)
	return w.settled(imp.ID)
}

func (w *importing) settled(id string) enroll.Import {
	w.Helper()
	imp, err := w.im.Await(w.ctx, id, time.Minute)
	w.ok(err)
	return imp
}

// applied uploads and applies a file.
func (w *importing) applied(file string, o enroll.ImportOptions) enroll.Import {
	w.Helper()
	imp, err := w.im.Apply(w.ctx, w.planned(file, o).ID, "admin", nil, time.Minute)
	w.ok(err)
	if imp.State != enroll.ImportApplied {
		w.Fatalf("the import is %s: %+v", imp.State, imp.Problem)
	}
	return imp
}

// actions are the actions of all rows, by line.
func (w *importing) actions(id string) string {
	w.Helper()
	rows, err := w.ImportRows(w.ctx, id, enroll.ImportRowFilter{}, enroll.Page{})
	w.ok(err)
	var out []string
	for _, r := range rows {
		out = append(out, string(r.Action))
	}
	return strings.Join(out, " ")
}

func (w *importing) code(err error, want string) {
	w.Helper()
	var e *enroll.Error
	if !errors.As(err, &e) || e.Code != want {
		w.Fatalf("error %v, want %s", err, want)
	}
}

func testImport(t *testing.T, open func(t *testing.T) *storage.Store) {
	imports := func(test func(w *importing)) func(w *world) { return func(w *world) { test(w.imports()) } }
	each(t, open, map[string]func(w *world){
		"new, again, changed": imports(func(w *importing) {
			const n = 2500 // more than two batches
			first := w.planned(importFile(n, "one"), options())
			if want := (enroll.ImportCounts{Rows: n, New: n, UsersNew: n / 10, Recipients: n}); first.State != enroll.ImportPlanned || first.Counts != want || first.Done != n {
				w.Fatalf("planned: %+v", first)
			}
			if all, err := w.Devices(w.ctx, enroll.DeviceFilter{}, enroll.Page{}); err != nil || len(all) != 0 {
				w.Fatalf("a plan has written %d rows, %v", len(all), err)
			}
			applied, err := w.im.Apply(w.ctx, first.ID, "ann", nil, time.Minute)
			w.ok(err)
			if applied.State != enroll.ImportApplied || applied.AppliedBy != "ann" || applied.AppliedAt.IsZero() || applied.Counts != first.Counts {
				w.Fatalf("applied: %+v", applied)
			}
			again, err := w.im.Apply(w.ctx, first.ID, "ben", nil, time.Minute)
			if err != nil || again.AppliedBy != "ann" {
				w.Fatalf("applied again: %+v, %v", again, err)
			}
			second := w.applied(importFile(n, "one")+"\n", options())
			if want := (enroll.ImportCounts{Rows: n, Unchanged: n, Recipients: n}); second.Counts != want {
				w.Fatalf("the same rows: %+v", second.Counts)
			}
			lines := strings.Split(importFile(n, "one"), "\n")
			lines[8] = strings.Replace(lines[8], "one", "two", 1)
			lines[9] = strings.Replace(lines[9], "User 0", "Somebody Else", 1)
			third := w.applied(strings.Join(lines, "\n"), options())
			if want := (enroll.ImportCounts{Rows: n, Changed: 3, Unchanged: n - 3, UsersChanged: 1, Recipients: n}); third.Counts != want {
				w.Fatalf("changed: %+v", third.Counts) // the row after takes the user's name back
			}
			d, err := w.Device(w.ctx, "S000007")
			w.ok(err)
			if d.Name != "two" || d.Version != 2 || d.UserID == "" || d.Sources["name"] != enroll.SourceCSV {
				w.Fatalf("device %+v", d)
			}
			list, err := w.Imports(w.ctx, enroll.Page{Limit: 2})
			w.ok(err)
			if len(list) != 2 || list[0].ID != third.ID || list[1].ID != second.ID {
				w.Fatalf("imports %+v", list)
			}
			if rest, err := w.Imports(w.ctx, enroll.Page{After: second.ID}); err != nil || len(rest) != 1 || rest[0].ID != first.ID {
				w.Fatalf("second page: %+v, %v", rest, err)
			}
		}),
		"every column": imports(func(w *importing) {
			w.policy("Basics", "x")
			header := importHeader + ",group,tags,asset_tag,imei,imei2,udid,model,not_before,expires_at,uses,policy,notes"
			imp := w.applied(csv(header,
				"Ann,ann@example.com,+49 151 2345678,selectuser,Desk,C39-XK1,apple,Sales|Berlin,b|a,A-1,490154203237518,356938035643809,00008110-000A1B2C3D4E5F6A,iPad,2026-01-02,2026-12-31,2,Basics,some notes"), options())
			d, err := w.Device(w.ctx, "C39XK1")
			w.ok(err)
			if !d.Facts.Empty() {
				w.Errorf("facts are shown before the user has accepted: %+v", d.Facts)
			}
			_, _, err = w.ChangeDevice(w.ctx, "C39XK1", nil, func(old *enroll.Device, _ string) (enroll.Device, error) {
				if old.Facts.IMEI != "490154203237518" || old.Facts.Model != "iPad" || old.Facts.UDID != "00008110-000A1B2C3D4E5F6A" || old.Facts.Extra["IMEI2"] != "356938035643809" {
					w.Errorf("facts %+v", old.Facts)
				}
				return *old, nil
			})
			w.ok(err)
			if d.SerialRaw != "C39-XK1" || d.Platform != enroll.PlatformApple || d.Ownership != enroll.OwnershipSelectUser || d.Name != "Desk" || d.AssetTag != "A-1" ||
				!slices.Equal(d.Tags, []string{"a", "b"}) || d.Notes != "some notes" || d.MaxUses != 2 || d.NotBefore.Format(time.DateOnly) != "2026-01-02" || d.ExpiresAt.Format(time.DateOnly) != "2027-01-01" {
				w.Errorf("device %+v", d)
			}
			groups, err := w.GroupsOf(w.ctx, d.ID)
			w.ok(err)
			if len(groups) != 2 || groups[0].Name != "Berlin" || groups[1].Name != "Sales" {
				w.Errorf("groups %+v", groups)
			}
			targets, err := w.targets("Basics")
			w.ok(err)
			if diff := cmp.Diff([]policy.Target{{Serial: "C39XK1"}}, targets); diff != "" {
				w.Errorf("bindings (-want +got)\n%s", diff)
			}
			recipients, err := w.ImportRecipients(w.ctx, imp.ID, enroll.Page{})
			w.ok(err)
			if len(recipients) != 1 || recipients[0].Serial != "C39XK1" || recipients[0].User.Email != "ann@example.com" || recipients[0].User.Mobile == "" || recipients[0].State != enroll.StatePreEnrolled {
				w.Errorf("recipients %+v", recipients)
			}
			cleared := w.applied(csv(header, "Ann,ann@example.com,CLEAR!,selectuser,CLEAR!,C39XK1,apple,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!,CLEAR!"), options())
			if cleared.Counts.Changed != 1 {
				w.Errorf("cleared: %+v", cleared.Counts)
			}
			d, err = w.Device(w.ctx, "C39XK1")
			w.ok(err)
			if d.Name != "" || d.AssetTag != "" || len(d.Tags) > 0 || d.Notes != "" || d.MaxUses != 0 || !d.NotBefore.IsZero() || !d.ExpiresAt.IsZero() || d.UserID == "" {
				w.Errorf("cleared: %+v", d)
			}
			if groups, err := w.GroupsOf(w.ctx, d.ID); err != nil || len(groups) != 0 {
				w.Errorf("groups %+v, %v", groups, err)
			}
			if targets, err := w.targets("Basics"); err != nil || len(targets) != 0 {
				w.Errorf("bindings %+v, %v", targets, err)
			}
			if u, err := w.User(w.ctx, d.UserID); err != nil || u.Mobile != "" || u.Name != "Ann" {
				w.Errorf("user %+v, %v", u, err)
			}
			if back := w.settledRevert(cleared.ID); back.Reverted.Restored != 1 {
				w.Errorf("reverted: %+v", back.Reverted)
			}
			if groups, err := w.GroupsOf(w.ctx, d.ID); err != nil || len(groups) != 2 {
				w.Errorf("groups after the revert: %+v, %v", groups, err)
			}
			if u, err := w.User(w.ctx, d.UserID); err != nil || u.Mobile == "" {
				w.Errorf("user after the revert: %+v, %v", u, err)
			}
		}),
		"one file is one import": imports(func(w *importing) {
			upload := func(file string, o enroll.ImportOptions, again bool) (enroll.Import, bool) {
				imp, existed, err := w.im.Upload(w.ctx, importer.Upload{File: strings.NewReader(file), Options: o, Again: again})
				w.ok(err)
				return imp, existed
			}
			var ids sync.Map
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					imp, _, err := w.im.Upload(w.ctx, importer.Upload{File: strings.NewReader(importFile(3, "x")), Options: options()})
					if err != nil {
						w.Error(err)
					}
					ids.Store(imp.ID, true)
				})
			}
			wg.Wait()
			n := 0
			ids.Range(func(any, any) bool { n++; return true })
			if n != 1 {
				w.Fatalf("four uploads became %d imports", n)
			}
			first, existed := upload(importFile(3, "x"), options(), false)
			if !existed {
				w.Fatal("the same file is another import")
			}
			for what, same := range map[string]bool{
				"other options": func() bool {
					_, e := upload(importFile(3, "x"), options(func(o *enroll.ImportOptions) { o.OnError = enroll.ErrorSkip }), false)
					return e
				}(),
				"another file": func() bool { _, e := upload(importFile(4, "x"), options(), false); return e }(),
				"again":        func() bool { _, e := upload(importFile(3, "x"), options(), true); return e }(),
			} {
				if same {
					w.Errorf("%s is the same import", what)
				}
			}
			again, _ := upload(importFile(3, "x"), options(), false)
			for _, id := range []string{first.ID, again.ID} {
				w.settled(id)
				_, err := w.im.Cancel(w.ctx, id)
				w.ok(err)
			}
			if fresh, existed := upload(importFile(3, "x"), options(), false); existed {
				w.Errorf("a cancelled import is answered: %+v", fresh)
			}
			if data, err := w.ImportChunk(w.ctx, first.ID, 0); err != nil || data != nil {
				w.Errorf("a cancelled import keeps its file, %v", err)
			}
		}),
		"modes": imports(func(w *importing) {
			w.applied(csv(importHeader, "Ann,ann@example.com,+49 151 1111111,corporate,one,AAA,ios"), options())
			row := "Anna,ann@example.com,,personal,,AAA,ios"
			for _, c := range []struct {
				name    string
				change  func(*enroll.ImportOptions)
				file    string
				actions string
				want    string // name, ownership of the device; name, mobile of the user
			}{
				{"skip", func(o *enroll.ImportOptions) { o.OnDuplicate = enroll.DuplicateSkip }, csv(importHeader, row, row), "skipped skipped", "one corporate Ann +49 151 1111111"},
				{"users skip", func(o *enroll.ImportOptions) { o.Users = enroll.UsersSkip }, csv(importHeader, row), "changed", "one personal Ann +49 151 1111111"},
				{"update", func(o *enroll.ImportOptions) {}, csv(importHeader, row), "changed", "one personal Anna +49 151 1111111"},
				{"replace", func(o *enroll.ImportOptions) { o.OnDuplicate = enroll.DuplicateReplace }, csv(importHeader, row), "changed", " personal Anna "},
				{"bad rows skipped", func(o *enroll.ImportOptions) { o.OnError = enroll.ErrorSkip },
					csv(importHeader, "Ann,ann@example.com,,corporate,three,AAA,ios", "Ben,@,,corporate,,BBB,ios", "Ann,ann@example.com,,corporate,,CCC,android"), "changed error new", "three corporate Ann "},
				{"users only", func(o *enroll.ImportOptions) { o.PreEnroll = false }, csv("email,name,devicename", "ann@example.com,Anne,four", "cem@example.com,Cem,"), "changed new", "three corporate Anne "},
			} {
				imp := w.applied(c.file, options(c.change))
				if got := w.actions(imp.ID); got != c.actions {
					w.Errorf("%s: %s, want %s", c.name, got, c.actions)
				}
				d, err := w.Device(w.ctx, "AAA")
				w.ok(err)
				u, err := w.User(w.ctx, d.UserID)
				w.ok(err)
				if got := fmt.Sprint(d.Name, " ", d.Ownership, " ", u.Name, " ", u.Mobile); got != c.want {
					w.Errorf("%s: %q, want %q", c.name, got, c.want)
				}
			}
			known := w.planned(csv(importHeader, row), options(func(o *enroll.ImportOptions) { o.OnDuplicate = enroll.DuplicateFail }))
			if got := w.actions(known.ID); got != "error" {
				w.Errorf("fail: %s", got)
			}
			_, err := w.im.Apply(w.ctx, known.ID, "", nil, time.Minute)
			w.code(err, "plan_has_errors")
			conflict := w.planned(csv(importHeader, "Ann,ann@example.com,,corporate,,AAA,android", "Dan,dan@example.com,,corporate,,DDD,ios"), options())
			if got := w.actions(conflict.ID); got != "conflict new" {
				w.Errorf("another platform: %s", got)
			}
			if _, err := w.Device(w.ctx, "DDD"); enroll.KindOf(err) != enroll.KindNotFound {
				w.Errorf("half of a file is on the roll: %v", err)
			}
		}),
		"names that nobody knows": imports(func(w *importing) {
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "By rule", Rule: &enroll.GroupRule{}}))
			imp := w.planned(csv(importHeader+",group,policy", "Ann,ann@example.com,,corporate,,AAA,ios,New group,", "Ann,ann@example.com,,corporate,,BBB,ios,,None", "Ann,ann@example.com,,corporate,,CCC,ios,By rule,"), options())
			rows, err := w.ImportRows(w.ctx, imp.ID, enroll.ImportRowFilter{Actions: []enroll.RowAction{enroll.ActionError}}, enroll.Page{})
			w.ok(err)
			if len(rows) != 2 || rows[0].Errors[0].Code != "policy_unknown" || rows[1].Errors[0].Code != "group_rule" {
				w.Fatalf("rows %+v", rows)
			}
		}),
		"what devices will not honour": imports(func(w *importing) {
			change := func(name string, d document.Document) {
				_, _, err := w.ChangePolicy(w.ctx, name, func(*policy.Policy) (policy.Policy, error) { return policy.Policy{Name: name, Document: d}, nil })
				w.ok(err)
			}
			change("Limits", document.Document{Restrictions: &document.Restrictions{SMS: document.Deny}})
			change("Named", document.Document{LockMessage: "{user.mobile}"})
			w.ok(w.CreateGroup(w.ctx, enroll.Group{ID: enroll.NewID(), Name: "All"}))
			_, err := w.Bind(w.ctx, "Limits", policy.Target{Group: "All"})
			w.ok(err)
			imp := w.planned(csv(importHeader+",group,policy", "Ann,ann@example.com,,corporate,,AAA,ios,All,", "Ann,ann@example.com,,corporate,,BBB,android,All,Named",
				"Ann,ann@example.com,,corporate,,CCC,ios,,", "Ann,ann@example.com,,corporate,,DDD,android,All,"), options())
			if imp.Counts.Warnings != 2 || imp.Counts.New != 4 {
				w.Fatalf("counts %+v", imp.Counts)
			}
			rows, err := w.ImportRows(w.ctx, imp.ID, enroll.ImportRowFilter{Warned: true}, enroll.Page{})
			w.ok(err)
			if len(rows) != imp.Counts.Warnings {
				w.Errorf("%d rows with warnings", len(rows))
			}
			var got []string
			for _, r := range rows {
				for _, e := range r.Warnings {
					got = append(got, fmt.Sprint(e.Line, " ", e.Column, " ", e.Value, " ", e.Code))
				}
			}
			if diff := cmp.Diff([]string{"2 group Limits platform", "3 mobile  variable_missing"}, got); diff != "" {
				w.Error(diff)
			}
		}),
		"a plan that is out of date": imports(func(w *importing) {
			w.policy("Basics", "x")
			w.device("OLD")
			w.device("GONE")
			w.applied(csv(importHeader, "Ann,ann@example.com,,corporate,,ANN,ios"), options())
			for _, c := range []struct {
				name, row string
				meanwhile func()
			}{
				{"a device changed", "Ann,ann@example.com,,corporate,two,OLD,ios", func() {
					_, _, err := w.ChangeDevice(w.ctx, "OLD", nil, rename("by hand"))
					w.ok(err)
				}},
				{"an unchanged device changed", "Ann,ann@example.com,,corporate,two,OLD,ios", func() {
					_, _, err := w.ChangeDevice(w.ctx, "OLD", nil, rename("by hand again"))
					w.ok(err)
				}},
				{"a device came", "Ann,ann@example.com,,corporate,,CAME,ios", func() { w.device("CAME") }},
				{"a device went", "Ann,ann@example.com,,corporate,,GONE,ios", func() { w.ok(w.DeleteDevice(w.ctx, "GONE")) }},
				{"a user changed", "Annabel,ann@example.com,,corporate,,NEW1,ios", func() {
					_, _, err := w.ChangeDevice(w.ctx, "OLD", &enroll.User{Domain: "local", Email: "ann@example.com", Name: "Another"}, func(old *enroll.Device, _ string) (enroll.Device, error) { return *old, nil })
					w.ok(err)
				}},
				{"a user came", "Ben,ben@example.com,,corporate,,NEW2,ios", func() {
					_, _, err := w.ChangeDevice(w.ctx, "OLD", &enroll.User{Domain: "local", Email: "ben@example.com", Name: "Ben"}, func(old *enroll.Device, _ string) (enroll.Device, error) { return *old, nil })
					w.ok(err)
				}},
			} {
				imp := w.planned(csv(importHeader, c.row, "Zoe,zoe@example.com,,corporate,,Z"+strings.ReplaceAll(strings.ToUpper(c.name), " ", "")+",ios"), options())
				if imp.State != enroll.ImportPlanned || imp.Counts.Bad() > 0 {
					w.Fatalf("%s: %+v", c.name, imp)
				}
				c.meanwhile()
				_, err := w.im.Apply(w.ctx, imp.ID, "", nil, time.Minute)
				w.code(err, "plan_stale")
				if _, err := w.Device(w.ctx, "Z"+strings.ReplaceAll(strings.ToUpper(c.name), " ", "")); enroll.KindOf(err) != enroll.KindNotFound {
					w.Errorf("%s: a stale plan has written something: %v", c.name, err)
				}
				again, err := w.im.Get(w.ctx, imp.ID)
				w.ok(err)
				if again.State != enroll.ImportPlanned || again.Stale != 1 {
					w.Errorf("%s: planned anew: %+v", c.name, again)
				}
				done, err := w.im.Apply(w.ctx, imp.ID, "", nil, time.Minute)
				if err != nil || done.State != enroll.ImportApplied || done.Stale != 0 {
					w.Errorf("%s: the new plan: %+v, %v", c.name, done, err)
				}
			}
		}),
		"revert": imports(func(w *importing) {
			w.applied(csv(importHeader, "Ann,ann@example.com,,corporate,old,CHANGED,ios", "Ann,ann@example.com,,corporate,old,TOUCHED,ios"), options())
			imp := w.applied(csv(importHeader+",group",
				"Ann B,ann@example.com,,personal,new,CHANGED,ios,g", "Ann B,ann@example.com,,personal,new,TOUCHED,ios,g", "Ben,ben@example.com,,corporate,,NEW,ios,g",
				"Cem,cem@example.com,,corporate,,ENROLLED,ios,g", "Cem,cem@example.com,,corporate,,GONE,ios,g", "Ben,ben@example.com,,corporate,,EDITED,ios,g"), options())
			for _, serial := range []string{"TOUCHED", "EDITED"} {
				_, _, err := w.ChangeDevice(w.ctx, serial, nil, rename("by hand"))
				w.ok(err)
			}
			e := w.enroll("ENROLLED", fingerprint(1))
			w.ok(w.DeleteDevice(w.ctx, "GONE"))
			want := enroll.RevertCounts{Deleted: 1, Restored: 1, KeptEnrolled: 1, KeptChanged: 2, Gone: 1}
			if got, err := w.PreviewRevert(w.ctx, imp.ID); err != nil || got != want {
				w.Errorf("preview %+v, %v", got, err)
			}
			kept := func() string {
				rows, err := w.ImportRows(w.ctx, imp.ID, enroll.ImportRowFilter{Kept: true}, enroll.Page{})
				w.ok(err)
				var out []string
				for _, r := range rows {
					out = append(out, r.Serial+" "+string(r.Revert))
				}
				return strings.Join(out, ", ")
			}
			const names = "TOUCHED kept_changed, ENROLLED kept_enrolled, GONE gone, EDITED kept_changed"
			if got := kept(); got != names {
				w.Errorf("would keep %s", got)
			}
			w.dueDevices()
			back := w.settledRevert(imp.ID)
			if back.State != enroll.ImportReverted || back.Reverted != want || back.RevertedAt.IsZero() {
				w.Fatalf("reverted: %+v", back)
			}
			if got := kept(); got != names {
				w.Errorf("kept %s", got)
			}
			if d, err := w.Device(w.ctx, "CHANGED"); err != nil || d.Name != "old" || d.Ownership != enroll.OwnershipCorporate || d.Version != 3 {
				w.Errorf("restored: %+v, %v", d, err)
			}
			if d, err := w.Device(w.ctx, "TOUCHED"); err != nil || d.Name != "by hand" || d.Ownership != enroll.OwnershipPersonal {
				w.Errorf("kept: %+v, %v", d, err)
			}
			if d, err := w.DeviceByID(w.ctx, e.DeviceID); err != nil || d.State != enroll.StateEnrolled {
				w.Errorf("enrolled: %+v, %v", d, err)
			}
			if _, err := w.Device(w.ctx, "NEW"); enroll.KindOf(err) != enroll.KindNotFound {
				w.Errorf("new: %v", err)
			}
			g, err := w.Group(w.ctx, "g")
			if err != nil || g.Devices != 3 { // TOUCHED, ENROLLED, EDITED
				w.Errorf("group %+v, %v", g, err)
			}
			_, err = w.im.Revert(w.ctx, imp.ID, "", time.Minute)
			w.code(err, "import_reverted")
			if again := w.applied(csv(importHeader, "Ann,ann@example.com,,corporate,old,CHANGED,ios"), options()); again.Counts.Unchanged != 1 {
				w.Errorf("again: %+v", again.Counts)
			}
		}),
		"delivery becomes due": imports(func(w *importing) {
			w.enroll("S000001", fingerprint(1))
			w.dueDevices()
			w.applied(importFile(3, "one"), options())
			d, err := w.Device(w.ctx, "S000001")
			w.ok(err)
			if due := w.dueDevices(); !slices.Equal(due, []string{d.ID}) {
				w.Fatalf("due: %v", due)
			}
			w.applied(importFile(3, "one")+"\n", options())
			if due := w.dueDevices(); len(due) != 0 {
				w.Fatalf("due although nothing changed: %v", due)
			}
		}),
		"at the same time": imports(func(w *importing) {
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() {
					lines := strings.Split(strings.TrimSpace(importFile(1200, "one")), "\n")
					if i == 1 {
						slices.Reverse(lines[1:])
					}
					imp, _, err := w.im.Upload(w.ctx, importer.Upload{File: strings.NewReader(strings.Join(lines, "\n") + strings.Repeat("\n", i)), Options: options()})
					for stale := true; stale && err == nil; {
						_, err = w.im.Apply(w.ctx, imp.ID, "", nil, time.Minute)
						e := (*enroll.Error)(nil)
						if stale = errors.As(err, &e) && e.Code == "plan_stale"; stale {
							err = nil
						}
					}
					if err != nil {
						w.Error(err)
					}
				})
			}
			for i := range 50 {
				w.device(fmt.Sprintf("S%06d", i*20))
			}
			wg.Wait()
			total := 0
			for after := ""; ; {
				page, err := w.Devices(w.ctx, enroll.DeviceFilter{}, enroll.Page{After: after})
				w.ok(err)
				if len(page) == 0 {
					break
				}
				total, after = total+len(page), page[len(page)-1].Serial
			}
			if total != 1200 {
				w.Fatalf("%d devices", total)
			}
		}),
		"options changed, a cell corrected": imports(func(w *importing) {
			imp := w.planned("Gerät,Mail,Benutzer,Serial,Besitz\nDesk,ann@example,Ann,AAA,corporate\n", options())
			if imp.State != enroll.ImportFailed || imp.Problem == nil || imp.Problem.Code != "default_missing" || len(imp.Columns) != 5 {
				w.Fatalf("without a platform: %+v", imp)
			}
			_, err := w.im.Apply(w.ctx, imp.ID, "", nil, time.Minute)
			w.code(err, "default_missing")
			_, err = w.im.Change(w.ctx, imp.ID, func(o *enroll.ImportOptions) error {
				o.Defaults = map[string]string{"platform": "ios"}
				return nil
			})
			w.ok(err)
			if got := w.settled(imp.ID); got.State != enroll.ImportPlanned || got.Counts.Error != 1 {
				w.Fatalf("with a platform: %+v", got)
			}
			var file strings.Builder
			w.ok(w.im.WriteErrors(w.ctx, imp.ID, &file))
			if want := "\ufeffGerät,Mail,Benutzer,Serial,Besitz,line,error\nDesk,ann@example,Ann,AAA,corporate,2,"; !strings.HasPrefix(file.String(), want) {
				w.Errorf("errors.csv is %q", file.String())
			}
			_, err = w.im.Change(w.ctx, imp.ID, func(o *enroll.ImportOptions) error {
				o.Corrections = append(o.Corrections, enroll.Correction{Line: 2, Column: "nothing", Value: "x"})
				return nil
			})
			w.code(err, "correction_unknown")
			_, err = w.im.Change(w.ctx, imp.ID, func(o *enroll.ImportOptions) error {
				o.Corrections = append(o.Corrections, enroll.Correction{Line: 2, Column: "Mail", Value: "ann@example.com"})
				return nil
			})
			w.ok(err)
			done, err := w.im.Apply(w.ctx, imp.ID, "", nil, time.Minute)
			if err != nil || done.State != enroll.ImportApplied || done.Counts.New != 1 {
				w.Fatalf("corrected: %+v, %v", done, err)
			}
			_, err = w.im.Change(w.ctx, imp.ID, func(*enroll.ImportOptions) error { return nil })
			w.code(err, "import_applied")
			_, err = w.im.Cancel(w.ctx, imp.ID)
			w.code(err, "import_applied")
		}),
		"the file that fails comes back": imports(func(w *importing) {
			imp := w.planned(csv(importHeader, "=Ann,ann@example.com,+49 151 2345678,leased,'-1,AAA,ios", "Ben,ben@example.com,,corporate,,BBB,ios"), options(func(o *enroll.ImportOptions) { o.OnError = enroll.ErrorSkip }))
			var file strings.Builder
			w.ok(w.im.WriteErrors(w.ctx, imp.ID, &file))
			fixed := w.applied(strings.Replace(file.String(), "leased", "corporate", 1), options())
			if fixed.Counts.New != 1 || fixed.Counts.Warnings != 0 {
				w.Errorf("fixed: %+v", fixed.Counts)
			}
			if d, err := w.Device(w.ctx, "AAA"); err != nil || d.Name != "-1" {
				w.Errorf("device %+v, %v", d, err)
			}
		}),
		"presets": imports(func(w *importing) {
			p := enroll.ImportPreset{Name: "ours", Header: "no", Mapping: map[string]string{"#1": "SerialNumber", "#2": "devicename"}, Owner: enroll.OwnerOptional,
				Defaults: map[string]string{"platform": "ios", "ownership": "corporate"}}
			_, _, err := w.im.Upload(w.ctx, importer.Upload{File: strings.NewReader("x"), Options: options(func(o *enroll.ImportOptions) { o.Preset = "ours" })})
			w.code(err, "preset_unknown")
			for _, fresh := range []bool{true, false} {
				created, err := w.PutImportPreset(w.ctx, p, at(1))
				if err != nil || created != fresh {
					w.Fatalf("created %v, %v", created, err)
				}
			}
			if all, err := w.ImportPresets(w.ctx); err != nil || len(all) != 1 || !cmp.Equal(all[0], p) {
				w.Fatalf("presets %+v, %v", all, err)
			}
			imp := w.applied("AAA,Desk\n", options(func(o *enroll.ImportOptions) {
				o.Preset, o.Defaults = "ours", map[string]string{"ownership": "personal"}
			}))
			if d, err := w.Device(w.ctx, "AAA"); err != nil || d.Name != "Desk" || d.Ownership != enroll.OwnershipPersonal || d.UserID != "" || imp.Counts.New != 1 {
				w.Errorf("device %+v, %v", d, err)
			}
			w.ok(w.DeleteImportPreset(w.ctx, "ours"))
			w.kind(w.DeleteImportPreset(w.ctx, "ours"), enroll.KindNotFound)
			_, err = w.ImportPreset(w.ctx, "ours")
			w.kind(err, enroll.KindNotFound)
		}),
		"uploads that break off": func(w *world) {
			im := importer.New(w.Store, nil, slog.New(slog.DiscardHandler))
			boom := errors.New("boom")
			broken := func() io.Reader {
				return io.MultiReader(strings.NewReader(importFile(3, "x")), &failing{boom})
			}
			if _, _, err := im.Upload(w.ctx, importer.Upload{File: broken(), Options: options()}); !errors.Is(err, boom) {
				w.Fatalf("error %v", err)
			}
			boom = io.ErrUnexpectedEOF // as of a connection that ends before its content does
			var known *enroll.Error
			if _, _, err := im.Upload(w.ctx, importer.Upload{File: broken(), Options: options()}); !errors.As(err, &known) || known.Code != "upload_broken" {
				w.Fatalf("error %v", err)
			}
			if all, err := im.Imports(w.ctx, enroll.Page{}); err != nil || len(all) != 0 {
				w.Fatalf("half a file is an import: %+v, %v", all, err)
			}
			if n, err := w.DropUploads(w.ctx, time.Now().Add(-time.Hour)); err != nil || n != 0 {
				w.Errorf("dropped %d that may still arrive, %v", n, err)
			}
			if n, err := w.DropUploads(w.ctx, time.Now().Add(time.Hour)); err != nil || n != 2 {
				w.Errorf("dropped %d, %v", n, err)
			}
		},
		"old imports": func(w *world) {
			im := importer.New(w.Store, nil, slog.New(slog.DiscardHandler))
			var ids []string
			for _, name := range []string{"x", "y"} {
				up, _, err := im.Upload(w.ctx, importer.Upload{File: strings.NewReader(importFile(3, name)), Options: options()})
				w.ok(err)
				ids = append(ids, up.ID)
			}
			_, err := im.Cancel(w.ctx, ids[0])
			w.ok(err)
			if n, err := w.DropImports(w.ctx, time.Now().Add(-time.Hour)); err != nil || n != 0 {
				w.Errorf("dropped %d that are new, %v", n, err)
			}
			if n, err := w.DropImports(w.ctx, time.Now().Add(time.Hour)); err != nil || n != 1 {
				w.Errorf("dropped %d, %v; one of two is to be planned still", n, err)
			}
			refused := func(enroll.Import) error { return enroll.Errorf(enroll.KindConflict, "no", "no") }
			w.kind(w.DeleteImport(w.ctx, ids[1], refused), enroll.KindConflict)
			w.ok(w.DeleteImport(w.ctx, ids[1], func(enroll.Import) error { return nil }))
			w.kind(w.DeleteImport(w.ctx, ids[1], refused), enroll.KindNotFound)
			if chunk, err := w.ImportChunk(w.ctx, ids[1], 0); err != nil || chunk != nil {
				w.Errorf("its file is still there, %v", err)
			}
		},
		"leases": func(w *world) {
			im := importer.New(w.Store, nil, slog.New(slog.DiscardHandler))
			up, _, err := im.Upload(w.ctx, importer.Upload{File: strings.NewReader(importFile(3, "x")), Options: options()})
			w.ok(err)
			first, ok, err := w.ClaimImport(w.ctx, "first", at(0), time.Minute)
			if err != nil || !ok || first.ID != up.ID || first.State != enroll.ImportPlanning {
				w.Fatalf("claimed %+v, %v, %v", first, ok, err)
			}
			if _, ok, err := w.ClaimImport(w.ctx, "second", at(59), time.Minute); err != nil || ok {
				w.Fatalf("claimed twice, %v", err)
			}
			lost := enroll.ImportLease{ImportID: up.ID, Worker: "first"}
			w.ok(w.HoldImport(w.ctx, lost, 1, at(120)))
			if _, ok, _ := w.ClaimImport(w.ctx, "second", at(119), time.Minute); ok {
				w.Fatal("a renewed lease is given away")
			}
			if _, ok, err := w.ClaimImport(w.ctx, "second", at(121), time.Minute); err != nil || !ok {
				w.Fatalf("an old lease is not given away, %v", err)
			}
			for what, err := range map[string]error{
				"hold":   w.HoldImport(w.ctx, lost, 1, at(200)),
				"begin":  w.BeginPlan(w.ctx, lost),
				"rows":   w.PlanRows(w.ctx, lost, options(), []enroll.ImportRow{{Line: 2}}, at(0)),
				"finish": w.FinishPlan(w.ctx, lost, first),
			} {
				if !errors.Is(err, enroll.ErrLeaseLost) {
					w.Errorf("%s by a worker without a lease: %v", what, err)
				}
			}
			_, err = w.ApplyImport(w.ctx, lost, at(0), func(int) {})
			if !errors.Is(err, enroll.ErrLeaseLost) {
				w.Errorf("apply by a worker without a lease: %v", err)
			}
		},
		"missing": func(w *world) {
			_, err := w.Import(w.ctx, "x")
			w.kind(err, enroll.KindNotFound)
			_, err = w.ChangeImport(w.ctx, "x", func(i enroll.Import) (enroll.Import, error) { return i, nil })
			w.kind(err, enroll.KindNotFound)
		},
	})
}

func (w *importing) settledRevert(id string) enroll.Import {
	w.Helper()
	imp, err := w.im.Revert(w.ctx, id, "ben", time.Minute)
	w.ok(err)
	return imp
}

// failing is a reader that only fails.
type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
