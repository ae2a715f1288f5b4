// Package zerotouch is Android's zero-touch enrollment as an organization sees
// it: the devices that its resellers have registered, and the configuration
// that they get out of their box. It is for Android what dep is for Apple.
//
//	admin                     rollcall                          Google
//	  | key, customer ---------> proven by customers.list ------->|
//	                             devices.list, all pages  ------->|  hourly
//	                             rows of the roll (where the account says so)
//	                             configurations.create, .patch -->|
//	                             devices.applyConfiguration ----->|  one by one
//	  | switched on for the first time: the device asks Google, gets the agent
//	    and the extras of its configuration, and comes to the gate
//
// Google tells no changes, only the whole list; so a sweep marks what it sees
// with a number, and what the number before is left on is gone when the list
// was read to its end, and not earlier. What is to be assigned is computed from
// what Google said last. One worker at a time sweeps, whatever the number of
// replicas (SyncStore.ClaimZeroTouch).
//
// Google, "Zero-touch enrollment customer API"
// (https://developers.google.com/zero-touch/reference/customer/rest). The calls
// of resellers (partners.*) are not here, and nothing is ever unclaimed: only a
// reseller could bring the device back. Who may enroll is the gate's decision.
package zerotouch
