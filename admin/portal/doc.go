// Package portal is what a person sees who opens the link of an enrollment
// request on a phone.
//
//	GET  /enroll/r/{secret}       who invites, which device, what will happen
//	POST /enroll/r/{secret}       accepts (ownership=personal|corporate where asked)
//	 303 /enroll/r/{secret}/next  two steps, and the button to the profile
//	GET  /enroll                  for a device without a request
//
// Only the POST accepts: mail scanners and link previews open every link. The
// pages are plain HTML without scripts, pictures or anything from elsewhere.
// Since their URL is a secret they send no referrer and may not be stored.
//
// It does not decide who may enroll and hands out no profile: the gate does
// the one, package mdm the other.
package portal
