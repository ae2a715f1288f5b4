// Package cloud is a client of Apple's Device Enrollment Program service, as
// Apple documents it ("Device Assignment", mdmenrollment.apple.com).
//
//	GET /session   OAuth 1.0a, HMAC-SHA1      -> auth_session_token
//	any call       X-ADM-Auth-Session         -> answer, perhaps with the next session
//	               401, or 403 FORBIDDEN      -> another session, and the call once more
//
// There is one session at a time for each token, so it is kept outside, in
// Sessions, where all replicas of a server share it. Whatever goes wrong is an
// *Error with Apple's own code, or with one of this package where Apple gave
// none.
//
// The client makes one call at a time and repeats none, but for the session:
// when to try again is the caller's to decide, and Error.RetryAfter says what
// Apple asked for.
package cloud
