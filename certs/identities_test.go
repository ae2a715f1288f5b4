package certs_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/certs"
	"rollcall/certs/certstest"
)

func request(key crypto.Signer) *x509.CertificateRequest {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "whatever the device likes", SerialNumber: "CLAIMED"}}
	return must(x509.ParseCertificateRequest(must(x509.CreateCertificateRequest(rand.Reader, template, key))))
}

var binding = certs.Binding{
	Purpose: certs.PurposeMDM, AttemptID: "attempt", RequestID: "request", DeviceID: "device",
	Serial: "C02TEST00001", UDID: "udid", Evidence: "signed", EnrollmentID: "enrollment",
}

// desk is an issuer with its store and a clock that stands still.
type desk struct {
	*certs.Identities
	store *certstest.Store
	now   time.Time
}

func newDesk() *desk {
	d := &desk{store: &certstest.Store{}, now: now}
	d.Identities = certs.NewIdentities(authority(), d.store, func() time.Time { return d.now })
	return d
}

func (d *desk) challenge(t *testing.T, b certs.Binding) string {
	t.Helper()
	secret, err := d.NewChallenge(t.Context(), b, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestEnroll(t *testing.T) {
	d := newDesk()
	secret := d.challenge(t, binding)
	csr := request(clientKey())
	cert, err := d.Enroll(t.Context(), secret, csr)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.SerialNumber != binding.Serial || strings.Contains(cert.Subject.String(), "whatever") {
		t.Errorf("subject %v", cert.Subject)
	}
	if !clientKey().PublicKey.Equal(cert.PublicKey) {
		t.Error("another key")
	}
	if err := authority().Verify(cert, now); err != nil {
		t.Error(err)
	}
	id, err := d.store.Identity(t.Context(), certs.Fingerprint(cert))
	if err != nil {
		t.Fatal(err)
	}
	want := certs.Identity{
		Fingerprint: certs.Fingerprint(cert), DER: cert.Raw, KeyHash: id.KeyHash, Binding: binding,
		IssuedAt: now, ExpiresAt: now.Add(certs.MDMIdentityLifetime),
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Error(diff)
	}
	if len(id.KeyHash) != 32 {
		t.Errorf("key hash %x", id.KeyHash)
	}
}

func TestOTAIdentityIsShortLivedAndNamelessWithoutProof(t *testing.T) {
	d := newDesk()
	cert, err := d.Enroll(t.Context(), d.challenge(t, certs.Binding{Purpose: certs.PurposeOTA}), request(clientKey()))
	if err != nil {
		t.Fatal(err)
	}
	if !cert.NotAfter.Equal(now.Add(certs.OTAIdentityLifetime)) || cert.Subject.SerialNumber != "" {
		t.Errorf("until %v, subject %v", cert.NotAfter, cert.Subject)
	}
}

func TestNewChallenge(t *testing.T) {
	d := newDesk()
	secret := d.challenge(t, binding)
	if len(secret) != 64 || secret == d.challenge(t, binding) {
		t.Errorf("secret of %d characters", len(secret))
	}
	c, err := d.store.Challenge(t.Context(), certs.ChallengeHash(secret))
	if err != nil || !c.UsedAt.IsZero() || !c.ExpiresAt.Equal(now.Add(10*time.Minute)) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := d.NewChallenge(t.Context(), certs.Binding{}, time.Minute); err == nil {
		t.Error("a challenge for no purpose")
	}
	if _, err := d.NewChallenge(t.Context(), binding, 0); err == nil {
		t.Error("a challenge that never lives")
	}
}

func TestEnrollRefuses(t *testing.T) {
	forged := request(clientKey())
	forged.Signature = bytes.Clone(forged.Signature)
	forged.Signature[0] ^= 1
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, d *desk, secret string) string
		csr     *x509.CertificateRequest
		want    error
	}{
		{"unknown", func(*testing.T, *desk, string) string { return "0000" }, request(clientKey()), certs.ErrChallengeUnknown},
		{"none", func(*testing.T, *desk, string) string { return "" }, request(clientKey()), certs.ErrChallengeUnknown},
		{"expired", func(_ *testing.T, d *desk, s string) string { d.now = now.Add(10 * time.Minute); return s }, request(clientKey()), certs.ErrChallengeExpired},
		{"used by another key", func(t *testing.T, d *desk, s string) string {
			if _, err := d.Enroll(t.Context(), s, request(otherKey())); err != nil {
				t.Fatal(err)
			}
			return s
		}, request(clientKey()), certs.ErrChallengeUsed},
		{"same key, revoked since", func(t *testing.T, d *desk, s string) string {
			cert, err := d.Enroll(t.Context(), s, request(clientKey()))
			if err != nil {
				t.Fatal(err)
			}
			d.store.Revoke(certs.Fingerprint(cert), now)
			return s
		}, request(clientKey()), certs.ErrIdentityRevoked},
		{"1024 bits", nil, request(smallKey()), certs.ErrRequestKey},
		{"elliptic", nil, request(ecKey()), certs.ErrRequestKey},
		{"forged request", nil, forged, certs.ErrRequestSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk()
			secret := d.challenge(t, binding)
			if tt.prepare != nil {
				secret = tt.prepare(t, d, secret)
			}
			before := d.store.Identities()
			cert, err := d.Enroll(t.Context(), secret, tt.csr)
			if !errors.Is(err, tt.want) || cert != nil {
				t.Errorf("certificate %v, error %v, want %v", cert != nil, err, tt.want)
			}
			if d.store.Identities() != before {
				t.Error("an identity was recorded")
			}
		})
	}
}

