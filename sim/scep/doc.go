// Package scep is the Simple Certificate Enrolment Protocol client of a phone
// (RFC 8894, and the older drafts that servers still meet).
//
//	phone                                     server
//	  GET  ?operation=GetCACaps        ->     list of capabilities
//	  GET  ?operation=GetCACert        ->     CA certificate, or CA and RA in PKCS #7
//	  POST ?operation=PKIOperation     ->     CertRep: certificate, or failInfo
//	       pkiMessage = SignedData(EnvelopedData(CSR with challengePassword))
//
// It believes nothing: the answer must be signed by the authority, belong to
// this transaction, repeat our nonce, hold our public key and chain to the CA.
//
// What it does not do: polling of pending requests, GetCRL, GetNextCACert.
package scep
