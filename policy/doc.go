// Package policy is what devices are to have, and how they get there. It knows
// no protocol: it says what to do in typed steps, and a protocol room encodes
// them.
//
//	policies, bound to devices and groups        before or after enrollment
//	        |
//	   Desired(device, policies)                 pure: items in the order of a first check-in
//	        |
//	   Diff(desired, delivered)                  pure: what to send, cancel, forget
//	        |
//	   Deliverer: claim due -> plan -> Commit    commands, items and push in one transaction
//	        |
//	   Receipt                                   each item with state, attempts, times
//
// A device becomes due when it enrolls and whenever a policy, a binding or a
// membership that touches it changes; due devices are durable rows, so nothing
// is lost with a process. What a device was sent is read from its commands:
// there is no second account of their state.
//
// Not here: the neutral cross-platform document and its compilers.
package policy
