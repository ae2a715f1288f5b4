// Package amapi connects the server to the Android Management API: Google's
// cloud manages the devices, and this package tells it what to do with them and
// hears of them.
//
//	device (Android Device Policy)     rollcall                         Google
//	  | set up by QR, zero-touch, ...     |                               |
//	  | GET /android/signin?provisioningInfo=X                            |
//	  |---------------------------------->| provisioningInfo.get -------->|
//	  |                                   | gate (signed serial or IMEI)  |
//	  |                                   | enrollmentTokens.create ----->|
//	  |<-- 302 enroll?et= or /invalid ----|                               |
//	  | enrolls ---------------------------------------------------------->|
//	  |                                   |<--- ENROLLMENT (Pub/Sub) -----|
//	  |                                   | the same device? gate where   |
//	  |                                   | nobody was asked before       |
//	  |                                   | policies.patch, devices.patch>|
//	  |<------------------------------------------------ policy, commands |
//	  |                                   |<- STATUS_REPORT, COMMAND -----|
//
// Notifications are stored before anything is done about them (Inbox), so that
// duplicates, disorder and a crash do no harm; what the server wants of Google is
// in the command queue and in tables (Connector), so that nothing is lost to a
// 429. Calls pass a bucket of 600 a minute that all replicas share.
//
// Sources: the discovery document of the API, revision 20261102, and
// developers.google.com/android/management. The package makes no policies
// (policy/android does) and no decisions (the gate does). Access needs a project
// that Google has approved; see docs/android.md.
package amapi
