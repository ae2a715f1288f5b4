package console

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// importRecipient is somebody who can get an enrollment request.
type importRecipient struct {
	Line    int    `json:"line"`
	Serial  string `json:"serial"`
	State   string `json:"state"`
	User    user   `json:"user"`
	Problem string `json:"problem"`
}

// importChoice is who gets requests. Everybody does who is not excepted; what is
// not ticked on other pages of the list travels with the form.
type importChoice struct {
	Via    string // email, sms; none: nobody
	Except []int  // lines
}

func (c importChoice) except(line int) bool { return slices.Contains(c.Except, line) }

// Elsewhere is Except as one field.
func (c importChoice) Elsewhere() string {
	texts := make([]string, len(c.Except))
	for i, line := range c.Except {
		texts[i] = strconv.Itoa(line)
	}
	return strings.Join(texts, ",")
}

// choice reads the form: what was excepted elsewhere, and the ticks of this page.
func (q *request) choice() importChoice {
	c := importChoice{Via: q.Typed("via")}
	if c.Via == "" {
		c.Via = "email"
	}
	except := map[int]bool{}
	lines := func(texts []string, set bool) {
		for _, s := range texts {
			if line, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
				except[line] = set
			}
		}
	}
	lines(strings.Split(q.Typed("except"), ","), true)
	lines(q.TypedAll("shown"), true)
	lines(q.TypedAll("to"), false)
	for line, left := range except {
		if left {
			c.Except = append(c.Except, line)
		}
	}
	slices.Sort(c.Except)
	return c
}

// requests is how many a choice would send of a plan's recipients.
func (c importChoice) requests(n importCounts) int {
	of := map[string]int{"email": n.Recipients, "sms": n.RecipientsSMS}[c.Via]
	return max(of-len(c.Except), 0)
}

// importSendButton says what the button does.
func importSendButton(imp imported, c importChoice) string {
	var does []string
	if imp.State == "planned" {
		if imp.Options.PreEnroll {
			does = append(does, text("import.button.devices", imp.Counts.Written()))
		} else {
			does = append(does, text("import.button.users", imp.Counts.UsersNew+imp.Counts.UsersChanged))
		}
	}
	if n := c.requests(imp.Counts); n > 0 {
		key := "import.button.and"
		if len(does) == 0 {
			key = "import.button.requests"
		}
		does = append(does, text(key, n))
	}
	return strings.Join(does, ", ")
}

// importRecipients is the fourth step: who gets a request.
func importRecipients(q *request) error {
	return importRecipientsPage(q, importChoice{Via: "email"}, q.Param("cursor"), nil)
}

