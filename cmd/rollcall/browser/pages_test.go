package browser

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"rollcall/admin"
)

// screen is one page of the console as these tests reach it. Route is as in
// admin/console; the names in its path come from house.furnish, or from Names
// (route name: name there).
type screen struct {
	Route  string
	Names  map[string]string
	Query  string
	Status int64 // 0: 200
}

// screens are all pages of the console. TestEveryPageIsListed fails when one is
// missing.
var screens = []screen{
	{Route: "/{$}"},
	{Route: "/devices"},
	{Route: "/devices", Query: "?q=SAMPLE"},
	{Route: "/devices/new"},
	{Route: "/devices/{serial}"},
	{Route: "/devices/{serial}/policies"},
	{Route: "/devices/{serial}/timeline"},
	{Route: "/devices/{serial}/enrollment"},
	{Route: "/devices/{serial}/edit"},
	{Route: "/devices/{serial}/remove"},
	{Route: "/imports"},
	{Route: "/imports/new"},
	{Route: "/imports/{id}", Names: map[string]string{"id": "applied"}},
	{Route: "/imports/{id}/map", Names: map[string]string{"id": "import"}},
	{Route: "/imports/{id}/review", Names: map[string]string{"id": "import"}},
	{Route: "/imports/{id}/review", Names: map[string]string{"id": "import"}, Query: "?action=new"},
	{Route: "/imports/{id}/rows/{line}", Names: map[string]string{"id": "import"}},
	{Route: "/imports/{id}/send", Names: map[string]string{"id": "good"}},
	{Route: "/imports/{id}/preview", Names: map[string]string{"id": "good"}, Query: "?line=2&via=email"},
	{Route: "/imports/{id}/revert", Names: map[string]string{"id": "applied"}},
	{Route: "/import-presets"},
	{Route: "/enrollment/restrictions"},
	{Route: "/enrollment/restrictions/change"},
	{Route: "/enrollment/restrictions/new-rule"},
	{Route: "/enrollment/restrictions/rules/{name}", Names: map[string]string{"name": "rule"}},
	{Route: "/enrollment/restrictions/rules/{name}/delete", Names: map[string]string{"name": "rule"}},
	{Route: "/enrollment/restrictions/test", Query: "?serial=SAMPLE000004"},
	{Route: "/enrollment/requests"},
	{Route: "/enrollment/requests/new"},
	{Route: "/enrollment/requests/{id}", Names: map[string]string{"id": "request"}},
	{Route: "/enrollment/requests/{id}/cancel", Names: map[string]string{"id": "request"}},
	{Route: "/enrollment/approvals"},
	{Route: "/enrollment/approvals/{serial}", Names: map[string]string{"serial": "held"}},
	{Route: "/enrollment/tokens"},
	{Route: "/enrollment/tokens/new"},
	{Route: "/enrollment/tokens/{id}/revoke", Names: map[string]string{"id": "token"}},
	{Route: "/enrollment/dep"},
	{Route: "/enrollment/dep/new"},
	{Route: "/enrollment/dep/report"},
	{Route: "/enrollment/dep/accounts/{account}"},
	{Route: "/enrollment/dep/accounts/{account}/devices"},
	{Route: "/enrollment/dep/accounts/{account}/disown", Query: "?serials=SAMPLE000001"},
	{Route: "/enrollment/dep/accounts/{account}/discovery"},
	{Route: "/enrollment/dep/accounts/{account}/delete"},
	{Route: "/enrollment/dep/accounts/{account}/new-profile"},
	{Route: "/enrollment/dep/accounts/{account}/profiles/{profile}"},
	{Route: "/enrollment/dep/accounts/{account}/profiles/{profile}/delete"},
	// Nobody has connected the house with Google.
	{Route: "/enrollment/google"},
	{Route: "/enrollment/google/delete", Status: http.StatusNotFound},
	{Route: "/enrollment/google/ways", Status: http.StatusNotFound},
	{Route: "/enrollment/google/token"},
	{Route: "/enrollment/google/devices"},
	{Route: "/enrollment/google/poison"},
	{Route: "/enrollment/zero-touch"},
	{Route: "/enrollment/zero-touch/customers", Status: http.StatusNotFound},
	{Route: "/enrollment/zero-touch/devices", Status: http.StatusNotFound},
	{Route: "/enrollment/zero-touch/delete", Status: http.StatusNotFound},
	{Route: "/groups"},
	{Route: "/group-new"},
	{Route: "/groups/{name}", Names: map[string]string{"name": "group"}},
	{Route: "/groups/{name}/rule", Names: map[string]string{"name": "group"}},
	{Route: "/groups/{name}/delete", Names: map[string]string{"name": "group"}},
	{Route: "/policies"},
	{Route: "/policy-new"},
	{Route: "/policies/{name}", Names: map[string]string{"name": "policy"}},
	{Route: "/policies/{name}/warnings", Names: map[string]string{"name": "policy"}},
	{Route: "/policies/{name}/receipts", Names: map[string]string{"name": "policy"}},
	{Route: "/policies/{name}/versions", Names: map[string]string{"name": "policy"}},
	{Route: "/policies/{name}/versions/{version}", Names: map[string]string{"name": "policy"}},
	{Route: "/policies/{name}/compare", Names: map[string]string{"name": "policy"}, Query: "?from=1&to=2"},
	{Route: "/policies/{name}/delete", Names: map[string]string{"name": "policy"}},
	{Route: "/policies/{name}/edit", Names: map[string]string{"name": "policy"}},
	{Route: "/policy-preview"},
	{Route: "/policy-preview", Query: "?serial=SAMPLE000001"},
	{Route: "/settings/users"},
	{Route: "/settings/users/new"},
	{Route: "/settings/users/{id}", Names: map[string]string{"id": "user"}},
	{Route: "/settings/users/{id}/delete", Names: map[string]string{"id": "user"}},
	{Route: "/settings/domains/{name}/delete", Names: map[string]string{"name": "domain"}},
	{Route: "/settings/administrators"},
	{Route: "/settings/administrators/new"},
	{Route: "/settings/administrators/{id}", Names: map[string]string{"id": "administrator"}},
	{Route: "/settings/administrators/{id}/{action}", Names: map[string]string{"id": "administrator"}},
	{Route: "/settings/retention"},
	{Route: "/settings/about"},
	{Route: "/settings/audit"},
	{Route: "/settings/audit/verify"},
	{Route: "/settings/certificates"},
	{Route: "/settings/certificates/push/request"},
	{Route: "/settings/certificates/push/install"},
	{Route: "/settings/mail"},
	{Route: "/settings/tokens"},
	{Route: "/settings/tokens/new"},
	{Route: "/settings/tokens/{id}/revoke", Names: map[string]string{"id": "api token"}},
	{Route: "/settings/webhooks"},
	{Route: "/settings/webhooks/new"},
	{Route: "/settings/webhooks/{id}", Names: map[string]string{"id": "webhook"}},
	{Route: "/settings/webhooks/{id}/delete", Names: map[string]string{"id": "webhook"}},
	{Route: "/gate"},
	{Route: "/gate/{id}", Names: map[string]string{"id": "decision"}},
	{Route: "/account"},
	{Route: "/account/second-factor"},
}

