// Package ade is the device's side of Automated Device Enrollment: what an
// iPhone, iPad, Mac or Apple TV asks of this server in Setup Assistant, after
// Apple told it where to go (Apple: Onboarding users with Automated Device
// Enrollment).
//
//	device                                                     rollcall
//	POST {url}  machine info, signed by its Apple identity -->  which profile has this URL
//	                                                            is the system new enough?  no --> 403 com.apple.softwareupdate.required
//	                                                            gate, channel ade, evidence signed
//	                                                       <--  profile with a one-time challenge, bound to the decision
//	                                                       <--  or 403 and a sentence
//	where the profile asks who the person is:
//	GET {configuration_web_url}  x-apple-aspen-deviceinfo  -->  the same checks; a sign-in begins (dep/signin)
//	     ... code, or OpenID Connect ...                   -->  gate, with the person; profile
//
// The device sends its machine info on the first load of the web view only, so
// the sign-in keeps it, sealed. Nothing here is ever answered 401: Setup
// Assistant would ask for a password that nobody has.
//
// The gate is the only decider, and is asked once for each attempt. That the
// device is told to update first is no decision: it comes back after that. Where
// DEP does not list the serial, or lists it in another account than the
// profile's, the trace of the decision says so.
//
// What it does not do: talk to Apple (dep/cloud), decide (enroll), or release a
// device that waits in Setup Assistant (policy).
package ade
