package console

import (
	"net/http"
	"time"
)

var zeroTouchPages = []route{
	get("/enrollment/zero-touch", showZeroTouch),
	get("/enrollment/zero-touch/status", zeroTouchStatus),
	post("/enrollment/zero-touch/connect", connectZeroTouch),
	post("/enrollment/zero-touch/settings", changeZeroTouch),
	post("/enrollment/zero-touch/configuration", configureZeroTouch),
	post("/enrollment/zero-touch/sync", syncZeroTouch),
	get("/enrollment/zero-touch/customers", only("put-zero-touch", chooseZeroTouchCustomer)),
	post("/enrollment/zero-touch/customers", takeZeroTouchCustomer),
	get("/enrollment/zero-touch/devices", zeroTouchDevices),
	post("/enrollment/zero-touch/devices", chooseZeroTouchDevices),
	get("/enrollment/zero-touch/delete", only("delete-zero-touch", askDisconnectZeroTouch)),
	post("/enrollment/zero-touch/delete", disconnectZeroTouch),
}

// zeroTouch is the organization's account at zero-touch.
type zeroTouch struct {
	Project          string                 `json:"project"`
	Account          string                 `json:"account"`
	Customer         string                 `json:"customer"`
	Company          string                 `json:"company"`
	AddAsPreEnrolled bool                   `json:"add_as_pre_enrolled"`
	Group            string                 `json:"group"`
	Assign           string                 `json:"assign"`
	Configuration    zeroTouchConfiguration `json:"configuration"`
	Configured       string                 `json:"configured"`
	Devices          int                    `json:"devices"`
	WithoutSerial    int                    `json:"without_serial"`
	Sync             syncInfo               `json:"sync"`
}

// zeroTouchConfiguration is what devices get out of their box.
type zeroTouchConfiguration struct {
	Way     string `json:"way"`
	Mode    string `json:"mode,omitempty"`
	Name    string `json:"name,omitempty"`
	Company string `json:"company"`
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	Message string `json:"message,omitempty"`
	Default bool   `json:"default,omitempty"`
}

var zeroTouchCrumbs = []crumb{{"/enrollment/zero-touch", text("enrollment.zero.title")}}

func showZeroTouch(q *request) error { return zeroTouchPage(q, nil) }

// zeroTouchPage shows the account, or how to connect one; a problem is that of
// one of its forms.
func zeroTouchPage(q *request, p *problem) error {
	var data struct {
		Account zeroTouch
		Groups  []string
	}
	v := view{Title: text("enrollment.zero.title"), Problem: p}
	err := q.get("/android/zero-touch", nil, &data.Account)
	if none := refusal(err); none != nil && none.Status == http.StatusNotFound {
		return q.enrollment("enrollment-zero-connect", v)
	}
	if err != nil {
		return err
	}
	if data.Groups, err = q.groupNames(true); err != nil {
		return err
	}
	v.Data = data
	return q.enrollment("enrollment-zero", v)
}

// zeroTouchStatus is the part that shows how the sweep goes.
func zeroTouchStatus(q *request) error {
	var a zeroTouch
	if err := q.get("/android/zero-touch", nil, &a); err != nil {
		return err
	}
	return q.part("enrollment-zero-sync", a)
}

func connectZeroTouch(q *request) error {
	key, err := q.keyFile()
	if err == nil {
		err = q.put("/android/zero-touch", map[string]any{"key": key}, nil)
	}
	return answered(q, zeroTouchPage, err, "/enrollment/zero-touch", "enrollment.zero.connected")
}

func changeZeroTouch(q *request) error {
	err := q.put("/android/zero-touch", map[string]any{"add_as_pre_enrolled": q.Typed("add_as_pre_enrolled") != "", "group": q.Typed("group"), "assign": q.Typed("assign")}, nil)
	if p := refusal(err); p != nil {
		err = p.place("name_too_long", "/group", "group_dynamic", "/group")
	}
	return answered(q, zeroTouchPage, err, "/enrollment/zero-touch", "enrollment.zero.changed")
}

func configureZeroTouch(q *request) error {
	c := zeroTouchConfiguration{Way: q.Typed("way"), Name: q.Typed("name"), Company: q.Typed("company"), Email: q.Typed("email"), Phone: q.Typed("phone"), Message: q.Typed("message"), Default: q.Typed("default") != ""}
	if c.Way == "device_policy" {
		c.Mode = q.Typed("mode")
	}
	err := q.put("/android/zero-touch/configuration", c, nil)
	if p := refusal(err); p != nil {
		err = p.place("zero_touch_agent_unlisted", "/way", "zero_touch_no_agent", "/way", "zero_touch_no_way", "/mode")
	}
	return answered(q, zeroTouchPage, err, "/enrollment/zero-touch", "enrollment.zero.configured")
}

