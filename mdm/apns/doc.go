// Package apns wakes devices: it sends the pushes of the durable outbox to
// Apple's push service, and looks after the MDM push certificate.
//
//	Outbox ─ClaimPushes─► queue ─► workers ─POST /3/device/<token>─► APNs
//	   ▲                              │       {"mdm":"<PushMagic>"}
//	   └──────FinishPushes◄─ batches ◄┘  200, or status and reason
//
// A push says only "connect to your server". It is a lease, not a message: the
// outbox holds at most one row for an enrollment, a push may be sent twice, and
// APNs keeps only the newest one for a device that is off. A push is closed by
// an answer of APNs and by nothing else: what fails because of the network, of
// Apple, or of this server's configuration stays due.
//
//	200                                             Sent
//	410; 400 BadDeviceToken, DeviceTokenNotForTopic Inactive until the next TokenUpdate
//	429, 5xx, timeouts, lost connections            Retry, 2 s doubling to 1 h, or Retry-After
//	403, TLS refused, BadTopic, unknown answers     Retry, 1 min doubling to 15 min, error log
//	400 PayloadEmpty..., 404 BadPath, 405, 413      Dropped: this program's fault, error log
//
// BadDeviceToken may also mean that the token belongs to the other environment.
// It does not here, since MDM exists in production only and NewPusher refuses
// the sandbox: the token itself is damaged, and no repetition mends it.
//
// While APNs cannot be reached, or refuses us as a whole, claiming pauses
// (1 s doubling to 1 min) and one push at a time probes, so that an outage of
// hours leaves the other pushes untouched and due at once.
//
// A refused client certificate shows as StateRejected, or as StateUnreachable
// where TLS 1.3 breaks the connection before the refusal is read; the certificate
// is worth a look in both.
//
// # The push certificate
//
// Its Subject UID is the topic that every device enrolls with. A certificate
// with another topic cannot wake any device enrolled before, which is why
// Certificates refuses one unless forced. The way to a certificate:
//
//	CSR ──► signed by an MDM vendor ──► identity.apple.com/pushcert ──► Install
//
// Apple takes only requests that an MDM vendor certificate has signed: a
// base64 property list of PushCertRequestCSR, PushCertCertificateChain and
// PushCertSignature. This package makes the plain request; whoever holds a
// vendor certificate (Apple Developer Enterprise account, or a service such as
// mdmcert.download) wraps it. Renew each year with the same Apple Account.
//
// What this package does not do: it sends no other push than MDM's, knows no
// token (JWT) authentication, which MDM does not have, and does not decide who
// is to be pushed.
//
// Sources: developer.apple.com "Sending notification requests to APNs",
// "Handling notification responses from APNs", "Setting up push notifications
// for your MDM customers".
package apns
