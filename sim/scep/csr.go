package scep

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cb "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	oidExtensionRequest  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	oidKeyUsage          = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName    = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidSHA256WithRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

// shortNames are the attribute names a SCEP payload may use instead of OIDs.
var shortNames = map[string]asn1.ObjectIdentifier{
	"CN": {2, 5, 4, 3}, "SN": {2, 5, 4, 4}, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7}, "ST": {2, 5, 4, 8},
	"O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11},
}

// ParseSubject reads the Subject of a com.apple.security.scep payload: an
// array of RDNs, each an array of [name, value] pairs, the name a short name
// or a dotted OID.
func ParseSubject(rdns []any) (pkix.RDNSequence, error) {
	var subject pkix.RDNSequence
	for _, rdn := range rdns {
		pairs, ok := rdn.([]any)
		if !ok || len(pairs) == 0 {
			return nil, fmt.Errorf("scep: RDN %v is not an array of pairs", rdn)
		}
		var set pkix.RelativeDistinguishedNameSET
		for _, pair := range pairs {
			p, ok := pair.([]any)
			if !ok || len(p) != 2 {
				return nil, fmt.Errorf("scep: %v is not a [name, value] pair", pair)
			}
			name, ok1 := p[0].(string)
			value, ok2 := p[1].(string)
			oid := attributeType(name)
			if !ok1 || !ok2 || oid == nil || value == "" {
				return nil, fmt.Errorf("scep: subject attribute %v is not understood", pair)
			}
			set = append(set, pkix.AttributeTypeAndValue{Type: oid, Value: value})
		}
		subject = append(subject, set)
	}
	return subject, nil
}

func attributeType(name string) asn1.ObjectIdentifier {
	if oid, ok := shortNames[name]; ok {
		return oid
	}
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(name, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil
		}
		oid = append(oid, n)
	}
	if len(oid) < 2 {
		return nil
	}
	return oid
}

// csr builds a PKCS #10 request by hand, because crypto/x509 cannot put a
// challengePassword into one.
func (o *Options) csr() ([]byte, error) {
	subject, err := asn1.Marshal(o.Subject)
	if err != nil {
		return nil, fmt.Errorf("scep: subject: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(o.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("scep: public key: %w", err)
	}
	attributes, err := o.csrAttributes()
	if err != nil {
		return nil, err
	}
	var info cryptobyte.Builder
	info.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(subject)
		b.AddBytes(spki)
		b.AddASN1(cb.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			for _, a := range attributes {
				b.AddBytes(a)
			}
		})
	})
	tbs, err := info.Bytes()
	if err != nil {
		return nil, fmt.Errorf("scep: request: %w", err)
	}
	sum := sha256.Sum256(tbs)
	signature, err := o.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("scep: request: %w", err)
	}
	var out cryptobyte.Builder
	out.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSHA256WithRSA)
			b.AddASN1NULL()
		})
		b.AddASN1BitString(signature)
	})
	return out.Bytes()
}

func (o *Options) csrAttributes() ([][]byte, error) {
	var attributes [][]byte
	if o.Challenge != "" {
		value, err := asn1.Marshal(o.Challenge)
		if err != nil {
			return nil, fmt.Errorf("scep: challenge: %w", err)
		}
		attributes = append(attributes, attribute(oidChallengePassword, value))
	}
	var extensions []pkix.Extension
	if o.KeyUsage != 0 {
		// 1 sign = digitalSignature (bit 0), 4 encrypt = keyEncipherment (bit 2)
		bits := asn1.BitString{Bytes: []byte{0}, BitLength: 1}
		if o.KeyUsage&1 != 0 {
			bits.Bytes[0] |= 0x80
		}
		if o.KeyUsage&4 != 0 {
			bits.Bytes[0] |= 0x20
			bits.BitLength = 3
		}
		value, err := asn1.Marshal(bits)
		if err != nil {
			return nil, fmt.Errorf("scep: key usage: %w", err)
		}
		extensions = append(extensions, pkix.Extension{Id: oidKeyUsage, Critical: true, Value: value})
	}
	if names := o.Names.generalNames(); len(names) != 0 {
		value, err := asn1.Marshal(names)
		if err != nil {
			return nil, fmt.Errorf("scep: subject alternative name: %w", err)
		}
		extensions = append(extensions, pkix.Extension{Id: oidSubjectAltName, Value: value})
	}
	if len(extensions) != 0 {
		value, err := asn1.Marshal(extensions)
		if err != nil {
			return nil, fmt.Errorf("scep: extensions: %w", err)
		}
		attributes = append(attributes, attribute(oidExtensionRequest, value))
	}
	slices.SortFunc(attributes, slices.Compare)
	return attributes, nil
}

func attribute(oid asn1.ObjectIdentifier, value []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cb.SET, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	})
	return b.BytesOrPanic()
}

// generalNames are the GeneralName choices of RFC 5280, 4.2.1.6.
func (n AltNames) generalNames() []asn1.RawValue {
	var out []asn1.RawValue
	for tag, values := range map[int][]string{1: n.Email, 2: n.DNS, 6: n.URI} {
		for _, v := range values {
			out = append(out, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(v)})
		}
	}
	return out
}
