package cloud

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Paths of calls with a limit of their own; see Account.MaxPerCall.
const (
	PathDevices        = "/server/devices"
	PathSync           = "/devices/sync"
	PathDetails        = "/devices"
	PathProfileDevices = "/profile/devices"
	PathDisown         = "/devices/disown"
)

const (
	pathProfile   = "/profile"
	pathDiscovery = "/account-driven-enrollment/profile"
)

// Account says whose token it is.
func (c *Client) Account(ctx context.Context) (Account, error) {
	var a Account
	err := c.call(ctx, http.MethodGet, "/account", nil, nil, &a)
	if err == nil && a.ServerUUID == "" {
		err = &Error{Call: "GET /account", Status: http.StatusOK, Code: BadAnswer, Detail: "no server in it"}
	}
	return a, err
}

type pageRequest struct {
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// Fetch lists all devices, page by page; cursor is that of the page before,
// empty for the first one. Code ExhaustedCursor: there is no more.
func (c *Client) Fetch(ctx context.Context, cursor string, limit int) (Page, error) {
	return c.page(ctx, PathDevices, cursor, limit)
}

// Sync lists what has happened since a cursor. Codes ExhaustedCursor: nothing;
// ExpiredCursor, InvalidCursor: Fetch again.
func (c *Client) Sync(ctx context.Context, cursor string, limit int) (Page, error) {
	return c.page(ctx, PathSync, cursor, limit)
}

func (c *Client) page(ctx context.Context, path, cursor string, limit int) (Page, error) {
	var p Page
	if err := c.call(ctx, http.MethodPost, path, nil, pageRequest{Limit: limit, Cursor: cursor}, &p); err != nil {
		return Page{}, err
	}
	bad := func(detail string) (Page, error) {
		return Page{}, &Error{Call: "POST " + path, Status: http.StatusOK, Code: BadAnswer, Detail: detail}
	}
	switch {
	case p.Cursor == "":
		return bad("no cursor in it")
	case len(p.Cursor) > maxCursor:
		return bad("its cursor is too long")
	case p.More && p.Cursor == cursor:
		return bad("the same cursor, and more to follow")
	}
	return p, nil
}

type serials struct {
	Devices []string `json:"devices"`
}

// Details asks for some devices. Those that are not this server's have another
// ResponseStatus than SUCCESS.
func (c *Client) Details(ctx context.Context, list []string) (map[string]Device, error) {
	var answer struct {
		Devices map[string]Device `json:"devices"`
	}
	err := c.call(ctx, http.MethodPost, PathDetails, nil, serials{list}, &answer)
	return answer.Devices, err
}

// DefineProfile makes a profile at Apple and gives its UUID. There is no
// changing one: a changed profile is another one.
func (c *Client) DefineProfile(ctx context.Context, p Profile) (string, error) {
	var answer struct {
		UUID string `json:"profile_uuid"`
	}
	err := c.call(ctx, http.MethodPost, pathProfile, nil, p, &answer)
	if err == nil && answer.UUID == "" {
		err = &Error{Call: "POST " + pathProfile, Status: http.StatusOK, Code: BadAnswer, Detail: "no UUID in it"}
	}
	return answer.UUID, err
}

// Profile reads a profile that was defined.
func (c *Client) Profile(ctx context.Context, uuid string) (Profile, error) {
	var p Profile
	err := c.call(ctx, http.MethodGet, pathProfile, url.Values{"profile_uuid": {uuid}}, nil, &p)
	return p, err
}

// Assign gives devices a profile, 1,000 at most. That the call succeeds says
// nothing of any one device.
func (c *Client) Assign(ctx context.Context, uuid string, list []string) (Assignment, error) {
	return c.assignment(ctx, http.MethodPost, PathProfileDevices, struct {
		UUID string `json:"profile_uuid"`
		serials
	}{uuid, serials{list}}, list)
}

// Unassign takes the profile from devices. One that has fetched it keeps it
// until it is wiped.
func (c *Client) Unassign(ctx context.Context, list []string) (Assignment, error) {
	return c.assignment(ctx, http.MethodDelete, PathProfileDevices, serials{list}, list)
}

// Disown releases devices from the organization. It cannot be undone from here.
func (c *Client) Disown(ctx context.Context, list []string) (Assignment, error) {
	return c.assignment(ctx, http.MethodPost, PathDisown, serials{list}, list)
}

func (c *Client) assignment(ctx context.Context, method, path string, in any, list []string) (Assignment, error) {
	var answer struct {
		Devices map[string]Outcome `json:"devices"`
		Seconds int64              `json:"retry_after_seconds"`
	}
	if err := c.call(ctx, method, path, nil, in, &answer); err != nil {
		return Assignment{}, err
	}
	a := Assignment{Outcomes: make(map[string]Outcome, len(list))}
	if answer.Seconds > 0 {
		a.RetryAfter = time.Duration(min(answer.Seconds, int64(maxRetryAfter/time.Second))) * time.Second
	}
	for _, serial := range list {
		switch o := answer.Devices[serial]; o {
		case OutcomeSuccess, OutcomeNotAccessible, OutcomeThrottled:
			a.Outcomes[serial] = o
		default:
			a.Outcomes[serial] = OutcomeFailed
		}
	}
	return a, nil
}

type discovery struct {
	URL string `json:"mdm_service_discovery_url"`
}

// SetDiscovery says where Apple sends devices whose organization has no
// well-known document for account-driven enrollment.
func (c *Client) SetDiscovery(ctx context.Context, target string) error {
	return c.call(ctx, http.MethodPost, pathDiscovery, nil, discovery{target}, nil)
}

// Discovery is what SetDiscovery said; empty: nothing.
func (c *Client) Discovery(ctx context.Context) (string, error) {
	var d discovery
	err := c.call(ctx, http.MethodGet, pathDiscovery, nil, nil, &d)
	return d.URL, err
}

// DeleteDiscovery takes SetDiscovery back.
func (c *Client) DeleteDiscovery(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, pathDiscovery, nil, nil, nil)
}
