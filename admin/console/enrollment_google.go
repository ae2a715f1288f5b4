package console

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"
)

var googlePages = []route{
	get("/enrollment/google", showGoogle),
	post("/enrollment/google/connect", connectGoogle),
	post("/enrollment/google/sign-up", signUpGoogle),
	post("/enrollment/google/bind", bindGoogle),
	post("/enrollment/google/set-up", setUpGoogle),
	post("/enrollment/google/reconcile", reconcileGoogle),
	post("/enrollment/google/settings", changeGoogle),
	get("/enrollment/google/delete", only("delete-android-enterprise", askDisconnectGoogle)),
	post("/enrollment/google/delete", disconnectGoogle),
	get("/enrollment/google/ways", googleWays),
	get("/enrollment/google/token", only("create-android-bound-token", newBoundToken)),
	post("/enrollment/google/token", makeBoundToken),
	get("/enrollment/google/devices", googleDevices),
	post("/enrollment/google/devices/{id}/approve", approveGoogleDevice),
	get("/enrollment/google/devices/{id}/remove", only("remove-android-device", askRemoveGoogleDevice)),
	post("/enrollment/google/devices/{id}/remove", removeGoogleDevice),
	get("/enrollment/google/poison", googlePoison),
}

// enterprise is the organization at Google.
type enterprise struct {
	Project      string                        `json:"project"`
	Account      string                        `json:"account"`
	Name         string                        `json:"name"`
	DisplayName  string                        `json:"display_name"`
	SignupURL    string                        `json:"signup_url"`
	Topic        string                        `json:"topic"`
	Subscription string                        `json:"subscription"`
	Delivery     string                        `json:"delivery"`
	PushAccount  string                        `json:"push_account"`
	Settings     map[string]googleModeSettings `json:"settings"`
	SetUpAt      time.Time                     `json:"set_up_at"`
	ReconciledAt time.Time                     `json:"reconciled_at"`
	Problem      *cloudProblem                 `json:"problem"`
}

type googleModeSettings struct {
	Gate    string `json:"gate"`
	Refused string `json:"refused"`
}

// googleModes are the ways in which Google manages devices, by the API's names.
var googleModes = []string{"fully_managed", "work_profile_company", "dedicated", "work_profile_personal"}

var googleCrumbs = []crumb{{"/enrollment/google", text("enrollment.google.title")}}

func showGoogle(q *request) error { return googlePage(q, nil) }

// googlePage shows the organization, or how to connect one; a problem is that of
// one of its forms.
func googlePage(q *request, p *problem) error {
	data := struct {
		Enterprise enterprise
		Modes      []string
	}{Modes: googleModes}
	v := view{Title: text("enrollment.google.title"), Problem: p}
	err := q.get("/android/enterprise", nil, &data.Enterprise)
	if none := refusal(err); none != nil && none.Status == http.StatusNotFound {
		return q.enrollment("enrollment-google-connect", v)
	}
	if err != nil {
		return err
	}
	v.Data = data
	return q.enrollment("enrollment-google", v)
}

// answered ends a form of the page: a refusal shows the page again.
func answered(q *request, page func(*request, *problem) error, err error, to, key string, args ...any) error {
	if p := refusal(err); p != nil {
		return page(q, p)
	}
	if err != nil {
		return err
	}
	return q.done(to, key, args...)
}

// keyFile is the key of a service account, which has to be JSON to be sent on.
func (q *request) keyFile() (json.RawMessage, error) {
	file, err := q.File("key")
	if err != nil {
		return nil, err
	}
	if !json.Valid(file) {
		return nil, (&problem{Status: http.StatusUnprocessableEntity, Code: "key", Detail: text("enrollment.google.key.wrong"), Hint: text("enrollment.google.key.hint")}).place("key", "/key")
	}
	return file, nil
}

func connectGoogle(q *request) error {
	key, err := q.keyFile()
	if err == nil {
		err = q.put("/android/enterprise", map[string]any{"key": key}, nil)
	}
	return answered(q, googlePage, err, "/enrollment/google", "enrollment.google.connected")
}