// The answer got lost: the device asks again with the same key.
func TestEnrollAgainGivesTheSameCertificate(t *testing.T) {
	d := newDesk()
	secret := d.challenge(t, binding)
	first, err := d.Enroll(t.Context(), secret, request(clientKey()))
	if err != nil {
		t.Fatal(err)
	}
	d.now = now.Add(time.Hour) // past the challenge's end
	again, err := d.Enroll(t.Context(), secret, request(clientKey()))
	if err != nil || !again.Equal(first) {
		t.Errorf("same certificate %v, %v", again.Equal(first), err)
	}
	if n := d.store.Identities(); n != 1 {
		t.Errorf("%d identities", n)
	}
}

// A challenge that is used but has no identity is the store's fault, and the
// device must not be told to give up.
func TestUsedChallengeWithoutIdentity(t *testing.T) {
	store := &forgetfulStore{Store: &certstest.Store{}}
	ids := certs.NewIdentities(authority(), store, func() time.Time { return now })
	secret := must(ids.NewChallenge(t.Context(), binding, time.Minute))
	must(ids.Enroll(t.Context(), secret, request(clientKey())))
	_, err := ids.Enroll(t.Context(), secret, request(clientKey()))
	if err == nil || errors.Is(err, certs.ErrIdentityUnknown) {
		t.Error(err)
	}
}

type forgetfulStore struct{ *certstest.Store }

func (forgetfulStore) IdentityByChallenge(context.Context, [32]byte) (certs.Identity, error) {
	return certs.Identity{}, certs.ErrIdentityUnknown
}

func TestEnrollAgainAfterTheCertificateExpired(t *testing.T) {
	d := newDesk()
	secret := d.challenge(t, binding)
	must(d.Enroll(t.Context(), secret, request(clientKey())))
	d.now = now.Add(certs.MDMIdentityLifetime + time.Second)
	if _, err := d.Enroll(t.Context(), secret, request(clientKey())); !errors.Is(err, certs.ErrChallengeExpired) {
		t.Error(err)
	}
}

func TestChallengeRace(t *testing.T) {
	d := newDesk()
	for range 20 {
		secret := d.challenge(t, binding)
		before := d.store.Identities()
		keys := []*rsa.PrivateKey{clientKey(), otherKey(), clientKey(), otherKey()}
		got := make([]*x509.Certificate, len(keys))
		errs := make([]error, len(keys))
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i, key := range keys {
			csr := request(key)
			wg.Go(func() {
				<-start
				got[i], errs[i] = d.Enroll(context.Background(), secret, csr)
			})
		}
		close(start)
		wg.Wait()
		if n := d.store.Identities() - before; n != 1 {
			t.Fatalf("%d identities for one challenge", n)
		}
		winner, loser := 0, 1
		if errs[0] != nil {
			winner, loser = 1, 0
		}
		if errs[winner] != nil || errs[winner+2] != nil || !got[winner].Equal(got[winner+2]) {
			t.Fatalf("the winning key: %v, %v", errs[winner], errs[winner+2])
		}
		if !errors.Is(errs[loser], certs.ErrChallengeUsed) || !errors.Is(errs[loser+2], certs.ErrChallengeUsed) {
			t.Fatalf("the losing key: %v, %v", errs[loser], errs[loser+2])
		}
	}
}

// racingStore lets another request consume the challenge between look-up and
// Consume.
type racingStore struct {
	*certstest.Store
	between func()
}

func (s *racingStore) Consume(ctx context.Context, hash [32]byte, id certs.Identity, at time.Time) error {
	if between := s.between; between != nil {
		s.between = nil
		between()
	}
	return s.Store.Consume(ctx, hash, id, at)
}

