package amapi

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const maxBody = 10 << 20

// route is one call: its id and flat path as in the discovery document.
type route struct {
	id, method, path string
	serve            func(*Cloud, *call) (any, *refusal)
	pattern          *regexp.Regexp
}

// call is a request whose token, quota and form are good.
type call struct {
	http  *http.Request
	ids   []string // what stands for the braces of the path
	query url.Values
	body  object // never nil
}

var (
	braces = regexp.MustCompile(`\{[^}]+\}`)
	// scopes are those of an API, by the first part of the id; "" is the
	// Android Management API.
	scopes = map[string][]string{
		"":          {"https://www.googleapis.com/auth/androidmanagement"},
		"pubsub":    {"https://www.googleapis.com/auth/pubsub", "https://www.googleapis.com/auth/cloud-platform"},
		"zerotouch": {"https://www.googleapis.com/auth/androidworkzerotouchemm"},
	}
	routes = slices.Concat(managementRoutes, pubsubRoutes, zeroTouchRoutes)
)

func init() {
	for i, r := range routes {
		parts := braces.Split(r.path, -1)
		for j := range parts {
			parts[j] = regexp.QuoteMeta(parts[j])
		}
		routes[i].pattern = regexp.MustCompile("^/" + strings.Join(parts, "([^/:]+)") + "$")
	}
}

// api is the first part of a route's id where it is not the Android Management
// API's.
func (r *route) api() string {
	if name, _, _ := strings.Cut(r.id, "."); scopes[name] != nil {
		return name
	}
	return ""
}

// find returns the route of a request; nil for none.
func find(r *http.Request) (*route, []string) {
	for i := range routes {
		if routes[i].method != r.Method {
			continue
		}
		m := routes[i].pattern.FindStringSubmatch(r.URL.EscapedPath())
		if m == nil {
			continue
		}
		ids := make([]string, len(m)-1)
		for j, escaped := range m[1:] {
			id, err := url.PathUnescape(escaped)
			if err != nil {
				return nil, nil
			}
			ids[j] = id
		}
		return &routes[i], ids
	}
	return nil, nil
}

// ServeHTTP answers one call.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case c.control != nil && strings.HasPrefix(path, "/sim/"):
		c.control.ServeHTTP(w, r)
	case path == tokenPath && r.Method == http.MethodPost:
		c.serveWith("oauth.token", w, r, c.serveToken)
	case path == certsPath && r.Method == http.MethodGet:
		c.serveWith("oauth.certs", w, r, c.serveCerts)
	case strings.HasPrefix(path, signupPath) && r.Method == http.MethodGet:
		c.serveSignup(w, r)
	default:
		found, ids := find(r)
		if found == nil {
			// Google's front end knows no such address and answers in HTML.
			w.Header().Set("Content-Type", "text/html; charset=UTF-8")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<!DOCTYPE html>\n<title>Error 404 (Not Found)!!1</title>\n")
			return
		}
		c.serveWith(found.id, w, r, func(w http.ResponseWriter, r *http.Request) { c.serveCall(w, r, found, ids) })
	}
}

// serveWith counts a call and carries it out, or what a fault makes of it.
func (c *Cloud) serveWith(id string, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	c.mu.Lock()
	c.calls[id]++
	c.settle()
	fault := c.takeFault(id)
	c.mu.Unlock()
	switch {
	case fault == nil:
		serve(w, r)
	case fault.instead():
		c.spoil(w, r, *fault)
	default:
		answer := httptest.NewRecorder()
		serve(answer, r)
		c.spoilAnswer(w, r, *fault, answer)
	}
}

func (c *Cloud) serveCall(w http.ResponseWriter, r *http.Request, found *route, ids []string) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeJSON(w, http.StatusRequestEntityTooLarge, (&refusal{code: http.StatusRequestEntityTooLarge, status: "INVALID_ARGUMENT", message: "Request payload size exceeds the limit."}).body())
		return
	}
	q := &call{http: r, ids: ids, query: r.URL.Query()}
	c.mu.Lock()
	bad := c.admit(found, q, text)
	c.mu.Unlock()
	if bad != nil {
		writeJSON(w, bad.code, bad.body())
		return
	}
	if found.id == pullCall {
		c.servePull(w, q)
		return
	}
	c.mu.Lock()
	value, bad := found.serve(c, q)
	var answer []byte
	if bad == nil {
		// Under the lock, because the value may be a part of the state.
		if answer, err = json.Marshal(value); err != nil {
			panic(err) // a value of this package that is no JSON
		}
	}
	c.mu.Unlock()
	if bad != nil {
		writeJSON(w, bad.code, bad.body())
		return
	}
	writeJSON(w, http.StatusOK, json.RawMessage(answer))
}

// admit holds a request against token, quota and schema, and reads its body.
func (c *Cloud) admit(found *route, q *call, text []byte) *refusal {
	api := found.api()
	if bad := c.authorize(q.http, scopes[api]); bad != nil {
		return bad
	}
	if api == "" && !c.spend() {
		return &refusal{http.StatusTooManyRequests, "RESOURCE_EXHAUSTED",
			"Quota exceeded for quota metric 'Requests' and limit 'Requests per minute' of service 'androidmanagement.googleapis.com' for consumer 'project_number:" + projectNumber + "'.", "RATE_LIMIT_EXCEEDED"}
	}
	if bad := q.read(text); bad != nil {
		return bad
	}
	if api != "" {
		return nil
	}
	if schema := c.options.Schema; schema != nil {
		return c.validate(schema, found.id, q, len(bytes.TrimSpace(text)) > 0)
	}
	return nil
}

// read parses the body of a call; no body is an empty object.
func (q *call) read(text []byte) *refusal {
	q.body = object{}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	kind, _, err := mime.ParseMediaType(q.http.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return invalid("Invalid content type: %q; expected application/json.", q.http.Header.Get("Content-Type"))
	}
	value, err := parse(text)
	if err != nil {
		return invalid("Invalid JSON payload received. %v", err)
	}
	body, ok := value.(object)
	if !ok {
		return invalid("Invalid JSON payload received. Unknown name \"\": Root element must be a message.")
	}
	q.body = body
	return nil
}

// validate holds a request against the discovery document.
func (c *Cloud) validate(s *Schema, id string, q *call, sent bool) *refusal {
	if problem := s.checkQuery(id, q.query); problem != "" {
		return invalid("%s", problem)
	}
	request := s.methods[id].Request
	switch {
	case request == nil && sent && len(q.body) > 0, q.http.Method == http.MethodGet && sent:
		return invalid("Invalid JSON payload received. The call takes no body.")
	case request == nil:
		return nil
	}
	found := s.check(request.Ref, q.body)
	if found.problem != "" {
		return invalid("%s", found.problem)
	}
	if mask := q.query.Get("updateMask"); mask != "" {
		if problem := s.checkMask(request.Ref, mask); problem != "" {
			return invalid("%s", problem)
		}
	}
	for _, w := range found.warnings {
		c.warn(id, w)
	}
	return nil
}

func (c *Cloud) warn(id, text string) {
	text = strings.TrimPrefix(id, "enterprises.") + ": " + text
	if !slices.Contains(c.warnings, text) {
		c.warnings = append(c.warnings, text)
	}
}

// unsimulated answers calls of the API that this cloud does not have.
func unsimulated(*Cloud, *call) (any, *refusal) {
	return nil, &refusal{code: http.StatusNotImplemented, status: "UNIMPLEMENTED", message: "This call is not part of the simulation."}
}
