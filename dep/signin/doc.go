// Package signin has the pages on which a person proves who they are before a
// device gets its enrollment profile: in the web view of Setup Assistant
// (dep/ade), and while signing in to a device with their account (dep/account).
//
//	room:  Begin --> session in the store, its secret in a cookie
//	         |-- code:  page with one field -> POST -> enroll.Codes.Redeem -> request
//	         `-- oidc:  redirect to the provider (authorization code, PKCE, state and
//	                    nonce of the session) -> ServeCallback -> ID token -> e-mail
//	                    address -> user of the roll
//	       the session ends, by one atomic statement, and the room goes on with
//	       the person: what follows happens once for each sign-in
//
// A session is sealed in the database, so that any replica can go on with it,
// and ends after half an hour. Its cookie is bound to this host, and is not sent
// with forms of other sites.
//
// What it does not do: keep anybody signed in, know passwords, or decide who may
// enroll; that is the gate's, which is told who the person is.
package signin
