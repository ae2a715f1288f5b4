// Package applepki is a miniature of the certificate authorities that Apple
// runs and that an MDM server meets:
//
//	Apple Root CA
//	  └─ Apple iPhone Certification Authority   SHA-1, expired 2022-04-12
//	       └─ Apple iPhone Device CA            RSA-1024, SHA-1, expired 2014-04-16
//	            └─ device identity              one per device, SHA-1 signed, CN = UDID
//	Apple Application Integration CA
//	  └─ APSP:<uuid>                            MDM push certificate, UID = topic, 1 year
//	  └─ api.push.apple.com                     server certificate of package sim/apns
//
// The device branch has the shape of the real one on purpose: crypto/x509
// refuses SHA-1 signatures and expired authorities, so a server can only
// accept a device by checking its certificate against the public key of
// the Device CA, as it has to with real devices. The serial number of the
// device is not in its certificate; it is proven by what the device signs.
//
// What it does not do: revocation, attestation certificates, WWDR chains for
// anything but push.
package applepki
