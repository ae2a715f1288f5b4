package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"rollcall/admin"
)

// call is one call of the admin API. Path follows admin.Prefix, see at.
type call struct {
	Method string
	Path   string
	Query  url.Values
	JSON   any // body
	// Raw is the body where it is no JSON, of ContentType; it is streamed.
	Raw         io.Reader
	ContentType string
	Accept      string
	IfMatch     string // version the change is based on
	Once        string // idempotency key
}

// at makes the path of a call: each %s takes a name, escaped.
func at(format string, names ...string) string {
	escaped := make([]any, len(names))
	for i, n := range names {
		escaped[i] = url.PathEscape(n)
	}
	return fmt.Sprintf(format, escaped...)
}

// problem is the API's refusal of a call (RFC 9457).
type problem struct {
	Status  int                   `json:"status"`
	Code    string                `json:"code"`
	Detail  string                `json:"detail"`
	Hint    string                `json:"hint"`
	Errors  []admin.ProblemDetail `json:"errors"`
	Current json.RawMessage       `json:"current"` // the object as it is now, of a version conflict
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// refusal is err as what the API refused; nil where it is something else.
func refusal(err error) *problem {
	var p *problem
	errors.As(err, &p)
	return p
}

// At gives what is wrong with one field: a JSON pointer, or a parameter.
func (p *problem) At(place string) string {
	if p == nil {
		return ""
	}
	for _, e := range p.Errors {
		if e.Pointer == place || e.Parameter == place || e.Parameter == "query."+place {
			return strings.TrimSpace(e.Detail + " " + e.Hint)
		}
	}
	return ""
}

// maxAnswer is how much a page reads of one answer. Longer ones are passed
// through, see pass.
const maxAnswer = 32 << 20

// answer records what a handler writes.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(b) > maxAnswer {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return a.body.Write(b)
}

// do makes a call as who is signed in, and decodes the answer into out, which
// may be nil. What the API refuses is a *problem.
func (q *request) do(c call, out any) error {
	r, err := q.wire(c)
	if err != nil {
		return err
	}
	q.note(c)
	a := &answer{header: http.Header{}}
	q.console.API.ServeHTTP(a, r)
	if q.console.decoded != nil {
		q.console.decoded(c.Method, c.Path, out)
	}
	return a.decode(out)
}

func (a *answer) decode(out any) error {
	if a.status >= http.StatusMultipleChoices && a.status < http.StatusBadRequest {
		return errNoPage // the router's answer to a name like ..
	}
	if a.status >= http.StatusBadRequest || a.status == 0 {
		p := &problem{}
		if err := json.Unmarshal(a.body.Bytes(), p); err != nil || p.Detail == "" {
			return fmt.Errorf("the API answered %d with something else than a problem: %w", a.status, err)
		}
		return p
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = a.body.Bytes()
		return nil
	}
	if out == nil || a.body.Len() == 0 {
		return nil
	}
	if err := json.Unmarshal(a.body.Bytes(), out); err != nil {
		return fmt.Errorf("decode the API's answer: %w", err)
	}
	return nil
}

// wire is a call as a request.
func (q *request) wire(c call) (*http.Request, error) {
	body := c.Raw
	if c.JSON != nil {
		b, err := json.Marshal(c.JSON)
		if err != nil {
			return nil, err
		}
		if c.Once != "" {
			// Who goes back and changes the form does something else.
			sum := sha256.Sum256(b)
			c.Once += "-" + hex.EncodeToString(sum[:8])
		}
		body, c.ContentType = bytes.NewReader(b), "application/json"
		if c.Method == http.MethodPatch {
			c.ContentType = "application/merge-patch+json"
		}
	}
	r, err := http.NewRequestWithContext(q.Context(), c.Method, c.target(), body)
	if err != nil {
		return nil, err
	}
	r.RequestURI, r.RemoteAddr, r.Host = r.URL.RequestURI(), q.RemoteAddr, q.Host
	if c.Raw != nil {
		r.ContentLength = -1 // not known: 0 would be an empty one
	}
	for name, value := range map[string]string{"Content-Type": c.ContentType, "Accept": c.Accept, "Idempotency-Key": c.Once} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if c.IfMatch != "" {
		r.Header.Set("If-Match", `"`+c.IfMatch+`"`)
	}
	return r, nil
}

func (c call) target() string {
	if len(c.Query) == 0 {
		return admin.Prefix + c.Path
	}
	return admin.Prefix + c.Path + "?" + c.Query.Encode()
}

// get reads from the API.
func (q *request) get(path string, query url.Values, out any) error {
	return q.do(call{Method: http.MethodGet, Path: path, Query: query}, out)
}

// post makes a change that is done once, however often the form is sent.
func (q *request) post(path string, body, out any) error {
	return q.do(call{Method: http.MethodPost, Path: path, JSON: body, Once: q.Typed("once")}, out)
}

func (q *request) put(path string, body, out any) error {
	return q.do(call{Method: http.MethodPut, Path: path, JSON: body}, out)
}

func (q *request) patch(path string, body, out any) error {
	return q.do(call{Method: http.MethodPatch, Path: path, JSON: body}, out)
}

func (q *request) delete(path string, query url.Values, out any) error {
	return q.do(call{Method: http.MethodDelete, Path: path, Query: query}, out)
}

// pass hands the API's answer to the browser as it comes: downloads and streams.
// A refusal is returned instead, and nothing is written then.
func (q *request) pass(c call, filename string) error {
	r, err := q.wire(c)
	if err != nil {
		return err
	}
	p := &passing{to: q.w, filename: filename, refused: answer{header: http.Header{}}}
	q.console.API.ServeHTTP(p, r)
	if p.refusing {
		return p.refused.decode(nil)
	}
	return nil
}

// passing writes through, but keeps a refusal for the page.
type passing struct {
	to       http.ResponseWriter
	filename string
	begun    bool
	refusing bool
	refused  answer
}

func (p *passing) Header() http.Header { return p.refused.header }

func (p *passing) WriteHeader(status int) {
	if p.begun {
		return
	}
	p.begun, p.refusing = true, status >= http.StatusBadRequest
	if p.refusing {
		p.refused.WriteHeader(status)
		return
	}
	for _, name := range []string{"Content-Type", "Content-Length", "ETag"} {
		if v := p.refused.header.Get(name); v != "" {
			p.to.Header().Set(name, v)
		}
	}
	if p.filename != "" {
		p.to.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": p.filename}))
	}
	p.to.WriteHeader(status)
}

func (p *passing) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	if p.refusing {
		return p.refused.Write(b)
	}
	return p.to.Write(b)
}

// Unwrap lets http.ResponseController flush.
func (p *passing) Unwrap() http.ResponseWriter { return p.to }

// operations are the roles that the API's operations need, by their IDs.
type operations map[string]admin.Role

// readOperations reads them from the API's own document.
func readOperations(api http.Handler) (operations, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, admin.Prefix+"/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	a := &answer{header: http.Header{}}
	api.ServeHTTP(a, r)
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string     `json:"operationId"`
			Role        admin.Role `json:"x-role"`
		} `json:"paths"`
	}
	if err := a.decode(&document); err != nil {
		return nil, err
	}
	out := operations{}
	for _, methods := range document.Paths {
		for _, op := range methods {
			out[op.OperationID] = op.Role
		}
	}
	return out, nil
}
