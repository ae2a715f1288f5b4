// Package cms signs, verifies, encrypts and decrypts Cryptographic Message
// Syntax (RFC 5652), as far as a phone needs it: signed enrollment requests,
// detached Mdm-Signature headers, signed profiles, SCEP messages.
//
// It is written against the RFC with cryptobyte, independent of the library
// the product uses, and lets the caller choose digests and ciphers per call,
// old ones included. DER only; one signer per message; RSA key transport.
// Verify checks the signature and the signed attributes, never a chain:
// whom to trust is the caller's business.
package cms
