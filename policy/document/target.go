package document

import "rollcall/enroll"

// Management is how much of an Android device is managed; empty: unknown.
type Management string

// The management modes of Android Enterprise.
const (
	FullyManaged        Management = "fully_managed"
	CompanyWorkProfile  Management = "work_profile_company"
	PersonalWorkProfile Management = "work_profile_personal"
)

// Target is what a compiler has to know of the device it compiles for. What is
// unknown (zero) is taken to be able; the note says so where it matters.
type Target struct {
	Platform enroll.Platform

	// Apple.
	Family         string // "iPhone", "iPad", "Mac", "AppleTV"
	OSVersion      string // "17.2.1"
	Supervised     *bool  // nil: unknown
	UserEnrollment bool

	// Android.
	Management Management
	APILevel   int  // 0: unknown
	Agent      bool // speaks the agent protocol, not the Android Management API
}

// Note is something of a document that a target will not honour, or not as it
// is written.
type Note struct {
	Pointer string   `json:"pointer"` // JSON pointer into the document
	Code    NoteCode `json:"code"`
	Text    string   `json:"text"` // why, and what would be needed
}

// NoteCode says why something is not honoured.
type NoteCode string

// The reasons.
const (
	NotePlatform       NoteCode = "platform"        // the platform has no such setting
	NoteUnsupervised   NoteCode = "not_supervised"  // needs supervision
	NoteOSVersion      NoteCode = "os_version"      // needs a newer version
	NoteUserEnrollment NoteCode = "user_enrollment" // not on a personal device
	NoteManagement     NoteCode = "management_mode" // not in this management mode
	NoteAPILevel       NoteCode = "api_level"       // needs a newer Android
	NotePermission     NoteCode = "permission"      // needs a permission of Google's
	NoteRounded        NoteCode = "rounded"         // carried out with another value
	NoteOutranked      NoteCode = "outranked"       // overruled by another field
	NoteDoubtful       NoteCode = "doubtful"        // legal, but hardly what is meant
)