// doors are the pages for who is not signed in.
var doors = []screen{
	{Route: "/sign-in"},
	{Route: "/set-up"},
	{Route: "/invitation/{secret}"},
}

// noScreens are what is answered to GET and is no page, and why.
var noScreens = map[string]string{
	"/devices.csv":                                   "a file",
	"/imports/sample.csv":                            "a file",
	"/imports/{id}/errors.csv":                       "a file",
	"/imports/{id}/progress":                         "a part of a page",
	"/imports/{id}/preview/message":                  "a message, shown in a frame",
	"/enrollment":                                    "it leads to the restrictions",
	"/enrollment/requests.csv":                       "a file",
	"/enrollment/dep/accounts/{account}/status":      "a part of a page",
	"/enrollment/dep/accounts/{account}/certificate": "a file",
	"/enrollment/restrictions/forecast":              "a part of a page",
	"/settings":                                      "it leads to the first of them",
	"/oidc/callback":                                 "where a provider sends people back to",
	"/gate.csv":                                      "a file",
	"/gate/tail":                                     "a part of a page",
	"/enrollment/zero-touch/status":                  "a part of a page",
	"/enrollment/google/devices/{id}/remove":         "a device at Google, which is tested in admin/console",
	"/settings/certificates/{use}/certificate.pem":   "a file",
	"/groups/{name}/evaluation":                      "a part of a page",
	"/search":                                        "it leads to the list of devices",
}

func (s screen) path(names map[string]string) (string, error) {
	path := s.Route
	for {
		from := strings.IndexByte(path, '{')
		if from < 0 {
			return "/console" + strings.TrimSuffix(path, "{$}") + s.Query, nil
		}
		to := from + strings.IndexByte(path[from:], '}')
		name := strings.TrimSuffix(path[from+1:to], "...")
		if other := s.Names[name]; other != "" {
			name = other
		}
		value, known := names[name]
		if name == "$" {
			path = path[:from] + path[to+1:]
			continue
		}
		if !known {
			return "", fmt.Errorf("nothing in the house is called %q", name)
		}
		path = path[:from] + url.PathEscape(value) + path[to+1:]
	}
}

// TestEveryPageIsListed reads the routes where they are declared, and wants each
// page among the screens.
func TestEveryPageIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, s := range slices.Concat(screens, doors) {
		listed[s.Route] = true
	}
	files, err := filepath.Glob("../../../admin/console/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of the console: %v", len(files), err)
	}
	var routes []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 {
				return true
			}
			if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "get" {
				return true
			}
			if path, ok := call.Args[0].(*ast.BasicLit); ok {
				route, _ := strconv.Unquote(path.Value)
				routes = append(routes, route)
			}
			return true
		})
	}
	for _, route := range routes {
		if !listed[route] && noScreens[route] == "" {
			t.Errorf("%s is among neither the screens nor the noScreens", route)
		}
	}
	for route := range noScreens {
		if !slices.Contains(routes, route) {
			t.Errorf("there is no route %s", route)
		}
	}
	for route := range listed {
		if !slices.Contains(routes, route) {
			t.Errorf("there is no page %s", route)
		}
	}
}

