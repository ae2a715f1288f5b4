package amapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// bound is a Store with an organization that pushes are taken for.
type bound struct {
	Store
	o Organization
}

func (b bound) Organization(context.Context) (Organization, error) { return b.o, nil }

// TestPushesOfStrangers: who has no good token is bounded by address, whatever
// the reason.
func TestPushesOfStrangers(t *testing.T) {
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"keys":[]}`)) }))
	defer keys.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	pushed := Organization{Name: "enterprises/LC0", Delivery: Push, PushAccount: "pusher@example.com"}
	pulled := pushed
	pulled.Delivery = Pull
	for name, c := range map[string]struct {
		o      Organization
		token  string
		status int
	}{
		"no token":               {pushed, "", http.StatusUnauthorized},
		"a made-up token":        {pushed, "Bearer a.b.c", http.StatusUnauthorized},
		"nothing is pushed":      {pulled, "Bearer a.b.c", http.StatusForbidden},
		"no enterprise is bound": {Organization{}, "", http.StatusForbidden},
	} {
		heard := 0
		p := &Receiver{Store: bound{o: c.o}, Verifier: NewVerifier(keys.URL, transport, time.Now), Audience: "https://mdm.example.com/push",
			Strangers: func(w http.ResponseWriter, _ *http.Request) bool {
				if heard++; heard > 2 {
					w.WriteHeader(http.StatusTooManyRequests)
				}
				return heard <= 2
			}}
		for _, want := range []int{c.status, c.status, http.StatusTooManyRequests} {
			r := httptest.NewRequest(http.MethodPost, PathPush, strings.NewReader(`{}`))
			if c.token != "" {
				r.Header.Set("Authorization", c.token)
			}
			w := httptest.NewRecorder()
			if p.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%s: answered %d, want %d", name, w.Code, want)
			}
		}
	}
}
