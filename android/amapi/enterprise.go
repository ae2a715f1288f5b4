package amapi

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"rollcall/android/google"
	"rollcall/enroll"
)

// Paths of the doors. Google keeps them, so they never change.
const (
	PathSignIn   = "/android/signin"
	PathPush     = "/android/pubsub"
	PathCallback = "/android/signup"
)

// signupLife is how long an administrator has for Google's pages.
const signupLife = 24 * time.Hour

// notificationTypes are what Google is asked to report.
var notificationTypes = []string{"ENROLLMENT", "STATUS_REPORT", "COMMAND"}

// defaultSignin marks the way that a Google account leads to.
const defaultSignin = "SIGNIN_DETAIL_IS_DEFAULT"

// Enterprises is what admins do with the organization.
type Enterprises struct {
	Store  Store
	Clouds *Clouds
	Public string // public URL of this server
	Kick   func() // wakes the Connector
	Now    func() time.Time
	Log    *slog.Logger
}

func (s *Enterprises) now() time.Time {
	if s.Now == nil {
		return time.Now().UTC()
	}
	return s.Now().UTC()
}

func (s *Enterprises) kick() {
	if s.Kick != nil {
		s.Kick()
	}
}

// Connection is what an admin gives to connect; nil fields stay as they are.
type Connection struct {
	Key          []byte // service-account key (JSON)
	Topic        *string
	Subscription *string
	Delivery     *Delivery
	PushAccount  *string
	Settings     Settings // modes that are left out stay as they are
}

// Connect stores the key of a service account, once it has got an access token,
// and changes what is set. Ways in that are open are told to Google at once.
func (s *Enterprises) Connect(ctx context.Context, in Connection) (Organization, error) {
	var account google.ServiceAccount
	if in.Key != nil {
		var err error
		if account, err = google.ParseServiceAccount(in.Key); err != nil {
			return Organization{}, err
		}
		if err := s.Clouds.prove(ctx, account); err != nil {
			return Organization{}, err
		}
	}
	now := s.now()
	var o Organization
	change := func(old *Organization) (Organization, error) {
		o := Organization{Delivery: Pull, Settings: DefaultSettings(), CreatedAt: now}
		if old != nil {
			o = *old
		} else if in.Key == nil {
			return o, NoOrganization()
		}
		if in.Key != nil {
			if o.Bound() && o.Project != account.ProjectID {
				return o, enroll.Errorf(enroll.KindConflict, "amapi_other_project", "the key belongs to the project %s; the enterprise is bound to %s", account.ProjectID, o.Project).
					WithHint("Give a key of the same project, or disconnect first, which ends the management of all devices.")
			}
			o.Project, o.Account, o.KeyID, o.Problem = account.ProjectID, account.ClientEmail, account.KeyID, nil
			if o.Topic == "" {
				o.Topic, o.Subscription = "projects/"+o.Project+"/topics/rollcall", "projects/"+o.Project+"/subscriptions/rollcall"
			}
		}
		o.UpdatedAt = now
		return o, in.apply(&o)
	}
	if err := s.Store.Atomically(ctx, func(ctx context.Context) (err error) {
		if o, err = s.Store.ChangeOrganization(ctx, change); err != nil || in.Key == nil {
			return err
		}
		return s.Store.PutSecret(ctx, serviceAccount, in.Key)
	}); err != nil {
		return Organization{}, err
	}
	if in.Key != nil {
		s.Clouds.forget()
	}
	if o.Bound() {
		return s.SetUp(ctx)
	}
	return o, nil
}

