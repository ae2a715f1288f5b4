// Package dep is Apple's service for Automated Device Enrollment, once called
// the Device Enrollment Program, as a device management service and a device
// see it.
//
//	the portal                        the service                    the device
//	AddAccount, TokenFile ─────► GET /session (OAuth 1.0a)
//	AddDevices, Move, ...            POST /server/devices, /devices/sync
//	                                 POST /profile, /profile/devices ─► Activate
//
// One Cloud is one organization. Its accounts are what Apple's portal calls
// device management services: each has its own token, devices, profiles and
// cursors. Paths, keys and codes are those of Apple's documentation ("Device
// assignment"), signatures those of RFC 5849.
//
// Where Apple is known to be lenient in a way that hides a client's fault, or
// where its answer is not documented, this service is strict:
//   - a new session ends the one before it, and every few answers bring a new
//     session after which the old one is dead;
//   - more than 1,000 serials in a call are MALFORMED_REQUEST_BODY, as is a
//     body that is not sent as JSON;
//   - codes come bare and quoted in turn;
//   - cursors are as long as Apple may make them, 1,000 characters;
//   - every change is in the stream of changes, those that the client made
//     itself included, and a device that moved here is "modified", not "added";
//   - downloading a token ends the token before it.
//
// Faults are injected with Spoil and with the accounts' switches, or over HTTP
// where Options.Control is set (see control.go).
//
// What it does not do: the portal's web pages, Apple Business Manager's REST
// API, limits of the rate of calls (use Spoil with Busy).
package dep
