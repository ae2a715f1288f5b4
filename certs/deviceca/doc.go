// Package deviceca verifies what iPhones and iPads sign with the identity that
// Apple gave them at activation: machine info (Automated Device Enrollment) and
// the attributes of the OTA Profile Service. This signature is the only proof of
// a serial number before a device has an identity of ours.
//
//	device leaf  <-  Apple iPhone Device CA (RSA-1024, SHA-1, expired 2014)
//	             <-  Apple iPhone Certification Authority (expired 2022)
//	             <-  Apple Root CA
//
// crypto/x509 can never accept this chain: SHA-1, and two expired certificates.
// So the public key of the Device CA is pinned, and the leaf's signature is
// verified over the exact bytes of its TBSCertificate. Its certificate is
// apple-iphone-device-ca.pem, published at
// https://www.apple.com/certificateauthority/ ; only its key matters here.
//
// A Verifier always has at least one trusted key; there is no switch that turns
// verification off. Tests and simulators bring keys of their own (WithTrusted).
//
// What it does not do: a signed body carries no nonce and can be replayed by
// whoever captured it, so callers bind it to a one-time secret of their own.
// The leaf's validity period is checked only against the signing time, when the
// message has one: phones in use for years keep an old identity.
package deviceca
