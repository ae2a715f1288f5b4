// Package google gets access tokens for Google's APIs with a service account.
//
//	service-account key (JSON) -> assertion, a JWT signed with RS256
//	POST token_uri  grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=...
//	-> access token, kept until shortly before it ends
//
// See Google, "Using OAuth 2.0 for Server to Server Applications", and RFC 7523.
// It knows no API of Google's; those are android/amapi and the waker of android.
package google
