package console

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

// Bounds of what a browser sends. Imports are streamed, and bounded by the API.
const (
	formLimit = 2 << 20
	fileLimit = 9 << 20 // a form with a file that is kept in memory: certificates, profiles
)

// request is one request to the console. Its exported parts are for templates.
type request struct {
	*http.Request
	Who     admin.Administrator // zero: nobody is signed in
	Session admin.Session
	CSRF    string

	console *Console
	w       http.ResponseWriter
	form    url.Values
	files   map[string][]*multipart.FileHeader
	calls   []call
}

func (c *Console) request(w http.ResponseWriter, r *http.Request) *request {
	return &request{Request: r, console: c, w: w}
}

var (
	errNoPage   = &problem{Status: http.StatusNotFound, Detail: text("frame.nopage"), Hint: text("frame.nopage.hint")}
	errForged   = &problem{Status: http.StatusForbidden, Detail: text("frame.forged"), Hint: text("frame.forged.hint")}
	errInternal = &problem{Status: http.StatusInternalServerError, Detail: text("frame.internal"), Hint: text("frame.internal.hint")}
	errTooLarge = &problem{Status: http.StatusRequestEntityTooLarge, Detail: text("frame.toolarge"), Hint: text("frame.toolarge.hint")}
	errBroken   = &problem{Status: http.StatusBadRequest, Detail: text("frame.broken"), Hint: text("frame.broken.hint")}
)

