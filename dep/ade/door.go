package ade

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/certs/cms"
	"rollcall/certs/deviceca"
	"rollcall/dep"
	"rollcall/dep/signin"
	"rollcall/enroll"
	"rollcall/mdm"
)

// Profiles writes enrollment profiles; mdm.Profiles does.
type Profiles interface {
	Enrollment(ctx context.Context, b certs.Binding) ([]byte, error)
}

// Roll finds devices; enroll.Roll does.
type Roll interface {
	DeviceByID(ctx context.Context, id string) (enroll.Device, error)
}

// Door is where devices come to that Apple has sent here.
type Door struct {
	Entries  dep.Entries
	Gate     mdm.Gate
	DeviceCA *deviceca.Verifier
	Profiles Profiles
	Roll     Roll
	SignIn   *signin.Pages
	Secret   func(r *http.Request) string // {secret} of the path
	Now      func() time.Time
	Log      *slog.Logger
}

// infoHeader brings the machine info to the web view, in base64.
const infoHeader = "X-Apple-Aspen-Deviceinfo"

// arrival is a device that has proven which one it is.
type arrival struct {
	entry   dep.Entry
	info    mdm.MachineInfo
	attempt enroll.Attempt
}

// answer is what a device gets: one of the three.
type answer struct {
	profile []byte
	refused *enroll.Decision
	minimum string // system version to update to
}

// ServeMachineInfo takes the machine info of a device whose profile has no web
// view, and hands out the enrollment profile.
func (d *Door) ServeMachineInfo(w http.ResponseWriter, r *http.Request) {
	a, err := d.machineInfo(w, r)
	switch {
	case err != nil:
		mdm.Fail(w, r, d.Log, err)
	case a.refused != nil:
		mdm.WriteRefusal(w, *a.refused)
	case a.minimum != "":
		askForUpdate(w, a.minimum)
	default:
		mdm.WriteProfile(w, a.profile, "")
	}
}

func (d *Door) machineInfo(w http.ResponseWriter, r *http.Request) (answer, error) {
	body, err := mdm.ReadBody(w, r, cms.MaxBytes)
	if err != nil {
		return answer{}, err
	}
	arrived, refused, err := d.arrive(r, d.Secret(r), body)
	if err != nil || refused != nil {
		return answer{refused: refused}, err
	}
	if arrived.entry.Authentication != dep.AuthenticationNone {
		decision, err := d.Gate.Refuse(r.Context(), arrived.attempt, enroll.DenyChannel, "the profile asks who the person is, and the device did not use its web view")
		return answer{refused: &decision}, err
	}
	if minimum, err := d.outdated(r.Context(), arrived); err != nil || minimum != "" {
		return answer{minimum: minimum}, err
	}
	return d.admit(r.Context(), arrived, signin.Person{})
}

// arrive reads machine info that came to a profile's URL. What is not signed
// at all is an error; what somebody else signed, or what came to a URL of no
// profile, is a refusal that is recorded.
func (d *Door) arrive(r *http.Request, secret string, body []byte) (arrival, *enroll.Decision, error) {
	ctx := r.Context()
	info, signer, err := mdm.ReadMachineInfo(d.DeviceCA, body)
	if err != nil {
		return arrival{}, nil, err
	}
	a := arrival{info: info, attempt: d.attempt(info, r.RemoteAddr)}
	if signer != nil {
		decision, err := mdm.RefuseUnproven(ctx, d.Gate, a.attempt, "the machine info is not signed by Apple's device CA")
		return a, &decision, err
	}
	return d.toProfile(ctx, a, secret)
}

func (d *Door) attempt(info mdm.MachineInfo, remote string) enroll.Attempt {
	return info.Attempt(enroll.ChannelADE, d.Now().UTC(), remote)
}

// toProfile finds the profile, and notes what DEP says of the device.
func (d *Door) toProfile(ctx context.Context, a arrival, secret string) (arrival, *enroll.Decision, error) {
	var err error
	a.entry, err = d.Entries.Entry(ctx, secret)
	if enroll.KindOf(err) == enroll.KindNotFound {
		decision, err := d.Gate.Refuse(ctx, a.attempt, enroll.DenyTokenUnknown, "no ADE profile has this URL: it was replaced, or the machine info was sent by somebody who saw it elsewhere")
		return a, &decision, err
	}
	if err != nil {
		return a, nil, err
	}
	account, listed, err := d.Entries.Listed(ctx, enroll.NormalizeSerial(a.info.Serial))
	switch {
	case err != nil:
		return a, nil, err
	case !listed:
		a.note("warn", "no DEP account lists this serial")
	case account != a.entry.AccountID:
		a.note("warn", "another DEP account lists this serial than that of the profile")
	default:
		a.note("pass", "the account of the profile lists this serial")
	}
	return a, nil, nil
}

