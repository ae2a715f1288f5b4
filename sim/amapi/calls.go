package amapi

import (
	"encoding/base64"
	"net/http"
	"strconv"
)

// managementRoutes are all calls of the Android Management API, as the
// discovery document names them.
var managementRoutes = []route{
	{id: "signupUrls.create", method: http.MethodPost, path: "v1/signupUrls", serve: (*Cloud).createSignup},
	{id: "provisioningInfo.get", method: http.MethodGet, path: "v1/provisioningInfo/{provisioningInfoId}", serve: (*Cloud).getProvisioning},

	{id: "enterprises.create", method: http.MethodPost, path: "v1/enterprises", serve: (*Cloud).createEnterprise},
	{id: "enterprises.list", method: http.MethodGet, path: "v1/enterprises", serve: (*Cloud).listEnterprises},
	{id: "enterprises.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}", serve: with((*Cloud).getEnterprise)},
	{id: "enterprises.patch", method: http.MethodPatch, path: "v1/enterprises/{enterprisesId}", serve: with((*Cloud).patchEnterprise)},
	{id: "enterprises.delete", method: http.MethodDelete, path: "v1/enterprises/{enterprisesId}", serve: with((*Cloud).deleteEnterprise)},
	{id: "enterprises.generateEnterpriseUpgradeUrl", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}:generateEnterpriseUpgradeUrl", serve: with((*Cloud).upgradeURL)},
	{id: "enterprises.webTokens.create", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/webTokens", serve: with((*Cloud).createWebToken)},

	{id: "enterprises.enrollmentTokens.create", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/enrollmentTokens", serve: with((*Cloud).createToken)},
	{id: "enterprises.enrollmentTokens.list", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/enrollmentTokens", serve: with((*Cloud).listTokens)},
	{id: "enterprises.enrollmentTokens.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/enrollmentTokens/{enrollmentTokensId}", serve: with((*Cloud).getToken)},
	{id: "enterprises.enrollmentTokens.delete", method: http.MethodDelete, path: "v1/enterprises/{enterprisesId}/enrollmentTokens/{enrollmentTokensId}", serve: with((*Cloud).deleteToken)},

	{id: "enterprises.policies.list", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/policies", serve: with((*Cloud).listPolicies)},
	{id: "enterprises.policies.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/policies/{policiesId}", serve: with((*Cloud).getPolicy)},
	{id: "enterprises.policies.patch", method: http.MethodPatch, path: "v1/enterprises/{enterprisesId}/policies/{policiesId}", serve: with((*Cloud).patchPolicy)},
	{id: "enterprises.policies.delete", method: http.MethodDelete, path: "v1/enterprises/{enterprisesId}/policies/{policiesId}", serve: with((*Cloud).deletePolicy)},
	{id: "enterprises.policies.modifyPolicyApplications", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/policies/{policiesId}:modifyPolicyApplications", serve: with((*Cloud).modifyApplications)},
	{id: "enterprises.policies.removePolicyApplications", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/policies/{policiesId}:removePolicyApplications", serve: with((*Cloud).removeApplications)},

	{id: "enterprises.devices.list", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/devices", serve: with((*Cloud).listDevices)},
	{id: "enterprises.devices.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/devices/{devicesId}", serve: with((*Cloud).getDevice)},
	{id: "enterprises.devices.patch", method: http.MethodPatch, path: "v1/enterprises/{enterprisesId}/devices/{devicesId}", serve: with((*Cloud).patchDevice)},
	{id: "enterprises.devices.delete", method: http.MethodDelete, path: "v1/enterprises/{enterprisesId}/devices/{devicesId}", serve: with((*Cloud).deleteDevice)},
	{id: "enterprises.devices.issueCommand", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/devices/{devicesId}:issueCommand", serve: with((*Cloud).issueCommand)},
	{id: "enterprises.devices.operations.list", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/devices/{devicesId}/operations", serve: with((*Cloud).listOperations)},
	{id: "enterprises.devices.operations.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/devices/{devicesId}/operations/{operationsId}", serve: with((*Cloud).getOperation)},
	{id: "enterprises.devices.operations.cancel", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/devices/{devicesId}/operations/{operationsId}:cancel", serve: with((*Cloud).cancelOperation)},

	{id: "enterprises.applications.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/applications/{applicationsId}", serve: unsimulated},
	{id: "enterprises.migrationTokens.create", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/migrationTokens", serve: unsimulated},
	{id: "enterprises.migrationTokens.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/migrationTokens/{migrationTokensId}", serve: unsimulated},
	{id: "enterprises.migrationTokens.list", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/migrationTokens", serve: unsimulated},
	{id: "enterprises.webApps.create", method: http.MethodPost, path: "v1/enterprises/{enterprisesId}/webApps", serve: unsimulated},
	{id: "enterprises.webApps.delete", method: http.MethodDelete, path: "v1/enterprises/{enterprisesId}/webApps/{webAppsId}", serve: unsimulated},
	{id: "enterprises.webApps.get", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/webApps/{webAppsId}", serve: unsimulated},
	{id: "enterprises.webApps.list", method: http.MethodGet, path: "v1/enterprises/{enterprisesId}/webApps", serve: unsimulated},
	{id: "enterprises.webApps.patch", method: http.MethodPatch, path: "v1/enterprises/{enterprisesId}/webApps/{webAppsId}", serve: unsimulated},
}

// with looks up the enterprise of a call. One that is not ours, or no longer,
// is forbidden rather than missing.
func with(serve func(*Cloud, *enterprise, *call) (any, *refusal)) func(*Cloud, *call) (any, *refusal) {
	return func(c *Cloud, q *call) (any, *refusal) {
		e := c.enterprises[q.ids[0]]
		if e == nil || e.unbound {
			return nil, denied("Caller is not authorized to manage enterprise.", "")
		}
		return serve(c, e, q)
	}
}

// page cuts a list as pageSize and pageToken of a call say.
func page[T any](q *call, all []T, standard, most int) (items []T, next string, bad *refusal) {
	size, from := standard, 0
	if text := q.query.Get("pageSize"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, "", invalid("Page size must not be negative.")
		}
		if n > 0 {
			size = min(n, most)
		}
	}
	if token := q.query.Get("pageToken"); token != "" {
		text, err := base64.RawURLEncoding.DecodeString(token)
		n, err2 := strconv.Atoi(string(text))
		if err != nil || err2 != nil || n < 0 {
			return nil, "", invalid("Invalid page token.")
		}
		from = min(n, len(all))
	}
	end := min(from+size, len(all))
	if end < len(all) {
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(end)))
	}
	return all[from:end], next, nil
}

// listed is an answer with a page in it; empty fields are left out, as Google
// does.
func listed[T any](name string, items []T, next string) object {
	out := object{}
	if len(items) > 0 {
		out[name] = items
	}
	if next != "" {
		out["nextPageToken"] = next
	}
	return out
}
