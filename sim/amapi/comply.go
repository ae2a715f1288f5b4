package amapi

import (
	"fmt"
	"strings"
)

// limit says where a setting works; elsewhere it is reported, not refused.
type limit struct {
	path    string // of the policy
	api     int    // least API level; 0: any
	company bool   // company-owned devices only
	owner   bool   // fully managed devices only
	profile bool   // company-owned devices with a work profile only
	project bool   // approved projects only
}

// limits are those of the reference of enterprises.policies that a device can
// be tried against.
var limits = []limit{
	{path: "backupService", api: 26, owner: true},
	{path: "bluetoothDisabled", company: true},
	{path: "bluetoothConfigDisabled", company: true},
	{path: "deviceConnectivityManagement.bluetoothSharing", api: 26},
	{path: "deviceConnectivityManagement.configureWifi", api: 33, company: true},
	{path: "deviceConnectivityManagement.tetheringSettings", company: true},
	{path: "deviceConnectivityManagement.usbDataAccess", company: true},
	{path: "deviceConnectivityManagement.wifiSsidPolicy", api: 33, company: true},
	{path: "deviceOwnerLockScreenInfo", api: 24, owner: true},
	{path: "deviceRadioState.nfc", api: 35, owner: true},
	{path: "deviceWidePolicies.deviceRadioState.nfc", api: 35, profile: true},
	{path: "factoryResetDisabled", company: true, project: true},
	{path: "frpAdminEmails", company: true, project: true},
	{path: "kioskCustomLauncherEnabled", owner: true},
	{path: "kioskCustomization", owner: true},
	{path: "microphoneAccess", owner: true},
	{path: "mountPhysicalMediaDisabled", company: true},
	{path: "personalUsagePolicies", profile: true},
	{path: "systemUpdate", company: true},
}

// judge says what of a policy a device does not do: nonComplianceDetails.
func (c *Cloud) judge(r *record, policy object) []any {
	var out []any
	for _, l := range limits {
		value, set := lookup(policy, l.path)
		if !set || permissive(value) {
			continue
		}
		reason := ""
		switch {
		case l.owner && r.mode != deviceOwner, l.company && r.ownership != companyOwned, l.profile && (r.mode != profileOwner || r.ownership != companyOwned):
			reason = "MANAGEMENT_MODE"
		case r.phone.hardware.APILevel < l.api:
			reason = "API_LEVEL"
		case l.project && !c.options.Approved:
			reason = "PROJECT_NOT_PERMITTED"
		default:
			continue
		}
		out = append(out, nonCompliance(l.path, reason))
	}
	if r.phone.hardware.APILevel < number(policy, "minimumApiLevel") {
		out = append(out, nonCompliance("minimumApiLevel", "OS_NOT_PERMITTED"))
	}
	for i, app := range list(policy, "applications") {
		name := text(app, "packageName")
		if !r.phone.uninstallable[name] || text(app, "installType") != "FORCE_INSTALLED" && text(app, "installType") != "REQUIRED_FOR_SETUP" {
			continue
		}
		d := nonCompliance("applications", "APP_NOT_INSTALLED")
		d["packageName"], d["installationFailureReason"], d["fieldPath"] = name, "NOT_FOUND", fmt.Sprintf("applications[%d]", i)
		out = append(out, d)
	}
	return out
}

// permissive says whether a value restricts nothing, which any device does.
func permissive(value any) bool {
	s, _ := value.(string)
	return value == false || strings.HasPrefix(s, "ALLOW_") || strings.HasSuffix(s, "_ALLOWED") || strings.HasSuffix(s, "_USER_CHOICE")
}

func nonCompliance(path, reason string) object {
	setting, _, nested := strings.Cut(path, ".")
	out := object{"settingName": setting, "nonComplianceReason": reason}
	if nested {
		out["fieldPath"] = path
	}
	return out
}
