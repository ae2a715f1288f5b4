package account

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/certs/cms"
	"rollcall/certs/deviceca"
	"rollcall/dep/signin"
	"rollcall/enroll"
	"rollcall/mdm"
)

// Profiles writes enrollment profiles; mdm.Profiles does.
type Profiles interface {
	Enrollment(ctx context.Context, b certs.Binding) ([]byte, error)
}

// Roll is what is asked of people and their devices; enroll.Roll does.
type Roll interface {
	UserByEmail(ctx context.Context, domain, email string) (enroll.User, error)
	User(ctx context.Context, id string) (enroll.User, error)
	Devices(ctx context.Context, f enroll.DeviceFilter, p enroll.Page) ([]enroll.Device, error)
	DeviceByID(ctx context.Context, id string) (enroll.Device, error)
}

// Requests finds enrollment requests; enroll.Requests does.
type Requests interface {
	Request(ctx context.Context, id string) (enroll.Request, error)
	Requests(ctx context.Context, f enroll.RequestFilter, p enroll.Page) ([]enroll.Request, error)
}

// Door is where devices come to whose users have signed in to them with a
// Managed Apple Account.
type Door struct {
	Gate     mdm.Gate
	DeviceCA *deviceca.Verifier
	Profiles Profiles
	Roll     Roll
	Requests Requests
	Store    AccessStore
	Misses   Misses
	SignIn   *signin.Pages
	Tokens   Tokens
	BaseURL  string        // {BaseURL}/byod and {BaseURL}/adde are ServeEnroll
	Domain   string        // directory of the users
	OIDCLife time.Duration // how long a token of a provider's sign-in is good; 0: for ever
	Mode     func(r *http.Request) string
	Now      func() time.Time
	Log      *slog.Logger
}

// mode is one way of account-driven enrollment.
type mode struct {
	path      string // last part of BaseURL, and of the version in discovery
	name      string // EnrollmentMode
	ownership enroll.Ownership
}

var (
	byod  = mode{"byod", mdm.ModeBYOD, enroll.OwnershipPersonal}
	adde  = mode{"adde", mdm.ModeADDE, enroll.OwnershipCorporate}
	modes = []mode{byod, adde}
)

// modeFor is how a device with this ownership enrolls: its user's own where
// nothing else is said.
func modeFor(o enroll.Ownership) mode {
	if o == enroll.OwnershipCorporate {
		return adde
	}
	return byod
}

// How many unknown users an address may ask about, in which time. Then it is
// told the same of everybody.
const (
	missTries  = 30
	missWindow = 15 * time.Minute
)

// ServeDiscovery tells a device which server manages the users of this domain
// (Apple: account-driven enrollment, service discovery).
func (d *Door) ServeDiscovery(w http.ResponseWriter, r *http.Request) {
	source := "discovery " + signin.SourceOf(r.RemoteAddr)
	tooMany, err := d.Misses.TooMany(r.Context(), source, missTries, missWindow, d.Now())
	if tooMany {
		noServer(w, "too many unknown users", "Too many accounts that are not known were tried in this network. Try again in 15 minutes.")
		return
	}
	var u enroll.User
	if err == nil {
		u, err = d.Roll.UserByEmail(r.Context(), d.Domain, strings.ToLower(r.URL.Query().Get("user-identifier")))
	}
	if enroll.KindOf(err) == enroll.KindNotFound {
		d.Log.InfoContext(r.Context(), "account-driven enrollment of an unknown user")
		if err = d.Misses.Missed(r.Context(), source, missWindow, d.Now()); err == nil {
			noServer(w, "no such user", "This account is not known to your organisation's server. Ask your administrator.")
			return
		}
	}
	var device enroll.Device
	if err == nil {
		_, device, err = d.invitation(r.Context(), u.ID)
	}
	if err != nil {
		mdm.Fail(w, r, d.Log, err)
		return
	}
	m := modeFor(device.Ownership)
	writeJSON(w, http.StatusOK, map[string]any{"Servers": []map[string]string{{"Version": "mdm-" + m.path, "BaseURL": d.BaseURL + "/" + m.path}}})
}

