package app

import (
	"testing"
	"time"
)

// TestAttestorNeedsRevocations: without a list of revoked keys nobody is
// attested, and what needs attestation is refused at start.
func TestAttestorNeedsRevocations(t *testing.T) {
	for _, source := range []string{"", noStatus} {
		a := &App{now: time.Now}
		a.opts.AttestationStatusURL = source
		if got, err := a.newAttestor(); got != nil || err != nil {
			t.Errorf("%q: %v, %v", source, got, err)
		}
		a.opts.RequireVerifiedBoot = true
		if _, err := a.newAttestor(); err == nil {
			t.Errorf("%q: verified boot cannot be required", source)
		}
	}
	a := &App{now: time.Now}
	a.opts.AttestationStatusURL = "https://example.com/status"
	if got, err := a.newAttestor(); got == nil || err != nil || a.revoked == nil {
		t.Errorf("with a list: %v, %v", got, err)
	}
}
