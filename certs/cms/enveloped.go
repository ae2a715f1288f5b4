package cms

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"go.mozilla.org/pkcs7"
)

// Algorithm is a content encryption algorithm, always in CBC mode.
type Algorithm int

// The ciphers of SCEP clients, old and new. DES is there for the old ones only:
// an answer has to use what the client can read.
const (
	UnknownAlgorithm Algorithm = iota
	DESCBC
	DES3CBC
	AES128CBC
	AES256CBC
)

var ciphers = map[Algorithm]struct {
	oid     asn1.ObjectIdentifier
	keySize int
	block   func(key []byte) (cipher.Block, error)
}{
	DESCBC:    {pkcs7.OIDEncryptionAlgorithmDESCBC, 8, des.NewCipher},
	DES3CBC:   {pkcs7.OIDEncryptionAlgorithmDESEDE3CBC, 24, des.NewTripleDESCipher},
	AES128CBC: {pkcs7.OIDEncryptionAlgorithmAES128CBC, 16, aes.NewCipher},
	AES256CBC: {pkcs7.OIDEncryptionAlgorithmAES256CBC, 32, aes.NewCipher},
}

func (a Algorithm) String() string {
	switch a {
	case DESCBC:
		return "DES-CBC"
	case DES3CBC:
		return "DES-EDE3-CBC"
	case AES128CBC:
		return "AES-128-CBC"
	case AES256CBC:
		return "AES-256-CBC"
	}
	return "unknown"
}

var (
	// ErrAlgorithm: the content cipher is none of those above.
	ErrAlgorithm = errors.New("cms: unsupported content encryption algorithm")
	// ErrDecrypt is the one answer to everything that can go wrong while
	// decrypting: another recipient, a wrong key, bad padding. Telling them apart
	// would let a sender find the plaintext out byte by byte.
	ErrDecrypt = errors.New("cms: cannot decrypt")
)

// RFC 5652 section 6.1, with key transport recipients only.
type contentInfo struct {
	ContentType asn1.ObjectIdentifier
	Content     asn1.RawValue `asn1:"explicit,tag:0"`
}

type envelopedData struct {
	Version        int
	RecipientInfos []asn1.RawValue `asn1:"set"`
	Content        encryptedContentInfo
}

type keyTransRecipientInfo struct {
	Version                int
	Recipient              issuerAndSerial
	KeyEncryptionAlgorithm pkix.AlgorithmIdentifier
	EncryptedKey           []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type encryptedContentInfo struct {
	ContentType asn1.ObjectIdentifier
	Algorithm   pkix.AlgorithmIdentifier
	Encrypted   asn1.RawValue `asn1:"optional,tag:0"`
}

// Enveloped is a parsed EnvelopedData.
type Enveloped struct {
	Algorithm Algorithm // UnknownAlgorithm when it cannot be decrypted here

	recipients []keyTransRecipientInfo
	iv         []byte
	ciphertext []byte
}

// ParseEnveloped decodes an EnvelopedData in DER or BER. Errors wrap ErrMalformed.
func ParseEnveloped(der []byte) (*Enveloped, error) {
	der, err := normalise(der)
	if err != nil {
		return nil, err
	}
	var info contentInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, malformed("not a ContentInfo")
	}
	if !info.ContentType.Equal(pkcs7.OIDEnvelopedData) {
		return nil, malformed("not an EnvelopedData")
	}
	var data envelopedData
	if _, err := asn1.Unmarshal(info.Content.Bytes, &data); err != nil {
		return nil, malformed("EnvelopedData: %v", err)
	}
	e := &Enveloped{}
	for _, raw := range data.RecipientInfos {
		var r keyTransRecipientInfo
		// Recipients of other kinds (key agreement, key identifier) are not ours.
		if _, err := asn1.Unmarshal(raw.FullBytes, &r); err == nil {
			e.recipients = append(e.recipients, r)
		}
	}
	if e.ciphertext, err = joinChunks(data.Content.Encrypted); err != nil {
		return nil, err
	}
	for a, c := range ciphers {
		if c.oid.Equal(data.Content.Algorithm.Algorithm) {
			e.Algorithm = a
			if _, err := asn1.Unmarshal(data.Content.Algorithm.Parameters.FullBytes, &e.iv); err != nil {
				return nil, malformed("initialisation vector: %v", err)
			}
		}
	}
	return e, nil
}

