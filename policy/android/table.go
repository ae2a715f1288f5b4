package android

import (
	"strings"

	"rollcall/policy/document"
)

// Row is what a restriction of the document becomes in a policy of the Android
// Management API. A restriction may have several, for different modes.
type Row struct {
	Name       string                // in document.Restrictions: "camera"
	When       string                // the value it answers; empty: deny or require
	Field      string                // dotted path in the policy; empty: Android has no such setting
	Value      any                   // what is written
	Open       any                   // what is written when nothing restricts, as Google's default does; nil: nothing
	List       bool                  // Field is a list, Value is added to it
	Modes      []document.Management // where it works; nil: in all
	MinAPI     int                   // API level it needs; 0: any
	Permission bool                  // Google has to allow it to the project
	Rounded    bool                  // does more or less than the name says; the caveat says what
	Caveat     string
}

var (
	full     = []document.Management{document.FullyManaged}
	company  = []document.Management{document.FullyManaged, document.CompanyWorkProfile}
	shared   = []document.Management{document.CompanyWorkProfile}
	profiles = []document.Management{document.CompanyWorkProfile, document.PersonalWorkProfile}
)

const profileOnly = "With a work profile: in the profile."

// Restrictions is the whole table, in the order of document.Restrictions. Of
// rows with one field the later one wins.
var Restrictions = []Row{
	{Name: "camera", Field: "cameraAccess", Value: "CAMERA_ACCESS_DISABLED", Caveat: profileOnly},
	{Name: "camera", Field: "personalUsagePolicies.cameraDisabled", Value: true, Modes: shared, Caveat: "The personal side of a company's device."},
	{Name: "microphone", Field: "microphoneAccess", Value: "MICROPHONE_ACCESS_DISABLED", Modes: full},
	{Name: "screenshot", Field: "screenCaptureDisabled", Value: true, Caveat: profileOnly},
	{Name: "screenshot", Field: "personalUsagePolicies.screenCaptureDisabled", Value: true, Modes: shared, Caveat: "The personal side of a company's device."},
	{Name: "usb_transfer", Field: "deviceConnectivityManagement.usbDataAccess", Value: "DISALLOW_USB_FILE_TRANSFER", Open: "ALLOW_USB_DATA_TRANSFER", Modes: company},
	{Name: "usb_accessories", Caveat: "Android tells no locked device from an unlocked one here."},
	{Name: "external_media", Field: "mountPhysicalMediaDisabled", Value: true, Modes: company},
	{Name: "host_pairing"},
	{Name: "bluetooth", Field: "bluetoothDisabled", Value: true, Modes: company},
	{Name: "bluetooth_change", Field: "bluetoothConfigDisabled", Value: true, Modes: company, Caveat: "The quick settings still turn Bluetooth on and off."},
	{Name: "nfc", Field: "deviceRadioState.nfc", Value: "NFC_DISABLED", Modes: full, MinAPI: 35},
	{Name: "nfc", Field: "deviceWidePolicies.deviceRadioState.nfc", Value: "NFC_DISABLED", Modes: shared, MinAPI: 35},
	{Name: "tethering", Field: "deviceConnectivityManagement.tetheringSettings", Value: "DISALLOW_ALL_TETHERING", Modes: company},
	{Name: "wifi_change", Field: "deviceConnectivityManagement.configureWifi", Value: "DISALLOW_CONFIGURING_WIFI", Modes: company, Caveat: "Networks that are not of the policy are dropped."},
	{Name: "wifi_change", Field: "networkEscapeHatchEnabled", Value: true, Modes: company, Caveat: "Without a network at start the person may join one, so that the device can fetch a repaired policy."},
	{Name: "vpn_change", Field: "vpnConfigDisabled", Value: true},
	{Name: "cellular_change", Field: "mobileNetworksConfigDisabled", Value: true, Modes: company},
	{Name: "esim_change", Field: "deviceRadioState.userInitiatedAddEsimSettings", Value: "USER_INITIATED_ADD_ESIM_DISALLOWED", Modes: company, MinAPI: 35, Caveat: "Adding only."},
	{Name: "roaming", Field: "dataRoamingDisabled", Value: true, Modes: company},
	{Name: "airdrop", Field: "deviceConnectivityManagement.bluetoothSharing", Value: "BLUETOOTH_SHARING_DISALLOWED", Open: "BLUETOOTH_SHARING_ALLOWED", Caveat: profileOnly},
	{Name: "airdrop", Field: "outgoingBeamDisabled", Value: true},
	{Name: "airdrop", Field: "personalUsagePolicies.bluetoothSharing", Value: "BLUETOOTH_SHARING_DISALLOWED", Modes: shared, Caveat: "The personal side of a company's device."},
	{Name: "printing", Field: "printingPolicy", Value: "PRINTING_DISALLOWED", MinAPI: 28},
	{Name: "outgoing_calls", Field: "outgoingCallsDisabled", Value: true, Modes: company},
	{Name: "sms", Field: "smsDisabled", Value: true, Modes: company},
	{Name: "location", When: "user", Field: "locationMode", Value: "LOCATION_USER_CHOICE", Modes: company},
	{Name: "location", When: "on", Field: "locationMode", Value: "LOCATION_ENFORCED", Modes: company, Caveat: "Company-owned work profile: the person is asked to do it."},
	{Name: "location", When: "off", Field: "locationMode", Value: "LOCATION_DISABLED", Modes: company, Caveat: "Company-owned work profile: the person is asked to do it."},
	{Name: "location", When: "off", Field: "shareLocationDisabled", Value: true, Modes: profiles, Caveat: "Apps of the work profile are told no location."},

	{Name: "app_install", Field: "installAppsDisabled", Value: true, Caveat: "With required apps the store is closed instead (playStoreMode WHITELIST), since they could not be installed either."},
	{Name: "app_remove", Field: "uninstallAppsDisabled", Value: true},
	{Name: "app_store", Field: "playStoreMode", Value: "WHITELIST", Open: "BLACKLIST", Rounded: true, Caveat: "The store shows required and allowed apps only; others that were installed are removed."},
	{Name: "unknown_sources", Field: "advancedSecurityOverrides.untrustedAppsPolicy", Value: "DISALLOW_INSTALL", Open: "ALLOW_INSTALL_DEVICE_WIDE"},
	{Name: "marketplaces", Field: "advancedSecurityOverrides.untrustedAppsPolicy", Value: "DISALLOW_INSTALL", Rounded: true, Caveat: "Nothing but Google Play installs apps."},
	{Name: "in_app_purchases"},
	{Name: "automatic_app_downloads"},
	{Name: "browser", Caveat: "Put the browser's package into apps.blocked."},
	{Name: "autofill", Field: "autofillPolicy", Value: "AUTOFILL_DISABLED", MinAPI: 26},
	{Name: "autofill", Field: "credentialProviderPolicyDefault", Value: "CREDENTIAL_PROVIDER_DEFAULT_DISALLOWED", Open: "CREDENTIAL_PROVIDER_DEFAULT_ALLOWED", MinAPI: 34, Caveat: "Password managers."},
	{Name: "explicit_content"},
	{Name: "imessage"},
	{Name: "facetime"},
	{Name: "game_center"},
	{Name: "itunes"},
	{Name: "podcasts"},
	{Name: "bookstore"},
	{Name: "news"},
	{Name: "assistant", Field: "assistContentPolicy", Value: "ASSIST_CONTENT_DISALLOWED", MinAPI: 35, Rounded: true, Caveat: "The assistant stays, but is not told what is on the screen."},
	{Name: "assistant_locked"},
	{Name: "writing_tools"},
	{Name: "image_generation"},
	{Name: "external_intelligence"},
	{Name: "screen_observation"},

	{Name: "backup", Field: "backupService", Value: "BACKUP_SERVICE_DISABLED", Open: "BACKUP_SERVICE_USER_CHOICE", Modes: full, MinAPI: 26},
	{Name: "encrypted_backup", Caveat: "Google's backup is always encrypted."},
	{Name: "cloud_documents"},
	{Name: "cloud_photos"},
	{Name: "cloud_keychain"},
	{Name: "private_relay"},
	{Name: "handoff", Field: "crossDevicePolicies.taskContinuityHandoff", Value: "TASK_CONTINUITY_HANDOFF_DISALLOWED", Caveat: "The newest versions of Android only."},
	{Name: "handoff", Field: "personalUsagePolicies.crossDevicePolicies.taskContinuityHandoff", Value: "TASK_CONTINUITY_HANDOFF_DISALLOWED", Modes: shared, Caveat: "The personal side of a company's device."},
	{Name: "managed_to_unmanaged", Field: "crossProfilePolicies.crossProfileDataSharing", Value: "DATA_SHARING_FROM_WORK_TO_PERSONAL_DISALLOWED", Open: "CROSS_PROFILE_DATA_SHARING_ALLOWED", Modes: profiles},
	{Name: "unmanaged_to_managed", Field: "crossProfilePolicies.crossProfileDataSharing", Value: "CROSS_PROFILE_DATA_SHARING_DISALLOWED", Modes: profiles, Rounded: true, Caveat: "Android forbids both directions, or the one out of the profile."},
	{Name: "managed_pasteboard", Field: "crossProfilePolicies.crossProfileCopyPaste", Value: "COPY_FROM_WORK_TO_PERSONAL_DISALLOWED", Open: "CROSS_PROFILE_COPY_PASTE_ALLOWED", Modes: profiles},
	{Name: "diagnostics"},
	{Name: "ad_tracking"},
	{Name: "find_device"},

	{Name: "factory_reset", Field: "factoryResetDisabled", Value: true, Modes: company, Permission: true, Caveat: "In the settings only; the recovery menu still resets."},
	{Name: "account_change", Field: "modifyAccountsDisabled", Value: true, Caveat: profileOnly},
	{Name: "user_add", Field: "addUserDisabled", Value: true, Modes: company, Caveat: "On a fully managed device nobody adds users anyway."},
	{Name: "passcode_change"},
	{Name: "biometric_unlock", Field: "keyguardDisabledFeatures", Value: "BIOMETRICS", List: true, MinAPI: 28},
	{Name: "biometric_change"},
	{Name: "device_name_change"},
	{Name: "wallpaper_change", Field: "setWallpaperDisabled", Value: true, Modes: full},
	{Name: "notification_change"},
	{Name: "profile_install", Field: "credentialsConfigDisabled", Value: true, Caveat: "Certificates and keys; Android has no profiles."},
	{Name: "safe_boot", Field: "advancedSecurityOverrides.developerSettings", Value: "DEVELOPER_SETTINGS_DISABLED", Modes: company, Rounded: true, Caveat: "One setting for developer options and safe boot."},
	{Name: "developer_options", Field: "advancedSecurityOverrides.developerSettings", Value: "DEVELOPER_SETTINGS_DISABLED", Open: "DEVELOPER_SETTINGS_ALLOWED", Modes: company, Caveat: "Safe boot goes with it."},
	{Name: "automatic_time", Field: "autoDateAndTimeZone", Value: "AUTO_DATE_AND_TIME_ZONE_ENFORCED", Modes: company},
	{Name: "lock_screen_controls"},
	{Name: "lock_screen_notifications", Field: "keyguardDisabledFeatures", Value: "NOTIFICATIONS", List: true, Modes: full},
	{Name: "lock_screen_notifications", Field: "keyguardDisabledFeatures", Value: "UNREDACTED_NOTIFICATIONS", List: true, Modes: profiles, Caveat: "With a work profile: the content of the profile's notifications is hidden."},
	{Name: "proximity_setup"},
	{Name: "paired_watch"},
	{Name: "network_drives"},
	{Name: "screen_time"},
	{Name: "dictation"},
	{Name: "untrusted_tls"},
}

