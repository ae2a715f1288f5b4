package amapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// FaultKind is how a call goes wrong.
type FaultKind string

// Reply, Hang and Drop come instead of the call. The others let it be carried
// out: what it changed stays changed.
const (
	Reply    FaultKind = "reply"     // Status, Code, Message
	Hang     FaultKind = "hang"      // no answer until the client gives up
	Drop     FaultKind = "drop"      // the connection closes without an answer
	Lose     FaultKind = "lose"      // carried out; the connection closes without an answer
	HalfBody FaultKind = "half_body" // carried out; the connection breaks in the body
	Slow     FaultKind = "slow"      // carried out; the answer comes after Delay
)

var faultKinds = []FaultKind{Reply, Hang, Drop, Lose, HalfBody, Slow}

// Fault spoils calls.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Call is an id as in Calls; with a dot at the end, all calls that begin
	// so ("enterprises.devices."); empty: any.
	Call string `json:"call,omitempty"`
	// Times is how many calls are spoiled; 0: all until Heal.
	Times int `json:"times,omitempty"`

	Status     int           `json:"status,omitempty"` // of Reply: HTTP
	Code       string        `json:"code,omitempty"`   // of Reply: google.rpc.Code
	Message    string        `json:"message,omitempty"`
	RetryAfter string        `json:"retry_after,omitempty"`
	Delay      time.Duration `json:"delay,omitempty"` // of Slow, in nanoseconds
}

// Throttled is the answer when the quota is used up.
func Throttled() Fault {
	return Fault{Kind: Reply, Status: http.StatusTooManyRequests, Code: "RESOURCE_EXHAUSTED", Message: "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute' of service 'androidmanagement.googleapis.com'."}
}

// NotFound500 is how the Android Management API sometimes says that something
// does not exist.
func NotFound500() Fault {
	return Fault{Kind: Reply, Status: http.StatusInternalServerError, Code: "INTERNAL", Message: "Requested entity was not found."}
}

// Internal is an error of Google's.
func Internal() Fault {
	return Fault{Kind: Reply, Status: http.StatusInternalServerError, Code: "INTERNAL", Message: "Internal error encountered."}
}

// Unavailable is a service that is down for now.
func Unavailable() Fault {
	return Fault{Kind: Reply, Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: "The service is currently unavailable."}
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
			return fmt.Errorf("amapi: fault kind %q is unknown", f.Kind)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range faults {
		c.faults = append(c.faults, &f)
	}
	return nil
}

// Heal forgets all faults, those of messages too.
func (c *Cloud) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults, c.spoiling = nil, nil
}

// instead says whether the call is not carried out at all.
func (f *Fault) instead() bool { return f.Kind == Reply || f.Kind == Hang || f.Kind == Drop }

// takeFault uses up the first fault for a call.
func (c *Cloud) takeFault(id string) *Fault {
	for i, f := range c.faults {
		if f.Call != "" && f.Call != id && !(strings.HasSuffix(f.Call, ".") && strings.HasPrefix(id, f.Call)) {
			continue
		}
		used := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				c.faults = slices.Delete(c.faults, i, i+1)
			}
		}
		return &used
	}
	return nil
}

// spoil answers instead of the call.
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
	if f.Status == 0 {
		f.Status = http.StatusInternalServerError
	}
	writeJSON(w, f.Status, (&refusal{code: f.Status, status: f.Code, message: f.Message}).body())
}

// spoilAnswer lets the answer of a call that was carried out go wrong.
func (c *Cloud) spoilAnswer(w http.ResponseWriter, r *http.Request, f Fault, answer *httptest.ResponseRecorder) {
	body := answer.Body.Bytes()
	switch f.Kind {
	case Lose:
		panic(http.ErrAbortHandler)
	case Slow:
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		case <-c.done:
		}
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(answer.Code)
	if f.Kind == HalfBody {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	// The client may be gone; there is nobody else to tell.
	_, _ = w.Write(body)
}

// MessageFaultKind is how a notification goes wrong on its way.
type MessageFaultKind string

const (
	Duplicate MessageFaultKind = "duplicate" // the same message comes twice
	Republish MessageFaultKind = "republish" // it comes again under a new id
	Reorder   MessageFaultKind = "reorder"   // it comes after the next one of its topic
	Delay     MessageFaultKind = "delay"     // it comes after Delay
	Redeliver MessageFaultKind = "redeliver" // it comes once more after it was acknowledged
	Vanish    MessageFaultKind = "vanish"    // it never comes
)

var messageFaultKinds = []MessageFaultKind{Duplicate, Republish, Reorder, Delay, Redeliver, Vanish}

// MessageFault spoils notifications.
type MessageFault struct {
	Kind  MessageFaultKind `json:"kind"`
	Type  string           `json:"type,omitempty"`  // of the notification; empty: any
	Times int              `json:"times,omitempty"` // 0: all until Heal
	Delay time.Duration    `json:"delay,omitempty"` // by the cloud's clock, in nanoseconds
}

// SpoilMessages adds faults of notifications that are published from now on.
func (c *Cloud) SpoilMessages(faults ...MessageFault) error {
	for _, f := range faults {
		if !slices.Contains(messageFaultKinds, f.Kind) {
			return fmt.Errorf("amapi: fault kind %q of messages is unknown", f.Kind)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range faults {
		c.spoiling = append(c.spoiling, &f)
	}
	return nil
}

// takeMessageFault uses up the first fault for a notification.
func (c *Cloud) takeMessageFault(kind string) MessageFault {
	for i, f := range c.spoiling {
		if f.Type != "" && f.Type != kind {
			continue
		}
		used := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				c.spoiling = slices.Delete(c.spoiling, i, i+1)
			}
		}
		return used
	}
	return MessageFault{}
}

// ReleaseMessages lets go of what Reorder holds back for want of a next
// message.
func (c *Cloud) ReleaseMessages() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic := range c.topics {
		c.release(topic)
	}
	c.signal()
}

func (c *Cloud) release(topic string) {
	held := c.held[topic]
	delete(c.held, topic)
	for _, m := range held {
		c.enqueue(topic, m, MessageFault{})
	}
}

// route gives a message to the subscriptions of its topic, spoiled or not.
func (c *Cloud) route(topic string, m *message) {
	fault := c.takeMessageFault(m.attrs["notificationType"])
	switch fault.Kind {
	case Vanish:
		return
	case Reorder:
		c.held[topic] = append(c.held[topic], m)
		return
	}
	c.enqueue(topic, m, fault)
	switch fault.Kind {
	case Duplicate:
		c.enqueue(topic, m, MessageFault{})
	case Republish:
		again := *m
		again.id += "0"
		c.enqueue(topic, &again, MessageFault{})
	}
	c.release(topic)
}

func (c *Cloud) enqueue(topic string, m *message, fault MessageFault) {
	for _, s := range c.subscriptions {
		if s.topic == topic {
			s.queue = append(s.queue, &delivery{message: m, due: c.now().Add(fault.Delay), again: fault.Kind == Redeliver})
		}
	}
}
