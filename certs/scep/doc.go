// Package scep is the server's side of SCEP (RFC 8894), with which devices get
// and renew their identity certificate.
//
//	device -> GetCACaps                       what the server can do
//	device -> GetCACert                       the authority's certificate
//	device -> PKIOperation PKCSReq            SignedData (self-signed key) of
//	                                          EnvelopedData (to the authority) of
//	                                          PKCS #10 with the challenge
//	device <- CertRep SUCCESS                 SignedData (authority) of EnvelopedData
//	                                          (to the device) of the certificate
//	device <- CertRep FAILURE failInfo        the device gives up
//	device -> PKIOperation RenewalReq         the same, signed by the current identity
//
// A CertRep FAILURE is final for a device, so it is sent only for what is wrong
// with the request. When the server itself fails, the answer is 500 or 503 and
// the device tries again; it is never 401, which would make an enrolled device
// remove its management.
//
// The answer uses the cipher and the digest of the request, because an old
// client can read nothing else.
//
// What it does not do: polling (every request is decided at once), GetCert,
// GetCRL, rollover of the authority (GetNextCACert), encryption to keys that are
// not RSA.
package scep
