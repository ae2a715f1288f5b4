// Package cms reads and writes Cryptographic Message Syntax (RFC 5652, PKCS #7):
// SignedData for device messages, profiles and SCEP, EnvelopedData for SCEP and
// DEP server tokens. It is the only importer of go.mozilla.org/pkcs7.
//
// Everything that comes from outside passes the same door first:
//
//	bytes -> at most MaxBytes -> scan (no recursion: depth, elements, lengths)
//	      -> if BER: rewritten with definite lengths, chunked strings joined
//	      -> decoder
//
// The door exists because pkcs7.Parse recurses without limit (4 MB of nested
// `30 80` end the process), spends seconds and hundreds of megabytes on smaller
// shapes, keeps only the first chunk of a chunked OCTET STRING, and ignores
// trailing bytes.
//
// EnvelopedData is encoded here, on encoding/asn1: the library picks its cipher
// through a package variable, cannot write 3DES, and tells padding errors apart.
//
// What it does not do: no certificate chain is ever checked here. Verify says
// that the message is signed by the certificate it names; whether that
// certificate is trusted is for the caller (certs.Authority.Verify,
// deviceca.Verifier).
package cms
