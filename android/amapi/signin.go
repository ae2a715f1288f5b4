package amapi

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"rollcall/enroll"
)

// Gate is what the rooms ask about who may enroll; *enroll.Gate is one.
type Gate interface {
	Decide(ctx context.Context, a enroll.Attempt) (enroll.Decision, error)
	Explain(ctx context.Context, a enroll.Attempt) (enroll.Decision, error)
	Refuse(ctx context.Context, a enroll.Attempt, code enroll.Code, detail string) (enroll.Decision, error)
}

// SignIn is the page that Android Device Policy opens before it enrolls:
//
//	GET /android/signin?provisioningInfo=X
//	302 https://enterprise.google.com/android/enroll?et=TOKEN     the gate admits the device
//	302 https://enterprise.google.com/android/enroll/invalid      it does not
//	503                                                           we cannot tell: no token, try again
//
// See developers.google.com/android/management/sign-in-url.
type SignIn struct {
	Store  Store
	Clouds *Clouds
	Gate   Gate
	Now    func() time.Time
	Log    *slog.Logger

	strangers strangers
}

// signInLookup names the call in errors.
const signInLookup = "sign-in"

// provisioningID is what Google's opaque identifiers are made of.
var provisioningID = regexp.MustCompile(`^[A-Za-z0-9_=.-]{1,512}$`)

const signInTimeout = 30 * time.Second

