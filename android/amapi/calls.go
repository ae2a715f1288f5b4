package amapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxPages ends a list that does not end.
const maxPages = 10_000

// pathOf escapes a resource name, each part of it.
func pathOf(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// CreateSignupURL begins the sign-up of an organization, which ends at callback
// with the parameter enterpriseToken.
func (c *Client) CreateSignupURL(ctx context.Context, callback string) (u SignupURL, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "signupUrls", query: url.Values{"projectId": {c.project}, "callbackUrl": {callback}}, out: &u, idempotent: true})
	return u, err
}

// CreateEnterprise ends a sign-up. A token is good once.
func (c *Client) CreateEnterprise(ctx context.Context, signup, token, displayName string) (e Enterprise, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "enterprises", query: url.Values{"projectId": {c.project}, "signupUrlName": {signup}, "enterpriseToken": {token}},
		in: Enterprise{DisplayName: displayName}, out: &e})
	return e, err
}

// Enterprise reads an organization.
func (c *Client) Enterprise(ctx context.Context, name string) (e Enterprise, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: pathOf(name), out: &e, idempotent: true})
	return e, err
}

// SetUp tells Google where to report, and which ways in there are. Those that
// are not named any more end; unchanged ones keep their tokens.
func (c *Client) SetUp(ctx context.Context, e Enterprise) (out Enterprise, err error) {
	mask := "pubsubTopic,enabledNotificationTypes,signinDetails"
	name := e.Name
	e.Name = ""
	err = c.do(ctx, call{method: http.MethodPatch, path: pathOf(name), query: url.Values{"updateMask": {mask}}, in: e, out: &out, idempotent: true})
	return out, err
}

// CreateToken makes an enrollment token. Not idempotent.
func (c *Client) CreateToken(ctx context.Context, enterprise string, t EnrollmentToken) (out EnrollmentToken, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: pathOf(enterprise) + "/enrollmentTokens", in: t, out: &out})
	return out, err
}

// DeleteToken ends an enrollment token; one that is gone is no error.
func (c *Client) DeleteToken(ctx context.Context, name string) error {
	err := c.do(ctx, call{method: http.MethodDelete, path: pathOf(name), idempotent: true})
	if CodeOf(err) == NotFound {
		return nil
	}
	return err
}

// ProvisioningInfo reads what Google knows of a device at the sign-in page.
func (c *Client) ProvisioningInfo(ctx context.Context, id string) (p ProvisioningInfo, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: "provisioningInfo/" + url.PathEscape(id), pattern: "provisioningInfo/{id}", out: &p, idempotent: true})
	return p, err
}

// PutPolicy writes a policy as a whole: what the body does not name is as it is
// by default. It answers the version that devices will report.
func (c *Client) PutPolicy(ctx context.Context, name string, body any) (version int64, err error) {
	var out struct {
		Version string `json:"version"`
	}
	if err := c.do(ctx, call{method: http.MethodPatch, path: pathOf(name), in: body, out: &out, idempotent: true}); err != nil {
		return 0, err
	}
	if version, err = strconv.ParseInt(out.Version, 10, 64); err != nil {
		return 0, &Error{Call: "PATCH " + name, Status: http.StatusOK, Code: BadAnswer, Message: "the policy has no version"}
	}
	return version, nil
}

// DeletePolicy deletes a policy that no device has; one that is gone is no
// error.
func (c *Client) DeletePolicy(ctx context.Context, name string) error {
	err := c.do(ctx, call{method: http.MethodDelete, path: pathOf(name), idempotent: true})
	if CodeOf(err) == NotFound {
		return nil
	}
	return err
}

// Device reads a device.
func (c *Client) Device(ctx context.Context, name string) (d Device, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: pathOf(name), out: &d, idempotent: true})
	return d, err
}

// Devices reads all devices of an enterprise, page by page.
func (c *Client) Devices(ctx context.Context, enterprise string, each func([]Device) error) error {
	query := url.Values{"pageSize": {"100"}}
	for range maxPages {
		var page struct {
			Devices       []Device `json:"devices"`
			NextPageToken string   `json:"nextPageToken"`
		}
		if err := c.do(ctx, call{method: http.MethodGet, path: pathOf(enterprise) + "/devices", query: query, out: &page, idempotent: true}); err != nil {
			return err
		}
		if err := each(page.Devices); err != nil {
			return err
		}
		if page.NextPageToken == "" {
			return nil
		}
		query.Set("pageToken", page.NextPageToken)
	}
	return &Error{Call: "GET " + enterprise + "/devices", Status: http.StatusOK, Code: BadAnswer, Message: "the list does not end"}
}

// AssignPolicy gives a device a policy. The mask leaves its state as it is,
// which a call without would change.
func (c *Client) AssignPolicy(ctx context.Context, device, policy string) error {
	return c.do(ctx, call{method: http.MethodPatch, path: pathOf(device), query: url.Values{"updateMask": {"policyName"}}, in: map[string]string{"policyName": policy}, idempotent: true})
}

// DeleteDevice makes Google forget a device at once, and wipe it (of a personal
// device, its work profile) when it is next online, within 30 days. reason is
// shown on personal devices. One that is gone is no error.
func (c *Client) DeleteDevice(ctx context.Context, name, reason string) error {
	query := url.Values{}
	if reason != "" {
		query.Set("wipeReasonMessage", reason)
	}
	err := c.do(ctx, call{method: http.MethodDelete, path: pathOf(name), query: query, idempotent: true})
	if CodeOf(err) == NotFound {
		return nil
	}
	return err
}

// IssueCommand gives a device a command (a Command resource). Not idempotent.
func (c *Client) IssueCommand(ctx context.Context, device string, command map[string]any) (o Operation, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: pathOf(device) + ":issueCommand", in: command, out: &o})
	return o, err
}

// Operations lists the newest commands of a device, the newest first.
func (c *Client) Operations(ctx context.Context, device string) ([]Operation, error) {
	var page struct {
		Operations []Operation `json:"operations"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: pathOf(device) + "/operations", query: url.Values{"pageSize": {"100"}}, out: &page, idempotent: true})
	return page.Operations, err
}

// Operation reads a command.
func (c *Client) Operation(ctx context.Context, name string) (o Operation, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: pathOf(name), out: &o, idempotent: true})
	return o, err
}

// CancelOperation takes back a command that no device has yet.
func (c *Client) CancelOperation(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodPost, path: pathOf(name) + ":cancel", in: struct{}{}, idempotent: true})
}
