// Package certs holds the server's certificate authority, the identities it
// issues to devices, and the sealing of secrets at rest.
//
// Every way of enrolling an Apple device ends in one client certificate. The
// gate decides first; only an admitted attempt gets a one-time challenge, and
// only a challenge gets a certificate:
//
//	gate admits  ->  NewChallenge(Binding)            secret goes into the SCEP payload
//	device       ->  SCEP PKCSReq(CSR, secret)        package certs/scep
//	Enroll       ->  look up, sign, Consume           one atomic statement in the store
//	device       <-  certificate                      only when Consume succeeded
//	device       ->  SCEP RenewalReq(CSR), signed by the current certificate
//	Renew        ->  same Binding, new certificate
//
// The Binding travels with the certificate, so that a later Authenticate can be
// held against the serial that was proven, not the one that is claimed. The
// subject of an identity is written by the server; nothing the device puts into
// its request beyond the public key reaches the certificate.
//
// Sub-packages: cms (the one bounded decoder of CMS messages), deviceca
// (signatures made with Apple's device certificates), scep (the SCEP server),
// certstest (doubles for the tests of other rooms).
//
// What it does not do: it keeps no tables (see IdentityStore), publishes no
// revocation lists (identities are checked against the store on every request),
// and decides nothing about who may enroll.
package certs
