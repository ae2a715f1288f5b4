package amapi

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestKeysThatCannotBeFetched: tokens that anybody can make do not each cost a
// call while Google does not answer.
func TestKeysThatCannotBeFetched(t *testing.T) {
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		http.Error(w, "", http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	now := time.Unix(1_800_000_000, 0)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	v := NewVerifier(srv.URL, transport, func() time.Time { return now })
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"made-up"}`)) + ".e30.AAAA"
	for range 20 {
		var bad errToken
		if err := v.Verify(t.Context(), token, "a", "e"); err == nil || errors.As(err, &bad) {
			t.Fatalf("%v", err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("the keys were asked for %d times", calls.Load())
	}
	now = now.Add(keysRetry)
	_ = v.Verify(t.Context(), token, "a", "e")
	if calls.Load() != 2 {
		t.Errorf("after a while they were asked for %d times", calls.Load())
	}
}
