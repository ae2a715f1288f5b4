// Package dep is Apple's Automated Device Enrollment as an organization sees
// it: accounts at Apple (DEP, "device management services" in Apple Business
// and School Manager), the profiles devices get there, and the devices
// themselves.
//
//	admin                      rollcall                        Apple
//	  | new account ------------> key pair, certificate          |
//	  | certificate ------------------------------------------->  | portal
//	  | server token (.p7m) <-----------------------------------  |
//	  | upload -----------------> opened, proven by GET /account ->|
//	                              fetch, then sync  <------------->| devices
//	                              rows of the roll (where the account says so)
//	                              define profile   --------------->|
//	                              assign profile   --------------->| per serial
//
// Sync and assignment are durable state: a page of devices and the cursor
// after it are written together, and what is to be assigned is computed from
// what Apple said last, never from events. One worker at a time serves an
// account, whatever the number of replicas (Store.ClaimAccount).
//
// The calls themselves are in dep/cloud. What a device does with its profile
// is in dep/ade. Package dep neither speaks HTTP nor decides who may enroll:
// that is the gate's.
package dep
