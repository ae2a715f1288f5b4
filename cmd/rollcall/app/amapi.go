package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"rollcall/admin"
	"rollcall/android/amapi"
	"rollcall/storage"
)

// AMAPIOptions are about Android devices that Google manages.
type AMAPIOptions struct {
	AMAPIURL       string `help:"Service to use instead of the Android Management API: a vendor's proxy, or a simulated one." name:"amapi-url" env:"ROLLCALL_AMAPI_URL"`
	PubSubURL      string `help:"Service to use instead of Google's Pub/Sub." name:"pubsub-url" env:"ROLLCALL_PUBSUB_URL"`
	GoogleCertsURL string `help:"Where the keys are that Google signs pushes of Pub/Sub with; default: Google's." name:"google-certs-url" env:"ROLLCALL_GOOGLE_CERTS_URL"`
}

// amapiRooms are the doors of the Android Management API.
type amapiRooms struct {
	signIn      *amapi.SignIn
	receiver    *amapi.Receiver
	enterprises *amapi.Enterprises
}

// mount routes the doors. What comes from Google is not counted as strangers': it
// is verified first, and all of it comes from few addresses; what is not from it the receiver counts.
func (d amapiRooms) mount(r *mux.Router, open func(http.Handler) http.Handler) {
	r.Handle(amapi.PathSignIn, open(d.signIn))
	r.Handle(amapi.PathCallback, open(http.HandlerFunc(d.enterprises.ServeCallback)))
	r.Handle(amapi.PathPush, fromAfar(d.receiver))
}

// newAMAPI makes the connector and its doors.
func (a *App) newAMAPI(gate amapi.Gate, guard strangers) (amapiRooms, error) {
	clouds, err := amapi.NewClouds(amapi.Endpoints{Management: a.opts.AMAPIURL, PubSub: a.opts.PubSubURL}, a.store, a.now)
	if err != nil {
		return amapiRooms{}, fmt.Errorf("--amapi-url, --pubsub-url: %w", err)
	}
	a.cleanups = append(a.cleanups, clouds.Close)
	a.connector = &amapi.Connector{Store: a.store, Clouds: clouds, Gate: gate, Due: a.deliverer.Kick, Now: a.now, Log: a.log}
	a.enterprises = &amapi.Enterprises{Store: a.store, Clouds: clouds, Public: a.publicURL, Kick: a.connector.Kick, Now: a.now, Log: a.log}
	keys := http.DefaultTransport.(*http.Transport).Clone()
	a.cleanups = append(a.cleanups, keys.CloseIdleConnections)
	return amapiRooms{
		signIn: &amapi.SignIn{Store: a.store, Clouds: clouds, Gate: gate, Now: a.now, Log: a.log},
		receiver: &amapi.Receiver{Store: a.store, Verifier: amapi.NewVerifier(a.opts.GoogleCertsURL, keys, a.now), Audience: a.publicURL + amapi.PathPush,
			Kick: a.connector.Kick, Strangers: guard.heard, Now: a.now, Log: a.log},
		enterprises: a.enterprises,
	}, nil
}

// examineAMAPI looks at the organization at Google; a deployment may have none.
func examineAMAPI(ctx context.Context, store *storage.Store, now time.Time, fs *findings) {
	f := admin.Finding{Level: admin.LevelWarn, Link: admin.Prefix + "/android/enterprise", Fix: "Look at the log."}
	o, err := store.Organization(ctx)
	if isNotFound(err) {
		return
	}
	switch {
	case err != nil:
		f.Code, f.Text = "google_unknown", "The organization at Google cannot be read."
	case !o.Bound():
		f.Code, f.Text = "google_not_bound", fmt.Sprintf("The service account %s is connected, but no enterprise is bound.", o.Account)
		f.Fix = "Sign the organization up: rollcall android enterprise signup."
	case o.SetUpAt.IsZero():
		f.Code, f.Text = "google_not_set_up", fmt.Sprintf("The enterprise %s is not set up.", o.Name)
		f.Fix = "Repeat the set-up, which says what is missing: rollcall android enterprise setup."
	case o.Problem != nil:
		f.Code, f.Text = "google_failing", fmt.Sprintf("The enterprise %s is not managed since %s: %s", o.Name, o.Problem.Since.Format(time.DateOnly), o.Problem.Text)
		f.Fix, f.Since = o.Problem.Hint, o.Problem.Since
	case now.Sub(o.ReconciledAt) > 24*time.Hour:
		f.Code, f.Text = "google_not_reconciled", fmt.Sprintf("The devices of the enterprise %s were not compared with Google's for a day.", o.Name)
		f.Since = o.ReconciledAt
	default:
		fs.ok("The enterprise %s is managed with the service account %s.", o.Name, o.Account)
		f.Code = ""
	}
	if f.Code != "" {
		f.Object = o.Name
		fs.add(f)
	}
	if poisoned, err := store.Poisoned(ctx); err == nil && poisoned {
		fs.add(admin.Finding{Level: admin.LevelWarn, Code: "google_poison", Text: "There are notifications of the Android Management API that could not be understood.",
			Fix: "Look at them: rollcall android enterprise poison.", Link: admin.Prefix + "/android/enterprise/poison"})
	}
}
