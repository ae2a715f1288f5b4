// Package androidpki is a miniature of the certificate authorities behind
// Android's key attestation, and of the secure hardware that attests:
//
//	RSA root                                       keys from the factory
//	  └─ intermediate                              10 years, expires under way
//	       └─ attestation key of a batch           = Factory keybox
//	            └─ leaf: app's key, KeyDescription
//	P-384 root "Key Attestation CA1"               keys fetched by the device (RKP)
//	  └─ intermediate -> server
//	       └─ attestation key, ProvisioningInfo    = Remote keybox, weeks
//	            └─ leaf: app's key, KeyDescription
//	software root                                  the one in AOSP's source: no hardware
//	  └─ attestation key                           = Software keybox
//	       └─ leaf
//
// A Statement is a KeyDescription field by field, so that a test can have the
// hardware say anything; Device makes the one that an honest device would. Issue
// signs one with any key, as an attacker does who has an attested key and goes
// on below it.
//
// What it does not do: revocation (a test lists serial numbers), chains of
// attestation keys of an app's own, the CBOR of ProvisioningInfo.
package androidpki