// viewersForms are those that a viewer may send: they change what is their own.
var viewersForms = []string{"/console/account", "/console/devices/views"}

const maxWeight = 200 << 10

// sound is what a page tells of itself, and where its links lead.
const sound = `(async () => {
	const wrong = [];
	const count = (what) => document.querySelectorAll(what).length;
	if (count("h1") !== 1) wrong.push(count("h1") + " headings of the first level");
	const posts = [...document.querySelectorAll("main form[method=post]:has(button)")].map((f) => f.getAttribute("action") || location.pathname);
	if (!document.title.trim()) wrong.push("no title");
	if (!document.documentElement.lang) wrong.push("no language");
	if (count("[tabindex]:not([tabindex='0']):not([tabindex='-1'])")) wrong.push("an order of its own for Tab");
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
	for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) wrong.push("the id " + id + " twice");
	// Wide tables scroll within their own part.
	if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window: " + document.documentElement.scrollWidth + " of " + innerWidth);
	const links = new Set([...document.links].filter((a) => !a.getAttribute("href").startsWith("#")).map((a) => a.href).filter((h) => h.startsWith(location.origin + "/console")));
	return { wrong, links: [...links], posts };
})()`

// TestPages looks at every page as an admin and as a viewer, in light and in
// dark and on a tablet: it is accessible, light enough to load, keeps to its
// origin, shows names as they are, and no link of it fails.
func TestPages(t *testing.T) {
	h := newHouse(t)
	names := h.furnish()
	look := func(t *testing.T, b *person, screens []screen, mayBeRefused bool) {
		send(b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
		followed := map[string]bool{}
		for _, s := range screens {
			path, err := s.path(names)
			if err != nil {
				t.Errorf("%s: %v", s.Route, err)
				continue
			}
			t.Run(strings.NewReplacer("/", ".", "?", "-").Replace(s.Route+s.Query+"."), func(t *testing.T) { b.on(t).look(path, s.Status, mayBeRefused, followed) })
		}
	}
	t.Run("nobody", func(t *testing.T) {
		// While there is no administrator, there is a set-up, and no sign-in.
		look(t, browse(t, h.URL()), doors[1:2], false)
		_, link, err := h.App.Administrators().Invite(h.ctx, unkind, "invited@example.com", admin.RoleOperator)
		if err != nil {
			t.Fatal(err)
		}
		names["secret"] = strings.TrimPrefix(link, h.URL()+admin.PathInvitation)
		look(t, browse(t, h.URL()), []screen{doors[0], doors[2]}, false)
	})
	for _, role := range []admin.Role{admin.RoleAdmin, admin.RoleViewer} {
		t.Run(string(role), func(t *testing.T) {
			b := h.as(t, role)
			names["administrator"], names["action"] = b.id, "disable"
			look(t, b, screens, role == admin.RoleViewer)
		})
	}
}

func (b *person) look(path string, want int64, mayBeRefused bool, followed map[string]bool) {
	b.t.Helper()
	b.Dark(false)
	b.Open(path)
	if want == 0 {
		want = http.StatusOK
	}
	status := b.watch.status()
	if status != want && !(mayBeRefused && status == http.StatusForbidden) {
		b.fail("%s is answered %d", path, status)
	}
	if w := b.watch.weight(); w > maxWeight {
		b.fail("%s brings %d bytes, more than %d", path, w, maxWeight)
	}
	b.Axe()
	if b.Window(768, 1024); !mayBeRefused {
		b.Dark(true)
		b.Axe()
	}
	page, err := evaluate[struct{ Wrong, Links, Posts []string }](b, sound)
	b.must(err)
	if len(page.Wrong) > 0 {
		b.fail("%s has %s", path, strings.Join(page.Wrong, ", "))
	}
	b.Window(desktop.width, desktop.height)
	if status != http.StatusOK {
		return
	}
	for _, form := range page.Posts {
		if mayBeRefused && !slices.ContainsFunc(viewersForms, func(own string) bool { return strings.HasPrefix(form, own) }) {
			b.fail("%s shows a viewer a form to %s", path, form)
		}
	}
	links := []string{}
	for _, l := range page.Links {
		if !followed[l] {
			followed[l] = true
			links = append(links, l)
		}
	}
	quoted, err := json.Marshal(links)
	b.must(err)
	_, err = evaluate[int](b, fmt.Sprintf("(async () => { for (const l of %s) await fetch(l); return 0; })()", quoted))
	b.must(err)
	b.settle() // reports links that failed
}
