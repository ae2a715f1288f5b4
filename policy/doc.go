// Package policy is what devices are to have, and how they get there. It knows
// no protocol: it says what to do in typed steps, and a protocol room encodes
// them.
//
//	policies in versions, bound to devices,     before or after enrollment;
//	users and groups                            a roll-out says who has which version
//	        |
//	   Planner.Desire(bound, target)             pure: document.Merge, Resolve, apple.Compile;
//	        |                                    once for all devices that are alike
//	   Diff(desired, delivered, now)             pure: what to send, cancel, forget, try again
//	        |
//	   Deliverer: claim due -> plan -> Commit    commands, items and push in one transaction
//	        |
//	   Receipt                                   each item with state, attempts, times; notes
//
// A device becomes due when it enrolls, when more is known of it (supervision,
// version), when a command of its policy fails, and whenever a policy, a binding
// or a membership that touches it changes; due devices are durable rows, so
// nothing is lost with a process. A plan also says when to look again by itself:
// for a retry, for the daily check whether the device still has what it was
// given, and for the end of the time a device may wait in Setup Assistant. What a
// device was sent is read from its commands: there is no second account of their
// state.
//
// DeviceConfigured is no item of the desired state: it is sent when everything
// else has its final answer, has failed, or has taken too long (see release).
//
// Not here: the document, its merge and checks (policy/document), the compilers
// (policy/apple, policy/android), and how commands are written and handed out.
package policy
