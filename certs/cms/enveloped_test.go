package cms

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"testing"
)

func TestEncryptAndDecrypt(t *testing.T) {
	p := rsaParty(t)
	for algorithm := range ciphers {
		for _, n := range []int{0, 1, 7, 8, 15, 16, 17, 5000} {
			content := bytes.Repeat([]byte{0x42}, n)
			e, err := ParseEnveloped(must(Encrypt(content, p.cert, algorithm)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Decrypt(p.cert, rsaKey())
			if err != nil || !bytes.Equal(got, content) || e.Algorithm != algorithm {
				t.Errorf("%v, %d bytes: got %d bytes of %v, %v", algorithm, n, len(got), e.Algorithm, err)
			}
		}
	}
}

// As Apple's server tokens and streaming clients write it.
func TestDecryptChunkedBER(t *testing.T) {
	p, content := rsaParty(t), bytes.Repeat([]byte("token"), 100)
	der := must(Encrypt(content, p.cert, AES256CBC))
	var info contentInfo
	var data envelopedData
	must(asn1.Unmarshal(der, &info))
	must(asn1.Unmarshal(info.Content.Bytes, &data))
	var chunks []byte
	for rest := data.Content.Encrypted.Bytes; len(rest) > 0; rest = rest[min(100, len(rest)):] {
		n := min(100, len(rest))
		chunks = append(appendHeader(chunks, tagOctetString, n), rest[:n]...)
	}
	data.Content.Encrypted = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: chunks}
	info.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: must(asn1.Marshal(data))}
	ber := indefinite(t, must(asn1.Marshal(info)), 5, 0)
	if bytes.Count(ber, []byte{0x80}) == 0 {
		t.Fatal("the vector is not BER")
	}
	got, err := Decrypt(ber, p.cert, rsaKey())
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Whatever is changed in a message, the sender must not learn what went wrong.
func TestDecryptHasOneError(t *testing.T) {
	p := rsaParty(t)
	content := []byte("sixteen bytes..!")
	der := must(Encrypt(content, p.cert, AES128CBC))
	otherKey := must(rsa.GenerateKey(rand.Reader, 2048))
	stranger := newParty(t, 99, otherKey.Public(), otherKey)

	decrypt := func(change func(e *Enveloped), cert party, key crypto.Decrypter) error {
		e := must(ParseEnveloped(der))
		e.ciphertext, e.iv = bytes.Clone(e.ciphertext), bytes.Clone(e.iv)
		e.recipients[0].EncryptedKey = bytes.Clone(e.recipients[0].EncryptedKey)
		change(e)
		_, err := e.Decrypt(cert.cert, key)
		return err
	}
	same := func(*Enveloped) {}
	if err := decrypt(same, p, rsaKey()); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	for name, err := range map[string]error{
		"other recipient":   decrypt(same, stranger, otherKey),
		"other key":         decrypt(same, p, otherKey),
		"short iv":          decrypt(func(e *Enveloped) { e.iv = e.iv[1:] }, p, rsaKey()),
		"half a block":      decrypt(func(e *Enveloped) { e.ciphertext = e.ciphertext[:24] }, p, rsaKey()),
		"no content":        decrypt(func(e *Enveloped) { e.ciphertext = nil }, p, rsaKey()),
		"padding cut off":   decrypt(func(e *Enveloped) { e.ciphertext = e.ciphertext[:16] }, p, rsaKey()),
		"padding changed":   decrypt(func(e *Enveloped) { e.ciphertext[3] ^= 0x55 }, p, rsaKey()),
		"key of odd length": decrypt(func(e *Enveloped) { e.recipients[0].EncryptedKey = []byte{1} }, p, rsaKey()),
		"key is garbage":    decrypt(func(e *Enveloped) { e.recipients[0].EncryptedKey[9] ^= 1 }, p, rsaKey()),
		"no recipient":      decrypt(func(e *Enveloped) { e.recipients = nil }, p, rsaKey()),
	} {
		// The same value, so that not even the text can differ.
		if err != ErrDecrypt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPaddingIsChecked(t *testing.T) {
	block := must(ciphers[AES128CBC].block(make([]byte, 16)))
	iv := make([]byte, 16)
	for _, tt := range []struct {
		tail []byte
		ok   bool
	}{
		{[]byte{1}, true},
		{[]byte{3, 3, 3}, true},
		{bytes.Repeat([]byte{16}, 16), true},
		{[]byte{0}, false},
		{[]byte{17}, false},
		{[]byte{3, 2, 3}, false},
	} {
		plain := append(bytes.Repeat([]byte{0xaa}, 32-len(tt.tail)), tt.tail...)
		ciphertext := make([]byte, len(plain))
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(ciphertext, plain)
		got, err := decryptCBC(block, iv, ciphertext)
		if (err == nil) != tt.ok || tt.ok && len(got) != 32-len(tt.tail) {
			t.Errorf("padding %v: %d bytes, %v", tt.tail, len(got), err)
		}
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	p := rsaParty(t)
	der := must(Encrypt([]byte("content"), p.cert, AES128CBC))
	gcm := must(asn1.Marshal(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 6})) // AES-128-GCM
	aes128 := must(asn1.Marshal(ciphers[AES128CBC].oid))
	e, err := ParseEnveloped(bytes.Replace(der, aes128, gcm, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Decrypt(p.cert, rsaKey()); e.Algorithm != UnknownAlgorithm || !errors.Is(err, ErrAlgorithm) {
		t.Errorf("%v, %v", e.Algorithm, err)
	}
	if _, err := Encrypt(nil, p.cert, UnknownAlgorithm); !errors.Is(err, ErrAlgorithm) {
		t.Error(err)
	}
	if _, err := Encrypt(nil, ecParty(t).cert, AES128CBC); err == nil {
		t.Error("encrypted to an EC key")
	}
}

func TestParseEnvelopedRefusesSigned(t *testing.T) {
	p := rsaParty(t)
	if _, err := ParseEnveloped(must(Sign([]byte("x"), p.cert, p.key))); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
