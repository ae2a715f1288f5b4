package amapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// controls are what people do with devices and in Google's consoles, and the
// faults, for a cloud that runs as a program of its own:
//
//	GET    /sim/devices                    [{"serial", ...its state}]
//	POST   /sim/devices                    Hardware: another device
//	GET    /sim/devices/{serial}           its state
//	POST   /sim/devices/{serial}/setup     {"entry"} as Device.Setup has it, or {"zero_touch":true}
//	POST   /sim/devices/{serial}/reset     by its user
//	POST   /sim/devices/{serial}/report    a STATUS_REPORT
//	PATCH  /sim/devices/{serial}           {"offline","account","lacks":[],"fail":{"REBOOT":"UNSUPPORTED"}}
//	POST   /sim/enterprises                {"display_name"}: without a sign-up
//	DELETE /sim/enterprises/{id}           unbound
//	POST   /sim/topics                     {"topic","subscription"}: made without a call
//	POST   /sim/customers                  {"company","serials":[]}: of zero-touch
//	POST   /sim/faults                     a Fault, or several in an array
//	POST   /sim/message-faults             a MessageFault, or several in an array
//	DELETE /sim/faults                     no more faults of both kinds
//	POST   /sim/forge                      {"subscription","forgery","type","data"} -> {"status"}
//	POST   /sim/rotate-keys                another key for pushes
//	GET    /sim/calls                      how often each call was made
//	GET    /sim/warnings                   fields that Google reads past
func (c *Cloud) controls() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request, []byte) (any, error){
		"GET /sim/devices":                  c.controlDevices,
		"POST /sim/devices":                 c.controlAddDevice,
		"GET /sim/devices/{serial}":         c.controlDevice(func(*Device, context.Context, []byte) error { return nil }),
		"POST /sim/devices/{serial}/setup":  c.controlDevice(controlSetup),
		"POST /sim/devices/{serial}/reset":  c.controlDevice(func(d *Device, _ context.Context, _ []byte) error { d.Reset(); return nil }),
		"POST /sim/devices/{serial}/report": c.controlDevice(func(d *Device, _ context.Context, _ []byte) error { return d.Report() }),
		"PATCH /sim/devices/{serial}":       c.controlDevice(controlPatch),
		"POST /sim/enterprises":             c.controlEnterprise,
		"DELETE /sim/enterprises/{id}": func(r *http.Request, _ []byte) (any, error) {
			c.Unbind("enterprises/" + r.PathValue("id"))
			return nil, nil
		},
		"POST /sim/topics":         c.controlTopic,
		"POST /sim/customers":      c.controlCustomer,
		"POST /sim/faults":         controlFaults(c.Spoil),
		"POST /sim/message-faults": controlFaults(c.SpoilMessages),
		"DELETE /sim/faults":       func(*http.Request, []byte) (any, error) { c.Heal(); return nil, nil },
		"POST /sim/forge":          c.controlForge,
		"POST /sim/rotate-keys":    func(*http.Request, []byte) (any, error) { return nil, c.RotateKeys() },
		"GET /sim/calls":           func(*http.Request, []byte) (any, error) { return c.Calls(), nil },
		"GET /sim/warnings":        func(*http.Request, []byte) (any, error) { return append([]string{}, c.Warnings()...), nil },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			var out any
			if err == nil {
				out, err = serve(r, body)
			}
			writeControl(w, out, err)
		})
	}
	return mux
}

func writeControl(w http.ResponseWriter, out any, err error) {
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case out == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(out)
	}
}

// shown is a device in the answers of controls.
type shown struct {
	Hardware
	State
}

func (c *Cloud) controlDevices(*http.Request, []byte) (any, error) {
	c.mu.Lock()
	devices := append([]*Device{}, c.devices...)
	c.mu.Unlock()
	out := []shown{}
	for _, d := range devices {
		out = append(out, shown{d.Hardware(), d.State()})
	}
	return out, nil
}

func (c *Cloud) controlAddDevice(_ *http.Request, body []byte) (any, error) {
	var h Hardware
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, err
	}
	d, err := c.AddDevice(h)
	if err != nil {
		return nil, err
	}
	return shown{d.Hardware(), d.State()}, nil
}

// controlDevice does something to the device of the path, and shows it.
func (c *Cloud) controlDevice(do func(*Device, context.Context, []byte) error) func(*http.Request, []byte) (any, error) {
	return func(r *http.Request, body []byte) (any, error) {
		d := c.Device(r.PathValue("serial"))
		if d == nil {
			return nil, fmt.Errorf("no device %q", r.PathValue("serial"))
		}
		if err := do(d, r.Context(), body); err != nil {
			return nil, err
		}
		return shown{d.Hardware(), d.State()}, nil
	}
}

func controlSetup(d *Device, ctx context.Context, body []byte) error {
	var in struct {
		Entry     string `json:"entry"`
		ZeroTouch bool   `json:"zero_touch"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if in.ZeroTouch {
		return d.SetupZeroTouch(ctx)
	}
	return d.Setup(ctx, in.Entry)
}

func controlPatch(d *Device, _ context.Context, body []byte) error {
	var in struct {
		Offline *bool             `json:"offline"`
		Account *string           `json:"account"`
		Lacks   []string          `json:"lacks"`
		Fail    map[string]string `json:"fail"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return err
	}
	if in.Account != nil {
		d.SetAccount(*in.Account)
	}
	for _, name := range in.Lacks {
		d.Lacks(name)
	}
	for command, code := range in.Fail {
		d.Fail(command, code)
	}
	if in.Offline != nil {
		d.SetOffline(*in.Offline)
	}
	return nil
}

func (c *Cloud) controlEnterprise(_ *http.Request, body []byte) (any, error) {
	var in struct {
		DisplayName string `json:"display_name"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return object{"name": c.AddEnterprise(in.DisplayName)}, nil
}

func (c *Cloud) controlTopic(_ *http.Request, body []byte) (any, error) {
	var in struct{ Topic, Subscription string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	topic := c.AddTopic(in.Topic)
	out := object{"topic": topic}
	if in.Subscription != "" {
		out["subscription"] = c.AddSubscription(in.Subscription, topic)
	}
	return out, nil
}

func (c *Cloud) controlCustomer(_ *http.Request, body []byte) (any, error) {
	var in struct {
		Company string
		Serials []string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	var devices []*Device
	for _, serial := range in.Serials {
		d := c.Device(serial)
		if d == nil {
			return nil, fmt.Errorf("no device %q", serial)
		}
		devices = append(devices, d)
	}
	name := c.AddCustomer(in.Company)
	return object{"name": name}, c.Claim(name, devices...)
}

// controlFaults reads one fault or several.
func controlFaults[F any](add func(...F) error) func(*http.Request, []byte) (any, error) {
	return func(_ *http.Request, body []byte) (any, error) {
		var faults []F
		if json.Unmarshal(body, &faults) != nil {
			var one F
			if err := json.Unmarshal(body, &one); err != nil {
				return nil, err
			}
			faults = []F{one}
		}
		return nil, add(faults...)
	}
}

func (c *Cloud) controlForge(r *http.Request, body []byte) (any, error) {
	var in struct {
		Subscription, Type, Data string
		Forgery                  Forgery
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	status, err := c.ForgePush(r.Context(), in.Subscription, in.Forgery, in.Type, []byte(in.Data))
	if err != nil {
		return nil, err
	}
	return object{"status": status}, nil
}
