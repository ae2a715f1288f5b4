package dep

import (
	"fmt"
	"net/http"
	"slices"
)

// FaultKind is how a call goes wrong.
type FaultKind string

// Reply, Hang and Drop come instead of the call. The others let it be carried
// out: what it changed stays changed, but the client does not hear of it.
const (
	Reply    FaultKind = "reply"     // Status, Body, RetryAfter
	Hang     FaultKind = "hang"      // no answer until the client gives up
	Drop     FaultKind = "drop"      // the connection closes without an answer
	HalfBody FaultKind = "half_body" // the connection breaks in the body
	Lose     FaultKind = "lose"      // the connection breaks before the answer
	Stuck    FaultKind = "stuck"     // a page repeats the cursor it was asked with and says there is more
)

var faultKinds = []FaultKind{Reply, Hang, Drop, HalfBody, Lose, Stuck}

// Fault spoils calls.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Call is method and path, as in "POST /devices/sync"; empty: any.
	Call string `json:"call,omitempty"`
	// Account is a name; empty: any.
	Account string `json:"account,omitempty"`
	// Times is how many calls are spoiled; 0: all until Heal.
	Times int `json:"times,omitempty"`

	Status      int    `json:"status,omitempty"` // of Reply; default 200
	Body        string `json:"body,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	RetryAfter  string `json:"retry_after,omitempty"` // seconds or an HTTP date
}

// Refuse is a Reply with a status and one of Apple's codes.
func Refuse(status int, code string) Fault { return Fault{Kind: Reply, Status: status, Body: code} }

// Busy is a Reply with 429 or 503. retryAfter is seconds, an HTTP date, or
// empty for none.
func Busy(status int, retryAfter string) Fault {
	return Fault{Kind: Reply, Status: status, RetryAfter: retryAfter}
}

// HTML is a Reply as a proxy or a portal page gives it, with any status.
func HTML(status int) Fault {
	return Fault{Kind: Reply, Status: status, ContentType: "text/html;charset=UTF-8",
		Body: "<!DOCTYPE html><html><head><title>Service</title></head><body>Please try again later.</body></html>"}
}

// On limits a fault to a call and a number of times.
func (f Fault) On(call string, times int) Fault {
	f.Call, f.Times = call, times
	return f
}

// Spoil adds faults. They are used up in order, at most one for each call. An
// unknown kind is an error, and nothing is added.
func (c *Cloud) Spoil(faults ...Fault) error {
	for _, f := range faults {
		if !slices.Contains(faultKinds, f.Kind) {
			return fmt.Errorf("dep: fault kind %q is unknown", f.Kind)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range faults {
		c.faults = append(c.faults, &f)
	}
	return nil
}

// Heal forgets all faults.
func (c *Cloud) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = nil
}

// instead says whether the call is not carried out at all.
func (f *Fault) instead() bool { return f.Kind == Reply || f.Kind == Hang || f.Kind == Drop }

// takeFault uses up the first fault for a call.
func (c *Cloud) takeFault(name string, r *http.Request) *Fault {
	for i, f := range c.faults {
		if f.Call != "" && f.Call != name || f.Account != "" && f.Account != c.claimedAccount(r) {
			continue
		}
		used := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				c.faults = slices.Delete(c.faults, i, i+1)
			}
		}
		if used.instead() {
			c.count(name)
		}
		return &used
	}
	return nil
}

// claimedAccount is the account that a request says it is from.
func (c *Cloud) claimedAccount(r *http.Request) string {
	if s := c.sessions[r.Header.Get(sessionHeader)]; s != nil {
		return s.account.name
	}
	params, _ := parseAuthorization(r.Header.Get("Authorization"))
	if a := c.consumer(params["oauth_consumer_key"]); a != nil {
		return a.name
	}
	return ""
}

func (c *Cloud) spoil(w http.ResponseWriter, r *http.Request, f Fault) {
	switch f.Kind {
	case Hang:
		select {
		case <-r.Context().Done():
		case <-c.done:
		}
		panic(http.ErrAbortHandler)
	case Drop:
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.ContentType == "" {
		f.ContentType = "text/plain;charset=UTF8"
	}
	w.Header().Set("Content-Type", f.ContentType)
	if f.Status == 0 {
		f.Status = http.StatusOK
	}
	w.WriteHeader(f.Status)
	// The client may be gone; there is nobody else to tell.
	_, _ = w.Write([]byte(f.Body))
}
