// Package admin is the admin API.
//
//	request -> router -> body limit -> token (401) -> limit (429) -> role (403)
//	        -> Idempotency-Key: the answer that was kept
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
// It does not read forms, keeps no sessions and sends no CORS headers: it is
// for programs with a token. The page a phone opens is in admin/portal.
package admin
