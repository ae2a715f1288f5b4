// Package webhook tells other systems what happened, by HTTP.
//
//	transaction of a change -> event -> published in one order (Outbox.Publish)
//	   -> one delivery for each webhook that wants its type
//	   -> POST, signed -> 2xx: delivered
//	                   -> anything else: again, later and later, for 24 hours
//
// A delivery is tried at least once and may arrive twice: its ID, in the header
// Rollcall-Delivery, stays the same. Each webhook has its own line, so that a
// slow one holds up nobody else; after a failure the whole line waits, and the
// delivery that failed longer than the others. A webhook that took nothing for
// 24 hours is disabled, which is an event itself.
//
// Any number of servers may run a Sender on one database: deliveries are leased.
//
// Receivers are reached by https, at public addresses only, unless private ones
// are allowed: the URL is an admin's, but the network is the server's. The
// address is checked when the connection is made, so a name that changes its
// mind does not get round it. Redirects are not followed.
package webhook
