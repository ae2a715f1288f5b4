// Package amapi is Google's side of Android management, in memory: the Android
// Management API, the Pub/Sub topics it reports to, the OAuth token endpoint in
// front of both, the zero-touch customer API, and Android devices that are set
// up against all this.
//
//	the product                         the cloud                       a Device
//	POST /token (RS256 assertion) ────►
//	v1/signupUrls, v1/enterprises ────►                          ◄──── Setup(QR)
//	     ◄──────────── GET signinUrl?provisioningInfo=... ────────────
//	v1/provisioningInfo/... ──────────►
//	v1/.../enrollmentTokens ──────────►
//	     ───────── 302 enterprise.google.com/android/enroll?et= ──────►
//	     ◄── ENROLLMENT, STATUS_REPORT (pull or push) ──  record  ◄──── enrolls
//	v1/.../policies, devices ─────────►                  policy  ─────► applies
//	v1/...:issueCommand ──────────────►               operation  ─────► acknowledges
//
// Every request to the Android Management API is held against Google's
// discovery document (Options.Schema): path, query, and each field of the body
// by name, type, format and enumeration. Where Google is lenient in a way that
// hides a client's fault, this cloud is strict: 64-bit integers are strings
// only, null and keys that come twice are refused, and fields that the server
// decides or that are deprecated are remembered as Warnings. Pub/Sub and
// zero-touch are held against the fields listed here, for want of a document.
//
// Where Google's answer is not documented, a choice was made:
//   - a device that nobody gave a policy for five minutes is reset, and its
//     record goes without a message;
//   - a command that expires ends without a message;
//   - the record of a device that enrolls again stays beside the new one;
//   - a token that does not say allowPersonalUsage manages the whole device
//     when it is scanned in the setup wizard, and a work profile otherwise;
//   - a device may be given the name of a policy that does not exist; it keeps
//     what it has until there is one;
//   - devices.patch without a mask writes state too, so that a body without
//     state is an illegal transition; with a mask it writes what is named.
//
// Faults are injected with Spoil, SpoilMessages, ForgePush and Unbind, or over
// HTTP where Options.Control is set (control.go).
//
// What it cannot prove: Google's approval and device quota, exact texts of
// errors, timing, the setup wizards of manufacturers, a camera that reads a QR
// code, Play Protect. What it does not do: web apps, applications, migration
// tokens (answered 501), partial responses (the parameter "fields" is accepted
// and ignored), Pub/Sub's seek and snapshots. Of IAM there is only what the
// Android Management API needs: it reports to topics that it may publish to.
package amapi
