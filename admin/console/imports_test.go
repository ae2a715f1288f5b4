package console_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"rollcall/admin"
	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
	"rollcall/sim/mail"
)

// post is a mail server, and the options of a server that sends with it.
func post(t *testing.T) (*mail.Server, stage.Options) {
	t.Helper()
	server, err := mail.New(mail.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	roots := filepath.Join(t.TempDir(), "mail.pem")
	if err := os.WriteFile(roots, server.RootsPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, stage.Options{Change: func(o *app.Options) {
		o.SMTPURL, o.MailFrom, o.SMTPRoots = server.URL(), "Example IT <mdm@example.com>", roots
	}}
}

// settled looks again until the server has done its work on an import.
func (g *page) settled() *page {
	g.p.h.t.Helper()
	for strings.Contains(g.Text(), "Look again") {
		if err := g.p.h.t.Context().Err(); err != nil {
			g.p.h.t.Fatal(err)
		}
		g = g.Follow("Look again")
	}
	return g
}

// upload sends a file as the wizard does, and waits for the plan.
func (p *person) upload(file string, set ...string) *page {
	p.h.t.Helper()
	form := p.Get("/console/imports/new").Wants(http.StatusOK).Form("Upload and plan").Attach("file", "phones.csv", file)
	for i := 0; i < len(set); i += 2 {
		form.Set(set[i], set[i+1])
	}
	return form.Send().settled()
}

var importID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// TestImportWizard takes an unfamiliar file from the first step to the mails,
// and back off the roll.
func TestImportWizard(t *testing.T) {
	mails, options := post(t)
	h := newHouse(t, options)
	h.API(http.MethodPut, "/devices/KNOWN1", map[string]any{"platform": "ios", "ownership": "corporate", "name": "Old name"}, nil)
	ada := h.As(admin.RoleOperator)

	file := ada.Get("/console/imports").Wants(http.StatusOK, "Nothing has been imported yet").Follow("New import")
	file.Wants(http.StatusOK, "Domain", "Pre-enroll Devices", "Sample CSV", "Microsoft Intune")
	if sample := file.Follow("Sample CSV"); !strings.HasPrefix(sample.Body, "name,email,mobile,ownership,devicename,SerialNumber,platform") {
		t.Errorf("the sample is %q", sample.Body)
	}
	const phones = "Wer;E-Mail;Besitz;Seriennummer;Kürzel\nAnn;ann@example.com;corporate;AAA1;A-1\nBen;ben@example;corporate;BBB1;A-2\nCem;cem@example.com;personal;CCC1;A-3\nDora;dora@example.com;corporate;KNOWN1;A-4\n"
	mapping := ada.upload(phones, "default-platform", "ios")
	mapping.Wants(http.StatusOK, "phones.csv", "Continue to review", "has no column for name", "Choose the column that holds it", "ann@example.com", "100 %", "not used")

	review := mapping.Form("Continue to review").Set("field-1", "name").Set("field-5", "asset_tag").Send().settled()
	review.Wants(http.StatusOK, "Error 1", "New 2", "Changed 1", "Unchanged 0", "Conflict 0", `"ben@example" is not an e-mail address`, "Download errors.csv", "Leave 1 row out", "email invalid: 1").Lacks("Continue to send")
	if errors := review.Follow("Download errors.csv"); !strings.Contains(errors.Body, "Ben,ben@example,corporate,BBB1,A-2,3,") {
		t.Errorf("errors.csv is %q", errors.Body)
	}
	review.Follow("Changed 1").Wants(http.StatusOK, "KNOWN1", "Asset tag", "A-4", "Dora")
	again := review.Form("Correct").Set("value", "ben@").Send().settled()
	again.Wants(http.StatusOK, "Line 3", "line 3 still cannot be applied", "Corrected. The file says: ben@example")
	review = again.Form("Save the row").Set("cell-2", "ben@example.com").Send()
	review.Wants(http.StatusOK, "Line 3 is corrected: New.", "Error 0", "New 3", "BBB1")

	send := review.Follow("Continue to send").Wants(http.StatusOK, "Pre-enroll 4 devices, send 4 requests", "ann@example.com", "by e-mail")
	preview := send.Follow("Preview AAA1").Wants(http.StatusOK, "ann@example.com", "AAA1", "Enroll your device", "an example")
	if !strings.Contains(preview.Body, `src="data:image/png;base64,`) {
		t.Error("the preview has no QR code")
	}
	frame := ada.Get(regexp.MustCompile(`/console/imports/[^"]*/preview/message[^"]*`).FindString(strings.ReplaceAll(preview.Body, "&amp;", "&"))).Wants(http.StatusOK, "Ann", "AAA1")
	if policy := frame.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") || !strings.Contains(policy, "frame-ancestors 'self'") || frame.Header.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("the frame has the policy %q", policy)
	}
	send = send.Form("Update the list").Set("to", "2", "3", "5").Send()
	send.Wants(http.StatusOK, "Pre-enroll 4 devices, send 3 requests")
	if len(mails.Messages()) != 0 {
		t.Fatal("something was sent before Send")
	}
	done := send.Form("Pre-enroll 4 devices, send 3 requests").Send().settled()
	done.Wants(http.StatusOK, "applied", "3 New", "1 Changed", "3 Requests sent", "Ada <operator>")
	for _, to := range []string{"ann", "ben", "dora"} {
		m, err := mails.Wait(t.Context(), to+"@example.com", 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Links()) == 0 {
			t.Errorf("%s got no link", to)
		}
	}
	if n := len(mails.To("cem@example.com")); n != 0 {
		t.Error("somebody without a tick was written to")
	}
	h.As(admin.RoleViewer).Get("/console/imports").Wants(http.StatusOK, "phones.csv", "applied").Lacks("New import")

	revert := done.Follow("Revert").Wants(http.StatusOK, "take 3 devices off the roll", "give 1 device back what it was")
	revert.Form("Revert 4 devices").Send().settled().Wants(http.StatusOK, "reverted", "take 3 devices off the roll")
	ada.Get("/console/devices?q=CCC1").Wants(http.StatusOK, "No device matches")
}

// TestImportForms: what people and browsers do wrong.
func TestImportForms(t *testing.T) {
	h := newHouse(t)
	ada, viewer := h.As(admin.RoleOperator), h.As(admin.RoleViewer)
	const header = "name,email,mobile,ownership,devicename,SerialNumber,platform\n"
	imports := func() int {
		var list struct{ Items []struct{ ID string } }
		h.API(http.MethodGet, "/imports", nil, &list)
		return len(list.Items)
	}

	t.Run("refused files", func(t *testing.T) {
		form := func() *sent {
			return ada.Get("/console/imports/new").Form("Upload and plan").Set("domain", "Berlin").Set("on_duplicate", "skip").Set("delimiter", ";")
		}
		g := form().Send().Wants(http.StatusUnprocessableEntity, "There is no file in the form.")
		again := g.Form("Upload and plan")
		if again.Fields.Get("domain") != "Berlin" || again.Fields.Get("on_duplicate") != "skip" || again.Fields.Get("delimiter") != ";" || again.Fields.Get("pre_enroll") != "true" {
			t.Errorf("what was typed is lost: %v", again.Fields)
		}
		form().Attach("file", "empty.csv", "").Send().Wants(http.StatusUnprocessableEntity, "The file was not taken.", "the file is empty")
		form().Set("domain", strings.Repeat("x", 300)).Attach("file", "a.csv", header).Send().Wants(http.StatusUnprocessableEntity)
		if n := imports(); n != 0 {
			t.Errorf("%d imports of files that were refused", n)
		}
	})
	t.Run("forged", func(t *testing.T) {
		form := ada.Get("/console/imports/new").Form("Upload and plan").Attach("file", "a.csv", header)
		form.Fields.Set("csrf", "x")
		form.Send().Wants(http.StatusForbidden, "not made for your session")
	})
	t.Run("broken off", func(t *testing.T) {
		csrf := ada.Get("/console/imports/new").Form("Upload and plan").Fields.Get("csrf")
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		w.WriteField("csrf", csrf)
		w.WriteField("domain", "local")
		part, err := w.CreateFormFile("file", "a.csv")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, header+strings.Repeat("Ann,ann@example.com,,corporate,,AAA,ios\n", 50_000))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.server.URL+"/console/imports/new", io.MultiReader(&body, iotest.ErrReader(errors.New("the line is cut"))))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", w.FormDataContentType())
		if res, err := ada.client.Do(r); err == nil {
			res.Body.Close()
		}
		if n := imports(); n != 0 {
			t.Errorf("%d imports of a file that did not arrive whole", n)
		}
	})
	t.Run("HTML in cells, two people, double submit, a viewer", func(t *testing.T) {
		mapping := ada.upload(header+"<b>Ann</b>,ann@example,,corporate,\"<script>alert(1)</script>\",AAA,ios\nBen,ben@example.com,,leased,,BBB,ios\n").Wants(http.StatusOK, "<b>Ann</b>")
		id := importID.FindString(mapping.URL.Path)
		review := mapping.Form("Continue to review").Send().settled().Wants(http.StatusOK, "Error 2")
		row := "/console/imports/" + id + "/rows/2"
		mine, theirs := ada.Get(row).Wants(http.StatusOK).Form("Save the row"), h.As(admin.RoleAdmin).Get(row).Form("Save the row")
		if mine.Fields.Get("cell-5") != "<script>alert(1)</script>" {
			t.Errorf("the cell holds %q", mine.Fields.Get("cell-5"))
		}
		theirs.Set("cell-2", "ann@example.com").Send().Wants(http.StatusOK, "Line 2 is corrected: New.")
		late := mine.Set("cell-2", "anna@example.com").Send().Wants(http.StatusConflict, "This row has been planned anew since you opened it", "ann@example.com", "Corrected. The file says: ann@example")
		if late.Form("Save the row").Fields.Get("cell-2") != "anna@example.com" {
			t.Error("what was typed is lost")
		}
		if strings.Contains(late.Body, "<script>alert") || strings.Contains(review.Body, "<b>Ann") {
			t.Error("a cell is HTML")
		}
		viewer.Get("/console/imports/"+id+"/review?action=error").Wants(http.StatusOK, "leased").Lacks("Correct", "Leave", "Send")
		viewer.Get(row).Wants(http.StatusOK, "ann@example.com").Lacks("Save the row")
		viewer.Get("/console/imports/"+id+"/map").Wants(http.StatusOK).Lacks("Continue to review", "Give this import up")
		viewer.Post(row, url.Values{"csrf": {csrfOf(viewer)}, "column": {"email"}, "value": {"x@example.com"}}).Wants(http.StatusForbidden)

		ada.Get("/console/imports/"+id+"/send").Wants(http.StatusOK, "1 row cannot be applied", "Leave 1 row out")
		send := ada.Get("/console/imports/"+id+"/review").Form("Leave 1 row out").Send().settled().Wants(http.StatusOK, "Pre-enroll 1 device, send 1 request")
		nobody := send.Form("Update the list").Set("via", "none").Send().Wants(http.StatusOK, "Pre-enroll 1 device").Lacks("send 1 request")
		other := nobody.Form("Pre-enroll 1 device")
		other.Fields.Set("via", "email") // ticked after the page was made
		other.Send().Wants(http.StatusConflict, "The button says what it does now")
		form := nobody.Form("Pre-enroll 1 device")
		form.Send().settled().Wants(http.StatusOK, "applied", "1 New")
		form.Send().settled().Wants(http.StatusOK, "applied", "1 New")
		ada.Get(row).Wants(http.StatusOK).Lacks("Save the row")
		ada.Get("/console/imports/"+id+"/progress").Wants(http.StatusOK).hasHeader("HX-Refresh", "true")
	})
	t.Run("no mail server", func(t *testing.T) {
		g := ada.upload(header + "Ann,ann@example.com,,corporate,,NEW1,ios\n").Form("Continue to review").Send().settled().Follow("Continue to send")
		g.Form("Pre-enroll 1 device, send 1 request").Send().Wants(http.StatusConflict, "no mail server", "Pre-enroll 1 device, send 1 request")
		h.API(http.MethodGet, "/devices?q=NEW1", nil, nil)
		ada.Get("/console/devices?q=NEW1").Wants(http.StatusOK, "No device matches")
	})
	t.Run("an import that went", func(t *testing.T) {
		mapping := ada.upload(header + "Ann,ann@example.com,,corporate,,GONE1,ios\n")
		form := mapping.Form("Continue to review")
		mapping.Form("Give this import up").Send().Wants(http.StatusOK, "was given up", "given up")
		form.Send().Wants(http.StatusOK, "given up").Form("Delete this import").Send().Wants(http.StatusOK, "The import is deleted.")
		form.Send().Wants(http.StatusNotFound)
	})
	t.Run("users only", func(t *testing.T) {
		form := ada.Get("/console/imports/new").Form("Upload and plan").Attach("file", "users.csv", header+"Eve,eve@example.com,,corporate,,EVE1,ios\n")
		form.Fields.Del("pre_enroll")
		g := form.Send().settled().Form("Continue to review").Send().settled().Follow("Continue to send").Wants(http.StatusOK, "Take 1 user", "makes users only")
		g.Form("Take 1 user").Send().settled().Wants(http.StatusOK, "applied")
	})
}

