package browser

import (
	"crypto/tls"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
)

// site serves pages of these tests: path to body. Forms are answered with what
// they brought.
func site(t *testing.T, bodies map[string]string) (base string) {
	t.Helper()
	cert, err := os.ReadFile(own.cert)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(own.key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := certs.ParseAuthority(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.IssueServer([]string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'self'; style-src 'self'")
		if r.URL.Path == "/favicon.ico" {
			return
		}
		if js, ok := strings.CutPrefix(bodies[r.URL.Path], "script:"); ok {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, js)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		body, known := bodies[r.URL.Path]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			body = "<h1>Nothing here</h1>"
		}
		if r.Method == http.MethodPost {
			if err := r.ParseMultipartForm(1 << 20); err != nil {
				r.ParseForm()
			}
			for name, values := range r.PostForm {
				body += fmt.Sprintf("<p>%s: %s</p>", html.EscapeString(name), html.EscapeString(strings.Join(values, "+")))
			}
			if r.MultipartForm != nil {
				for name, files := range r.MultipartForm.File {
					body += fmt.Sprintf("<p>%s: %s</p>", name, html.EscapeString(files[0].Filename))
				}
			}
		}
		fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><head><title>A page</title><link rel="icon" href="/favicon.ico"></head><body><main><h1>Page</h1>%s</main></body></html>`, body)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// looking is a person whose failures end nothing.
func looking(t *testing.T, base string) *person {
	t.Helper()
	b := browse(t, base)
	b.failed = func(error) {}
	return b
}

const form = `<form method="post" action="/sent" enctype="multipart/form-data">
<label for="n">Name <small>as people know it</small></label><input id="n" name="name" value="old">
<label>Notes <textarea name="notes"></textarea></label>
<label for="k">Kind</label><select id="k" name="kind"><option value="a">Alpha</option><option value="b">Beta</option></select>
<label><input type="checkbox" name="agree"> I agree</label>
<label for="d">Until</label><input id="d" type="date" name="until">
<label for="f">File</label><input id="f" type="file" name="file">
<section><h2>First</h2><button name="which" value="1">Send</button></section>
<section><h2>Second</h2><button name="which" value="2">Send</button></section></form>`

func TestPersonFillsForms(t *testing.T) {
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts %v", scripts), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "roll.csv")
			if err := os.WriteFile(path, []byte("serial\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			b := browse(t, site(t, map[string]string{"/": `<a href="/form">To the form</a>`, "/form": form, "/sent": "<p>Thank you</p>"}))
			b.Scripts(scripts)
			b.Open("/")
			b.Click("To the form")
			b.Fill("Name", "Ä <b>new</b> name")
			b.Fill("Notes", "first\nsecond")
			b.Fill("Kind", "Beta")
			b.Check("I agree", true)
			b.Fill("Until", "2027-01-31")
			b.Attach("File", path)
			b.In("Second").Click("Send")
			b.See("Thank you", "name: Ä <b>new</b> name", "kind: b", "agree: on", "until: 2027-01-31", "file: roll.csv", "which: 2")
			b.Miss("which: 1")
			b.Back()
			if got := b.Value("Notes"); got != "first\nsecond" {
				t.Errorf("the browser kept %q", got)
			}
		})
	}
}

func TestPersonUsesKeyboard(t *testing.T) {
	b := browse(t, site(t, map[string]string{"/": `<a href="/next">Next</a> <button disabled>Off</button> <button>On</button>`, "/next": "<p>Arrived</p>"}))
	b.Open("/")
	b.Press("Tab")
	if f := b.Focused(); f.Name != "Next" || !f.Marked {
		t.Errorf("Tab leads to %+v", f)
	}
	b.Press("Tab")
	if f := b.Focused(); f.Name != "On" {
		t.Errorf("Tab leads to %+v", f)
	}
	b.Press("Shift+Tab")
	b.Press("Enter")
	b.See("Arrived")
}

// TestPersonNotices has one defect on each page; without notice of it these
// tests would be worth nothing.
func TestPersonNotices(t *testing.T) {
	for _, test := range []struct {
		name, body string
		do         func(b *person)
		want       string
	}{
		{"foreign picture", `<img alt="" src="https://example.com/x.png">`, nil, "a request leaves the origin"},
		{"inline script", `<script>1</script>`, nil, "Content-Security-Policy"},
		{"inline style", `<p style="color:red">x</p>`, nil, "Content-Security-Policy"},
		{"inline handler", `<button onclick="1">Go</button>`, func(b *person) { b.Click("Go") }, "Content-Security-Policy"},
		{"console error", `<script src="/error.js"></script>`, nil, "an error on the console: \"bad thing\""},
		{"exception", `<script src="/throw.js"></script>`, nil, "an exception"},
		{"missing style", `<link rel="stylesheet" href="/none.css">`, nil, "404"},
		{"dialog", `<script src="/alert.js"></script>`, nil, "a dialog opens: hello"},
		{"covered button", `<button>Under</button><script src="/cover.js"></script>`, func(b *person) { b.Click("Under") }, `"Under" is covered`},
		{"disabled button", `<button disabled>Save</button>`, func(b *person) { b.Click("Save") }, `"Save" is disabled`},
		{"no such button", `<button>Save</button>`, func(b *person) { b.Click("Delete") }, `no button or link "Delete"; there are: Save`},
		{"field without a label", `<input name="serial">`, func(b *person) { b.Fill("Serial", "X") }, `no field "Serial"`},
		{"length", `<label>Code <input maxlength="2"></label>`, func(b *person) { b.Fill("Code", "1234") }, `which now says "12"`},
		{"text", `<p hidden>Secret</p>`, func(b *person) { b.See("Secret") }, `"Secret" is not to be seen`},
		{"unwanted text", `<p>Boo</p>`, func(b *person) { b.Miss("boo") }, `shows "boo"`},
		{"unwanted button", `<a href="/">Delete</a>`, func(b *person) { b.MissButton("Delete") }, `has a button "Delete"`},
		{"not accessible", `<img src="/favicon.ico"><input>`, func(b *person) { b.Axe() }, "is not accessible"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := looking(t, site(t, map[string]string{"/": test.body,
				"/error.js": "script:console.error('bad thing')", "/throw.js": "script:throw new Error('x')", "/alert.js": "script:setTimeout(() => alert('hello'))",
				"/cover.js": "script:const c = document.createElement('div'); c.style.position = 'fixed'; c.style.inset = 0; document.body.append(c)"}))
			b.patience = time.Second
			b.Open("/")
			if test.do != nil {
				test.do(b)
			}
			if b.err == nil || !strings.Contains(b.err.Error(), test.want) {
				t.Errorf("noticed %v; want %s", b.err, test.want)
			}
		})
	}
}
