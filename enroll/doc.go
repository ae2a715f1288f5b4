// Package enroll is the roll and the gate: which devices may enroll, and what
// is known of each. It knows no HTTP, no SQL and no vendor's protocol.
//
// A device is one record through its whole life:
//
//	import, API, DEP        request sent       admitted by the gate
//	      |                      |                    |
//	      v                      v                    v
//	pre_enrolled ----------> invited ----------> enrolling ----> enrolled
//	      |                                          ^              |
//	      +------------------------------------------+              v
//	                                                 +-------- unenrolled
//
// beside which stand pending_approval, blocked and expired.
//
// The protocol rooms translate what arrives into an Attempt and ask the Gate.
// Evaluate, the one decision function, is pure; Gate.Decide runs it inside the
// transaction that records the Decision, so that nothing is decided without a
// record and nothing changes between reading and deciding. Codes have three
// texts each (admin, fix, person) in one table, Reasons.
//
// Storage implements the interfaces of store.go and GateStore.
package enroll
