package amapi

import (
	"crypto/rand"
	"math/big"
	"regexp"
	"slices"
	"time"
)

const (
	commandDefault = 10 * time.Minute

	codeCancelled        = 1 // google.rpc.Code
	codeDeadlineExceeded = 4
	codeFailed           = 9
)

// operation is a command that was issued.
type operation struct {
	record           *record
	id               string
	command          object
	password         string // newPassword
	created, expires time.Time
	done             bool
	code             int // of the error; 0: none
	message          string
}

func (o *operation) render() object {
	metadata := clone(o.command)
	metadata["@type"] = "type.googleapis.com/google.android.devicemanagement.v1.Command"
	out := object{"name": o.record.name() + "/operations/" + o.id, "metadata": metadata}
	if !o.done {
		return out
	}
	out["done"] = true
	if o.code != 0 {
		out["error"] = object{"code": o.code, "message": o.message}
	} else {
		out["response"] = object{"@type": "type.googleapis.com/google.android.devicemanagement.v1.IssueCommandResponse"}
	}
	return out
}

var numeric = regexp.MustCompile(`^[0-9]*$`)

// needs are the parameters that a command cannot do without.
var needs = map[string]string{
	"ADD_ESIM": "addEsimParams", "CLEAR_APP_DATA": "clearAppsDataParams", "REMOVE_ESIM": "removeEsimParams", "REQUEST_DEVICE_INFO": "requestDeviceInfoParams",
	"START_LOST_MODE": "startLostModeParams", "STOP_LOST_MODE": "stopLostModeParams", "WIPE": "wipeParams",
}

func (c *Cloud) issueCommand(e *enterprise, q *call) (any, *refusal) {
	r := e.byID[q.ids[1]]
	if r == nil {
		return nil, missing()
	}
	if bad := checkCommand(r, q.body); bad != nil {
		return nil, bad
	}
	lifetime := commandDefault
	if sent := text(q.body, "duration"); sent != "" {
		var ok bool
		if lifetime, ok = seconds(sent); !ok || lifetime <= 0 {
			return nil, invalid("duration of a command must be positive.")
		}
	}
	id, _ := rand.Int(rand.Reader, big.NewInt(1<<53))
	now := c.now()
	o := &operation{record: r, id: id.String(), command: clone(q.body), created: now, expires: now.Add(lifetime)}
	o.command["createTime"] = stamp(now)
	o.command["userName"] = e.name() + "/users/" + r.id
	if text(q.body, "duration") == "" {
		o.command["duration"] = "600s"
	}
	o.password = text(q.body, "newPassword")
	delete(o.command, "newPassword") // it is not told again
	r.operations = append(r.operations, o)
	c.pending[o] = true
	answer := o.render()
	c.sync(r)
	return answer, nil
}

// checkCommand refuses what Google refuses before a device hears of it.
func checkCommand(r *record, body object) *refusal {
	kind := text(body, "type")
	if kind == "" || kind == "COMMAND_TYPE_UNSPECIFIED" {
		return invalid("The type of the command is missing.")
	}
	for other, params := range needs {
		_, sent := body[params]
		switch {
		case other == kind && !sent:
			return invalid("A command of type %s needs %s.", kind, params)
		case other != kind && sent:
			return invalid("%s does not belong to a command of type %s.", params, kind)
		}
	}
	for _, name := range []string{"errorCode", "createTime", "userName"} {
		if _, sent := body[name]; sent {
			return invalid("%s of a command cannot be written.", name)
		}
	}
	switch kind {
	case "WIPE":
		if _, reason := lookup(body, "wipeParams.wipeReason"); reason && r.ownership != personallyHeld {
			return invalid("wipeReason is for work profiles on personal devices.")
		}
	case "START_LOST_MODE":
		params, _ := body["startLostModeParams"].(object)
		if !slices.ContainsFunc([]string{"lostEmailAddress", "lostMessage", "lostPhoneNumber", "lostStreetAddress"}, func(name string) bool { _, ok := params[name]; return ok }) {
			return invalid("startLostModeParams needs one of message, phone number, e-mail address and street address.")
		}
	case "CLEAR_APP_DATA":
		if len(texts(body, "clearAppsDataParams.packageNames")) == 0 {
			return invalid("clearAppsDataParams: packageNames is empty.")
		}
	}
	return nil
}

// finish ends an operation that no device carried out.
func (c *Cloud) finish(o *operation, code int, message string) {
	delete(c.pending, o)
	o.done, o.code, o.message = true, code, message
}

