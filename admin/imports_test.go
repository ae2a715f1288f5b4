package admin_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/enroll/importer"
)

func csv(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../testdata/csv/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const isCSV = "Content-Type: text/csv; charset=utf-8"

func TestImport(t *testing.T) {
	s := newServer(t)
	sample := s.as(admin.RoleViewer, "GET /imports/sample.csv", "").want(200)
	if string(sample.raw) != string(importer.Sample()) || !strings.Contains(sample.header.Get("Content-Disposition"), "sample.csv") {
		t.Errorf("the sample is %q, %v", sample.raw, sample.header)
	}
	const upload = "POST /imports?domain=local&file_name=devices.csv"
	first := s.do(upload, string(sample.raw), isCSV).want(201).is("file_name=devices.csv", "created_by=the admin", "options.domain=local", "options.pre_enroll=true", "existed=")
	first.is(fmt.Sprintf("sha256=%x", sha256.Sum256(sample.raw)))
	id := fmt.Sprint(first.at("id"))
	s.do(upload, string(sample.raw), isCSV).want(200).is("id="+id, "existed=true")
	s.do("POST /imports/"+id+"/apply", "").want(200).is("state=applied", "counts.rows=5", "counts.new=5", "counts.users_new=4", "applied_by=the admin", "progress.done=5", "progress.total=5")
	s.do("POST /imports/"+id+"/apply", "").want(200).is("state=applied")
	s.do("GET /imports/"+id, "").want(200).is("columns.0.field=name", "columns.0.confidence=1", "columns.0.samples.0=Anna Schmidt", "charset=utf-8", "delimiter=,")
	s.do(upload+"&again=true&apply=true", string(sample.raw), isCSV).want(201).is("state=applied", "counts.new=0", "counts.unchanged=5")
	s.do("GET /imports?limit=1", "").want(200).is("items.0.counts.new=0")
	s.do("GET /imports", "").want(200).is("items.1.counts.new=5")
	s.do("GET /devices/SAMPLE0IPHONE1", "").want(200).is("sources.serial=csv", "user.mobile=+49 151 2345678", "name=Anna's iPhone")
	if n := s.do("GET /imports/"+id+"/rows?action=new,changed", "").want(200).is("items.0.line=2", "items.0.action=new", "items.0.changes.0.field=devicename", "items.0.changes.0.new=Anna's iPhone").count(); n != 5 {
		t.Errorf("%d rows", n)
	}
	page := s.do("GET /imports/"+id+"/rows?limit=2", "").want(200)
	s.do(fmt.Sprint("GET /imports/"+id+"/rows?limit=2&cursor=", page.at("next_cursor")), "").want(200).is("items.0.line=4")
	if n := s.do("GET /imports/"+id+"/recipients", "").want(200).is("items.0.serial=SAMPLE0IPHONE1", "items.0.user.email=anna.schmidt@example.com", "items.0.state=pre_enrolled").count(); n != 5 {
		t.Errorf("%d recipients", n)
	}
	s.do("GET /imports/"+id+"/revert", "").want(200).is("deleted=5")
	s.do("POST /imports/"+id+"/revert", "").want(200).is("state=reverted", "reverted.deleted=5", "reverted_by=the admin")
	s.do("GET /devices/SAMPLE0IPHONE1", "").want(404)
	s.do("POST /imports/"+id+"/revert", "").want(409).is("code=import_reverted")
	s.do("GET /imports/nothing", "").want(404).is("code=import_unknown")
	s.do("GET /imports/nothing/rows", "").want(404)
	s.do("GET /imports/nothing/errors.csv", "").want(404)
	s.do("POST /imports/nothing/apply", "").want(404)
}

func TestImportRefuses(t *testing.T) {
	s := newServer(t)
	sample := string(importer.Sample())
	const upload = "POST /imports?domain=local&apply=true"
	s.do(upload, sample, isCSV).want(201)
	before := s.do("GET /devices", "").count()
	s.do(upload, csv(t, "bad-cells.csv"), isCSV).want(422).
		is("code=rows_invalid", "errors.2.line=2", "errors.2.column=ownership", "errors.2.value=leased", "errors.2.code=ownership_unknown", "errors.2.hint=Use one of personal, corporate, selectuser.").
		says("4 of 4 rows have errors", "nothing was imported", "errors.csv")
	s.do(upload, csv(t, "bad-duplicate-serial.csv"), isCSV).want(422).says("line 2 already and again in line 4")
	s.do(upload, csv(t, "bad-header-missing.csv"), isCSV).want(422).is("code=column_missing").says("ownership")
	s.do(upload, csv(t, "bad-charset-needed.csv"), isCSV).want(422).is("code=charset_needed").says("windows-1252")
	s.do(upload, "", isCSV).want(422).is("code=file_empty")
	s.do(upload, strings.Replace(sample, "SAMPLE0IPHONE1,ios", "SAMPLE0IPHONE1,android", 1), isCSV).want(422).is("errors.0.code=platform_conflict", "errors.0.line=2")
	s.do("POST /imports", sample, isCSV).want(422).is("code=domain_required").says("?domain=")
	s.do("POST /imports?domain=%20", sample, isCSV).want(422).is("code=domain_required")
	s.do(upload+"&on_error=never", sample, isCSV).want(422).is("code=request_invalid")
	s.do(upload+"&map=x", sample, isCSV).want(422).is("code=map_invalid")
	s.do(upload+"&default=platform:", sample, isCSV).want(422).is("code=default_invalid")
	s.do(upload+"&preset=x", sample, isCSV).want(422).is("code=preset_unknown").says("intune-identifiers")
	s.do(upload, sample, "Content-Type: application/x-www-form-urlencoded").want(415).says("--data-binary")
	if after := s.do("GET /devices", "").count(); after != before {
		t.Errorf("%d devices after imports that failed, %d before", after, before)
	}

	r := httptest.NewRequest("POST", admin.Prefix+"/imports?domain=local", strings.NewReader("x"))
	r.Header.Set("Authorization", "Bearer "+s.tokens[admin.RoleAdmin])
	r.Header.Set("Content-Length", fmt.Sprint(importer.DefaultLimits.Bytes+1))
	s.send(r).want(413).is("code=body_too_large")

	// A body that does not tell its length is cut off.
	r = httptest.NewRequest("POST", admin.Prefix+"/imports?domain=local", io.LimitReader(blankLines{}, importer.DefaultLimits.Bytes+1))
	r.Header.Set("Authorization", "Bearer "+s.tokens[admin.RoleAdmin])
	s.send(r).want(413).is("code=body_too_large")
}

// TestImportMapped takes an unfamiliar file through mapping, correction and
// errors.csv.
func TestImportMapped(t *testing.T) {
	s := newServer(t)
	file := "Gerätebez.;Kontakt;Wer;Seriennummer\nEmpfang;anna@example.com;Anna;C39XK1\nLager;bernd@example;Bernd;C39XK2\n"
	up := s.do("POST /imports?domain=corp&default=platform:ios&map=Wer:name&map="+"%232:email", file, isCSV).want(201)
	id := fmt.Sprint(up.at("id"))
	s.do("POST /imports/"+id+"/apply", "").want(422).is("code=default_missing").says("ownership")
	s.do("GET /imports/"+id, "").want(200).is("state=failed", "problem.code=default_missing", "columns.1.field=email", "columns.3.field=SerialNumber", "columns.0.field=")
	s.do("PATCH /imports/"+id, `{"mapping":{"Wer":"name","Kontakt":"email","#1":"devicename"},"defaults":{"platform":"ios","ownership":"personal"}}`).want(200)
	s.do("POST /imports/"+id+"/apply", "").want(409).is("code=plan_has_errors").says("1 of 2 rows")
	errors := s.do("GET /imports/"+id+"/errors.csv", "").want(200)
	if got := string(errors.raw); !strings.HasPrefix(got, "\ufeffGerätebez.,Kontakt,Wer,Seriennummer,line,error\nLager,bernd@example,Bernd,C39XK2,3,") {
		t.Errorf("errors.csv is %q", got)
	}
	s.do("PATCH /imports/"+id, `{"corrections":[{"line":3,"column":"nothing","value":"x"}]}`).want(422).is("code=correction_unknown")
	s.do("PATCH /imports/"+id, `{"corrections":[{"line":3,"column":"Kontakt","value":"bernd@example.com"}]}`).want(200)
	s.do("POST /imports/"+id+"/apply", "").want(200).is("state=applied", "counts.new=2")
	s.do("GET /devices/C39XK2", "").want(200).is("name=Lager", "ownership=personal", "user.domain=corp", "user.email=bernd@example.com")
	s.do("PATCH /imports/"+id, `{"on_error":"skip"}`).want(409).is("code=import_applied")
	s.do("POST /imports/"+id+"/cancel", "").want(409).is("code=import_applied")
	s.do("DELETE /imports/"+id, "").want(409).is("code=import_revertible")
}

func TestImportStale(t *testing.T) {
	s := newServer(t)
	up := s.do("POST /imports?domain=local", string(importer.Sample()), isCSV).want(201)
	id := fmt.Sprint(up.at("id"))
	if _, err := s.api.Imports.Await(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.do("PUT /devices/SAMPLE0IPHONE1", `{"platform":"ios","ownership":"corporate"}`).want(201)
	s.do("POST /imports/"+id+"/apply", "").want(409).is("code=plan_stale").says("4 new, 1 changed")
	s.do("GET /imports/"+id, "").want(200).is("state=planned", "stale=1", "counts.changed=1", "counts.new=4")
	s.do("GET /devices/SAMPLE0IPHONE2", "").want(404)
	s.do("POST /imports/"+id+"/apply", "").want(200).is("state=applied")
	cancelled := s.do("POST /imports?domain=local", csv(t, "good-tabs.csv"), isCSV).want(201)
	s.do(fmt.Sprint("POST /imports/", cancelled.at("id"), "/cancel"), "").want(200).is("state=cancelled")
	s.do(fmt.Sprint("POST /imports/", cancelled.at("id"), "/apply"), "").want(409).is("code=import_cancelled")
	s.do(fmt.Sprint("GET /imports/", cancelled.at("id"), "/errors.csv"), "").want(409)
	s.do(fmt.Sprint("DELETE /imports/", cancelled.at("id")), "").want(204)
	s.do(fmt.Sprint("GET /imports/", cancelled.at("id")), "").want(404)
}

// TestImportPresets imports the sample of each list of another product as it
// is, and a list of one's own.
func TestImportPresets(t *testing.T) {
	s := newServer(t)
	for _, p := range importer.BuiltInPresets() {
		file := csv(t, filepath.Join("presets", p.Name+".csv"))
		a := s.do("POST /imports?domain=local&apply=true&default=platform:apple&default=ownership:corporate&preset="+p.Name, file, isCSV).want(201).is("state=applied", "options.preset="+p.Name)
		if n := a.at("counts.new"); n == nil || n == 0.0 {
			t.Errorf("%s: %s", p.Name, a.raw)
		}
	}
	s.do("PUT /import-presets/ours", `{"header":"no","mapping":{"#1":"SerialNumber","#2":"colour"}}`).want(422).is("code=field_unknown")
	s.do("PUT /import-presets/soti", `{"header":"no"}`).want(409).is("code=preset_built_in")
	const ours = `{"title":"Our list","header":"no","mapping":{"#1":"SerialNumber","#2":"asset_tag"},"owner":"optional","defaults":{"platform":"ios","ownership":"corporate"}}`
	s.do("PUT /import-presets/ours", ours).want(201)
	s.do("PUT /import-presets/ours", ours).want(200)
	s.do("GET /import-presets/ours", "").want(200).is("title=Our list", "built_in=false", "mapping.#1=SerialNumber")
	s.do("GET /import-presets/soti", "").want(200).is("built_in=true")
	if n := s.do("GET /import-presets", "").want(200).count(); n != len(importer.BuiltInPresets())+1 {
		t.Errorf("%d presets", n)
	}
	s.do("POST /imports?domain=local&apply=true&preset=ours", "OURS1,A-1\n", isCSV).want(201).is("counts.new=1", "options.preset=")
	s.do("DELETE /import-presets/ours", "").want(204)
	s.do("DELETE /import-presets/ours", "").want(404)
	s.do("DELETE /import-presets/soti", "").want(409)
	s.do("GET /import-presets/ours", "").want(404)
}

// TestImportErrorsAreBounded has more bad rows than an answer lists.
func TestImportErrorsAreBounded(t *testing.T) {
	s := newServer(t)
	a := s.do("POST /imports?domain=local&apply=true", "name,email,ownership,SerialNumber,platform\n"+strings.Repeat("A,a@example.com,corporate,#,ios\n", 1005), isCSV).want(422).says("1005 of 1005 rows", "first 1000")
	if n := len(a.at("errors").([]any)); n != 1000 {
		t.Errorf("%d errors are listed", n)
	}
}

// blankLines is an endless file of long blank lines.
type blankLines struct{}

func (blankLines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	p[len(p)-1] = '\n'
	return len(p), nil
}
