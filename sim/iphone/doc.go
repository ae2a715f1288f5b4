// Package iphone is an iPhone or iPad that knows nothing but the wire. It
// enrolls, checks in, executes commands and answers as a device does, and it
// is as strict as one: an answer that a device would reject is an error here.
//
// The way in by hand (Apple: Over-the-Air Profile Delivery):
//
//	OpenLink    Safari: GET link, read the page, fill the form, get a profile
//	phase 1     profile "Profile Service": URL, DeviceAttributes, Challenge
//	phase 2     POST attributes, CMS-signed by the device identity
//	              <- Configuration profile with a SCEP payload
//	            SCEP: an identity
//	phase 3     POST the same to the same URL, CMS-signed by that identity
//	              <- Configuration profile with com.apple.mdm
//	install     root certificates, SCEP identity, then
//	              PUT CheckInURL  Authenticate, TokenUpdate
//
// and from then on
//
//	push -> Connect: PUT ServerURL Idle <- command -> result <- command ... <- empty
//
// SetupAssistant is the other way in, Automated Device Enrollment: the device
// posts its CMS-signed machine info and gets the profile at once.
//
// The third way is a person signing in to the device with a Managed Apple
// Account (SignIn): the domain of the account names a server, the person signs
// in on its page, and the access token from there goes along with every request.
// In the mode BYOD the device is known by an EnrollmentID alone.
//
// If anything fails before the first TokenUpdate is accepted, nothing is left
// behind, as on a device. OnCommand makes the phone misbehave on demand;
// Config.Tamper makes it lie.
//
// What it does not do: the user channel and Shared iPad, ACME identities and attestation, macOS.
package iphone