// Feature is what another part of the document becomes.
type Feature struct {
	Pointer string // "/passcode/min_length"; the pattern of a list's elements has no index: "/wifi/ssid"
	Field   string // empty: Android has no such setting in a policy
	Modes   []document.Management
	MinAPI  int
	Caveat  string
}

// Features is the table of everything that is no restriction.
var Features = []Feature{
	{Pointer: "/passcode/required", Field: "passwordPolicies[].passwordQuality", Caveat: "Personal work profile: the device's lock is held to one of three complexities."},
	{Pointer: "/passcode/min_length", Field: "passwordPolicies[].passwordMinimumLength", Caveat: "Not together with a bare complexity; the server then asks for the kind of characters instead."},
	{Pointer: "/passcode/complexity", Field: "passwordPolicies[].passwordQuality"},
	{Pointer: "/passcode/simple", Field: "passwordPolicies[].passwordQuality", Caveat: "NUMERIC_COMPLEX."},
	{Pointer: "/passcode/alphanumeric", Field: "passwordPolicies[].passwordQuality", Caveat: "ALPHANUMERIC."},
	{Pointer: "/passcode/min_complex_characters", Field: "passwordPolicies[].passwordMinimumSymbols", Caveat: "Quality COMPLEX."},
	{Pointer: "/passcode/history", Field: "passwordPolicies[].passwordHistoryLength"},
	{Pointer: "/passcode/max_age_days", Field: "passwordPolicies[].passwordExpirationTimeout"},
	{Pointer: "/passcode/max_failed_attempts", Field: "passwordPolicies[].maximumFailedPasswordsForWipe", Caveat: "Personal work profile: the profile is removed."},
	{Pointer: "/passcode/lock_after_seconds", Field: "maximumTimeToLock"},
	{Pointer: "/passcode/grace_seconds", Caveat: "Android locks at once, or as the person set it."},
	{Pointer: "/passcode/work_profile", Field: "passwordPolicies[].unifiedLockSettings", Modes: profiles, Caveat: "A second entry for the profile."},
	{Pointer: "/wifi", Field: "openNetworkConfiguration.NetworkConfigurations", Caveat: "wpa3 is asked for as wpa2, which joins both. eap: tls, ttls, peap, sim, aka, with server_names; a pkcs12 must have no password."},
	{Pointer: "/wifi/proxy", Field: "openNetworkConfiguration.NetworkConfigurations[].ProxySettings", Caveat: "Android asks the person for the name and password of a proxy."},
	{Pointer: "/wifi/disable_private_address", Field: "openNetworkConfiguration.NetworkConfigurations[].WiFi.MACAddressRandomizationMode", MinAPI: 33},
	{Pointer: "/vpn", Field: "alwaysOnVpnPackage", Caveat: "android_package; the connection itself is the app's configuration."},
	{Pointer: "/email", Caveat: "Configure a mail app in apps.required."},
	{Pointer: "/certificates", Field: "openNetworkConfiguration.Certificates", Caveat: "Those that Wi-Fi networks refer to."},
	{Pointer: "/web_clips", Caveat: "A web app is an object of its own at Google."},
	{Pointer: "/apps/required", Field: "applications[].installType FORCE_INSTALLED", Caveat: "From Google Play. removable: PREINSTALLED."},
	{Pointer: "/apps/allowed", Field: "playStoreMode WHITELIST, applications[].installType AVAILABLE", Caveat: "Other apps are removed. Company-owned work profile: the personal store too."},
	{Pointer: "/apps/blocked", Field: "applications[].installType BLOCKED", Caveat: "Company-owned work profile: on the personal side too."},
	{Pointer: "/web_filter", Field: "applications[com.android.chrome].managedConfiguration", Caveat: "Chrome only. adult_content: SafeSearch."},
	{Pointer: "/device_name", Caveat: "The name shown to the person is the person's."},
	{Pointer: "/lock_message", Field: "deviceOwnerLockScreenInfo.defaultMessage", Modes: full},
	{Pointer: "/os_update/mode", Field: "systemUpdate.type", Modes: company, Caveat: "postpone: 30 days."},
	{Pointer: "/os_update/window_start_minute", Field: "systemUpdate.startMinutes", Modes: company},
	{Pointer: "/os_update/window_end_minute", Field: "systemUpdate.endMinutes", Modes: company},
	{Pointer: "/os_update/defer_days"},
	{Pointer: "/os_update/target_version"},
	{Pointer: "/os_update/deadline"},
	{Pointer: "/os_update/min_api_level", Field: "minimumApiLevel", Caveat: "Reported only: Google's rules of enforcement always end in a wipe, so the server writes none; android.policy can hold policyEnforcementRules."},
	{Pointer: "/home_screen"},
	{Pointer: "/single_app", Field: "applications[].roles KIOSK", Modes: full},
}