// execute carries out a command on its device, and says whether the device is
// still there.
func (c *Cloud) execute(o *operation) bool {
	r := o.record
	kind := text(o.command, "type")
	delete(c.pending, o)
	o.done = true
	if code := o.judge(); code != "" {
		o.command["errorCode"] = code
		o.code, o.message = codeFailed, "The device could not execute the command: "+code
		c.notify(r.enterprise, "COMMAND", o.render())
		return true
	}
	wasLost := r.state == lostState
	switch kind {
	case "START_LOST_MODE":
		o.command["startLostModeStatus"] = object{"status": map[bool]string{true: "ALREADY_IN_LOST_MODE", false: "SUCCESS"}[wasLost]}
		r.state = lostState
	case "STOP_LOST_MODE":
		o.command["stopLostModeStatus"] = object{"status": map[bool]string{true: "SUCCESS", false: "NOT_IN_LOST_MODE"}[wasLost]}
		if wasLost {
			r.state = activeState
		}
	case "CLEAR_APP_DATA":
		results := object{}
		for _, name := range texts(o.command, "clearAppsDataParams.packageNames") {
			results[name] = object{"clearingResult": "SUCCESS"}
		}
		o.command["clearAppsDataStatus"] = object{"results": results}
	case "REQUEST_DEVICE_INFO":
		o.command["requestDeviceInfoStatus"] = object{"status": "SUCCEEDED", "eidInfo": object{"eids": []any{object{"eid": "89" + specificID(r.enterprise, r.phone.hardware.Serial)[:30]}}}}
	case "ADD_ESIM", "REMOVE_ESIM":
		o.command["esimStatus"] = object{"status": "SUCCESS"}
	}
	c.notify(r.enterprise, "COMMAND", o.render())
	if kind != "WIPE" && kind != "RELINQUISH_OWNERSHIP" {
		return true
	}
	c.forget(r)
	r.phone.reset()
	c.reportDeleted(r)
	return false
}

// judge is the errorCode with which the device answers a command; "": it can.
func (o *operation) judge() string {
	r, kind := o.record, text(o.command, "type")
	h := r.phone.hardware
	if code := r.phone.failing[kind]; code != "" {
		return code
	}
	switch kind {
	case "REBOOT":
		switch {
		case r.mode != deviceOwner:
			return "MANAGEMENT_MODE"
		case h.APILevel < 24:
			return "API_LEVEL"
		}
	case "RELINQUISH_OWNERSHIP":
		if r.mode != profileOwner || r.ownership != companyOwned {
			return "MANAGEMENT_MODE"
		}
	case "START_LOST_MODE", "STOP_LOST_MODE":
		if r.ownership != companyOwned {
			return "MANAGEMENT_MODE"
		}
	case "ADD_ESIM", "REMOVE_ESIM":
		if h.APILevel < 35 {
			return "API_LEVEL"
		}
	case "RESET_PASSWORD":
		if password := o.password; h.APILevel >= 34 && password != "" && len(password) < 6 && numeric.MatchString(password) {
			return "INVALID_VALUE"
		}
	}
	return ""
}

func (c *Cloud) operation(e *enterprise, q *call) *operation {
	r := e.byID[q.ids[1]]
	if r == nil {
		return nil
	}
	i := slices.IndexFunc(r.operations, func(o *operation) bool { return o.id == q.ids[2] })
	if i < 0 {
		return nil
	}
	return r.operations[i]
}

func (c *Cloud) getOperation(e *enterprise, q *call) (any, *refusal) {
	o := c.operation(e, q)
	if o == nil {
		return nil, missing()
	}
	return o.render(), nil
}

// listOperations shows the newest first.
func (c *Cloud) listOperations(e *enterprise, q *call) (any, *refusal) {
	r := e.byID[q.ids[1]]
	if r == nil {
		return nil, missing()
	}
	if q.query.Get("filter") != "" {
		return unsimulated(c, q)
	}
	var all []object
	for _, o := range slices.Backward(r.operations) {
		all = append(all, o.render())
	}
	items, next, bad := page(q, all, 10, 100)
	return listed("operations", items, next), bad
}

func (c *Cloud) cancelOperation(e *enterprise, q *call) (any, *refusal) {
	o := c.operation(e, q)
	switch {
	case o == nil:
		return nil, missing()
	case o.done && o.code != codeCancelled:
		return nil, precondition("The operation is done and cannot be cancelled.")
	}
	c.finish(o, codeCancelled, "The operation was cancelled.")
	return object{}, nil
}
