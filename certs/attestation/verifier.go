package attestation

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Errors of Verify; compare with errors.Is.
var (
	// ErrMalformed: not a chain of certificates with a readable description.
	ErrMalformed = errors.New("attestation: malformed")
	// ErrUntrustedRoot: the last certificate is no trusted root. Software
	// attestations of Android look like this too.
	ErrUntrustedRoot = errors.New("attestation: the chain does not end in a trusted root")
	// ErrBrokenChain: a certificate was not signed by the one after it.
	ErrBrokenChain = errors.New("attestation: a certificate was not issued by the next one")
	// ErrExpired: a certificate that has to be valid is not.
	ErrExpired = errors.New("attestation: a certificate is not valid now")
	// ErrRevoked: Google has revoked or suspended a certificate of the chain.
	ErrRevoked = errors.New("attestation: a certificate has been revoked")
	// ErrStatusUnknown: there is no revocation list, or it is too old.
	ErrStatusUnknown = errors.New("attestation: the revocation list is not known")
	// ErrNotAttested: no certificate carries an attestation.
	ErrNotAttested = errors.New("attestation: no attestation in the chain")
	// ErrExtended: a certificate above the leaf carries the attestation; what
	// stands below it was signed with an app's key.
	ErrExtended = errors.New("attestation: the chain goes on below the attested key")
	// ErrOtherKey: the attestation is that of another key.
	ErrOtherKey = errors.New("attestation: it is about another key")
	// ErrOtherChallenge: the attestation was made for another challenge.
	ErrOtherChallenge = errors.New("attestation: it was made for another challenge")
	// ErrSoftware: key or attestation are not in secure hardware, or the key
	// was not made there.
	ErrSoftware = errors.New("attestation: the key is not one of secure hardware")
)

// Bounds of a chain. Google's have four certificates or five.
const (
	minChain       = 3
	maxChain       = 8
	maxCertificate = 16 << 10
	factoryChain   = 4
)

var (
	oidKeyDescription   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}
	oidProvisioningInfo = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 30}
)

// Revocations tells whether certificates have been revoked; *RevocationList is
// one. Check returns ErrRevoked, ErrStatusUnknown, or nil if none has.
type Revocations interface {
	Check(serials []*big.Int) error
}

// Verifier accepts attestations that end in one of its roots. It is safe for
// concurrent use.
type Verifier struct {
	roots       []*x509.Certificate
	revocations Revocations
	now         func() time.Time
}

// NewVerifier returns a Verifier that trusts these roots; at least one, for
// verification cannot be switched off. Nor can revocations: keys do leak.
func NewVerifier(roots []*x509.Certificate, revocations Revocations, now func() time.Time) (*Verifier, error) {
	if len(roots) == 0 || slices.Contains(roots, nil) {
		return nil, errors.New("attestation: no root to trust; verification cannot be switched off")
	}
	if revocations == nil {
		return nil, errors.New("attestation: no list of revoked keys; it cannot be switched off")
	}
	return &Verifier{roots: slices.Clone(roots), revocations: revocations, now: now}, nil
}

// Verify returns what the hardware says about key. chain is DER, from the
// certificate of the key to the root; challenge is what the key's maker was
// given. Nothing of an attestation that was not returned without error may be
// used. Errors are those of this package.
func (v *Verifier) Verify(chain [][]byte, challenge []byte, key crypto.PublicKey) (Attested, error) {
	certs, err := parseChain(chain)
	if err != nil {
		return Attested{}, err
	}
	remote, err := v.verifyChain(certs)
	if err != nil {
		return Attested{}, err
	}
	der, err := attestation(certs)
	if err != nil {
		return Attested{}, err
	}
	// Every public key of crypto has this method.
	given, ok := key.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !given.Equal(certs[0].PublicKey) {
		return Attested{}, ErrOtherKey
	}
	d, err := parseDescription(der)
	switch {
	case err != nil:
		return Attested{}, err
	case len(challenge) == 0 || !bytes.Equal(d.challenge, challenge):
		return Attested{}, ErrOtherChallenge
	case d.level != LevelTEE && d.level != LevelStrongBox:
		return Attested{}, fmt.Errorf("%w: level %v", ErrSoftware, d.level)
	case d.keyLevel != d.level:
		return Attested{}, fmt.Errorf("%w: attested by %v, held by %v", ErrSoftware, d.level, d.keyLevel)
	case !d.generated:
		return Attested{}, fmt.Errorf("%w: the key came from elsewhere", ErrSoftware)
	case !d.booted:
		return Attested{}, malformed("no root of trust")
	}
	d.attested.Remote = remote
	return d.attested, nil
}

func parseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) < minChain || len(chain) > maxChain {
		return nil, malformed("a chain of %d certificates", len(chain))
	}
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		if len(der) > maxCertificate {
			return nil, malformed("certificate %d has %d bytes", i, len(der))
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, malformed("certificate %d: %v", i, err)
		}
		certs[i] = cert
	}
	return certs, nil
}

// verifyChain verifies from the root down, so that no key is used before the
// one above has vouched for it. remote tells that the attestation key was
// fetched by the device.
func (v *Verifier) verifyChain(certs []*x509.Certificate) (remote bool, err error) {
	last := len(certs) - 1
	root := v.rootOf(certs[last])
	if root == nil {
		return false, ErrUntrustedRoot
	}
	serials := make([]*big.Int, last)
	parent := root
	for i := last - 1; i >= 0; i-- {
		cert := certs[i]
		if !bytes.Equal(cert.RawIssuer, parent.RawSubject) {
			return false, fmt.Errorf("%w: certificate %d names another issuer", ErrBrokenChain, i)
		}
		if err := parent.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			return false, fmt.Errorf("%w: certificate %d: %w", ErrBrokenChain, i, err)
		}
		serials[i], parent = cert.SerialNumber, cert
	}
	remote, err = provisioned(certs)
	if err != nil {
		return false, err
	}
	_, rsaRoot := root.PublicKey.(*rsa.PublicKey)
	factory := rsaRoot && !remote && len(certs) <= factoryChain
	now := v.now()
	for i, cert := range certs[1:last] {
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) && !factory {
			return false, fmt.Errorf("%w: certificate %d", ErrExpired, i+1)
		}
	}
	return remote, v.revocations.Check(serials)
}

// rootOf returns the trusted root with the key and the name of cert, which may
// be another issue of it; nil if there is none.
func (v *Verifier) rootOf(cert *x509.Certificate) *x509.Certificate {
	for _, root := range v.roots {
		if bytes.Equal(root.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo) && bytes.Equal(root.RawSubject, cert.RawSubject) {
			return root
		}
	}
	return nil
}

// provisioned tells whether the attestation key is one that the device fetched.
// Its certificate is marked so, and it is the one right above the leaf.
func provisioned(certs []*x509.Certificate) (bool, error) {
	remote := false
	for i, cert := range certs {
		if extension(cert, oidProvisioningInfo) == nil {
			continue
		}
		if i != 1 {
			return false, fmt.Errorf("%w: certificate %d is an attestation key", ErrExtended, i)
		}
		remote = true
	}
	return remote, nil
}

// attestation returns the extension nearest to the root, which has to be that
// of the leaf.
func attestation(certs []*x509.Certificate) ([]byte, error) {
	for i := len(certs) - 1; i >= 0; i-- {
		der := extension(certs[i], oidKeyDescription)
		switch {
		case der == nil:
		case i > 0:
			return nil, fmt.Errorf("%w: certificate %d is attested", ErrExtended, i)
		default:
			return der, nil
		}
	}
	return nil, ErrNotAttested
}

// extension returns the value of an extension, nil if there is none. That there
// are no two is crypto/x509's concern: it refuses such certificates.
func extension(cert *x509.Certificate, id asn1.ObjectIdentifier) []byte {
	for _, e := range cert.Extensions {
		if e.Id.Equal(id) {
			return append([]byte{}, e.Value...)
		}
	}
	return nil
}
