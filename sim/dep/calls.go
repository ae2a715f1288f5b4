package dep

import "net/http"

type call struct {
	serve func(*Cloud, *request) (any, *refusal)
	page  bool // has a limit that GET /account tells of
}

// calls are those of "Device assignment" in Apple's documentation.
var calls = map[string]call{
	"GET /account":                              {serve: (*Cloud).showAccount},
	"POST /server/devices":                      {serve: (*Cloud).fetchDevices, page: true},
	"POST /devices/sync":                        {serve: (*Cloud).syncDevices, page: true},
	"POST /devices":                             {serve: (*Cloud).deviceDetails, page: true},
	"POST /devices/disown":                      {serve: (*Cloud).disown, page: true},
	"GET /device/replacementDetails":            {serve: (*Cloud).replacementDetails},
	"POST /device/activationlock":               {serve: (*Cloud).activationLock},
	"POST /profile":                             {serve: (*Cloud).defineProfile, page: true},
	"GET /profile":                              {serve: (*Cloud).showProfile},
	"POST /profile/devices":                     {serve: (*Cloud).assignProfile, page: true},
	"PUT /profile/devices":                      {serve: (*Cloud).assignProfile, page: true},
	"DELETE /profile/devices":                   {serve: (*Cloud).removeProfile, page: true},
	"GET /os-beta-enrollment/tokens":            {serve: (*Cloud).betaTokens},
	"POST /account-driven-enrollment/profile":   {serve: (*Cloud).setDiscovery},
	"GET /account-driven-enrollment/profile":    {serve: (*Cloud).showDiscovery},
	"DELETE /account-driven-enrollment/profile": {serve: (*Cloud).deleteDiscovery},
}

// sessionCall is the only one that is signed.
const sessionCall = "GET /session"

type discovery struct {
	URL string `json:"mdm_service_discovery_url"`
}

func (c *Cloud) setDiscovery(q *request) (any, *refusal) {
	var in discovery
	if bad := q.decode(&in); bad != nil {
		return nil, bad
	}
	switch {
	case in.URL == "":
		return nil, refuse("MDM_SERVICE_DISCOVERY_URL_REQUIRED")
	case !goodURL(in.URL):
		return nil, refuse("MDM_SERVICE_DISCOVERY_URL_NOT_VALID")
	case c.options.Organization.Type == "tvprovider":
		return nil, refuse("ORG_NOT_SUPPORTED")
	}
	q.account.discovery = in.URL
	return nil, nil
}

func (c *Cloud) showDiscovery(q *request) (any, *refusal) {
	if q.account.discovery == "" {
		return nil, &refusal{http.StatusNotFound, "NOT_FOUND"}
	}
	return discovery{q.account.discovery}, nil
}

func (c *Cloud) deleteDiscovery(q *request) (any, *refusal) {
	q.account.discovery = ""
	return nil, nil
}

func (c *Cloud) betaTokens(q *request) (any, *refusal) {
	if q.account.betaOff {
		return nil, &refusal{http.StatusForbidden, "APPLE_SEED_FOR_IT_TURNED_OFF"}
	}
	type token struct {
		Token string `json:"token"`
		Title string `json:"title"`
		OS    string `json:"os"`
	}
	return map[string][]token{"betaEnrollmentTokens": {
		{c.orgID + "-ios", "iOS 27 AppleSeed Beta", "iOS"},
		{c.orgID + "-osx", "macOS 27 AppleSeed Beta", "OSX"},
	}}, nil
}

func (c *Cloud) activationLock(q *request) (any, *refusal) {
	var in struct {
		Device string `json:"device"`
	}
	if bad := q.decode(&in); bad != nil {
		return nil, bad
	}
	if in.Device == "" {
		return nil, refuse("DEVICE_ID_REQUIRED")
	}
	status := Success
	switch {
	case q.account.member(in.Device) == nil:
		status = NotAccessible
	case c.locked[in.Device]:
		status = Failed
	default:
		c.locked[in.Device] = true
	}
	return map[string]any{"serial_number": in.Device, "response_status": status}, nil
}
