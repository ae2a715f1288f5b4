package portal

import (
	"log/slog"
	"net/http"
	"net/url"
	"testing"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/storage"
)

// TestWithRealRequests goes the whole way over enroll.Requests and a database:
// the choice of the user ends up on the roll, and a withdrawn link is dead.
func TestWithRealRequests(t *testing.T) {
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	sealer, err := certs.NewSealer(certs.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(t.Context(), storage.Config{DSN: "sqlite::memory:", Sealer: sealer, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	roll, requests := enroll.NewRoll(store, nil), enroll.NewRequests(store, store, nil)
	platform, ownership := enroll.PlatformIOS, enroll.OwnershipSelectUser
	if _, _, _, err := roll.Put(t.Context(), "C39XK1ABCD01", enroll.DeviceInput{Platform: &platform, Ownership: &ownership, User: &enroll.User{Email: "anna@example.com", Name: "Anna"}}); err != nil {
		t.Fatal(err)
	}
	sent, err := requests.Send(t.Context(), enroll.Order{Serials: []string{"C39XK1ABCD01"}, By: "IT desk"})
	if err != nil {
		t.Fatal(err)
	}
	router := http.NewServeMux()
	(&Portal{Requests: requests, Organization: "Example", Logger: logger, ProfileURL: func(s string) string { return "/enroll/ota?request=" + s }}).
		Mount(func(pattern string, h http.Handler) { router.Handle(pattern, h) })
	p := phone{t, router}
	link := "/enroll/r/" + sent[0].Secret

	// Whatever opens links before their reader does, mail scanners and previews,
	// accepts nothing.
	for _, method := range []string{"HEAD", "GET", "GET"} {
		if res := p.do(method, link, nil); res.StatusCode != 200 {
			t.Fatalf("%s: %d", method, res.StatusCode)
		}
	}
	if r, err := requests.Request(t.Context(), sent[0].Request.ID); err != nil || r.State != enroll.RequestOpened || !r.AcceptedAt.IsZero() {
		t.Fatalf("request %+v, %v", r, err)
	}
	again, err := requests.Resend(t.Context(), sent[0].Request.ID, enroll.ViaLink)
	if err != nil {
		t.Fatal(err)
	}
	second := "/enroll/r/" + again.Secret
	p.want(p.do("GET", second, nil), 200, "Hello Anna")
	p.want(p.do("GET", link, nil), 200, "Hello Anna", "IT desk", "Whose device is this?")
	p.want(p.do("GET", link+"/next", nil), 303)
	p.want(p.do("POST", link, url.Values{}), 422, "Please choose")
	p.want(p.do("POST", link, url.Values{"ownership": {"corporate"}}), 303)
	p.want(p.do("GET", link+"/next", nil), 200, "/enroll/ota?request="+sent[0].Secret)
	d, err := roll.Device(t.Context(), "C39XK1ABCD01")
	if err != nil || d.Ownership != enroll.OwnershipCorporate || !d.Accepted() {
		t.Errorf("the roll has %+v, %v", d, err)
	}
	if _, err := requests.Cancel(t.Context(), sent[0].Request.ID); err != nil {
		t.Fatal(err)
	}
	p.want(p.do("GET", link, nil), 410, "was withdrawn")
	p.want(p.do("GET", second, nil), 410, "was withdrawn")
	p.want(p.do("POST", link, url.Values{"ownership": {"personal"}}), 410)
	p.want(p.do("GET", link+"/next", nil), 410)
	p.want(p.do("GET", "/enroll/r/guess", nil), 404)
}