func (in Connection) apply(o *Organization) error {
	for _, f := range []struct {
		to    *string
		value *string
		kind  string
	}{{&o.Topic, in.Topic, "topics"}, {&o.Subscription, in.Subscription, "subscriptions"}} {
		if f.value == nil {
			continue
		}
		parts := strings.Split(*f.value, "/")
		if len(parts) != 4 || parts[0] != "projects" || parts[1] == "" || parts[2] != f.kind || parts[3] == "" {
			return enroll.Errorf(enroll.KindInvalid, "amapi_pubsub_name", "%q is not a name such as projects/P/%s/rollcall", *f.value, f.kind)
		}
		*f.to = *f.value
	}
	if in.Delivery != nil {
		o.Delivery = *in.Delivery
	}
	if in.PushAccount != nil {
		o.PushAccount = *in.PushAccount
	}
	switch {
	case o.Delivery != Pull && o.Delivery != Push:
		return enroll.Errorf(enroll.KindInvalid, "amapi_delivery", "notifications cannot be delivered by %q", o.Delivery).WithHint("Use pull or push.")
	case o.Delivery == Push && o.PushAccount == "":
		return enroll.Errorf(enroll.KindInvalid, "amapi_push_account", "for push, the service account that Pub/Sub signs with has to be named").
			WithHint("Give push_account; without it, nobody could tell Google's calls from others.")
	}
	settings := Settings{}
	for _, m := range Modes {
		settings[m] = o.Settings.of(m)
	}
	for m, set := range in.Settings {
		settings[m] = set
	}
	o.Settings = settings
	return settings.Check()
}

// SignUp begins the sign-up of an enterprise, whose pages an administrator of
// the organization goes through at the URL.
func (s *Enterprises) SignUp(ctx context.Context) (Organization, error) {
	o, err := s.Store.Organization(ctx)
	if err != nil {
		return o, err
	}
	if o.Bound() {
		return o, alreadyBound(o)
	}
	client, err := s.Clouds.management(ctx, o)
	if err != nil {
		return o, err
	}
	state, hash := enroll.NewSecret()
	u, err := client.CreateSignupURL(ctx, s.Public+PathCallback+"?"+url.Values{"state": {state}}.Encode())
	if err != nil {
		return o, err
	}
	now := s.now()
	return s.Store.ChangeOrganization(ctx, func(old *Organization) (Organization, error) {
		if old == nil {
			return Organization{}, NoOrganization()
		}
		if old.Bound() {
			return *old, alreadyBound(*old)
		}
		o := *old
		o.Signup, o.UpdatedAt = &Signup{Name: u.Name, URL: u.URL, StateHash: hash[:], CreatedAt: now}, now
		return o, nil
	})
}

func alreadyBound(o Organization) error {
	return enroll.Errorf(enroll.KindConflict, "amapi_bound", "the enterprise %s is bound already", o.Name)
}

// SignedUp ends a sign-up: state and token come back with the callback. Both are
// good once; where the outcome stays unknown, the sign-up begins anew, or the
// enterprise is bound by its name.
func (s *Enterprises) SignedUp(ctx context.Context, state, token string) (Organization, error) {
	var signup Signup
	now := s.now()
	o, err := s.Store.ChangeOrganization(ctx, func(old *Organization) (Organization, error) {
		unknown := enroll.Errorf(enroll.KindGone, "amapi_signup_unknown", "this sign-up is not known, has been used, or has taken too long").
			WithHint("Begin the sign-up again.")
		if old == nil || old.Signup == nil || token == "" {
			return Organization{}, unknown
		}
		hash := enroll.HashSecret(state)
		if subtle.ConstantTimeCompare(hash[:], old.Signup.StateHash) != 1 || now.Sub(old.Signup.CreatedAt) > signupLife || old.Bound() {
			return Organization{}, unknown
		}
		o := *old
		signup, o.Signup, o.UpdatedAt = *old.Signup, nil, now // taken, before Google is called
		return o, nil
	})
	if err != nil {
		return o, err
	}
	client, err := s.Clouds.management(ctx, o)
	if err != nil {
		return o, err
	}
	e, err := client.CreateEnterprise(ctx, signup.Name, token, "")
	if err != nil {
		return o, err
	}
	return s.bind(ctx, e)
}

// Bind takes an enterprise that is bound to the project already.
func (s *Enterprises) Bind(ctx context.Context, name string) (Organization, error) {
	o, err := s.Store.Organization(ctx)
	if err != nil {
		return o, err
	}
	if id, ok := strings.CutPrefix(name, "enterprises/"); !ok || id == "" || strings.ContainsAny(id, "/:?") {
		return o, enroll.Errorf(enroll.KindInvalid, "amapi_enterprise_name", "%q is not a name such as enterprises/LC01234567", name)
	}
	client, err := s.Clouds.management(ctx, o)
	if err != nil {
		return o, err
	}
	e, err := client.Enterprise(ctx, name)
	if err != nil {
		return o, err
	}
	return s.bind(ctx, e)
}

