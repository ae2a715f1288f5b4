package dep

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cb "golang.org/x/crypto/cryptobyte/asn1"
)

// pieceLength is how much of the content stands in one OCTET STRING.
const pieceLength = 256

// streamed writes an EnvelopedData in DER as a streaming encoder does in BER
// (X.690, section 8.1.3.6): the SEQUENCEs around the content have indefinite
// lengths, and the content comes in pieces.
func streamed(der []byte) ([]byte, error) {
	const (
		sequence    = 0x30
		constructed = 0xa0 // [0]
		octets      = 0x04
	)
	in := cryptobyte.String(der)
	var info, wrapped, enveloped, content, sealed cryptobyte.String
	var kind, version, recipients, contentType, algorithm cryptobyte.String
	context0 := cb.Tag(0).ContextSpecific()
	if !in.ReadASN1(&info, cb.SEQUENCE) || !info.ReadASN1Element(&kind, cb.OBJECT_IDENTIFIER) ||
		!info.ReadASN1(&wrapped, context0.Constructed()) || !wrapped.ReadASN1(&enveloped, cb.SEQUENCE) ||
		!enveloped.ReadASN1Element(&version, cb.INTEGER) || !enveloped.ReadASN1Element(&recipients, cb.SET) ||
		!enveloped.ReadASN1(&content, cb.SEQUENCE) || !content.ReadASN1Element(&contentType, cb.OBJECT_IDENTIFIER) ||
		!content.ReadASN1Element(&algorithm, cb.SEQUENCE) || !content.ReadASN1(&sealed, context0) {
		return nil, errors.New("dep: no EnvelopedData")
	}
	var out []byte
	depth := 0
	open := func(tag byte) { out, depth = append(out, tag, 0x80), depth+1 }
	open(sequence)
	out = append(out, kind...)
	open(constructed)
	open(sequence)
	out = append(append(out, version...), recipients...)
	open(sequence)
	out = append(append(out, contentType...), algorithm...)
	open(constructed)
	for len(sealed) > 0 {
		n := min(pieceLength, len(sealed))
		var piece cryptobyte.Builder
		piece.AddASN1(octets, func(b *cryptobyte.Builder) { b.AddBytes(sealed[:n]) })
		out = append(out, piece.BytesOrPanic()...)
		sealed = sealed[n:]
	}
	for range depth {
		out = append(out, 0, 0)
	}
	return out, nil
}
