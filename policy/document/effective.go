package document

// Source is one policy that reaches a device, and how.
type Source struct {
	PolicyID string
	Policy   string // name
	Version  int64
	Priority int    // higher wins where only one value can
	Via      string // "device", "user", "group:NAME"
	Document Document
}

// Origin names where an effective value comes from.
type Origin struct {
	Policy  string `json:"policy"`
	Version int64  `json:"version"`
	Via     string `json:"via"`
}

// Conflict is a place where policies say different things and one had to win.
type Conflict struct {
	Pointer string   `json:"pointer"` // JSON pointer into the effective document
	Text    string   `json:"text"`    // what won, and by which rule
	Won     Origin   `json:"won"`
	Lost    []Origin `json:"lost"`
}

// Effective is what several policies say together: the merged document, where
// each of its values comes from (by JSON pointer), and what was in conflict.
// The ID of each of its raw Apple profiles is that of its policy, a dot, and
// its own, so that profiles of different policies do not meet.
type Effective struct {
	Document  Document            `json:"document"`
	Origins   map[string][]Origin `json:"origins"`
	Conflicts []Conflict          `json:"conflicts"`
}

// Variables are what a device is known by, without braces: "serial",
// "device.name", "user.name", "user.email", ...
type Variables map[string]string

// Missing is a variable that a document uses and the device has no value for.
type Missing struct {
	Pointer  string `json:"pointer"`
	Variable string `json:"variable"`
}