func TestLosingTheRaceForConsume(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  *rsa.PrivateKey
		want error
	}{
		{"against another key", otherKey(), certs.ErrChallengeUsed},
		{"against itself", clientKey(), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &racingStore{Store: &certstest.Store{}}
			ids := certs.NewIdentities(authority(), store, func() time.Time { return now })
			secret := must(ids.NewChallenge(t.Context(), binding, time.Minute))
			var first *x509.Certificate
			store.between = func() { first = must(ids.Enroll(t.Context(), secret, request(tt.key))) }
			cert, err := ids.Enroll(t.Context(), secret, request(clientKey()))
			if !errors.Is(err, tt.want) {
				t.Fatal(err)
			}
			if err == nil && !cert.Equal(first) {
				t.Error("two certificates for one challenge")
			}
			if n := store.Identities(); n != 1 {
				t.Errorf("%d identities", n)
			}
		})
	}
}

func TestStoreFailureReleasesNothing(t *testing.T) {
	d := newDesk()
	secret := d.challenge(t, binding)
	current, err := d.Enroll(t.Context(), d.challenge(t, binding), request(otherKey()))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("connection lost")
	d.store.Fail(broken)
	if cert, err := d.Enroll(t.Context(), secret, request(clientKey())); !errors.Is(err, broken) || cert != nil {
		t.Errorf("Enroll: %v", err)
	}
	if cert, err := d.Renew(t.Context(), current, request(clientKey())); !errors.Is(err, broken) || cert != nil {
		t.Errorf("Renew: %v", err)
	}
	if _, err := d.NewChallenge(t.Context(), binding, time.Minute); !errors.Is(err, broken) {
		t.Errorf("NewChallenge: %v", err)
	}
	d.store.Fail(nil)
	if _, err := d.Enroll(t.Context(), secret, request(clientKey())); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}

func TestRenew(t *testing.T) {
	d := newDesk()
	current := must(d.Enroll(t.Context(), d.challenge(t, binding), request(clientKey())))
	d.now = now.AddDate(1, 0, 0)
	cert, err := d.Renew(t.Context(), current, request(otherKey()))
	if err != nil {
		t.Fatal(err)
	}
	id, err := d.store.Identity(t.Context(), certs.Fingerprint(cert))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(binding, id.Binding); diff != "" {
		t.Error(diff)
	}
	if id.Renews != certs.Fingerprint(current) || !id.ExpiresAt.Equal(d.now.Add(certs.MDMIdentityLifetime)) {
		t.Errorf("renews %q, until %v", id.Renews, id.ExpiresAt)
	}
}

func TestRenewRefuses(t *testing.T) {
	stranger := must(certs.CreateAuthority("Test CA", now))
	strange := must(stranger.IssueIdentity(certs.IdentityTemplate{PublicKey: clientKey().Public(), Lifetime: time.Hour, Now: now}))
	enrolled := func(purpose certs.Purpose) func(*testing.T, *desk) *x509.Certificate {
		return func(t *testing.T, d *desk) *x509.Certificate {
			b := binding
			b.Purpose = purpose
			return must(d.Enroll(t.Context(), d.challenge(t, b), request(clientKey())))
		}
	}
	mdm := enrolled(certs.PurposeMDM)
	for _, tt := range []struct {
		name    string
		current func(t *testing.T, d *desk) *x509.Certificate
		key     crypto.Signer
		want    error
	}{
		{"stranger", func(*testing.T, *desk) *x509.Certificate { return strange }, otherKey(), certs.ErrNotOurs},
		{"ours, but not recorded", func(t *testing.T, _ *desk) *x509.Certificate { return identity(t, time.Hour) }, otherKey(), certs.ErrIdentityUnknown},
		{"enrollment identity", enrolled(certs.PurposeOTA), otherKey(), certs.ErrIdentityPurpose},
		{"small key", mdm, smallKey(), certs.ErrRequestKey},
		{"revoked", func(t *testing.T, d *desk) *x509.Certificate {
			cert := mdm(t, d)
			d.store.Revoke(certs.Fingerprint(cert), now)
			return cert
		}, otherKey(), certs.ErrIdentityRevoked},
		{"expired", func(t *testing.T, d *desk) *x509.Certificate {
			cert := mdm(t, d)
			d.now = cert.NotAfter.Add(time.Second)
			return cert
		}, otherKey(), certs.ErrNotOurs},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk()
			current := tt.current(t, d)
			before := d.store.Identities()
			if cert, err := d.Renew(t.Context(), current, request(tt.key)); !errors.Is(err, tt.want) || cert != nil {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if d.store.Identities() != before {
				t.Error("an identity was recorded")
			}
		})
	}
}
