package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// editing is the form of a device's row.
type editing struct {
	Device  device
	New     bool
	Current *device // as somebody else has made it meanwhile
	Groups  []string
	Tags    string
	NotBefore,
	ExpiresAt string // in the zone of who is signed in, as the browser's field takes them
}

const fieldTime = "2006-01-02T15:04"

func (q *request) editing(d device) editing {
	e := editing{Device: d, Tags: strings.Join(d.Tags, ", ")}
	if !d.NotBefore.IsZero() {
		e.NotBefore = d.NotBefore.In(q.Zone()).Format(fieldTime)
	}
	if !d.ExpiresAt.IsZero() {
		e.ExpiresAt = d.ExpiresAt.In(q.Zone()).Format(fieldTime)
	}
	return e
}

func newDevice(q *request) error { return showNewDevice(q, nil) }

func showNewDevice(q *request, p *problem) error {
	return q.page("device-edit", view{Title: text("device.new"), Area: "devices", Crumbs: []crumb{{"/devices", text("devices.title")}}, Problem: p, Data: editing{New: true, Device: device{Platform: "ios", Ownership: "corporate"}}})
}

func createDevice(q *request) error {
	change, err := q.deviceForm()
	serial := q.Typed("serial")
	if err == nil && serial == "" {
		err = &problem{Status: http.StatusUnprocessableEntity, Detail: text("device.serial.missing"), Hint: text("device.serial.missing.hint")}
	}
	var made struct {
		Serial  string `json:"serial"`
		Created bool   `json:"created"`
	}
	if err == nil {
		err = q.put(at("/devices/%s", serial), change, &made)
	}
	if p := refusal(err); p != nil {
		return showNewDevice(q, p)
	}
	if err != nil {
		return err
	}
	key := "device.created"
	if !made.Created {
		key = "device.changed"
	}
	return q.done(at("/devices/%s", made.Serial), key, made.Serial)
}

func editDevice(q *request) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	return q.showEdit(q.editing(d), nil)
}

func (q *request) showEdit(e editing, p *problem) error {
	return q.page("device-edit", view{Title: text("device.edit", e.Device.Serial), Area: "devices", Crumbs: []crumb{{"/devices", text("devices.title")}, {at("/devices/%s", e.Device.Serial), e.Device.Serial}}, Problem: p, Data: e})
}

func changeDevice(q *request) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	change, err := q.deviceForm()
	if err == nil {
		err = q.do(call{Method: http.MethodPatch, Path: at("/devices/%s", d.Serial), JSON: change, IfMatch: q.Typed("version")}, nil)
	}
	p := refusal(err)
	if err != nil && p == nil {
		return err
	}
	if p == nil {
		return q.done(at("/devices/%s", d.Serial), "device.changed", d.Serial)
	}
	e := q.editing(d)
	if len(p.Current) > 0 {
		e.Current = &device{}
		if err := json.Unmarshal(p.Current, e.Current); err != nil {
			return err
		}
	}
	return q.showEdit(e, p)
}

// deviceForm is the form as a merge patch: an empty field clears.
func (q *request) deviceForm() (map[string]any, error) {
	change := map[string]any{"name": q.Typed("name"), "platform": q.Typed("platform"), "ownership": q.Typed("ownership"), "asset_tag": q.Typed("asset_tag"), "notes": q.Typed("notes")}
	tags := []string{}
	for tag := range strings.SplitSeq(q.Typed("tags"), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	change["tags"] = tags
	var wrong []error
	for _, name := range []string{"not_before", "expires_at"} {
		t, err := q.timeField(name)
		wrong = append(wrong, err)
		if change[name] = t; t.IsZero() {
			delete(change, name)
			if q.Typed("version") != "" {
				change[name] = nil
			}
		}
	}
	if uses := q.Typed("max_uses"); uses != "" {
		n, err := strconv.Atoi(uses)
		if err != nil {
			wrong = append(wrong, &problem{Status: http.StatusUnprocessableEntity, Detail: text("device.uses.wrong"), Hint: text("device.uses.wrong.hint")})
		}
		change["max_uses"] = n
	}
	if email := q.Typed("email"); email != "" {
		owner := map[string]any{"email": email}
		for field, name := range map[string]string{"domain": "domain", "owner": "name"} {
			if v := q.Typed(field); v != "" {
				owner[name] = v
			}
		}
		change["user"] = owner
	} else if q.Typed("version") != "" {
		change["user"] = nil
	}
	return change, errors.Join(wrong...)
}

// timeField is a time that was typed in the person's zone; zero: none.
func (q *request) timeField(name string) (time.Time, error) {
	typed := q.Typed(name)
	if typed == "" {
		return time.Time{}, nil
	}
	t, err := time.ParseInLocation(fieldTime, typed, q.Zone())
	if err != nil {
		return t, &problem{Status: http.StatusUnprocessableEntity, Detail: text("device.time.wrong", typed), Hint: text("device.time.wrong.hint")}
	}
	return t.UTC(), nil
}

// act does something with the device of this page, and comes back.
func (q *request) act(path string, body any, key string) error {
	serial := q.PathValue("serial")
	if err := q.post(at("/devices/%s", serial)+path, body, nil); err != nil {
		if p := refusal(err); p != nil && p.Status != http.StatusNotFound {
			return showSummary(q, p)
		}
		return err
	}
	return q.done(at("/devices/%s", serial), key, serial)
}

func blockDevice(q *request) error {
	return q.act("/block", map[string]any{"reason": q.Typed("reason")}, "device.blocked.done")
}

func unblockDevice(q *request) error { return q.act("/unblock", nil, "device.unblocked.done") }

func pushDevice(q *request) error { return q.act("/push", nil, "device.push.done") }

func disenrollDevice(q *request) error {
	return q.act("/disenroll", map[string]any{"force": q.Typed("force") != ""}, "device.disenroll.done")
}

func commandDevice(q *request) error {
	return q.act("/commands", map[string]any{"request_type": q.Typed("request_type")}, "device.command.done")
}

// askRemove is the page before a row is deleted, or a device disenrolled.
func askRemove(q *request) error {
	d, err := q.device()
	if err != nil {
		return err
	}
	return q.page("device-remove", view{Title: text("device.remove", d.Serial), Area: "devices", Crumbs: []crumb{{"/devices", text("devices.title")}, {at("/devices/%s", d.Serial), d.Serial}}, Data: d})
}

func deleteDevice(q *request) error {
	serial := q.PathValue("serial")
	if err := q.delete(at("/devices/%s", serial), nil, nil); err != nil {
		if p := refusal(err); p != nil && p.Status != http.StatusNotFound {
			return showSummary(q, p)
		}
		return err
	}
	return q.done("/devices", "device.deleted", serial)
}

func requestDevice(q *request) error {
	serial := q.PathValue("serial")
	err := q.post("/requests", map[string]any{"serials": []string{serial}, "via": q.Typed("via")}, nil)
	if p := refusal(err); p != nil {
		return showSummary(q, p)
	}
	if err != nil {
		return err
	}
	return q.done(at("/devices/%s/enrollment", serial), "device.request.done", serial)
}
