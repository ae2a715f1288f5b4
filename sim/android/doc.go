// Package android is an Android phone with an agent (a device policy
// controller) that speaks the agent protocol of docs/android-agent.md, and
// knows nothing else of the server. It is as strict as the document: an answer
// that the document does not allow is a *ProtocolError.
//
//	Enroll     GET  /android/v1/nonce      a nonce
//	           POST /android/v1/enroll     signed with the phone's key, over the nonce;
//	                                       with the hardware's word, if Config.Keybox is set
//	CheckIn    PUT  checkin_url            results in, one command out, until there is none
//	Wait       GET  wait_url?timeout=55    wake or nothing
//	Run        CheckIn, Wait, CheckIn, ... with the back-off of the document
//
// Only the action "unenroll" makes the agent leave; "reenroll" makes it forget
// its device id. A phone that is wiped, or reset by its user, leaves without a
// word. A result that the server did not take is kept and sent again.
//
// OnCommand makes the phone misbehave on demand, Lose breaks connections,
// Config.Tamper lies before a message is signed, Config.Alter after, Repeat
// plays an intercepted request again.
//
// What it does not do: FCM (a test calls CheckIn in place of a push), Google
// Play, what the policy asks for beyond required and blocked apps.
package android
