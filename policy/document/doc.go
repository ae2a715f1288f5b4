// Package document is the neutral policy document: what an admin writes once
// for iPhone, iPad and Android. It is pure data and pure functions.
//
//	Document (JSON)                what one policy says
//	   |  WithKept                 secrets that were sent back as "********"
//	   |  Check, Warnings          contradictions and doubts, with a pointer to the place
//	   |  Merge(sources)           effective document with origins and conflicts
//	   |  Resolve(variables)       {serial}, {user.email}, ... per device
//	   v
//	policy/apple, policy/android   compile it for one target
//
// A field that is left out says nothing: the empty document restricts nothing
// on either platform.
//
// The bounds of single fields are told by the tags; they are checked by whoever
// takes documents in, with the JSON Schema made of them. What a device will not
// honour is for the compilers to say, in a Note. docs/policy.md is the page for
// people.
package document