// ServeHTTP answers a device that wants to enroll.
func (s *SignIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet {
		h.Set("Allow", http.MethodGet)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	id := r.URL.Query().Get("provisioningInfo")
	if !provisioningID.MatchString(id) {
		showPage(w, http.StatusBadRequest, "This page is for devices", "It opens by itself while a device is set up.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), signInTimeout)
	defer cancel()
	token, err := s.admit(ctx, id, r.RemoteAddr)
	switch {
	case err != nil:
		s.log().WarnContext(ctx, "sign-in of a device not decided", "error", err)
		wait := retryAfter(err, 30*time.Second)
		h.Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
		showPage(w, http.StatusServiceUnavailable, "Please try again", "This device cannot be registered at the moment. Wait a minute, then load this page again.")
	case token == "":
		http.Redirect(w, r, invalidURL, http.StatusFound)
	default:
		http.Redirect(w, r, enrollLink(token), http.StatusFound)
	}
}

func (s *SignIn) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// admit gives the token for a device that may enroll, "" for one that may not.
func (s *SignIn) admit(ctx context.Context, id, remote string) (token string, err error) {
	now := time.Now().UTC()
	if s.Now != nil {
		now = s.Now().UTC()
	}
	o, err := s.Store.Organization(ctx)
	if enroll.KindOf(err) == enroll.KindNotFound || err == nil && !o.Bound() {
		return "", nil // nobody enrolls here
	}
	if err != nil {
		return "", err
	}
	client, err := s.Clouds.management(ctx, o)
	if err != nil {
		return "", err
	}
	if s.strangers.known(id, now) {
		return "", nil
	}
	if wait := s.strangers.wait(remote, now); wait > 0 {
		return "", &Error{Call: signInLookup, Code: TooMany, Message: "too many unknown devices came from this address", RetryAfter: wait}
	}
	if wait, err := s.Store.TakeSignIn(ctx, o.Project, now); err != nil {
		return "", err
	} else if wait > 0 {
		return "", &Error{Call: signInLookup, Code: TooMany, Message: "the budget of the sign-in page is used up", RetryAfter: wait}
	}
	info, err := client.ProvisioningInfo(ctx, id)
	if CodeOf(err) == NotFound || CodeOf(err) == Invalid {
		s.strangers.note(id, remote, now)
		return "", nil // made up, or more than a day old
	}
	if err != nil {
		return "", err
	}
	if info.Enterprise != o.Name {
		s.log().WarnContext(ctx, "a device of another enterprise came to the sign-in page")
		return "", nil
	}
	mode := modeOf(info.ManagementMode, info.Ownership)
	a := enroll.Attempt{At: now, Channel: enroll.ChannelAMAPI, Platform: enroll.PlatformAndroid, Serial: trueSerial(info.SerialNumber), Evidence: enroll.EvidenceSigned, RemoteAddr: remote,
		Facts: factsOf(mode, info.IMEI, info.MEID, info.Model, info.Brand, info.APILevel)}
	if o.Settings.of(mode).Gate != GateSignIn {
		_, err := s.Gate.Refuse(ctx, a, enroll.DenyChannel, fmt.Sprintf("devices do not enroll as %s over the sign-in page; personal devices need a token that is bound to their row", mode))
		return "", err
	}
	d, err := decide(ctx, s.Store, s.Gate, a)
	if err != nil || !d.Allowed() {
		return "", err
	}
	made, _, err := issue(ctx, s.Store, client, o.Name, BoundToken{DeviceID: d.DeviceID, Serial: d.Serial, Mode: mode, Identified: trueSerial(info.SerialNumber), IMEI: info.IMEI, DecisionID: d.ID}, now, signInLife)
	return made.Value, err
}

// factsOf are the facts of a device in the roll's words.
func factsOf(m Mode, imei, meid, model, brand string, apiLevel int) enroll.Facts {
	f := enroll.Facts{IMEI: imei, MEID: meid, Model: model, Extra: map[string]string{"management": string(m.Management())}}
	if brand != "" {
		f.Extra["brand"] = brand
	}
	if apiLevel > 0 {
		f.Extra["api_level"] = strconv.Itoa(apiLevel)
	}
	return f
}

// decide asks the gate about a device that Google vouches for. Where its serial
// is not on the roll, a row with its IMEI or MEID is taken for the device's.
func decide(ctx context.Context, store DeviceStore, gate Gate, a enroll.Attempt) (enroll.Decision, error) {
	a, err := identify(ctx, store, gate, a)
	if err != nil {
		return enroll.Decision{}, err
	}
	return gate.Decide(ctx, a)
}

// identify puts the serial of the row with the IMEI or MEID in the place of one
// that is not on the roll.
func identify(ctx context.Context, store DeviceStore, gate Gate, a enroll.Attempt) (enroll.Attempt, error) {
	if a.Serial != "" {
		d, err := gate.Explain(ctx, a)
		if err != nil || d.DeviceID != "" {
			return a, err
		}
	}
	for _, number := range []struct{ name, value string }{{"IMEI", a.Facts.IMEI}, {"MEID", a.Facts.MEID}} {
		if number.value == "" {
			continue
		}
		serial, err := store.SerialByIMEI(ctx, number.value)
		if err != nil {
			return a, err
		}
		if serial != "" && serial != a.Serial {
			a.Notes = append(a.Notes, enroll.Step{Check: "identifier", Result: "pass", Detail: fmt.Sprintf("the %s is that of the row %s; Google tells the serial number %q", number.name, serial, a.Serial)})
			a.Serial = serial
			return a, nil
		}
	}
	return a, nil
}

var page = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<h1>{{.Title}}</h1><p>{{.Text}}</p></html>
`))

// showPage is for people who stand before a device or came back from Google.
func showPage(w http.ResponseWriter, status int, title, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = page.Execute(w, struct{ Title, Text string }{title, text}) // the connection may be gone
}

// ServeCallback is where an administrator comes back from Google's sign-up.
func (s *Enterprises) ServeCallback(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	q := r.URL.Query()
	_, err := s.SignedUp(r.Context(), q.Get("state"), q.Get("enterpriseToken"))
	switch kind := enroll.KindOf(err); kind {
	case "":
		showPage(w, http.StatusOK, "The enterprise is bound", "Devices can be set up now. You can close this page.")
	case enroll.KindGone:
		showPage(w, http.StatusGone, "This sign-up is over", "It is not known, has been used, or has taken too long. Begin it again.")
	default:
		if s.Log != nil {
			s.Log.WarnContext(r.Context(), "sign-up not finished", "error", err)
		}
		showPage(w, http.StatusServiceUnavailable, "The sign-up is not finished", "Look at the enterprise in the admin API; it says what is missing. Begin the sign-up again, or bind the enterprise by its name.")
	}
}
