package scep

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"rollcall/certs"
	"rollcall/certs/cms"
)

// Message types, RFC 8894 section 3.2.1.2.
const (
	typeCertRep    = "3"
	typeRenewalReq = "17"
	typePKCSReq    = "19"
)

// Status of a CertRep, RFC 8894 section 3.2.1.3.
const (
	statusSuccess = "0"
	statusFailure = "2"
)

// failInfo says why a request failed, RFC 8894 section 3.2.1.4. The RFC also has
// badTime (3), for a signing time too far from the server's; phones in Setup
// Assistant may have any time, so it is not used.
type failInfo string

const (
	badAlg          failInfo = "0"
	badMessageCheck failInfo = "1"
	badRequest      failInfo = "2"
	badCertID       failInfo = "4"
)

func (f failInfo) String() string {
	switch f {
	case badAlg:
		return "badAlg"
	case badMessageCheck:
		return "badMessageCheck"
	case badRequest:
		return "badRequest"
	case badCertID:
		return "badCertId"
	}
	return "unknown"
}

// Signed attributes, RFC 8894 section 3.2.1.
var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidStatus         = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}

	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
)

const (
	maxTransactionID = 256
	maxNonce         = 64
	nonceSize        = 16
	minClientKeyBits = 2048
	maxClientKeyBits = 4096
)

// request is a PKIOperation taken apart as far as the answer needs it.
type request struct {
	signed        *cms.Signed
	messageType   string
	transactionID asn1.RawValue // echoed as it came, in its own string type
	senderNonce   []byte
	digest        crypto.Hash
}

// parseRequest reads the outer layer. It fails only where no CertRep could be
// addressed to the sender.
func parseRequest(der []byte) (*request, error) {
	signed, err := cms.ParseSigned(der)
	if err != nil {
		return nil, err
	}
	r := &request{signed: signed, digest: signed.Digest()}
	if err := signed.Attribute(oidTransactionID, &r.transactionID); err != nil {
		return nil, err
	}
	if len(r.transactionID.Bytes) == 0 || len(r.transactionID.Bytes) > maxTransactionID || r.transactionID.IsCompound {
		return nil, errors.New("scep: transaction id missing or too long")
	}
	if err := signed.Attribute(oidMessageType, &r.messageType); err != nil {
		return nil, err
	}
	if err := signed.Attribute(oidSenderNonce, &r.senderNonce); err != nil {
		return nil, err
	}
	if len(r.senderNonce) > maxNonce {
		return nil, errors.New("scep: nonce too long")
	}
	return r, nil
}

// failure is a reason for a CertRep FAILURE; err is for the log only.
type failure struct {
	info failInfo
	err  error
}

func (f *failure) Error() string { return f.info.String() + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// open checks the signature and opens the envelope. Failures are *failure.
func (r *request) open(a *certs.Authority) (signer *x509.Certificate, csr *x509.CertificateRequest, cipher cms.Algorithm, err error) {
	signer, err = r.signed.Verify()
	if err != nil {
		return nil, nil, 0, &failure{badMessageCheck, err}
	}
	switch r.digest {
	case crypto.SHA1, crypto.SHA256, crypto.SHA512:
	default:
		return nil, nil, 0, &failure{badAlg, fmt.Errorf("scep: digest %v", r.digest)}
	}
	if key, ok := signer.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() < minClientKeyBits || key.N.BitLen() > maxClientKeyBits {
		return nil, nil, 0, &failure{badAlg, errors.New("scep: the sender's key is not RSA with 2048 to 4096 bits")}
	}
	// An envelope that does not open and one that holds no request are one
	// failure: telling them apart would tell whether a guessed padding was right.
	unreadable := &failure{badMessageCheck, errors.New("scep: no certificate request inside")}
	envelope, err := cms.ParseEnveloped(r.signed.Content)
	if err != nil {
		return nil, nil, 0, unreadable
	}
	plain, err := envelope.Decrypt(a.Certificate(), a.Decrypter())
	if errors.Is(err, cms.ErrAlgorithm) {
		return nil, nil, 0, &failure{badAlg, err}
	}
	if err != nil {
		return nil, nil, 0, unreadable
	}
	csr, err = x509.ParseCertificateRequest(plain)
	if err != nil {
		return nil, nil, 0, unreadable
	}
	return signer, csr, envelope.Algorithm, nil
}

// success builds the CertRep that hands out cert to recipient.
func (r *request) success(a *certs.Authority, recipient, cert *x509.Certificate, cipher cms.Algorithm) ([]byte, error) {
	certsOnly, err := cms.Degenerate(cert)
	if err != nil {
		return nil, err
	}
	envelope, err := cms.Encrypt(certsOnly, recipient, cipher)
	if err != nil {
		return nil, err
	}
	return r.reply(a, envelope, statusSuccess)
}

// failure builds the CertRep that refuses.
func (r *request) failure(a *certs.Authority, info failInfo) ([]byte, error) {
	return r.reply(a, nil, statusFailure, cms.Attribute{Type: oidFailInfo, Value: string(info)})
}

func (r *request) reply(a *certs.Authority, content []byte, status string, more ...cms.Attribute) ([]byte, error) {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	digest := r.digest
	if digest == 0 {
		digest = crypto.SHA256
	}
	return cms.SignWithAttributes(content, a.Certificate(), a.Signer(), digest, append(more,
		cms.Attribute{Type: oidTransactionID, Value: r.transactionID},
		cms.Attribute{Type: oidMessageType, Value: typeCertRep},
		cms.Attribute{Type: oidStatus, Value: status},
		cms.Attribute{Type: oidSenderNonce, Value: nonce},
		cms.Attribute{Type: oidRecipientNonce, Value: r.senderNonce},
	)...)
}

// challengePassword returns the PKCS #9 challengePassword of a request, "" when
// there is none. crypto/x509 does not decode it.
func challengePassword(csr *x509.CertificateRequest) string {
	var tbs struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []struct {
			Type   asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		} `asn1:"tag:0,set"`
	}
	if _, err := asn1.Unmarshal(csr.RawTBSCertificateRequest, &tbs); err != nil {
		return ""
	}
	for _, a := range tbs.Attributes {
		if a.Type.Equal(oidChallengePassword) && len(a.Values) == 1 {
			return directoryString(a.Values[0])
		}
	}
	return ""
}

// directoryString reads the string types a challengePassword comes in.
func directoryString(v asn1.RawValue) string {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return ""
	}
	switch v.Tag {
	case asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagIA5String, asn1.TagT61String:
		return string(v.Bytes)
	}
	return ""
}
