// Package android compiles the neutral policy document for Android: to the
// policy body of the Android Management API, and to the policy document of the
// agent protocol (docs/android-agent.md).
//
//	document.Document (merged, resolved) + document.Target
//	   |  Compile                      |  Agent
//	   v                               v
//	Policy: body of policies.patch    AgentPolicy: neutral names, "v": 1
//	   |  Name: the policy's name, made of its content
//	   v
//	nonComplianceDetails[] --Pointer--> place in the document
//
// Google's defaults restrict much that Apple's allow (files over USB, backup,
// developer options, unknown sources, an empty store). They are set open, so
// that the empty document restricts nothing.
//
// It makes no calls. What is not part of a policy at Google (web apps, files of
// apps) is told by a note.
package android