// signUpGoogle goes on at Google's page, which the page then links to.
func signUpGoogle(q *request) error {
	return answered(q, googlePage, q.post("/android/enterprise/signup", nil, nil), "/enrollment/google", "enrollment.google.signup.begun")
}

func bindGoogle(q *request) error {
	err := q.post("/android/enterprise/bind", map[string]any{"name": q.Typed("name")}, nil)
	if p := refusal(err); p != nil {
		err = p.place("amapi_enterprise_name", "/name")
	}
	return answered(q, googlePage, err, "/enrollment/google", "enrollment.google.bound", q.Typed("name"))
}

func setUpGoogle(q *request) error {
	return answered(q, googlePage, q.post("/android/enterprise/setup", nil, nil), "/enrollment/google", "enrollment.google.setup.done")
}

func reconcileGoogle(q *request) error {
	return answered(q, googlePage, q.post("/android/enterprise/reconcile", nil, nil), "/enrollment/google", "enrollment.google.reconcile.begun")
}

func changeGoogle(q *request) error {
	settings := map[string]any{}
	for _, mode := range googleModes {
		settings[mode] = map[string]any{"gate": q.Typed("gate_" + mode), "refused": q.Typed("refused_" + mode)}
	}
	body := map[string]any{"settings": settings, "delivery": q.Typed("delivery"), "push_account": q.Typed("push_account"), "topic": q.Typed("topic"), "subscription": q.Typed("subscription")}
	err := q.put("/android/enterprise", body, nil)
	if p := refusal(err); p != nil {
		for _, mode := range googleModes {
			if strings.HasPrefix(p.Detail, mode+": ") {
				p.place("amapi_setting_impossible", "/settings/"+mode+"/gate")
			}
		}
		err = p.place("amapi_push_account", "/push_account", "amapi_delivery", "/delivery")
	}
	return answered(q, googlePage, err, "/enrollment/google", "enrollment.google.changed")
}

func askDisconnectGoogle(q *request) error { return disconnectGooglePage(q, nil) }

func disconnectGooglePage(q *request, p *problem) error {
	var e enterprise
	if err := q.get("/android/enterprise", nil, &e); err != nil {
		return err
	}
	return q.enrollment("enrollment-google-delete", view{Title: text("enrollment.google.delete.title"), Data: e, Problem: p, Crumbs: googleCrumbs})
}

func disconnectGoogle(q *request) error {
	var e enterprise
	if err := q.get("/android/enterprise", nil, &e); err != nil {
		return err
	}
	if q.Typed("confirm") != e.Project {
		return disconnectGooglePage(q, unconfirmed(e.Project))
	}
	return answered(q, disconnectGooglePage, q.delete("/android/enterprise", nil, nil), "/enrollment/google", "enrollment.google.deleted")
}

// googleWay is what devices of a mode are set up with.
type googleWay struct {
	Mode   string        `json:"mode"`
	Token  string        `json:"token"`
	QRCode string        `json:"qr_code"`
	QR     template.HTML `json:"-"`
}

func googleWays(q *request) error {
	var data struct {
		Items []googleWay `json:"items"`
	}
	if err := q.get("/android/enterprise/ways", nil, &data); err != nil {
		return err
	}
	for i := range data.Items {
		var err error
		if data.Items[i].QR, err = qrCode(data.Items[i].QRCode); err != nil {
			return err
		}
	}
	return q.enrollment("enrollment-google-ways", view{Title: text("enrollment.google.ways"), Data: data, Crumbs: googleCrumbs})
}

func newBoundToken(q *request) error { return boundTokenForm(q, nil) }

func boundTokenForm(q *request, p *problem) error {
	return q.enrollment("enrollment-google-token", view{Title: text("enrollment.google.token"), Data: googleModes, Problem: p, Crumbs: googleCrumbs})
}