// noServer lets a device give up (Apple: ErrorCodeWellKnownFailed, iOS 17.5).
func noServer(w http.ResponseWriter, description, message string) {
	writeJSON(w, http.StatusForbidden, map[string]string{"code": "com.apple.well-known.failed", "description": description, "message": message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// maxDevices bounds how many devices of a user are looked at for an open
// request.
const maxDevices = 100

// invitation is the newest open enrollment request of a user for an Apple
// device, with its row; zero where there is none.
func (d *Door) invitation(ctx context.Context, userID string) (newest enroll.Request, of enroll.Device, err error) {
	devices, err := d.Roll.Devices(ctx, enroll.DeviceFilter{UserID: userID}, enroll.Page{Limit: maxDevices})
	if err != nil {
		return newest, of, err
	}
	for _, device := range devices {
		if device.Platform == enroll.PlatformAndroid || !slices.Contains([]enroll.State{enroll.StateInvited, enroll.StateEnrolling}, device.Effective()) {
			continue
		}
		requests, err := d.Requests.Requests(ctx, enroll.RequestFilter{DeviceID: device.ID}, enroll.Page{Limit: 1})
		if err != nil {
			return newest, of, err
		}
		if len(requests) == 1 && requests[0].Usable(d.Now()) == nil && requests[0].ID > newest.ID {
			newest, of = requests[0], device
		}
	}
	return newest, of, nil
}

// ServeSignIn is the page the device opens for the person. It ends, by Signed,
// with an access token.
func (d *Door) ServeSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		d.SignIn.Resume(w, r, signin.KindAccount)
		return
	}
	method := signin.MethodCode
	if d.SignIn.OIDC != nil {
		method = signin.MethodOIDC
	}
	d.SignIn.Begin(w, r, signin.Session{Kind: signin.KindAccount, Method: method, Page: r.URL.Path, Hint: strings.ToLower(r.URL.Query().Get("user-identifier"))})
}

// resultURL is where a device waits for the token.
const resultURL = "apple-remotemanagement-user-login://authentication-results?access-token="

// Signed gives a person who has signed in an access token; it is the
// signin.Finish of this room.
func (d *Door) Signed(w http.ResponseWriter, r *http.Request, s signin.Session, p signin.Person) {
	token, err := d.grant(r.Context(), s, p)
	if err != nil {
		d.SignIn.Sorry(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", resultURL+url.QueryEscape(token))
	w.WriteHeader(http.StatusPermanentRedirect)
}

var errOtherAccount = enroll.Errorf(enroll.KindForbidden, "account_mismatch", "You have signed in as somebody else than the account on this device.").
	WithHint("Sign in to the device with the account that your administrator named.")

func (d *Door) grant(ctx context.Context, s signin.Session, p signin.Person) (token string, err error) {
	a := Access{UserID: p.UserID, RequestID: p.RequestID, ManagedAppleID: s.Hint, CreatedAt: d.Now().UTC(), Account: p.UserID}
	if p.UserID == "" {
		a.Account = "request " + p.RequestID
	} else {
		u, err := d.Roll.User(ctx, p.UserID)
		if err != nil {
			return "", err
		}
		if s.Hint != "" && u.Email != s.Hint {
			return "", errOtherAccount
		}
		a.ManagedAppleID = u.Email
	}
	if s.Method == signin.MethodOIDC && d.OIDCLife > 0 {
		a.ExpiresAt = a.CreatedAt.Add(d.OIDCLife)
	}
	device, err := d.row(ctx, &a)
	if err != nil {
		return "", err
	}
	if a.Serial = device.Serial; a.Serial == "" {
		a.Serial = enroll.NewAccountSerial()
	}
	token, hash := enroll.NewSecret()
	_, err = d.Store.PutAccess(ctx, hash, a)
	return token, err
}

// row finds the row of the person's enrollment request, if there is one, and
// notes the request.
func (d *Door) row(ctx context.Context, a *Access) (enroll.Device, error) {
	if a.RequestID == "" {
		request, device, err := d.invitation(ctx, a.UserID)
		a.RequestID = request.ID
		return device, err
	}
	request, err := d.Requests.Request(ctx, a.RequestID)
	if err != nil {
		return enroll.Device{}, err
	}
	return d.Roll.DeviceByID(ctx, request.DeviceID)
}

// ServeEnroll takes the machine info of a device whose user has signed in, and
// hands out the enrollment profile.
func (d *Door) ServeEnroll(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(modes, func(m mode) bool { return m.path == d.Mode(r) })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	body, err := mdm.ReadBody(w, r, cms.MaxBytes)
	if err != nil {
		mdm.Fail(w, r, d.Log, err)
		return
	}
	info, signer, err := mdm.ReadMachineInfo(d.DeviceCA, body)
	if err != nil {
		mdm.Fail(w, r, d.Log, err)
		return
	}
	token := mdm.BearerToken(r)
	access, err := d.Store.Access(r.Context(), enroll.HashSecret(token), d.Now())
	if enroll.KindOf(err) == enroll.KindNotFound {
		mdm.AskToSignIn(w, d.Tokens.SignIn())
		return
	}
	var profile []byte
	var refused *enroll.Decision
	if err == nil {
		profile, refused, err = d.admit(r, modes[i], info, signer != nil, access)
	}
	switch {
	case err != nil:
		mdm.Fail(w, r, d.Log, err)
	case refused != nil:
		mdm.WriteRefusal(w, *refused)
	default:
		mdm.WriteProfile(w, profile, "")
	}
}

func (d *Door) admit(r *http.Request, m mode, info mdm.MachineInfo, unproven bool, a Access) (profile []byte, refused *enroll.Decision, err error) {
	ctx := r.Context()
	attempt := info.Attempt(enroll.ChannelAccount, d.Now().UTC(), r.RemoteAddr)
	// Whatever identifiers the device told beyond what it should: the row is
	// chosen by who signed in.
	attempt.Facts.UDID, attempt.Facts.IMEI, attempt.Facts.MEID = "", "", ""
	attempt.Serial, attempt.RequestID, attempt.UserID, attempt.Ownership = a.Serial, a.RequestID, a.UserID, m.ownership
	attempt.Evidence = enroll.EvidenceToken
	if a.RequestID == "" {
		attempt.Evidence = enroll.EvidenceClaimed
	}
	if unproven {
		decision, err := mdm.RefuseUnproven(ctx, d.Gate, attempt, "the machine info is not signed by Apple's device CA")
		return nil, &decision, err
	}
	if a.RequestID != "" {
		request, err := d.Requests.Request(ctx, a.RequestID)
		if err != nil {
			return nil, nil, err
		}
		row, err := d.Roll.DeviceByID(ctx, request.DeviceID)
		if err != nil {
			return nil, nil, err
		}
		if cmp.Or(row.Ownership, enroll.OwnershipSelectUser) != enroll.OwnershipSelectUser && row.Ownership != m.ownership {
			decision, err := d.Gate.Refuse(ctx, attempt, enroll.DenyOwnership, "the row is "+string(row.Ownership)+", and the device enrolls as "+string(m.ownership))
			return nil, &decision, err
		}
	}
	decision, err := d.Gate.Decide(ctx, attempt)
	if err != nil {
		return nil, nil, err
	}
	if !decision.Allowed() {
		return nil, &decision, nil
	}
	b := mdm.BindingOf(decision)
	b.UserID, b.Account, b.EnrollmentMode, b.ManagedAppleID = a.UserID, a.Account, m.name, a.ManagedAppleID
	profile, err = d.Profiles.Enrollment(ctx, b)
	return profile, nil, err
}
