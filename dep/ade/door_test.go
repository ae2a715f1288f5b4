package ade

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestFamilyOf(t *testing.T) {
	for product, want := range map[string]string{"iPhone17,2": "iPhone", "iPad16,3": "iPad", "AppleTV14,1": "AppleTV", "Mac15,6": "Mac",
		"MacBookPro18,3": "Mac", "iMac21,1": "Mac", "Watch7,5": "", "": ""} {
		if got := familyOf(product); got != want {
			t.Errorf("%q is of %q; want %q", product, got, want)
		}
	}
}

// TestAskForUpdate holds the answer against Apple's form of it.
func TestAskForUpdate(t *testing.T) {
	w := httptest.NewRecorder()
	askForUpdate(w, "26.2")
	var body struct {
		Code, Description, Message string
		Details                    struct{ OSVersion string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusForbidden || w.Header().Get("Content-Type") != "application/json" || body.Code != "com.apple.softwareupdate.required" ||
		body.Details.OSVersion != "26.2" || body.Message == "" {
		t.Errorf("%d %v %+v", w.Code, w.Header(), body)
	}
}

func TestServiceConfigNamesNoTrustWithoutNeed(t *testing.T) {
	w := httptest.NewRecorder()
	ServiceConfig{AnchorsURL: "https://mdm.example.com/a"}.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var out map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || len(out) != 1 || out["dep_anchor_certs_url"] == "" {
		t.Errorf("%v, %v", out, err)
	}
	w = httptest.NewRecorder()
	Anchors(nil).ServeHTTP(w, nil)
	if got := w.Body.String(); got != "[]\n" {
		t.Errorf("no anchors are %q", got)
	}
}