// makeBoundToken shows the token at once: it cannot be read again.
func makeBoundToken(q *request) error {
	var made struct {
		Serial, Mode string        `json:"-"`
		Link         string        `json:"link"`
		QRCode       string        `json:"qr_code"`
		ExpiresAt    time.Time     `json:"expires_at"`
		QR           template.HTML `json:"-"`
	}
	made.Serial, made.Mode = q.Typed("serial"), q.Typed("mode")
	err := q.post("/android/enterprise/tokens", map[string]any{"serial": made.Serial, "mode": made.Mode, "minutes": whole(q.Typed("minutes"))}, &made)
	if p := refusal(err); p != nil {
		return boundTokenForm(q, p.place("device_unknown", "/serial", "not_android", "/serial", "device_blocked", "/serial", "amapi_mode_off", "/mode", "amapi_mode_ownership", "/mode"))
	}
	if err == nil {
		made.QR, err = qrCode(made.QRCode)
	}
	if err != nil {
		return err
	}
	return q.enrollment("enrollment-google-token-made", view{Title: text("enrollment.google.token.made", made.Serial), Data: made, Crumbs: googleCrumbs})
}

// googleDevice is a device at Google.
type googleDevice struct {
	ID             string    `json:"id"`
	Serial         string    `json:"serial"`
	Mode           string    `json:"mode"`
	State          string    `json:"state"`
	Code           string    `json:"code"`
	DecisionID     string    `json:"decision_id"`
	Policy         string    `json:"policy"`
	AppliedVersion int64     `json:"applied_version"`
	ReportedAt     time.Time `json:"reported_at"`
	Complaints     []struct {
		Pointer string `json:"pointer"`
		Setting string `json:"setting"`
		Reason  string `json:"reason"`
		Package string `json:"package"`
	} `json:"non_compliance"`
}

var googleStates = []string{"enrolled", "quarantined", "removed", "gone"}

func googleDevices(q *request) error { return googleDevicesPage(q, nil) }

func googleDevicesPage(q *request, p *problem) error {
	var data struct {
		Items      []googleDevice `json:"items"`
		NextCursor string         `json:"next_cursor"`
		States     []string       `json:"-"`
	}
	data.States = googleStates
	if err := q.get("/android/enterprise/devices", query("limit", pageSize, "state", q.Param("state"), "cursor", q.Param("cursor")), &data); err != nil {
		return err
	}
	return q.enrollment("enrollment-google-devices", view{Title: text("enrollment.google.devices"), Data: data, Problem: p, Crumbs: googleCrumbs})
}

func approveGoogleDevice(q *request) error {
	err := q.post(at("/android/enterprise/devices/%s/approve", q.PathValue("id")), nil, nil)
	return answered(q, googleDevicesPage, err, "/enrollment/google/devices", "enrollment.google.device.approved")
}

func askRemoveGoogleDevice(q *request) error { return removeGooglePage(q, nil) }

func removeGooglePage(q *request, p *problem) error {
	return q.enrollment("enrollment-google-remove", view{Title: text("enrollment.google.remove.title"), Data: q.PathValue("id"), Problem: p,
		Crumbs: append(googleCrumbs[:1:1], crumb{"/enrollment/google/devices", text("enrollment.google.devices")})})
}

func removeGoogleDevice(q *request) error {
	err := q.post(at("/android/enterprise/devices/%s/remove", q.PathValue("id")), given(map[string]any{"confirm": q.Typed("confirm"), "reason": q.Typed("reason")}), nil)
	if p := refusal(err); p != nil {
		err = p.place("amapi_remove_unconfirmed", "/confirm", "request_invalid", "/confirm")
	}
	return answered(q, removeGooglePage, err, "/enrollment/google/devices", "enrollment.google.device.removed")
}

func googlePoison(q *request) error {
	var data struct {
		Items []struct {
			ID          string    `json:"id"`
			Type        string    `json:"type"`
			Problem     string    `json:"problem"`
			PublishedAt time.Time `json:"published_at"`
			ReceivedAt  time.Time `json:"received_at"`
			Data        []byte    `json:"data"`
		} `json:"items"`
		NextCursor string `json:"next_cursor"`
	}
	if err := q.get("/android/enterprise/poison", query("limit", pageSize, "cursor", q.Param("cursor")), &data); err != nil {
		return err
	}
	for i := range data.Items { // what Google sent need not be text
		data.Items[i].Data = []byte(strings.ToValidUTF8(string(data.Items[i].Data), "\uFFFD"))
	}
	return q.enrollment("enrollment-google-poison", view{Title: text("enrollment.google.poison"), Data: data, Crumbs: googleCrumbs})
}
