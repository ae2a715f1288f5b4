package mdm

import (
	"fmt"

	"rollcall/mdm/plist"
)

// absent are the states of a managed app that is not on the device, and that
// installing again may bring back. What its user refused is left at that.
var absent = map[string]bool{"Failed": true, "ManagedButUninstalled": true, "Unknown": true}

// Inventory implements policy.Encoder: the profiles of a ProfileList, the apps
// of a ManagedApplicationList, the app that InstallApplication names.
func (Encoder) Inventory(requestType string, result []byte) (map[string]bool, error) {
	var answer struct {
		ProfileList []struct {
			PayloadIdentifier string
			IsManaged         *bool
		}
		ManagedApplicationList map[string]struct{ Status string }
		Identifier             string
	}
	if err := plist.Decode(result, &answer); err != nil {
		return nil, fmt.Errorf("mdm: answer to %s: %w", requestType, err)
	}
	there := map[string]bool{}
	switch requestType {
	case "ProfileList":
		for _, p := range answer.ProfileList {
			if p.IsManaged == nil || *p.IsManaged {
				there[p.PayloadIdentifier] = true
			}
		}
	case "ManagedApplicationList":
		for id, app := range answer.ManagedApplicationList {
			if !absent[app.Status] {
				there[id] = true
			}
		}
	case "InstallApplication":
		if answer.Identifier != "" {
			there[answer.Identifier] = true
		}
	}
	return there, nil
}