// Pointer gives the place in the document that a complaint of a device is
// about (nonComplianceDetails: settingName, fieldPath), as far as the field
// tells; for a raw field that field, and "" where nothing of a document becomes
// such a setting.
func Pointer(settingName, fieldPath string) string {
	path := fieldPath
	if path == "" {
		path = settingName
	}
	if !strings.HasPrefix(path, settingName) {
		path = settingName + "." + path
	}
	path = indices.ReplaceAllString(path, "[]")
	best, length := "", 0
	match := func(pointer, field string) {
		field, _, _ = strings.Cut(strings.ReplaceAll(field, "[com.android.chrome]", "[]"), " ")
		for _, f := range []string{path, settingName} {
			if n := len(f); n > length && (f == field || strings.HasPrefix(field, f+".") || strings.HasPrefix(field, f+"[]") || strings.HasPrefix(f, field+".") || strings.HasPrefix(f, field+"[]")) {
				best, length = pointer, n
			}
		}
	}
	for _, r := range Restrictions {
		if r.Field != "" {
			match("/restrictions/"+r.Name, r.Field)
		}
	}
	for _, f := range Features {
		if f.Field != "" {
			match(f.Pointer, f.Field)
		}
	}
	if best == "" && settingName != "" {
		return "/android/policy/" + settingName
	}
	return best
}