// TestImportPresets saves how a file was read, and reads the next one so.
func TestImportPresets(t *testing.T) {
	h := newHouse(t)
	ada := h.As(admin.RoleOperator)
	mapping := ada.upload("Besitzer A;Nummer\nX;S1\n", "default-platform", "ios", "default-ownership", "corporate", "owner", "optional", "header", "yes")
	mapping.Wants(http.StatusOK, "Nummer")
	g := mapping.Form("Continue to review").Set("field-1", "asset_tag").Set("field-2", "SerialNumber").Send().settled().Wants(http.StatusOK, "New 1")
	save := g.Follow("Map").Form("Save as preset")
	save.Set("name", "soti").Send().Wants(http.StatusConflict, "is built in and cannot be changed")
	save.Set("name", "our/list").Set("title", "Our list").Send().Wants(http.StatusOK, "The preset our/list is saved.")
	ada.upload("Besitzer A;Nummer\nX;S2\n", "preset", "our/list").Form("Continue to review").Send().settled().Wants(http.StatusOK, "New 1", "S2")
	list := ada.Get("/console/import-presets").Wants(http.StatusOK, "Our list", "always there")
	list.Form("Delete our/list").Send().Wants(http.StatusOK, "The preset our/list is deleted.").Lacks("Our list")
}

