// Package apple compiles the neutral policy document for an iPhone, iPad or
// Mac: what to send, and notes about what that device will not honour.
//
//	document.Document (merged, variables resolved) + document.Target
//	   |  Compile
//	   v
//	Plan: Settings      items of one Settings command
//	      Profiles      one configuration profile per feature
//	      Declarations  declarative management (iOS and iPadOS 15)
//	      Apps          InstallApplication
//	Note: pointer into the document, why, and what would be needed
//
// It is pure: the same document and target give the same plan, in the same
// order. Identifiers are stable, so that a new version replaces what is on the
// device, and what is no longer in the plan can be taken off.
//
// It does not encode (mdm does), decide what to send (policy does), or check
// the document (document.Check does).
package apple
