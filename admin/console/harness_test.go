package console_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"rollcall/admin"
	"rollcall/admin/console"
	"rollcall/cmd/rollcall/stage"
	"rollcall/enroll"
)

// house is a console in front of a real server on SQLite, which it reaches by
// HTTP with a token of the role that is signed in.
type house struct {
	t      *testing.T
	Stage  *stage.Stage
	server *httptest.Server
	store  *sessions
	tokens map[admin.Role]string
}

// sessions has an administrator for each role, whose session's secret is the
// role's name.
type sessions struct {
	admin.AdministratorStore
	ended bool
}

func (s *sessions) SessionByHash(_ context.Context, hash [32]byte) (admin.Session, admin.Administrator, error) {
	for _, role := range []admin.Role{admin.RoleViewer, admin.RoleOperator, admin.RoleAdmin} {
		if hash == enroll.HashSecret(string(role)) && !s.ended {
			now := time.Now()
			return admin.Session{ID: "session", SeenAt: now, ExpiresAt: now.Add(time.Hour)}, admin.Administrator{ID: string(role), Name: "Ada <" + string(role) + ">", Role: role, TimeZone: "Europe/Berlin"}, nil
		}
	}
	return admin.Session{}, admin.Administrator{}, enroll.Errorf(enroll.KindNotFound, "session_unknown", "no such session")
}

func (*sessions) SessionSeen(context.Context, string, time.Time) error { return nil }

// newHouse starts it. Everything ends with the test.
func newHouse(t *testing.T, o ...stage.Options) *house {
	t.Helper()
	options := stage.Options{}
	if len(o) > 0 {
		options = o[0]
	}
	s, err := stage.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	h := &house{t: t, Stage: s, store: &sessions{}, tokens: map[admin.Role]string{admin.RoleAdmin: s.Token}}
	for _, role := range []admin.Role{admin.RoleViewer, admin.RoleOperator} {
		var made struct{ Token string }
		h.API(http.MethodPost, "/tokens", map[string]any{"name": string(role), "role": role}, &made)
		h.tokens[role] = made.Token
	}
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		role := admin.RoleViewer
		if c, err := r.In.Cookie("role"); err == nil {
			role = admin.Role(c.Value)
		}
		r.Out.Header.Set("Authorization", "Bearer "+h.tokens[role])
		r.Out.Header.Del("Cookie")
	}, Transport: stage.NewClient(s.Roots).Transport, FlushInterval: -1}
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	c := &console.Console{API: byRole{proxy}, Administrators: &admin.Administrators{Store: h.store, Now: time.Now, Logger: logger}, PublicURL: s.URL(), Organization: "Example", Now: time.Now, Log: logger}
	c.Observe(h.document().observe)
	handler, err := c.Handler()
	if err != nil {
		t.Fatal(err)
	}
	h.server = httptest.NewTLSServer(handler)
	t.Cleanup(h.server.Close)
	return h
}

// byRole hands the role of the caller to the proxy.
type byRole struct{ next http.Handler }

func (b byRole) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, role, _ := strings.Cut(strings.TrimSuffix(enroll.ActorOf(r.Context()), ">"), "<")
	r.AddCookie(&http.Cookie{Name: "role", Value: role})
	b.next.ServeHTTP(w, r)
}