// TestImportPaging keeps ticks over the pages of a long list.
func TestImportPaging(t *testing.T) {
	_, options := post(t)
	h := newHouse(t, options)
	ada := h.As(admin.RoleOperator)
	var file strings.Builder
	file.WriteString("name,email,ownership,SerialNumber,platform\n")
	for i := range 120 {
		fmt.Fprintf(&file, "User %d,u%[1]d@example.com,corporate,S%03[1]d,ios\n", i)
	}
	send := ada.upload(file.String()).Form("Continue to review").Send().settled().Wants(http.StatusOK, "New 120").Follow("Continue to send").Wants(http.StatusOK, "Pre-enroll 120 devices, send 120 requests")
	form := send.Form("Next page")
	form.Fields["to"] = form.Fields["to"][3:]
	second := form.Send().Wants(http.StatusOK, "u50@example.com", "send 117 requests").Lacks("u49@example.com")
	form = second.Form("First page")
	form.Fields["to"] = form.Fields["to"][1:]
	first := form.Send().Wants(http.StatusOK, "u0@example.com", "send 116 requests")
	form = first.Form("Pre-enroll 120 devices, send 116 requests")
	if n := len(form.Fields["to"]); n != 47 || form.Fields.Get("except") != "52" {
		t.Errorf("%d ticks, and except %q", n, form.Fields.Get("except"))
	}
	done := form.Send().settled().Wants(http.StatusOK, "116 Requests sent", "120 New")
	// Above 50 devices a revert is confirmed by typing.
	back := done.Follow("Revert").Wants(http.StatusOK, "take 120 devices off the roll", "Type revert to confirm")

	back.Form("Revert 120 devices").Send().Wants(http.StatusUnprocessableEntity, "Nothing was done")
	back.Form("Revert 120 devices").Set("confirm", "revert").Send().settled().Wants(http.StatusOK, "reverted", "take 120 devices off the roll")
}

// hasHeader fails the test unless the answer has that header.
func (g *page) hasHeader(name, value string) *page {
	g.p.h.t.Helper()
	if got := g.Header.Get(name); got != value {
		g.p.h.t.Errorf("%s is %q, want %q", name, got, value)
	}
	return g
}

// csrfOf is the token of the forms of a person, who always has one form: to sign
// out.
func csrfOf(p *person) string {
	return p.Get("/console/devices").Form("Sign out").Fields.Get("csrf")
}
