// Package document is the neutral policy document: what an admin writes once
// for iPhone, iPad and Android. It is pure data and pure functions.
//
//	Document (JSON)                what one policy says
//	   |  Check                    contradictions, with a pointer to the place
//	   |  Merge(sources)           effective document with origins and conflicts
//	   |  Resolve(variables)       {serial}, {user.email}, ... per device
//	   v
//	policy/apple, policy/android   compile it for one target
//
// A field that is left out says nothing: the empty document restricts nothing
// on either platform.
package document
