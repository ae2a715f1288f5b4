// Package admin is the admin API.
//
//	request -> router -> body limit -> caller: token, or who is signed in (401)
//	        -> limit (429) -> role (403) -> Idempotency-Key: the answer that was kept
//	        -> parameters and body against the schema (422)
//	        -> operation, as a call of the audit log -> enroll, policy, mdm
//	        -> JSON, or problem+json (RFC 9457) from one switch over enroll.Kind
//
// Every operation is declared once, with its role; the OpenAPI 3.1 document at
// /api/v1/openapi.json is made from the same declarations. The API holds no
// state of its own: what it knows is in the services and stores it is given.
//
// Before a device's user has accepted, nothing about the device but its serial
// leaves the server; DeviceView is the one place where a device becomes JSON.
//
// What happens can be followed as a stream, a list or webhooks (admin/webhook).
//
// Administrators lets people sign in to the console (admin/console), which calls
// the API within this process and names them in the context (WithCaller):
//
//	password ---------> session, its secret in a cookie, its hash in the store
//	         \--> ticket -> code of the second factor, or a recovery code --^
//	OpenID provider, set-up code, link of an invitation ------------------^
//
// Every try is counted before it is made, for the person and for the remote
// address. What proves who somebody is leaves the store for this package only.
//
// The API does not read forms, takes no cookies and sends no CORS headers: from
// outside it is for programs with a token. The page a phone opens is in
// admin/portal.
package admin