// readForm takes in the fields of a form, and its files where they are small.
func (q *request) readForm() error {
	if q.form != nil {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	var err error
	if kind == "multipart/form-data" && q.Who.ID != "" { // nobody has to send files to sign in
		q.Body = http.MaxBytesReader(q.w, q.Body, fileLimit)
		if err = q.ParseMultipartForm(fileLimit); err == nil {
			q.form, q.files = q.MultipartForm.Value, q.MultipartForm.File
		}
	} else {
		q.Body = http.MaxBytesReader(q.w, q.Body, formLimit)
		if err = q.ParseForm(); err == nil {
			q.form = q.PostForm
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return errTooLarge
	case err != nil:
		return errBroken
	}
	return nil
}

// parts reads a form that is streamed, after its first part, which is the CSRF
// token.
func (q *request) parts() (*multipart.Reader, error) {
	form, err := q.MultipartReader()
	if err != nil {
		return nil, errBroken
	}
	first, err := form.NextPart()
	if err != nil || first.FormName() != "csrf" {
		return nil, errForged
	}
	token, err := io.ReadAll(io.LimitReader(first, 100))
	if err != nil {
		return nil, errBroken
	}
	if !q.ours(string(token)) {
		return nil, errForged
	}
	return form, nil
}

// Typed is a field of the form that was sent, without spaces around it.
func (q *request) Typed(name string) string { return strings.TrimSpace(q.form.Get(name)) }

// TypedAll are all fields of that name.
func (q *request) TypedAll(name string) []string { return q.form[name] }

// Value is what stands in a field: what was typed, where the form was sent and
// is shown again, else what is there.
func (q *request) Value(name string, there any) any {
	if v, ok := q.form[name]; ok {
		return v[0]
	}
	return there
}

// Ticked says the same of a check box; sent forms name only those that are.
func (q *request) Ticked(name, value string, there bool) bool {
	if q.form == nil {
		return there
	}
	for _, v := range q.form[name] {
		if v == value {
			return true
		}
	}
	return false
}

// File is a file of the form, which may be missing (nil).
func (q *request) File(name string) ([]byte, error) {
	if len(q.files[name]) == 0 {
		return nil, nil
	}
	f, err := q.files[name][0].Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Param is a parameter of the URL.
func (q *request) Param(name string) string { return q.URL.Query().Get(name) }

// Can says whether who is signed in may use an operation of the API, so that no
// button is shown that would fail. An operation that does not exist fails the page.
func (q *request) Can(operation string) (bool, error) {
	role, ok := q.console.operations[operation]
	if !ok {
		return false, errors.New("the API has no operation " + operation)
	}
	return q.Who.Role.Includes(role), nil
}

// Once makes the value that lets a form be sent twice and done once.
func (q *request) Once() string { return enroll.NewID() }

// To is the URL of this page with parameters changed, given as names and values;
// an empty value takes one out. The list begins anew.
func (q *request) To(changes ...string) string {
	query := q.URL.Query()
	query.Del("cursor")
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			query.Del(changes[i])
		} else {
			query.Set(changes[i], changes[i+1])
		}
	}
	if len(query) == 0 {
		return q.URL.EscapedPath()
	}
	return q.URL.EscapedPath() + "?" + query.Encode()
}

// Zone is where times are shown in.
func (q *request) Zone() *time.Location {
	if zone, err := time.LoadLocation(q.Who.TimeZone); err == nil {
		return zone
	}
	return time.UTC
}

// note remembers a call for "Show as API".
func (q *request) note(c call) {
	if c.Method == http.MethodGet {
		q.calls = append(q.calls, c)
	}
}

// Calls are the calls this page was made of, ready for a shell.
func (q *request) Calls() []string {
	var out []string
	for _, c := range q.calls {
		quoted := strings.ReplaceAll(q.console.PublicURL+c.target(), "'", "%27")
		line := `curl -H "Authorization: Bearer $ROLLCALL_TOKEN" '` + quoted + `'`
		if c.Accept != "" {
			line = `curl -H "Authorization: Bearer $ROLLCALL_TOKEN" -H 'Accept: ` + c.Accept + `' '` + quoted + `'`
		}
		out = append(out, line)
	}
	return out
}

// redirect goes on to another page of the console, by GET.
func (q *request) redirect(path string) {
	http.Redirect(q.w, q.Request, Prefix+path, http.StatusSeeOther)
}

// done goes on to another page, which tells what was done: the text of a key
// and its arguments.
func (q *request) done(path, key string, args ...any) error {
	b, err := json.Marshal(text(key, args...))
	if err != nil {
		return err
	}
	http.SetCookie(q.w, &http.Cookie{Name: noticeCookie, Value: base64.RawURLEncoding.EncodeToString(b), Path: "/", MaxAge: 60, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	q.redirect(path)
	return nil
}

const noticeCookie = "__Host-rollcall-notice"

// notice is what the page before wants told; it is told once.
func (q *request) notice() string {
	c, err := q.Cookie(noticeCookie)
	if err != nil || c.Value == "" {
		return ""
	}
	http.SetCookie(q.w, &http.Cookie{Name: noticeCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	var told string
	if err != nil || json.Unmarshal(b, &told) != nil {
		return ""
	}
	return told
}

// kept is a form that could not be taken, because its session was over.
type kept struct {
	Path   string     `json:"path"` // with its query
	Values url.Values `json:"values"`
}

// keptLimit is how long a form may be to be kept: it goes along with the sign-in,
// which is a form itself.
const keptLimit = formLimit - 16<<10

// keep is the form of a request as one field, for the pages of the sign-in; empty
// where it cannot be kept.
func (q *request) keep() (string, error) {
	kind, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if kind == "multipart/form-data" {
		return "", nil // files cannot be given back to a form
	}
	if err := q.readForm(); err != nil {
		return "", err
	}
	values := url.Values{}
	for name, v := range q.form {
		if name != "csrf" {
			values[name] = v
		}
	}
	b, err := json.Marshal(kept{Path: q.URL.RequestURI(), Values: values})
	if base64.RawURLEncoding.EncodedLen(len(b)) > keptLimit {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), err
}

// readKept reads what keep wrote. Only forms of this console are given back.
func readKept(field string) (kept, bool) {
	b, err := base64.RawURLEncoding.DecodeString(field)
	var k kept
	if err != nil || json.Unmarshal(b, &k) != nil || !local(k.Path) {
		return kept{}, false
	}
	return k, true
}
