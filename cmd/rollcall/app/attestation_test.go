package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"rollcall/certs/attestation"
)

func TestFetchStatus(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=7200")
		w.WriteHeader(status)
		io.WriteString(w, `{"entries":{}}`)
	}))
	defer server.Close()
	list := attestation.NewRevocationList(fetchStatus(server.Client(), server.URL), time.Now)
	if good, err := list.Refresh(t.Context()); err != nil || good != 2*time.Hour {
		t.Errorf("%v, %v", good, err)
	}
	status = http.StatusServiceUnavailable
	if _, err := list.Refresh(t.Context()); err == nil {
		t.Error("503 was taken for a list")
	}
}

func TestMaxAge(t *testing.T) {
	for control, want := range map[string]time.Duration{"": 0, "no-store": 0, "max-age=60": time.Minute, "public, max-age=60, must-revalidate": time.Minute,
		"max-age=-1": 0, "max-age=soon": 0, "s-maxage=60": 0, "max-age=99999999999999999999": 0} {
		if got := maxAge(control); got != want {
			t.Errorf("%q: %v", control, got)
		}
	}
}
