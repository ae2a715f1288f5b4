package dep

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

const (
	maxBody   = 4 << 20
	malformed = "MALFORMED_REQUEST_BODY"
)

// refusal is an answer other than 200: its body is a code.
type refusal struct {
	status int
	code   string
}

func refuse(code string) *refusal { return &refusal{http.StatusBadRequest, code} }

// request is a call of an account whose session is good.
type request struct {
	http    *http.Request
	body    []byte
	account *Account
	version int // X-Server-Protocol-Version
	fault   *Fault
}

// decode reads the body as one JSON value. Unknown keys pass, as at Apple.
func (q *request) decode(into any) *refusal {
	kind, _, err := mime.ParseMediaType(q.http.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || json.Unmarshal(q.body, into) != nil {
		return refuse(malformed)
	}
	return nil
}

// serials reads {"devices":[...]}.
func (q *request) serials() ([]string, *refusal) {
	var in struct {
		Devices []string `json:"devices"`
	}
	if bad := q.decode(&in); bad != nil {
		return nil, bad
	}
	switch {
	case len(in.Devices) == 0:
		return nil, refuse("DEVICE_ID_REQUIRED")
	case len(in.Devices) > q.account.cloud.options.PageLimit:
		return nil, refuse(malformed)
	}
	return in.Devices, nil
}

// answer is what goes back: a value as JSON, or a code.
type answer struct {
	status  int
	value   any    // nil: no body
	text    string // a code, bare or quoted
	session string // X-ADM-Auth-Session
}

// ServeHTTP answers one call.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.control != nil && strings.HasPrefix(r.URL.Path, "/sim/") {
		c.control.ServeHTTP(w, r)
		return
	}
	// Clients set their clocks by it.
	w.Header().Set("Date", c.now().Format(http.TimeFormat))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, malformed, http.StatusRequestEntityTooLarge)
		return
	}
	c.mu.Lock()
	name := r.Method + " " + r.URL.Path
	fault := c.takeFault(name, r)
	var a answer
	if fault == nil || !fault.instead() {
		a = c.answer(name, r, body, fault)
	}
	c.mu.Unlock()
	if fault != nil && fault.instead() {
		c.spoil(w, r, *fault)
		return
	}
	a.write(w, fault)
}

func (c *Cloud) answer(name string, r *http.Request, body []byte, fault *Fault) answer {
	spec, known := calls[name]
	if known || name == sessionCall {
		c.count(name)
	} else {
		return c.refused(unknownCall(r.URL.Path))
	}
	if code := badUserAgent(r.Header); code != "" {
		return c.refused(refuse(code))
	}
	if name == sessionCall {
		a, bad := c.verifyOAuth(r)
		if bad == nil {
			bad = a.barred()
		}
		if bad != nil {
			return c.refused(bad)
		}
		return answer{status: http.StatusOK, value: map[string]string{"auth_session_token": c.begin(a).token}}
	}
	s, bad := c.authenticate(r)
	if bad != nil {
		return c.refused(bad)
	}
	value, bad := any(nil), s.account.barred()
	if bad == nil {
		value, bad = spec.serve(c, &request{http: r, body: body, account: s.account, version: protocolVersion(r.Header), fault: fault})
	}
	out := answer{status: http.StatusOK, value: value}
	if bad != nil {
		out = c.refused(bad)
	}
	out.session = c.rotate(s).token
	return out
}

// barred is what closes an account to every call.
func (a *Account) barred() *refusal {
	switch {
	case a.denied:
		return &refusal{http.StatusForbidden, "ACCESS_DENIED"}
	case a.unsigned:
		return &refusal{http.StatusForbidden, "T_C_NOT_SIGNED"}
	}
	return nil
}

// refused writes codes bare and quoted in turn: Apple sends both.
func (c *Cloud) refused(bad *refusal) answer {
	c.refusals++
	text := bad.code
	if c.refusals%2 == 0 {
		text = strconv.Quote(text)
	}
	return answer{status: bad.status, text: text}
}

func unknownCall(path string) *refusal {
	for name := range calls {
		if strings.HasSuffix(name, " "+path) {
			return &refusal{http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"}
		}
	}
	return &refusal{http.StatusNotFound, "NOT_FOUND"}
}

// userAgent is a product as in RFC 9110, section 10.1.5, and what follows it.
var userAgent = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+(/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?( [\x20-\x7e]+)?$")

func badUserAgent(h http.Header) string {
	switch agent := h.Get("User-Agent"); {
	case strings.TrimSpace(agent) == "":
		return "USER_AGENT_MISSING"
	case len(agent) > 256 || !userAgent.MatchString(agent):
		return "USER_AGENT_INVALID"
	}
	return ""
}

// protocolVersion is 1 for a client that names none.
func protocolVersion(h http.Header) int {
	v, err := strconv.Atoi(h.Get("X-Server-Protocol-Version"))
	if err != nil || v < 1 {
		return 1
	}
	return min(v, versionLatest)
}

func (a answer) write(w http.ResponseWriter, fault *Fault) {
	if fault != nil && fault.Kind == Lose {
		panic(http.ErrAbortHandler)
	}
	body, kind := []byte(a.text), "text/plain;charset=UTF8"
	if a.value != nil {
		kind = "application/json;charset=UTF8"
		var err error
		if body, err = json.Marshal(a.value); err != nil {
			panic(err) // a type of this package that is no JSON
		}
	}
	if a.session != "" {
		w.Header()["X-ADM-Auth-Session"] = []string{a.session}
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if fault != nil && fault.Kind == HalfBody {
		w.Write(body[:len(body)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	// The client may be gone; there is nobody else to tell.
	_, _ = w.Write(body)
}
