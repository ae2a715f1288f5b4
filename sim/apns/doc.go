// Package apns is Apple's push service as an MDM server sees it: HTTP/2 over
// TLS, a client certificate whose subject UID is the topic, and
//
//	POST /3/device/<hex token>
//	apns-topic, apns-push-type: mdm, apns-expiration, apns-id, apns-priority
//	{"mdm":"<PushMagic>"}
//
// with the reasons Apple gives for what it does not like. Where Apple would
// take a sloppy request and quietly do something else (no push type, no
// expiration, a body with more than the magic), this service refuses it.
//
// Phones register with Register and are woken by an accepted push. As with
// the real service, wakes are coalesced: pushes for a device that has not been
// woken yet become one wake. A wrong PushMagic is accepted, because Apple does
// not know it, and ignored by the device.
//
// What it does not do: provider tokens, storing pushes for devices that are
// switched off, the per-token rate limits (use FailNext).
package apns
