package cms

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cb "golang.org/x/crypto/cryptobyte/asn1"
)

// Attribute is a signed attribute. Value is anything encoding/asn1 marshals.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Value any
}

// SignOptions says how to sign. The zero value means SHA-256, content inside.
type SignOptions struct {
	Digest     crypto.Hash
	Detached   bool
	Attributes []Attribute
	// Certificates travel along with the signer's own.
	Certificates []*x509.Certificate
}

// Sign makes a DER SignedData over content with one signer. The key must be RSA.
func Sign(content []byte, signer *x509.Certificate, key crypto.Signer, o SignOptions) ([]byte, error) {
	if o.Digest == 0 {
		o.Digest = crypto.SHA256
	}
	oid, err := digestOID(o.Digest)
	if err != nil {
		return nil, err
	}
	attributes := append([]Attribute{
		{oidContentType, oidData},
		{oidSigningTime, time.Now().UTC()},
		{oidMessageDigest, sum(o.Digest, content)},
	}, o.Attributes...)
	encoded := make([][]byte, len(attributes))
	for i, a := range attributes {
		if encoded[i], err = marshalAttribute(a); err != nil {
			return nil, err
		}
	}
	sortSet(encoded)
	// RFC 5652, 5.4: the signature covers the attributes as an explicit SET
	// OF, although the message carries them with an implicit [0] tag.
	var set cryptobyte.Builder
	set.AddASN1(cb.SET, addAll(encoded))
	signature, err := key.Sign(rand.Reader, sum(o.Digest, set.BytesOrPanic()), o.Digest)
	if err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	return contentInfo(oidSignedData, func(b *cryptobyte.Builder) {
		b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1(cb.SET, func(b *cryptobyte.Builder) { algorithm(b, oid) })
			b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidData)
				if !o.Detached {
					b.AddASN1(context0.Constructed(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
				}
			})
			b.AddASN1(context0.Constructed(), func(b *cryptobyte.Builder) {
				b.AddBytes(signer.Raw)
				for _, c := range o.Certificates {
					b.AddBytes(c.Raw)
				}
			})
			b.AddASN1(cb.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Int64(1)
					issuerAndSerial(b, signer)
					algorithm(b, oid)
					b.AddASN1(context0.Constructed(), addAll(encoded))
					algorithm(b, oidRSA)
					b.AddASN1OctetString(signature)
				})
			})
		})
	})
}

func marshalAttribute(a Attribute) ([]byte, error) {
	value, err := asn1.Marshal(a.Value)
	if err != nil {
		return nil, fmt.Errorf("cms: attribute %v: %w", a.Type, err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.Type)
		b.AddASN1(cb.SET, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	})
	return b.Bytes()
}

func addAll(members [][]byte) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		for _, m := range members {
			b.AddBytes(m)
		}
	}
}
