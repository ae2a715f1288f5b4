package console_test

import (
	"bytes"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/admin"
	"rollcall/admin/console"
	"rollcall/cmd/rollcall/app"
	"rollcall/cmd/rollcall/stage"
)

// hostile are values that no form of ours sends.
var hostile = []string{
	"", "\xff\xfe\x00", `"><script>alert(1)</script>`, "-1", "99999999999999999999", "../../x", `{"a":`, "[null]", "a\r\nSet-Cookie: evil=1", "9999-12-31T23:59", strings.Repeat("ä", 40_000),
}

// names are what may stand for a part of a path besides what is there.
var names = []string{"nothing", "a/../b", "\xff", `<b>"`, "-1", "%00", strings.Repeat("x", 3000)}

// fieldNames are all that the handlers and templates of the console know.
func fieldNames(t *testing.T) []string {
	known := regexp.MustCompile(`(?:Typed|TypedAll|File|Param|whole)\("([a-z_-]+)"\)|"Name" "([a-z_-]+)"|name="([a-z_-]+)"|\{"(default-[a-z]+)`)
	var out []string
	for _, pattern := range []string{"*.go", "templates/*.html"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range known.FindAllSubmatch(b, -1) {
				if name := string(bytes.Join(m[1:], nil)); name != "csrf" {
					out = append(out, name)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// walk sends one person everywhere.
type walk struct {
	t     *testing.T
	p     *person
	role  admin.Role // "": nobody
	csrf  string
	there func(path, wildcard string) string // what a part of a path stands for
	names []string                           // of fields
}

var wildcard = regexp.MustCompile(`\{([a-z]+)\}`)

func (w *walk) path(pattern, name string) string {
	return console.Prefix + wildcard.ReplaceAllStringFunc(strings.TrimSuffix(pattern, "{$}"), func(part string) string {
		if name != "" {
			return url.PathEscape(name)
		}
		return url.PathEscape(w.there(pattern, part[1:len(part)-1]))
	})
}

// check holds one answer to what every answer is held to.
func (w *walk) check(g *page, what string) {
	w.t.Helper()
	switch {
	case g.Status >= http.StatusInternalServerError && g.Status != http.StatusServiceUnavailable:
		w.t.Errorf("%q at %s: %d %.300s", w.role, what, g.Status, g.Text())
	case g.Status == http.StatusTooManyRequests && !strings.Contains(what, "sign-in"):
		w.t.Errorf("%q at %s: what it does is not seen: %.300s", w.role, what, g.Text())
	case strings.HasPrefix(g.Header.Get("Content-Type"), "text/html") && strings.Contains(g.Body, "<script>alert"), strings.Contains(g.Body, "ZgotmplZ"):
		w.t.Errorf("%q at %s: what was sent is HTML, or was left out of it", w.role, what)
	case g.Header.Get("Set-Cookie") != "" && strings.Contains(g.Header.Get("Set-Cookie"), "evil"):
		w.t.Errorf("%q at %s: what was sent is a header", w.role, what)
	case regexp.MustCompile(`sql:|\.go:\d|goroutine |panic`).MatchString(g.Text()):
		w.t.Errorf("%q at %s: internals leak: %.300s", w.role, what, g.Text())
	case g.URL.Host != "" && !strings.HasPrefix(g.URL.Path, console.Prefix):
		w.t.Errorf("%q at %s was led away to %s", w.role, what, g.URL)
	}
}

func (w *walk) form(value string) url.Values {
	out := url.Values{"csrf": {w.csrf}}
	for _, n := range w.names {
		out[n] = []string{value, value}
	}
	return out
}

func (w *walk) get(pattern string) {
	w.t.Helper()
	path := w.path(pattern, "")
	g := w.p.Get(path)
	w.check(g, "GET "+path)
	if w.role == "" {
		return
	}
	if html := strings.HasPrefix(g.Header.Get("Content-Type"), "text/html"); html && !strings.Contains(g.Body, "<html") && g.Status != http.StatusOK {
		w.t.Errorf("%q at %s: %d without a page", w.role, path, g.Status)
	}
	if w.role != admin.RoleAdmin {
		return
	}
	if strings.Contains(pattern, "{") {
		for _, name := range names {
			w.check(w.p.Get(w.path(pattern, name)), "GET "+pattern+" with "+shortened(name))
		}
	}
	for _, value := range hostile {
		query := w.form(value)
		query.Del("csrf")
		if len(value) > 1000 { // in all of them it is longer than a URL may be
			query = url.Values{"cursor": {value[:2000]}, "q": {value[:2000]}}
		}
		w.check(w.p.Get(path+"?"+query.Encode()), "GET "+pattern+"? with "+shortened(value))
	}
}

func (w *walk) post(pattern string) {
	w.t.Helper()
	path := w.path(pattern, "")
	forms := []url.Values{nil, {"csrf": {w.csrf}}, w.form("x")}
	if w.role == admin.RoleAdmin {
		for _, value := range hostile {
			if len(value) > 1000 { // in all of them it is more than a form may have
				value = value[:1000]
			}
			forms = append(forms, w.form(value))
		}
	}
	for _, f := range forms {
		w.check(w.p.Post(path, f), "POST "+pattern+" with "+shortened(f.Get("name")))
	}
	for contentType, body := range map[string]string{
		"multipart/form-data":               "",
		"multipart/form-data; boundary=b":   "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n" + w.csrf + "\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../\\\"x\r\n",
		"multipart/form-data; boundary=cd":  "--cd\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nSERIAL\r\n--cd--\r\n",
		"text/plain":                        "csrf=" + w.csrf,
		"multipart/form-data; boundary=de":  strings.Repeat("--de\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n"+w.csrf+"\r\n", 2000) + "--de--\r\n",
		"application/x-www-form-urlencoded": "csrf=" + w.csrf + "&%zz=1;&=",
	} {
		r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.p.h.server.URL+path, strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		w.check(w.p.do(r), "POST "+pattern+" as "+contentType)
	}
}

func shortened(s string) string { return strings.ToValidUTF8(s[:min(len(s), 30)], "?") }

// everywhere walks all routes that are chosen: pages, then forms.
func (w *walk) everywhere(chosen func(path string) bool) {
	w.t.Helper()
	routes := console.Routes()
	sorted := make([][2]string, 0, len(routes))
	for _, r := range routes {
		if chosen(r[1]) {
			sorted = append(sorted, r)
		}
	}
	slices.SortFunc(sorted, func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	for _, r := range sorted {
		if r[0] == http.MethodGet {
			w.get(r[1])
		} else {
			w.post(r[1])
		}
	}
}

// newRealHouse has the console that the server itself serves, and somebody of
// each role who has signed in. The sign-in of all the others is tried, too, from
// the one address of this machine.
func newRealHouse(t *testing.T) (h *house, as map[admin.Role]*person, ids map[admin.Role]string) {
	t.Helper()
	s, err := stage.Start(t.Context(), stage.Options{Change: func(o *app.Options) { o.StrangerRate, o.APIRate = 0, 0 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	h = &house{t: t, Stage: s, server: &httptest.Server{URL: s.URL()}}
	people, from := s.App.Administrators(), admin.Browser{Address: "192.0.2.1:1"}
	first, err := people.SetUp(t.Context(), s.App.SetUpCode(), `<b>"Ann`, "ann@example.com", passphrase, from)
	if err != nil {
		t.Fatal(err)
	}
	secrets, ids := map[admin.Role]string{"": "", admin.RoleAdmin: first.Secret}, map[admin.Role]string{admin.RoleAdmin: first.Administrator.ID}
	for _, role := range []admin.Role{admin.RoleViewer, admin.RoleOperator} {
		who, link, err := people.Invite(t.Context(), "<b>"+string(role), string(role)+"@example.com", role)
		if err != nil {
			t.Fatal(err)
		}
		in, err := people.Accept(t.Context(), path.Base(link), passphrase, from)
		if err != nil {
			t.Fatal(err)
		}
		secrets[role], ids[role] = in.Secret, who.ID
	}
	base, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	as = map[admin.Role]*person{}
	for role, secret := range secrets {
		client := stage.NewClient(s.Roots)
		t.Cleanup(client.CloseIdleConnections)
		client.Jar, _ = cookiejar.New(nil)
		client.Jar.SetCookies(base, []*http.Cookie{{Name: sessionCookie, Value: secret, Path: "/", Secure: true}})
		as[role] = &person{h: h, client: client}
	}
	return h, as, ids
}

// TestWalk: whoever comes, and whatever they send, no page fails.
func TestWalk(t *testing.T) {
	h, as, ids := newRealHouse(t)
	h.device("WALK1", map[string]any{"name": `"><script>alert(1)</script>`, "user": map[string]any{"email": "ann@example.com", "name": "<b>Ann"}})
	h.API(http.MethodPost, "/groups", map[string]any{"name": "a/<b>"}, nil)
	h.API(http.MethodPut, "/policies/"+url.PathEscape("a/<b>"), map[string]any{"document": map[string]any{}}, nil)
	h.API(http.MethodPost, "/dep/accounts", map[string]any{"name": "a/<b>"}, nil)
	var token struct{ ID string }
	h.API(http.MethodPost, "/enrollment-tokens", map[string]any{"name": "<b>"}, &token)
	var requests, users struct {
		Items []struct{ ID string }
	}
	h.API(http.MethodPost, "/requests", map[string]any{"serials": []string{"WALK1"}, "via": "link"}, &requests)
	h.API(http.MethodGet, "/users", nil, &users)
	imp := as[admin.RoleAdmin].upload("Username,Email,Ownership,Device Name,Serial Number,Platform\nAnn,ann@example.com,corporate,\"<script>alert(1)</script>\",WALK2,ios\nBen,,bad,,WALK3,ios\n")
	importID, _, _ := strings.Cut(strings.TrimPrefix(imp.URL.Path, "/console/imports/"), "/")
	there := func(role admin.Role) func(path, wildcard string) string {
		return func(path, wildcard string) string {
			switch {
			case wildcard == "serial":
				return "WALK1"
			case wildcard == "line":
				return "3"
			case wildcard == "version":
				return "1"
			case strings.HasPrefix(path, "/imports/"):
				return importID
			case strings.HasPrefix(path, "/settings/users/"):
				return users.Items[0].ID
			case strings.HasPrefix(path, "/settings/administrators/") && wildcard == "id":
				return ids[role]
			case strings.HasPrefix(path, "/enrollment/tokens/"):
				return token.ID
			case strings.HasPrefix(path, "/enrollment/requests/"):
				return requests.Items[0].ID
			}
			return "a/<b>"
		}
	}
	fields := fieldNames(t)
	for _, role := range []admin.Role{"", admin.RoleViewer, admin.RoleOperator, admin.RoleAdmin} {
		w := &walk{t: t, p: as[role], role: role, there: there(role), names: fields}
		if role != "" {
			w.csrf = w.p.Get("/console/devices").Form("Sign out").Fields.Get("csrf")
		}
		w.everywhere(func(path string) bool { return path != "/sign-out" })
		if role != "" {
			w.p.Get("/console/account").Wants(http.StatusOK)
		}
	}
}
