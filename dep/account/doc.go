// Package account is account-driven enrollment: a person signs in to a device
// of their own, or of the organization, with their Managed Apple Account, and
// the device finds this server by the account's domain (Apple: Onboarding users
// with account sign-in).
//
//	device                                             rollcall
//	GET  /.well-known/com.apple.remotemanagement  -->  the user is known: one server, mdm-byod or mdm-adde
//	POST {BaseURL}  signed LANGUAGE, PRODUCT, VERSION  --> 401, Bearer method="apple-as-web"
//	GET  {sign-in page}?user-identifier=...       -->  code of the enrollment request, or OpenID Connect (dep/signin)
//	                                              <--  308 apple-remotemanagement-user-login://...?access-token=TOKEN
//	POST {BaseURL}  Authorization: Bearer TOKEN   -->  gate, channel account --> profile
//	Authenticate, TokenUpdate, connect            -->  each with the token
//	                                              <--  401 when it has ended: the person signs in again
//
// A device in user enrollment never tells its serial; check-in and connect know
// it by an EnrollmentID that changes with each enrollment. So the gate knows it
// by who signed in: the row of the person's open enrollment request is the
// device's, with evidence token. Without such a request there is no row to know
// it by, and the row that is made when Pre-enrolled Devices Only lets it in is
// named ACCOUNT_ and twelve characters in the place of a serial
// (enroll.NewAccountSerial). A serial that a device of the organization tells
// later never chooses a row.
//
// What it does not do: apple-oauth2 as the way to sign in, and discovery for
// domains whose web server is not this one: redirect their well-known path here,
// or set the discovery URL in the DEP account.
package account
