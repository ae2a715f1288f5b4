package policy

import (
	"rollcall/policy/apple"
	"rollcall/policy/document"
)

// Step is one thing to do on a device, without its wire form.
type Step interface{ step() }

// The steps of a policy.
type (
	QueryDevice    struct{}
	QuerySecurity  struct{}
	InstallProfile struct {
		Identifier string // PayloadIdentifier
		Profile    document.Profile
	}
	RemoveProfile    struct{ Identifier string }
	QueryProfiles    struct{}                       // installed by this server
	QueryApps        struct{ Identifiers []string } // bundle IDs; empty: all managed apps
	Settings         struct{ Items []apple.Setting }
	InstallApp       struct{ App apple.Install }
	RemoveApp        struct{ Identifier string } // bundle ID of a managed app
	Declare          struct{ Tokens []byte }     // what the endpoint "tokens" answers (JSON)
	DeviceConfigured struct{}
	RenewIdentity    struct{ EnrollmentID, DecisionID, DeviceID, Serial, UDID string }
)

func (QueryDevice) step()      {}
func (QuerySecurity) step()    {}
func (InstallProfile) step()   {}
func (RemoveProfile) step()    {}
func (QueryProfiles) step()    {}
func (QueryApps) step()        {}
func (Settings) step()         {}
func (InstallApp) step()       {}
func (RemoveApp) step()        {}
func (Declare) step()          {}
func (DeviceConfigured) step() {}
func (RenewIdentity) step()    {}