func (s *Enterprises) bind(ctx context.Context, e Enterprise) (Organization, error) {
	if o, err := s.Store.ChangeOrganization(ctx, func(old *Organization) (Organization, error) {
		if old == nil {
			return Organization{}, NoOrganization()
		}
		if old.Bound() && old.Name != e.Name {
			return *old, alreadyBound(*old)
		}
		o := *old
		o.Name, o.DisplayName, o.Signup, o.Problem, o.UpdatedAt = e.Name, e.DisplayName, nil, nil, s.now()
		return o, nil
	}); err != nil {
		return o, err
	}
	return s.SetUp(ctx)
}

// SetUp brings Google up to date: topic and subscription, the policies that are
// always there, and the ways in. It can be repeated.
func (s *Enterprises) SetUp(ctx context.Context) (Organization, error) {
	o, err := s.Store.Organization(ctx)
	if err != nil {
		return o, err
	}
	if !o.Bound() {
		return o, notBound()
	}
	all, err := s.Clouds.of(ctx, o)
	if err != nil {
		return o, err
	}
	push := ""
	if o.Delivery == Push {
		push = s.Public + PathPush
	}
	if err := all.pubsub.Subscribe(ctx, o.Topic, o.Subscription, push, o.PushAccount); err != nil {
		if CodeOf(err) == Forbidden {
			return o, enroll.Errorf(enroll.KindConflict, "amapi_pubsub_forbidden", "the service account may not use the topic and subscription in Pub/Sub").
				WithHint("Give it the role Pub/Sub Editor in the project %s, and android-cloud-policy@system.gserviceaccount.com the role Pub/Sub Publisher on the topic %s.", o.Project, o.Topic)
		}
		return o, err
	}
	for _, id := range []string{quarantinePolicy, defaultPolicy} {
		if _, err := all.management.PutPolicy(ctx, policyName(o.Name, id), quarantine); err != nil {
			return o, err
		}
	}
	modes, wanted := s.details(o)
	e, err := all.management.SetUp(ctx, Enterprise{Name: o.Name, PubsubTopic: o.Topic, EnabledNotificationTypes: notificationTypes, SigninDetails: wanted})
	if err != nil {
		return o, err
	}
	var ways []Way
	for i, d := range wanted {
		for _, got := range e.SigninDetails {
			if got.SigninURL == d.SigninURL && got.TokenTag == d.TokenTag && got.AllowPersonalUsage == d.AllowPersonalUsage {
				ways = append(ways, Way{Mode: modes[i], Token: got.SigninEnrollmentToken, QRCode: got.QRCode})
			}
		}
	}
	if len(ways) != len(wanted) {
		return o, errors.New("amapi: Google did not answer with the sign-in details that were asked for")
	}
	o, err = s.Store.ChangeOrganization(ctx, func(old *Organization) (Organization, error) {
		if old == nil {
			return Organization{}, NoOrganization()
		}
		o := *old
		o.Ways, o.SetUpAt, o.Problem = ways, s.now(), nil
		return o, nil
	})
	s.kick()
	return o, err
}

// details are the ways in that lead over the sign-in page.
func (s *Enterprises) details(o Organization) ([]Mode, []SigninDetail) {
	var modes []Mode
	var out []SigninDetail
	for _, m := range Modes {
		if o.Settings.of(m).Gate != GateSignIn {
			continue
		}
		d := SigninDetail{SigninURL: s.Public + PathSignIn, AllowPersonalUsage: m.usage(), TokenTag: string(m)}
		if len(out) == 0 {
			d.DefaultStatus = defaultSignin
		}
		modes, out = append(modes, m), append(out, d)
	}
	return modes, out
}

// Disconnect forgets the organization. Google goes on to manage its devices as
// they are, until an administrator removes the enterprise there.
func (s *Enterprises) Disconnect(ctx context.Context) error {
	err := s.Store.Atomically(ctx, func(ctx context.Context) error {
		if err := s.Store.DeleteOrganization(ctx, s.now()); err != nil {
			return err
		}
		return s.Store.DeleteSecret(ctx, serviceAccount)
	})
	if err == nil {
		s.Clouds.forget()
	}
	return err
}
