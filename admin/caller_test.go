package admin

import (
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/enroll"
)

// TestCallerInContext: the caller that a context brings is believed, without a
// token, and has the rights of its own role.
func TestCallerInContext(t *testing.T) {
	a, secrets := brokenAPI(t)
	h := a.Handler()
	for _, test := range []struct {
		name, method, path, body, token string
		role                            Role
		status                          int
	}{
		{"viewer reads", "GET", "/imports/sample.csv", "", "", RoleViewer, 200},
		{"viewer changes nothing", "DELETE", "/devices/SERIAL1", "", "", RoleViewer, 403},
		{"a token gives no more", "DELETE", "/devices/SERIAL1", "", secrets[RoleAdmin], RoleViewer, 403},
		{"a role that does not exist", "GET", "/imports/sample.csv", "", "", "owner", 403},
		{"part of a batch", "POST", "/batch", `{"operations":[{"method":"DELETE","path":"/devices/SERIAL1"}]}`, "", RoleOperator, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, Prefix+test.path, strings.NewReader(test.body))
			r.Header.Set("Content-Type", "application/json")
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			r = r.WithContext(WithCaller(r.Context(), Caller{Kind: CallerAdministrator, ID: "ann", Name: "Ann", Role: test.role}))
			if enroll.ActorOf(r.Context()) != "Ann" {
				t.Error("what is done is not done in the name of the caller")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, test.status)
			}
		})
	}
}