// note puts into the trace what DEP knows of the device.
func (a *arrival) note(result, detail string) {
	a.attempt.Notes = []enroll.Step{{Check: "DEP", Result: result, Detail: detail}}
}

// outdated is the version a device has to update to first. One that the gate
// would refuse all the same is not sent to update for nothing.
func (d *Door) outdated(ctx context.Context, a arrival) (minimum string, err error) {
	minimum = a.entry.MinimumOS[familyOf(a.info.Product)]
	if !a.info.CanRequestUpdate || !enroll.OlderVersion(a.info.OSVersion, minimum) {
		return "", nil
	}
	asIf := a.attempt
	asIf.Facts.OSVersion = minimum
	decision, err := d.Gate.Explain(ctx, asIf)
	if err != nil || !decision.Allowed() {
		return "", err
	}
	d.Log.InfoContext(ctx, "device has to update before it enrolls", "minimum", minimum)
	return minimum, nil
}

// admit asks the gate and writes the profile. person is empty where nobody was
// asked to sign in.
func (d *Door) admit(ctx context.Context, a arrival, person signin.Person) (answer, error) {
	a.attempt.UserID, a.attempt.RequestID = person.UserID, person.RequestID
	decision, err := d.Gate.Decide(ctx, a.attempt)
	if err != nil {
		return answer{}, err
	}
	if !decision.Allowed() {
		return answer{refused: &decision}, nil
	}
	profile, err := d.Profiles.Enrollment(ctx, d.binding(decision, a.entry, person.UserID))
	return answer{profile: profile}, err
}

// ServeWeb is the web view. The first load brings the machine info; what
// follows belongs to the sign-in that it began.
func (d *Door) ServeWeb(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Get(infoHeader)
	if header == "" {
		d.SignIn.Resume(w, r, signin.KindADE)
		return
	}
	body, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		d.SignIn.Sorry(w, r, enroll.Errorf(enroll.KindInvalid, "machine_info_invalid", "The device did not say which one it is."))
		return
	}
	secret := d.Secret(r)
	a, refused, err := d.arrive(r, secret, body)
	minimum := ""
	if err == nil && refused == nil {
		minimum, err = d.outdated(r.Context(), a)
	}
	switch {
	case err != nil:
		d.SignIn.Sorry(w, r, err)
	case refused != nil:
		d.refuse(w, r, *refused)
	case minimum != "":
		askForUpdate(w, minimum)
	case a.entry.Authentication == dep.AuthenticationNone:
		// A profile that does not ask any more, on a device that was told so
		// earlier.
		d.finish(w, r, a, signin.Person{})
	default:
		method := signin.MethodCode
		if a.entry.Authentication == dep.AuthenticationOIDC {
			method = signin.MethodOIDC
		}
		d.SignIn.Begin(w, r, signin.Session{Kind: signin.KindADE, Method: method, Page: r.URL.Path, Profile: secret, Info: a.info})
	}
}

// Signed goes on with a person who has signed in; it is the signin.Finish of
// this room. The profile is looked for again: it may have gone meanwhile.
func (d *Door) Signed(w http.ResponseWriter, r *http.Request, s signin.Session, p signin.Person) {
	a, refused, err := d.toProfile(r.Context(), arrival{info: s.Info, attempt: d.attempt(s.Info, r.RemoteAddr)}, s.Profile)
	switch {
	case err != nil:
		d.SignIn.Sorry(w, r, err)
	case refused != nil:
		d.refuse(w, r, *refused)
	default:
		d.finish(w, r, a, p)
	}
}

func (d *Door) finish(w http.ResponseWriter, r *http.Request, a arrival, p signin.Person) {
	out, err := d.admit(r.Context(), a, p)
	switch {
	case err != nil:
		d.SignIn.Sorry(w, r, err)
	case out.refused != nil:
		d.refuse(w, r, *out.refused)
	default:
		mdm.WriteProfile(w, out.profile, "")
	}
}

func (d *Door) refuse(w http.ResponseWriter, r *http.Request, decision enroll.Decision) {
	d.SignIn.Refuse(w, r, decision.Code.Reason().Person, "")
}

// askForUpdate has a device update itself, restart, and ask again (Apple:
// ErrorCodeSoftwareUpdateRequired, iOS 17).
func askForUpdate(w http.ResponseWriter, minimum string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	json.NewEncoder(w).Encode(map[string]any{"code": "com.apple.softwareupdate.required",
		"description": "the profile asks for " + minimum, "message": "This device needs a newer system before it can be used.",
		"details": map[string]string{"OSVersion": minimum}})
}

// familyOf is the family of a product ("iPad16,3"), as profiles name it.
func familyOf(product string) string {
	for _, f := range []struct{ prefix, family string }{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"AppleTV", "AppleTV"}, {"Mac", "Mac"}, {"iMac", "Mac"}} {
		if strings.HasPrefix(product, f.prefix) {
			return f.family
		}
	}
	return ""
}