// API calls the real server as an admin.
func (h *house) API(method, path string, body, out any) {
	h.t.Helper()
	if err := h.Stage.API(h.t.Context(), method, path, body, out); err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// person is a browser without scripts, signed in.
type person struct {
	h      *house
	client *http.Client
}

// As signs somebody in; "" is nobody.
func (h *house) As(role admin.Role) *person {
	jar, _ := cookiejar.New(nil)
	base, _ := url.Parse(h.server.URL)
	if role != "" {
		jar.SetCookies(base, []*http.Cookie{{Name: "__Host-rollcall-console", Value: string(role), Path: "/", Secure: true}})
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &person{h: h, client: &http.Client{Jar: jar, Transport: transport}}
}

// page is an answer, read.
type page struct {
	p      *person
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	root   *html.Node
}

func (p *person) Get(path string) *page {
	p.h.t.Helper()
	r, err := http.NewRequestWithContext(p.h.t.Context(), http.MethodGet, p.h.server.URL+path, nil)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return p.do(r)
}

// Post sends fields as they are.
func (p *person) Post(path string, fields url.Values) *page {
	p.h.t.Helper()
	r, err := http.NewRequestWithContext(p.h.t.Context(), http.MethodPost, p.h.server.URL+path, strings.NewReader(fields.Encode()))
	if err != nil {
		p.h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(r)
}

func (p *person) do(r *http.Request) *page {
	p.h.t.Helper()
	res, err := p.client.Do(r)
	if err != nil {
		p.h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.h.t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		p.h.t.Fatal(err)
	}
	return &page{p: p, URL: res.Request.URL, Status: res.StatusCode, Header: res.Header, Body: string(b), root: root}
}

// Text is what a person reads, with single spaces.
func (g *page) Text() string { return strings.Join(strings.Fields(textOf(g.root)), " ") }

// Wants fails the test unless the page has that status and all of the texts.
func (g *page) Wants(status int, texts ...string) *page {
	g.p.h.t.Helper()
	if g.Status != status {
		g.p.h.t.Fatalf("%s: status %d, want %d: %s", g.URL.Path, g.Status, status, g.Text())
	}
	for _, want := range texts {
		if !strings.Contains(g.Text(), want) {
			g.p.h.t.Errorf("%s does not say %q: %s", g.URL.Path, want, g.Text())
		}
	}
	return g
}

// Lacks fails the test where the page has one of the texts.
func (g *page) Lacks(texts ...string) *page {
	g.p.h.t.Helper()
	for _, no := range texts {
		if strings.Contains(g.Text(), no) {
			g.p.h.t.Errorf("%s says %q", g.URL.Path, no)
		}
	}
	return g
}

// Follow goes where a link with that text leads.
func (g *page) Follow(link string) *page {
	g.p.h.t.Helper()
	for n := range g.root.Descendants() {
		if n.Data == "a" && strings.Join(strings.Fields(textOf(n)), " ") == link {
			to, err := g.URL.Parse(attribute(n, "href"))
			if err != nil {
				g.p.h.t.Fatal(err)
			}
			return g.p.Get(to.RequestURI())
		}
	}
	g.p.h.t.Fatalf("%s has no link %q", g.URL.Path, link)
	return nil
}

// sent is a form that is being filled in.
type sent struct {
	g      *page
	action *url.URL
	method string
	multi  bool
	Fields url.Values
	files  map[string][2]string // field: name and content
}

// Form is the form with that button, with what its fields hold and the button
// pressed.
func (g *page) Form(button string) *sent {
	g.p.h.t.Helper()
	for n := range g.root.Descendants() {
		if n.Data != "button" || strings.Join(strings.Fields(textOf(n)), " ") != button {
			continue
		}
		form := n.Parent
		for form != nil && form.Data != "form" {
			form = form.Parent
		}
		if id := attribute(n, "form"); id != "" {
			for f := range g.root.Descendants() {
				if f.Data == "form" && attribute(f, "id") == id {
					form = f
				}
			}
		}
		if form == nil {
			continue
		}
		action, method := attribute(form, "action"), attribute(form, "method")
		if a := attribute(n, "formaction"); a != "" {
			action = a
		}
		to, err := g.URL.Parse(action)
		if err != nil {
			g.p.h.t.Fatal(err)
		}
		s := &sent{g: g, action: to, method: strings.ToUpper(method), multi: attribute(form, "enctype") == "multipart/form-data", Fields: fieldsOf(form), files: map[string][2]string{}}
		if name := attribute(n, "name"); name != "" {
			s.Fields.Add(name, attribute(n, "value"))
		}
		return s
	}
	g.p.h.t.Fatalf("%s has no button %q: %s", g.URL.Path, button, g.Text())
	return nil
}

// Set fills in a field, which has to be there.
func (s *sent) Set(name string, values ...string) *sent {
	s.g.p.h.t.Helper()
	if !slices.ContainsFunc(slices.Collect(s.g.root.Descendants()), func(n *html.Node) bool { return attribute(n, "name") == name }) {
		s.g.p.h.t.Fatalf("%s has no field %q", s.g.URL.Path, name)
	}
	s.Fields[name] = values
	return s
}

// Attach puts a file into a field.
func (s *sent) Attach(field, name, content string) *sent {
	s.files[field] = [2]string{name, content}
	return s
}

// Send sends the form, and follows where the answer leads.
func (s *sent) Send() *page {
	s.g.p.h.t.Helper()
	if s.method != http.MethodPost {
		s.action.RawQuery = s.Fields.Encode()
		return s.g.p.Get(s.action.RequestURI())
	}
	if !s.multi {
		return s.g.p.Post(s.action.RequestURI(), s.Fields)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if csrf := s.Fields.Get("csrf"); csrf != "" { // stands first on the page, too
		w.WriteField("csrf", csrf)
	}
	for name, values := range s.Fields {
		for _, v := range values {
			if name != "csrf" {
				w.WriteField(name, v)
			}
		}
	}
	for field, file := range s.files {
		part, err := w.CreateFormFile(field, file[0])
		if err != nil {
			s.g.p.h.t.Fatal(err)
		}
		io.WriteString(part, file[1])
	}
	w.Close()
	r, err := http.NewRequestWithContext(s.g.p.h.t.Context(), http.MethodPost, s.g.p.h.server.URL+s.action.RequestURI(), &body)
	if err != nil {
		s.g.p.h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", w.FormDataContentType())
	return s.g.p.do(r)
}

func fieldsOf(form *html.Node) url.Values {
	out := url.Values{}
	for n := range form.Descendants() {
		name := attribute(n, "name")
		if name == "" {
			continue
		}
		switch n.Data {
		case "input":
			kind := attribute(n, "type")
			if kind == "file" || (kind == "checkbox" || kind == "radio") && !has(n, "checked") {
				continue
			}
			out.Add(name, attribute(n, "value"))
		case "textarea":
			out.Add(name, strings.TrimSuffix(textOf(n), " "))
		case "select":
			value, first := "", true
			for o := range n.Descendants() {
				if o.Data == "option" && (first || has(o, "selected")) {
					value, first = attribute(o, "value"), false
				}
			}
			out.Add(name, value)
		}
	}
	return out
}

func textOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data + " "
	}
	if n.Data == "script" || n.Data == "style" {
		return ""
	}
	var b strings.Builder
	for c := range n.ChildNodes() {
		b.WriteString(textOf(c))
	}
	return b.String()
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}
