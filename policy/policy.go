package policy

import (
	"strings"
	"time"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// Policy is what devices are to have, in one version. It is bound to devices,
// users and groups, before or after anybody enrolls.
type Policy struct {
	ID   string // UUIDv7
	Name string // unique
	// Description is what it is for, in words. No device is told: it is not part
	// of a version.
	Description string
	Version     int64 // grows by one with every save
	Restored    int64 // the version whose content this one has again; 0: none
	Priority    int   // the higher one wins where policies say different things and only one can win
	Document    document.Document
	Rollout     Rollout
	CreatedAt   time.Time // of the first version
	UpdatedAt   time.Time // of this one
	UpdatedBy   string    // name of the token
}

// MaxPriority is the highest priority; its negative is the lowest.
const MaxPriority = 1000

// MaxDescription is how many bytes a description has at most.
const MaxDescription = 2000

// Check says what is wrong with a policy an admin gave, or nil.
func (p Policy) Check() error {
	if strings.TrimSpace(p.Name) == "" || len(p.Name) > enroll.MaxName {
		return enroll.Errorf(enroll.KindInvalid, "policy_name", "the policy needs a name of at most %d bytes", enroll.MaxName)
	}
	if len(p.Description) > MaxDescription {
		return enroll.Errorf(enroll.KindInvalid, "policy_description", "the description has %d bytes; at most %d are possible", len(p.Description), MaxDescription)
	}
	if err := document.CheckTexts(p.Name, p.Description); err != nil {
		return enroll.Errorf(enroll.KindInvalid, "text", "%v", err)
	}
	if p.Priority < -MaxPriority || p.Priority > MaxPriority {
		return enroll.Errorf(enroll.KindInvalid, "policy_priority", "the priority %d is not between %d and %d", p.Priority, -MaxPriority, MaxPriority)
	}
	return p.Document.Check()
}

// IdentifierPrefix starts the PayloadIdentifier of every profile that a policy
// installs; no other profile on a device is touched.
const IdentifierPrefix = "rollcall.policy."

// Bound is a policy that reaches a device, and how: "device", "user" or
// "group:NAME".
type Bound struct {
	Policy
	Via string
}

// Sources is what document.Merge takes.
func Sources(bound []Bound) []document.Source {
	sources := make([]document.Source, len(bound))
	for i, b := range bound {
		sources[i] = document.Source{PolicyID: b.ID, Policy: b.Name, Version: b.Version, Priority: b.Priority, Via: b.Via, Document: b.Document}
	}
	return sources
}