func syncZeroTouch(q *request) error {
	return answered(q, zeroTouchPage, q.post("/android/zero-touch/sync", nil, nil), "/enrollment/zero-touch", "enrollment.zero.sync.begun")
}

func chooseZeroTouchCustomer(q *request) error { return zeroTouchCustomersPage(q, nil) }

// zeroTouchCustomersPage asks Google, and so stands by itself.
func zeroTouchCustomersPage(q *request, p *problem) error {
	var data struct {
		Items []struct {
			Name    string `json:"name"`
			Company string `json:"company"`
			Terms   string `json:"terms"`
		} `json:"items"`
	}
	v := view{Title: text("enrollment.zero.customers"), Problem: p, Crumbs: zeroTouchCrumbs}
	err := q.get("/android/zero-touch/customers", nil, &data)
	if unread := refusal(err); unread != nil {
		v.Problem = unread
	} else if err != nil {
		return err
	}
	v.Data = data
	return q.enrollment("enrollment-zero-customers", v)
}

func takeZeroTouchCustomer(q *request) error {
	err := q.put("/android/zero-touch", map[string]any{"customer": q.Typed("customer")}, nil)
	return answered(q, zeroTouchCustomersPage, err, "/enrollment/zero-touch", "enrollment.zero.changed")
}

func zeroTouchDevices(q *request) error { return zeroTouchDevicesPage(q, nil) }

func zeroTouchDevicesPage(q *request, p *problem) error {
	var data struct {
		Items []struct {
			Name          string    `json:"name"`
			Serial        string    `json:"serial"`
			OnRoll        bool      `json:"on_roll"`
			Configuration string    `json:"configuration"`
			Choice        string    `json:"choice"`
			Outcome       string    `json:"outcome"`
			Attempts      int       `json:"attempts"`
			RetryAt       time.Time `json:"retry_at"`
		} `json:"items"`
		NextCursor string `json:"next_cursor"`
		Ours       string `json:"-"` // Google's name of our configuration
	}
	var a zeroTouch
	if err := q.get("/android/zero-touch", nil, &a); err != nil {
		return err
	}
	data.Ours = a.Configured
	if err := q.get("/android/zero-touch/devices", query("limit", pageSize, "cursor", q.Param("cursor")), &data); err != nil {
		return err
	}
	return q.enrollment("enrollment-zero-devices", view{Title: text("enrollment.zero.devices"), Data: data, Problem: p, Crumbs: zeroTouchCrumbs})
}

func chooseZeroTouchDevices(q *request) error {
	serials := append([]string{}, q.TypedAll("serials")...)
	err := q.post("/android/zero-touch/devices/choose", map[string]any{"serials": serials, "choice": q.Typed("choice")}, nil)
	if p := refusal(err); p != nil && len(serials) == 0 {
		err = &problem{Status: p.Status, Code: p.Code, Detail: text("enrollment.zero.nothing"), Hint: text("enrollment.zero.nothing.hint")}
	}
	return answered(q, zeroTouchDevicesPage, err, "/enrollment/zero-touch/devices", "enrollment.zero.chosen", len(serials))
}

func askDisconnectZeroTouch(q *request) error { return disconnectZeroTouchPage(q, nil) }

func disconnectZeroTouchPage(q *request, p *problem) error {
	var a zeroTouch
	if err := q.get("/android/zero-touch", nil, &a); err != nil {
		return err
	}
	return q.enrollment("enrollment-zero-delete", view{Title: text("enrollment.zero.delete.title"), Data: a, Problem: p, Crumbs: zeroTouchCrumbs})
}

func disconnectZeroTouch(q *request) error {
	var a zeroTouch
	if err := q.get("/android/zero-touch", nil, &a); err != nil {
		return err
	}
	if q.Typed("confirm") != a.Project {
		return disconnectZeroTouchPage(q, unconfirmed(a.Project))
	}
	return answered(q, disconnectZeroTouchPage, q.delete("/android/zero-touch", nil, nil), "/enrollment/zero-touch", "enrollment.zero.deleted")
}
