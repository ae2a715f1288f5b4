package cms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cb "golang.org/x/crypto/cryptobyte/asn1"
)

// Cipher is a content encryption algorithm.
type Cipher int

// The ciphers of old and new SCEP clients. The zero value is none of them.
const (
	DESCBC Cipher = iota + 1
	TripleDESCBC
	AES128CBC
	AES256CBC
)

var ciphers = map[Cipher]struct {
	oid    asn1.ObjectIdentifier
	keyLen int
	block  func(key []byte) (cipher.Block, error)
}{
	DESCBC:       {asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}, 8, des.NewCipher},
	TripleDESCBC: {asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}, 24, des.NewTripleDESCipher},
	AES128CBC:    {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16, aes.NewCipher},
	AES256CBC:    {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32, aes.NewCipher},
}

// Encrypt makes a DER EnvelopedData for one recipient with an RSA key.
func Encrypt(content []byte, recipient *x509.Certificate, c Cipher) ([]byte, error) {
	spec, ok := ciphers[c]
	if !ok {
		return nil, fmt.Errorf("cms: cipher %d is not supported", c)
	}
	pub, ok := recipient.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("cms: cannot encrypt to a %T", recipient.PublicKey)
	}
	key := make([]byte, spec.keyLen)
	rand.Read(key)
	block, err := spec.block(key)
	if err != nil {
		return nil, fmt.Errorf("cms: encrypt: %w", err)
	}
	iv := make([]byte, block.BlockSize())
	rand.Read(iv)
	pad := block.BlockSize() - len(content)%block.BlockSize()
	sealed := append(bytes.Clone(content), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)
	wrapped, err := rsa.EncryptPKCS1v15(rand.Reader, pub, key)
	if err != nil {
		return nil, fmt.Errorf("cms: encrypt: %w", err)
	}
	return contentInfo(oidEnvelopedData, func(b *cryptobyte.Builder) {
		b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			b.AddASN1(cb.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Int64(0)
					issuerAndSerial(b, recipient)
					algorithm(b, oidRSA)
					b.AddASN1OctetString(wrapped)
				})
			})
			b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidData)
				b.AddASN1(cb.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(spec.oid)
					b.AddASN1OctetString(iv)
				})
				b.AddASN1(context0, func(b *cryptobyte.Builder) { b.AddBytes(sealed) })
			})
		})
	})
}

// Decrypt opens a DER EnvelopedData that names cert among its recipients.
func Decrypt(der []byte, cert *x509.Certificate, key *rsa.PrivateKey) ([]byte, error) {
	body, err := openContentInfo(der, oidEnvelopedData)
	if err != nil {
		return nil, err
	}
	var seq, recipients, info, iv, sealed cryptobyte.String
	var version int
	var contentType asn1.ObjectIdentifier
	if !body.ReadASN1(&seq, cb.SEQUENCE) || !seq.ReadASN1Integer(&version) || !seq.ReadASN1(&recipients, cb.SET) ||
		!seq.ReadASN1(&info, cb.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&contentType) {
		return nil, errMalformed
	}
	oid, parameters, ok := readAlgorithm(&info)
	if !ok || !parameters.ReadASN1(&iv, cb.OCTET_STRING) || !readPieces(&info, &sealed) {
		return nil, errMalformed
	}
	contentKey, err := unwrapKey(recipients, cert, key)
	if err != nil {
		return nil, err
	}
	for _, spec := range ciphers {
		if !spec.oid.Equal(oid) {
			continue
		}
		if len(contentKey) != spec.keyLen {
			return nil, fmt.Errorf("cms: a key of %d bytes for cipher %v", len(contentKey), oid)
		}
		block, err := spec.block(contentKey)
		if err != nil {
			return nil, fmt.Errorf("cms: decrypt: %w", err)
		}
		return openBlocks(block, iv, sealed)
	}
	return nil, fmt.Errorf("cms: cipher %v is not supported", oid)
}

// readPieces reads the encrypted content. Many servers send it constructed, in
// one or more OCTET STRINGs, and every device takes that.
func readPieces(info, out *cryptobyte.String) bool {
	if info.PeekASN1Tag(context0) {
		return info.ReadASN1(out, context0)
	}
	var pieces, piece cryptobyte.String
	if !info.ReadASN1(&pieces, context0.Constructed()) {
		return false
	}
	for !pieces.Empty() {
		if !pieces.ReadASN1(&piece, cb.OCTET_STRING) {
			return false
		}
		*out = append(*out, piece...)
	}
	return true
}

func unwrapKey(recipients cryptobyte.String, cert *x509.Certificate, key *rsa.PrivateKey) ([]byte, error) {
	for !recipients.Empty() {
		var info, wrapped cryptobyte.String
		var version int
		if !recipients.ReadASN1(&info, cb.SEQUENCE) || !info.ReadASN1Integer(&version) {
			return nil, errMalformed
		}
		id, ok := readIdentifier(&info)
		if !ok {
			return nil, errMalformed
		}
		oid, _, ok := readAlgorithm(&info)
		if !ok || !info.ReadASN1(&wrapped, cb.OCTET_STRING) {
			return nil, errMalformed
		}
		if !id.matches(cert) {
			continue
		}
		if !oid.Equal(oidRSA) {
			return nil, fmt.Errorf("cms: key encryption %v is not supported", oid)
		}
		contentKey, err := rsa.DecryptPKCS1v15(nil, key, wrapped)
		if err != nil {
			return nil, fmt.Errorf("cms: content key: %w", err)
		}
		return contentKey, nil
	}
	return nil, errors.New("cms: encrypted to somebody else")
}

func openBlocks(block cipher.Block, iv, sealed []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(iv) != size || len(sealed) == 0 || len(sealed)%size != 0 {
		return nil, errMalformed
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > size || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errors.New("cms: bad padding")
	}
	return plain[:len(plain)-pad], nil
}
