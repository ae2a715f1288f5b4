package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
)

// TestImportCorrected corrects cells of a plan in place.
func TestImportCorrected(t *testing.T) {
	s := newServer(t)
	const file = "name,email,mobile,ownership,devicename,SerialNumber,platform,Shoe size\nAnn,ann@example,,corporate,,AAA,ios,38\nBen,ben@example.com,,leased,,BBB,ios,44\n"
	id := fmt.Sprint(s.do("POST /imports?domain=local", file, isCSV).want(201).at("id"))
	if _, err := s.api.Imports.Await(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	rows := "GET /imports/" + id + "/rows"
	row := "/imports/" + id + "/rows/2"
	s.do("GET /imports/"+id+"/problems", "").want(200).is("items.0.code=email_invalid", "items.0.rows=1", "items.0.column=email", "items.1.code=ownership_unknown")
	if n := s.do(rows+"?problem=ownership_unknown", "").want(200).is("items.0.line=3").count(); n != 1 {
		t.Errorf("%d rows with the problem", n)
	}
	seen := s.as(admin.RoleViewer, "GET "+row, "").want(200).is("action=error", "cells.1.header=email", "cells.1.field=email", "cells.1.value=ann@example", "cells.1.corrected=", "cells.7.field=", "cells.7.value=38", "errors.0.column=email")
	version := fmt.Sprint(`If-Match: "`, seen.at("version"), `"`)
	s.do("PATCH "+row, `{"email":"ann@example.com"}`, version).want(200).is("action=new", "email=ann@example.com", "cells.1.value=ann@example.com", "cells.1.uploaded=ann@example", "cells.1.corrected=true")
	s.do("GET /imports/"+id, "").want(200).is("state=planned", "counts.error=1", "counts.new=1", "counts.recipients=1")
	s.do("PATCH "+row, `{"email":"other@example.com"}`, version).want(409).is("code=version_changed", "current.action=new", "current.line=2")
	s.do("PATCH "+row, `{"shoe":"1"}`).want(422).is("code=correction_unknown")
	s.do("PATCH /imports/"+id+"/rows/9", `{"email":"x@example.com"}`).want(404).is("code=row_unknown")
	s.do("PATCH /imports/nothing/rows/9", `{"email":"x@example.com"}`).want(404).is("code=import_unknown")
	s.do("PATCH "+row, `{"email":7}`).want(422)
	s.do("PATCH "+row, `{"email":null}`).want(200).is("action=error", "cells.1.corrected=")
	s.do("PATCH "+row, `{"Email":"ann@example.com"}`).want(200).is("action=new")
	if errors := s.do("GET /imports/"+id+"/errors.csv", "").want(200); strings.Contains(string(errors.raw), "AAA") {
		t.Errorf("a corrected row is among the errors: %s", errors.raw)
	}
	s.do("PATCH /imports/"+id+"/rows/3", `{"ownership":"personal"}`).want(200).is("action=new")
	s.do("POST /imports/"+id+"/apply", "").want(200).is("state=applied", "counts.new=2")
	s.do("GET /devices/AAA", "").want(200).is("user.email=ann@example.com")
	s.do("PATCH "+row, `{"email":"x@example.com"}`).want(409).is("code=import_applied")
	s.do("GET /audit?operation=patch-import-row", "").want(200)
}

// TestImportRequests sends to chosen recipients of an import, with a look at the
// message before.
func TestImportRequests(t *testing.T) {
	s := newPost(t)
	const file = "name,email,mobile,ownership,devicename,SerialNumber,platform\nAnn,ann@example.com,,corporate,,AAA,ios\nBen,ben@example.com,,corporate,,BBB,ios\nCem,cem@example.com,+49 151 2345678,corporate,,CCC,android\n"
	id := fmt.Sprint(s.do("POST /imports?domain=local", file, isCSV).want(201).at("id"))
	if _, err := s.api.Imports.Await(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.do("GET /imports/"+id+"/recipients?via=sms", "").want(200).is("items.0.serial=AAA", "items.0.user.name=Ann", "items.0.state=pre_enrolled", "items.0.problem=mobile_missing", "items.2.problem=")
	preview := s.do("POST /requests/preview", `{"import":"`+id+`"}`).want(200).is("via=email", "to=ann@example.com").says("AAA", "iPhone or iPad", "data:image/png;base64,")
	if link := fmt.Sprint(preview.at("link")); !strings.HasPrefix(link, "https://mdm.example.com/enroll/r/000") || preview.at("qr") == nil || preview.at("subject") == nil {
		t.Errorf("preview %s", preview.raw)
	}
	s.do("POST /requests/preview", `{"import":"`+id+`","line":4,"via":"sms"}`).want(200).is("to=+49 151 2345678", "html=", "qr=").says("CCC", "Android device")
	s.do("POST /requests/preview", `{"import":"`+id+`","line":2,"via":"sms"}`).want(409).is("code=mobile_missing")
	s.do("POST /requests/preview", `{"import":"`+id+`","line":9}`).want(404).is("code=recipient_unknown")
	s.do("POST /requests/preview", `{}`).want(422).is("code=recipients_missing")
	s.do("POST /requests/preview", `{"serial":"AAA"}`).want(404)
	s.do("POST /imports/"+id+"/requests", `{"via":"email"}`).want(409).is("code=import_planned")
	s.do("POST /imports/"+id+"/apply", `{"requests":{"via":"sms"}}`).want(409).is("code=sms_not_configured")
	s.do("POST /imports/"+id+"/apply", `{"requests":{"via":"email","lines":[2],"except":[3]}}`).want(422).is("code=recipients_twice")
	s.do("POST /imports/"+id+"/apply", `{"requests":{"via":"email","except":[3]}}`).want(200).is("state=applied", "requests.sent=2", "requests.left_out=0", "requests.done=true", "requests.via=email")
	s.do("GET /devices/AAA", "").want(200).is("state=invited")
	s.do("GET /devices/BBB", "").want(200).is("state=pre_enrolled")
	s.do("GET /requests?serial=CCC", "").want(200).is("items.0.via=email", "items.0.created_by=the admin")
	s.do("POST /imports/"+id+"/apply", `{"requests":{"via":"email"}}`).want(200).is("requests.sent=2")
	s.do("POST /imports/"+id+"/requests", `{"via":"email","lines":[3]}`).want(200).is("state=applied", "requests.sent=1")
	s.do("GET /devices/BBB", "").want(200).is("state=invited")
	s.do("POST /requests/preview", `{"serial":"bbb","kind":"reminder"}`).want(200).says("Reminder")
}