func importRecipientsPage(q *request, c importChoice, cursor string, p *problem) error {
	imp, there, err := importStep(q, "planned", "applied")
	if !there {
		return err
	}
	if imp.State == "planned" && imp.Blocked() {
		return q.done(importPath(imp.ID, "/review"), "import.send.blocked", imp.Counts.Bad())
	}
	via := c.Via
	if via == "none" {
		via = "email"
	}
	query := url.Values{"limit": {pageSize}, "via": {via}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	data := struct {
		imported
		Choice     importChoice
		Items      []importTick
		NextCursor string
		Here       string
		Button     string
	}{imported: imp, Choice: c, Here: cursor, Button: importSendButton(imp, c)}
	var list struct {
		Items      []importRecipient `json:"items"`
		NextCursor string            `json:"next_cursor"`
	}
	if imp.Options.PreEnroll {
		if err := q.get(at("/imports/%s/recipients", imp.ID), query, &list); err != nil {
			return err
		}
	}
	data.NextCursor = list.NextCursor
	for _, r := range list.Items {
		data.Items = append(data.Items, importTick{importRecipient: r, On: r.Problem == "" && !c.except(r.Line)})
	}
	// What is shown is told by its ticks.
	data.Choice.Except = slices.DeleteFunc(slices.Clone(c.Except), func(line int) bool {
		return slices.ContainsFunc(list.Items, func(r importRecipient) bool { return r.Line == line })
	})
	v := importView(imp, data)
	v.Problem = p
	return q.page("import_send", v)
}

// importTick is a recipient with its tick.
type importTick struct {
	importRecipient
	On bool
}

// sendImport turns the pages of the list, with the ticks kept, or does what the
// button says.
func sendImport(q *request) error {
	c, id := q.choice(), q.PathValue("id")
	switch q.Typed("go") {
	case "look":
		return importRecipientsPage(q, c, q.Typed("here"), nil)
	case "first":
		return importRecipientsPage(q, c, "", nil)
	case "next":
		return importRecipientsPage(q, c, q.Typed("next"), nil)
	}
	imp, there, err := importStep(q, "planned", "applied")
	if !there {
		return err
	}
	if imp.State != "planned" && q.Typed("state") == "planned" { // the form came twice
		q.redirect(importPath(id, ""))
		return nil
	}
	// What the button said was made of counts that may be others by now.
	if q.Typed("said") != importSendButton(imp, c) {
		return importRecipientsPage(q, c, q.Typed("here"), &problem{Status: http.StatusConflict, Detail: text("import.send.other"), Hint: text("import.send.other.hint")})
	}
	var requests map[string]any
	if c.requests(imp.Counts) > 0 {
		if requests = map[string]any{"via": c.Via}; len(c.Except) > 0 {
			requests["except"] = c.Except
		}
	}
	path, body := at("/imports/%s/apply", id), map[string]any{}
	switch {
	case imp.State == "planned" && requests != nil:
		body["requests"] = requests
	case imp.State == "applied" && requests == nil:
		return importRecipientsPage(q, c, q.Typed("here"), &problem{Status: http.StatusUnprocessableEntity, Detail: text("import.send.nobody")})
	case imp.State == "applied":
		path, body = at("/imports/%s/requests", id), requests
	}
	err = q.begin(path, body)
	if p := refusal(err); p != nil {
		return importRecipientsPage(q, c, q.Typed("here"), p)
	}
	if err != nil {
		return err
	}
	q.redirect(importPath(id, ""))
	return nil
}

// importButton is the button while ticks change.
func importButton(q *request) error {
	imp, err := q.imported()
	if err != nil {
		return err
	}
	return q.part("import_button", importSendButton(imp, q.choice()))
}

// importMessage is a message as its reader would get it.
type importMessage struct {
	Via     string `json:"via"`
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
	QR      []byte `json:"qr"`
	Link    string `json:"link"`
}

// Code is the QR code for a page.
func (m importMessage) Code() template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(m.QR))
}

func (q *request) importMessage() (m importMessage, err error) {
	body := map[string]any{"import": q.PathValue("id")}
	if via := q.Param("via"); via != "" {
		body["via"] = via
	}
	if line, err := strconv.Atoi(q.Param("line")); err == nil {
		body["line"] = line
	}
	return m, q.post("/requests/preview", body, &m)
}

// importPreview shows the message of one recipient.
func importPreview(q *request) error {
	imp, there, err := importStep(q, "planned", "applied")
	if !there {
		return err
	}
	m, err := q.importMessage()
	if err != nil {
		return err
	}
	v := importView(imp, struct {
		importMessage
		Frame string
	}{m, Prefix + importPath(imp.ID, "/preview/message?"+q.URL.RawQuery)})
	v.Title, v.Crumbs = text("import.preview"), append(v.Crumbs, crumb{importPath(imp.ID, "/send"), imp.Name()})
	return q.page("import_preview", v)
}

// messagePolicy is that of a mail in its frame: it has its own style, and
// nothing in it does anything.
const messagePolicy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"

// importPreviewMessage is the mail itself, for the frame.
func importPreviewMessage(q *request) error {
	m, err := q.importMessage()
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Security-Policy", messagePolicy)
	q.w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	q.write(http.StatusOK, []byte(m.HTML))
	return nil
}
