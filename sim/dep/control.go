package dep

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// controls are what a person does in Apple's portal, and the faults, for a
// service that runs as a program of its own:
//
//	GET    /sim/accounts                        [{"name","uuid","devices"}]
//	POST   /sim/accounts                        {"name"}
//	PATCH  /sim/accounts/{account}              {"terms_signed","access","beta"} true or false, {"expire":["session","token","cursors"]}
//	POST   /sim/accounts/{account}/token        certificate in PEM -> token file
//	GET    /sim/accounts/{account}/devices      a serial a line
//	POST   /sim/accounts/{account}/devices      {"prefix","count"}: adds a fixture
//	POST   /sim/accounts/{account}/outcomes     {"serials":[],"status","times"} or {"serials":[],"throttle_seconds"}
//	GET    /sim/devices/{serial}                its state
//	POST   /sim/devices/{serial}/move           {"account"}, empty for none
//	POST   /sim/devices/{serial}/replace        {"serial"}: the new one's
//	POST   /sim/devices/{serial}/activate       what the device gets
//	DELETE /sim/devices/{serial}                released
//	POST   /sim/faults                          a Fault, or several in an array
//	DELETE /sim/faults                          no more faults
//	GET    /sim/calls                           how often each call was made
func (c *Cloud) controls() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request, []byte) (any, error){
		"GET /sim/accounts":                     c.controlAccounts,
		"POST /sim/accounts":                    c.controlAddAccount,
		"PATCH /sim/accounts/{account}":         c.controlAccount,
		"POST /sim/accounts/{account}/token":    c.controlToken,
		"GET /sim/accounts/{account}/devices":   c.controlSerials,
		"POST /sim/accounts/{account}/devices":  c.controlAddDevices,
		"POST /sim/accounts/{account}/outcomes": c.controlOutcomes,
		"GET /sim/devices/{serial}":             c.controlDevice,
		"POST /sim/devices/{serial}/move":       c.controlMove,
		"POST /sim/devices/{serial}/replace":    c.controlReplace,
		"POST /sim/devices/{serial}/activate":   c.controlActivate,
		"DELETE /sim/devices/{serial}":          c.controlRelease,
		"POST /sim/faults":                      c.controlFaults,
		"DELETE /sim/faults":                    func(*http.Request, []byte) (any, error) { c.Heal(); return nil, nil },
		"GET /sim/calls":                        func(*http.Request, []byte) (any, error) { return c.Calls(), nil },
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

// raw is an answer that is not JSON.
type raw struct {
	kind string
	body []byte
}

func writeControl(w http.ResponseWriter, out any, err error) {
	switch out := out.(type) {
	case nil:
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case raw:
		w.Header().Set("Content-Type", out.kind)
		_, _ = w.Write(out.body)
	default:
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(out)
	}
}

func (c *Cloud) named(r *http.Request) (*Account, error) {
	name := r.PathValue("account")
	if a := c.Account(name); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("no account %q", name)
}

func (c *Cloud) controlAccounts(*http.Request, []byte) (any, error) {
	type item struct {
		Name    string `json:"name"`
		UUID    string `json:"uuid"`
		Devices int    `json:"devices"`
	}
	out := []item{}
	for _, a := range c.Accounts() {
		out = append(out, item{a.name, a.uuid, len(a.Serials())})
	}
	return out, nil
}

func (c *Cloud) controlAddAccount(_ *http.Request, body []byte) (any, error) {
	var in struct{ Name string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	a, err := c.AddAccount(in.Name)
	if err != nil {
		return nil, err
	}
	return map[string]string{"name": a.name, "uuid": a.uuid}, nil
}

func (c *Cloud) controlAccount(r *http.Request, body []byte) (any, error) {
	a, err := c.named(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		TermsSigned *bool `json:"terms_signed"`
		Access      *bool
		Beta        *bool
		Expire      []string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	expiries := map[string]func(){"session": a.ExpireSession, "token": a.ExpireToken, "cursors": a.ExpireCursors}
	for _, what := range in.Expire {
		if expiries[what] == nil {
			return nil, fmt.Errorf("%q does not expire: session, token or cursors", what)
		}
		expiries[what]()
	}
	if in.TermsSigned != nil {
		a.SignTerms(*in.TermsSigned)
	}
	if in.Access != nil {
		a.Deny(!*in.Access)
	}
	if in.Beta != nil {
		a.AllowBeta(*in.Beta)
	}
	return nil, nil
}

func (c *Cloud) controlToken(r *http.Request, body []byte) (any, error) {
	a, err := c.named(r)
	if err != nil {
		return nil, err
	}
	file, err := a.TokenFile(body)
	if err != nil {
		return nil, err
	}
	return raw{"application/pkcs7-mime", file}, nil
}

func (c *Cloud) controlSerials(r *http.Request, _ []byte) (any, error) {
	a, err := c.named(r)
	if err != nil {
		return nil, err
	}
	var lines []byte
	for _, s := range a.Serials() {
		lines = append(append(lines, s...), '\n')
	}
	return raw{"text/plain", lines}, nil
}

func (c *Cloud) controlAddDevices(r *http.Request, body []byte) (any, error) {
	a, err := c.named(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Prefix string
		Count  int
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if len(in.Prefix) != 3 || in.Count < 1 || in.Count > 1_000_000 {
		return nil, fmt.Errorf("prefix of three characters and count from 1 to 1000000 are needed")
	}
	return nil, a.AddDevices(Fixture(in.Prefix, in.Count)...)
}

func (c *Cloud) controlOutcomes(r *http.Request, body []byte) (any, error) {
	a, err := c.named(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Serials  []string
		Status   Status
		Times    int
		Throttle int `json:"throttle_seconds"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	if in.Throttle > 0 {
		a.Throttle(time.Duration(in.Throttle)*time.Second, in.Serials...)
		return nil, nil
	}
	if !slices.Contains([]Status{NotAccessible, Failed, Throttled, Omitted}, in.Status) {
		return nil, fmt.Errorf("status %q is none that can be injected", in.Status)
	}
	a.FailDevices(max(in.Times, 1), in.Status, in.Serials...)
	return nil, nil
}

func (c *Cloud) controlDevice(r *http.Request, _ []byte) (any, error) {
	s, ok := c.Device(r.PathValue("serial"))
	if !ok {
		return nil, unknown(r.PathValue("serial"))
	}
	return map[string]any{"serial": s.Serial, "device_family": s.Family, "model": s.Model, "account": s.Account,
		"profile_status": s.ProfileStatus, "profile_uuid": s.ProfileUUID}, nil
}

func (c *Cloud) controlMove(r *http.Request, body []byte) (any, error) {
	var in struct{ Account string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	to := c.Account(in.Account)
	if to == nil && in.Account != "" {
		return nil, fmt.Errorf("no account %q", in.Account)
	}
	return nil, c.Move(r.PathValue("serial"), to)
}

func (c *Cloud) controlReplace(r *http.Request, body []byte) (any, error) {
	var in struct{ Serial string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return nil, c.Replace(r.PathValue("serial"), Device{Serial: in.Serial})
}

func (c *Cloud) controlActivate(r *http.Request, _ []byte) (any, error) {
	configuration, ok := c.Activate(r.PathValue("serial"))
	if !ok {
		return nil, fmt.Errorf("no profile for %q", r.PathValue("serial"))
	}
	return configuration.Profile, nil
}

func (c *Cloud) controlRelease(r *http.Request, _ []byte) (any, error) {
	return nil, c.Release(r.PathValue("serial"))
}

func (c *Cloud) controlFaults(_ *http.Request, body []byte) (any, error) {
	var faults []Fault
	if json.Unmarshal(body, &faults) != nil {
		var one Fault
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, err
		}
		faults = []Fault{one}
	}
	return nil, c.Spoil(faults...)
}