// joinChunks reads an implicitly tagged OCTET STRING. In BER it may be
// constructed of chunks, which normalise cannot see because of the tag.
func joinChunks(v asn1.RawValue) ([]byte, error) {
	if !v.IsCompound {
		return v.Bytes, nil
	}
	var joined []byte
	for rest := v.Bytes; len(rest) > 0; {
		var chunk []byte
		var err error
		if rest, err = asn1.Unmarshal(rest, &chunk); err != nil {
			return nil, malformed("encrypted content: %v", err)
		}
		joined = append(joined, chunk...)
	}
	return joined, nil
}

// Decrypt opens the envelope with the key that belongs to cert (RSA, PKCS #1
// v1.5 key transport). Errors: ErrAlgorithm, and ErrDecrypt for all the rest.
func (e *Enveloped) Decrypt(cert *x509.Certificate, key crypto.Decrypter) ([]byte, error) {
	c, ok := ciphers[e.Algorithm]
	if !ok {
		return nil, ErrAlgorithm
	}
	for _, r := range e.recipients {
		if r.Recipient.Serial == nil || r.Recipient.Serial.Cmp(cert.SerialNumber) != 0 || !bytes.Equal(r.Recipient.Issuer.FullBytes, cert.RawIssuer) {
			continue
		}
		// With SessionKeyLen a bad padding yields a random key instead of an
		// error, so that the failure shows only as undecipherable content.
		contentKey, err := key.Decrypt(rand.Reader, r.EncryptedKey, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: c.keySize})
		if err != nil {
			return nil, ErrDecrypt
		}
		block, err := c.block(contentKey)
		if err != nil {
			return nil, ErrDecrypt
		}
		return decryptCBC(block, e.iv, e.ciphertext)
	}
	return nil, ErrDecrypt
}

// Decrypt parses and opens an EnvelopedData in one go.
func Decrypt(der []byte, cert *x509.Certificate, key crypto.Decrypter) ([]byte, error) {
	e, err := ParseEnveloped(der)
	if err != nil {
		return nil, err
	}
	return e.Decrypt(cert, key)
}

func decryptCBC(block cipher.Block, iv, ciphertext []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(iv) != size || len(ciphertext) == 0 || len(ciphertext)%size != 0 {
		return nil, ErrDecrypt
	}
	plain := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, ciphertext)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > size {
		return nil, ErrDecrypt
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, ErrDecrypt
		}
	}
	return plain[:len(plain)-pad], nil
}

// Encrypt wraps content into an EnvelopedData for one recipient, whose key must
// be RSA.
func Encrypt(content []byte, recipient *x509.Certificate, algorithm Algorithm) ([]byte, error) {
	c, ok := ciphers[algorithm]
	if !ok {
		return nil, ErrAlgorithm
	}
	public, ok := recipient.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("cms: cannot encrypt to a key of type %T", recipient.PublicKey)
	}
	contentKey := make([]byte, c.keySize)
	rand.Read(contentKey)
	block, err := c.block(contentKey)
	if err != nil {
		return nil, fmt.Errorf("cms: encrypt: %w", err)
	}
	iv := make([]byte, block.BlockSize())
	rand.Read(iv)
	pad := block.BlockSize() - len(content)%block.BlockSize()
	ciphertext := append(bytes.Clone(content), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(ciphertext, ciphertext)

	encryptedKey, err := rsa.EncryptPKCS1v15(rand.Reader, public, contentKey)
	if err != nil {
		return nil, fmt.Errorf("cms: encrypt: %w", err)
	}
	recipientInfo, err := asn1.Marshal(keyTransRecipientInfo{
		Recipient:              issuerAndSerial{asn1.RawValue{FullBytes: recipient.RawIssuer}, recipient.SerialNumber},
		KeyEncryptionAlgorithm: pkix.AlgorithmIdentifier{Algorithm: pkcs7.OIDEncryptionAlgorithmRSA, Parameters: asn1.NullRawValue},
		EncryptedKey:           encryptedKey,
	})
	if err != nil {
		return nil, fmt.Errorf("cms: encrypt: %w", err)
	}
	inner, err := asn1.Marshal(envelopedData{
		RecipientInfos: []asn1.RawValue{{FullBytes: recipientInfo}},
		Content: encryptedContentInfo{
			ContentType: pkcs7.OIDData,
			Algorithm:   pkix.AlgorithmIdentifier{Algorithm: c.oid, Parameters: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}},
			Encrypted:   asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: ciphertext},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cms: encrypt: %w", err)
	}
	out, err := asn1.Marshal(contentInfo{
		ContentType: pkcs7.OIDEnvelopedData,
		Content:     asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner},
	})
	if err != nil {
		return nil, fmt.Errorf("cms: encrypt: %w", err)
	}
	return out, nil
}
