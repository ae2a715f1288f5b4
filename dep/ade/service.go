package ade

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// ServiceConfig is what Apple Configurator asks a server about itself (Apple:
// MDMServiceConfig). Anybody may read it, so it names no URL of an ADE profile,
// whose secret is the device's: an admin copies that into Configurator.
type ServiceConfig struct {
	AnchorsURL string // of Anchors
	TrustURL   string // profile with the anchor of the server's own CA; empty: none
}

// ServeHTTP answers GET /MDMServiceConfig.
func (c ServiceConfig) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	out := map[string]string{"dep_anchor_certs_url": c.AnchorsURL}
	if c.TrustURL != "" {
		out["trust_profile_url"] = c.TrustURL
	}
	writeJSON(w, out)
}

// Anchors are the certificates devices have to trust to reach this server; nil
// where it is trusted publicly.
type Anchors []*x509.Certificate

// ServeHTTP answers with an array of DER certificates in base64, as in the
// anchor_certs of an ADE profile.
func (a Anchors) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	out := make([]string, len(a))
	for i, c := range a {
		out[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	writeJSON(w, out)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
