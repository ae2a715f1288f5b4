package android

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// TestWordsAreNotLogged: a device's own words may name people and places.
func TestWordsAreNotLogged(t *testing.T) {
	for said, want := range map[string]string{
		`"code":"app_not_found","message":"Ann's phone"`: "code=app_not_found",
		`"code":"Ann's phone","message":""`:              `code=""`,
		`"message":"Ann's phone"`:                        `code=""`,
	} {
		s, f := enrolledServer(t)
		f.queue = []Command{{ID: "0192", Type: typeLock}}
		var log bytes.Buffer
		s.Log = slog.New(slog.NewTextHandler(&log, nil))
		w := s.serve(signedRequest(t, http.MethodPut, PathCheckin, testDevice, 42, []byte(`{"v":1,"results":[{"command_id":"0192","status":"error","error":{`+said+`}}]}`)))
		if text := log.String(); w.Code != http.StatusOK || strings.Contains(text, "Ann") || !strings.Contains(text, want) || !strings.Contains(text, "command=0192") {
			t.Errorf("%s: %d, logged %s", said, w.Code, text)
		}
		if len(f.results) != 1 || !strings.Contains(f.results[0].Error, "Ann") {
			t.Errorf("%s: kept %+v", said, f.results)
		}
	}
}
