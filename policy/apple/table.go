package apple

import "strings"

// Row is what one restriction of the document becomes: a key of the payload
// com.apple.applicationaccess, or an item of the Settings command. A restriction
// may have several rows; one that Apple has no answer to has a row without Key
// that says why.
type Row struct {
	Name           string // of the restriction in the document (JSON)
	Key            string // "allowCamera"; an item of the Settings command: "Settings.Bluetooth"
	Value          any    // bool; written when the restriction is denied or required
	Supervised     bool   // only supervised devices honour it
	MinOS          string // iOS and iPadOS
	Deprecated     string // by Apple, from this version on; it still works
	UserEnrollment bool   // honoured on the personal device of a user
	Rounded        bool   // does more or less than the name says; the caveat says what
	Caveat         string // for people
}

// settingsPrefix starts the Key of a row that is an item of the Settings
// command.
const settingsPrefix = "Settings."

// Setting is the item of the Settings command, or "".
func (r Row) setting() string {
	item, ok := strings.CutPrefix(r.Key, settingsPrefix)
	if !ok {
		return ""
	}
	return item
}

const (
	deprecatedUnsupervised = "Apple deprecates it on devices that are not supervised."
	userMayTurnBack        = "Set once; the user may turn it on again."
)

// Restrictions are all restrictions of the document in its order (Apple:
// Restrictions; supervision, versions and deprecations as of OS 26 and 27).
var Restrictions = []Row{
	{Name: "camera", Key: "allowCamera", Value: false, MinOS: "4.0", Caveat: deprecatedUnsupervised},
	{Name: "microphone", Caveat: "Apple has no switch for the microphone."},
	{Name: "screenshot", Key: "allowScreenShot", Value: false, MinOS: "3.1", UserEnrollment: true},
	{Name: "usb_transfer", Key: "allowHostPairing", Value: false, Supervised: true, MinOS: "7.0", Rounded: true, Caveat: "Files go over USB to paired computers only, so pairing is denied, as host_pairing does; the supervising computer still can."},
	{Name: "usb_accessories", Key: "allowUSBRestrictedMode", Value: true, Supervised: true, MinOS: "11.4.1", Rounded: true, Caveat: "Keeps accessories from a device that is locked for an hour; the user may turn that off in Settings."},
	{Name: "external_media", Key: "allowFilesUSBDriveAccess", Value: false, Supervised: true, MinOS: "13.0"},
	{Name: "host_pairing", Key: "allowHostPairing", Value: false, Supervised: true, MinOS: "7.0"},
	{Name: "bluetooth", Key: "Settings.Bluetooth", Value: false, Supervised: true, MinOS: "11.3", Caveat: "Set once; deny bluetooth_change as well, or the user may turn it on again."},
	{Name: "bluetooth_change", Key: "allowBluetoothModification", Value: false, Supervised: true, MinOS: "11.0"},
	{Name: "nfc", Key: "allowNFC", Value: false, Supervised: true, MinOS: "14.2"},
	{Name: "tethering", Key: "allowPersonalHotspotModification", Value: false, Supervised: true, MinOS: "12.2"},
	{Name: "tethering", Key: "Settings.PersonalHotspot", Value: false, MinOS: "7.0", Caveat: userMayTurnBack},
	{Name: "wifi_change", Key: "forceWiFiToAllowedNetworksOnly", Value: true, Supervised: true, MinOS: "14.5", Caveat: "Without a network in its policies the device joins none."},
	{Name: "vpn_change", Key: "allowVPNCreation", Value: false, Supervised: true, MinOS: "11.0"},
	{Name: "cellular_change", Key: "allowCellularPlanModification", Value: false, Supervised: true, MinOS: "11.0"},
	{Name: "cellular_change", Key: "allowAppCellularDataModification", Value: false, Supervised: true, MinOS: "7.0"},
	{Name: "esim_change", Key: "allowESIMModification", Value: false, Supervised: true, MinOS: "12.1"},
	{Name: "roaming", Key: "Settings.DataRoaming", Value: false, MinOS: "5.0", Rounded: true, Caveat: userMayTurnBack},
	{Name: "airdrop", Key: "allowAirDrop", Value: false, Supervised: true, MinOS: "7.0"},
	{Name: "printing", Key: "allowAirPrint", Value: false, Supervised: true, MinOS: "11.0"},
	{Name: "outgoing_calls", Caveat: "Apple has no switch for calls; block the app com.apple.mobilephone where that is meant."},
	{Name: "sms", Caveat: "Apple has no switch for SMS; imessage denies iMessage only."},
	{Name: "location", Caveat: "Apple leaves location services to the user."},

	{Name: "app_install", Key: "allowAppInstallation", Value: false, Supervised: true, MinOS: "4.0", Caveat: "Takes the App Store away, and updates by hand; the server still installs."},
	{Name: "app_remove", Key: "allowAppRemoval", Value: false, Supervised: true, MinOS: "4.2.1"},
	{Name: "app_store", Key: "allowUIAppInstallation", Value: false, Supervised: true, MinOS: "9.0", Caveat: "Computers and the server still install."},
	{Name: "unknown_sources", Key: "allowEnterpriseAppTrust", Value: false, MinOS: "9.0", Caveat: "Apps that were trusted before stay."},
	{Name: "marketplaces", Key: "allowMarketplaceAppInstallation", Value: false, Supervised: true, MinOS: "17.4"},
	{Name: "marketplaces", Key: "allowWebDistributionAppInstallation", Value: false, Supervised: true, MinOS: "17.5"},
	{Name: "in_app_purchases", Key: "allowInAppPurchases", Value: false, MinOS: "4.0", Caveat: deprecatedUnsupervised},
	{Name: "automatic_app_downloads", Key: "allowAutomaticAppDownloads", Value: false, Supervised: true, MinOS: "9.0"},
	{Name: "browser", Key: "allowSafari", Value: false, Supervised: true, MinOS: "4.0"},
	{Name: "autofill", Key: "safariAllowAutoFill", Value: false, Supervised: true, MinOS: "4.0"},
	{Name: "autofill", Key: "allowPasswordAutoFill", Value: false, Supervised: true, MinOS: "12.0"},
	{Name: "explicit_content", Key: "allowExplicitContent", Value: false, Supervised: true, MinOS: "4.0"},
	{Name: "imessage", Key: "allowChat", Value: false, Supervised: true, MinOS: "5.0"},
	{Name: "facetime", Key: "allowVideoConferencing", Value: false, Supervised: true, MinOS: "4.0"},
	{Name: "game_center", Key: "allowGameCenter", Value: false, Supervised: true, MinOS: "6.0"},
	{Name: "itunes", Key: "allowiTunes", Value: false, Supervised: true, MinOS: "4.0"},
	{Name: "podcasts", Key: "allowPodcasts", Value: false, Supervised: true, MinOS: "8.0"},
	{Name: "bookstore", Key: "allowBookstore", Value: false, Supervised: true, MinOS: "6.0"},
	{Name: "news", Key: "allowNews", Value: false, Supervised: true, MinOS: "9.0"},
	{Name: "assistant", Key: "allowAssistant", Value: false, MinOS: "5.0", Deprecated: "26.4", UserEnrollment: true},
	{Name: "assistant_locked", Key: "allowAssistantWhileLocked", Value: false, MinOS: "5.1", Deprecated: "26.4", UserEnrollment: true},
	{Name: "writing_tools", Key: "allowWritingTools", Value: false, Supervised: true, MinOS: "18.0", Deprecated: "26.4"},
	{Name: "image_generation", Key: "allowImagePlayground", Value: false, Supervised: true, MinOS: "18.0", Deprecated: "26.4"},
	{Name: "image_generation", Key: "allowGenmoji", Value: false, Supervised: true, MinOS: "18.0", Deprecated: "26.4"},
	{Name: "image_generation", Key: "allowImageWand", Value: false, Supervised: true, MinOS: "18.0", Deprecated: "26.4"},
	{Name: "external_intelligence", Key: "allowExternalIntelligenceIntegrations", Value: false, MinOS: "18.2", Deprecated: "26.4", UserEnrollment: true},
	{Name: "screen_observation", Key: "allowRemoteScreenObservation", Value: false, MinOS: "9.3", UserEnrollment: true},

	{Name: "backup", Key: "allowCloudBackup", Value: false, MinOS: "5.0", Rounded: true, Caveat: "iCloud; a computer still can, see encrypted_backup. " + deprecatedUnsupervised},
	{Name: "encrypted_backup", Key: "forceEncryptedBackup", Value: true, MinOS: "4.0", UserEnrollment: true},
	{Name: "cloud_documents", Key: "allowCloudDocumentSync", Value: false, Supervised: true, MinOS: "5.0"},
	{Name: "cloud_photos", Key: "allowCloudPhotoLibrary", Value: false, MinOS: "9.0", Caveat: "Photos that are not yet on the device are removed from it."},
	{Name: "cloud_keychain", Key: "allowCloudKeychainSync", Value: false, MinOS: "7.0"},
	{Name: "private_relay", Key: "allowCloudPrivateRelay", Value: false, Supervised: true, MinOS: "15.0"},
	{Name: "handoff", Key: "allowActivityContinuation", Value: false, MinOS: "8.0"},
	{Name: "managed_to_unmanaged", Key: "allowOpenFromManagedToUnmanaged", Value: false, MinOS: "7.0", UserEnrollment: true},
	{Name: "managed_to_unmanaged", Key: "forceAirDropUnmanaged", Value: true, MinOS: "9.0", UserEnrollment: true},
	{Name: "unmanaged_to_managed", Key: "allowOpenFromUnmanagedToManaged", Value: false, MinOS: "7.0", UserEnrollment: true},
	{Name: "managed_pasteboard", Key: "requireManagedPasteboard", Value: true, MinOS: "15.0", UserEnrollment: true, Caveat: "Works together with managed_to_unmanaged and unmanaged_to_managed."},
	{Name: "diagnostics", Key: "allowDiagnosticSubmission", Value: false, MinOS: "6.0", UserEnrollment: true},
	{Name: "ad_tracking", Key: "forceLimitAdTracking", Value: true, MinOS: "7.0"},
	{Name: "ad_tracking", Key: "allowApplePersonalizedAdvertising", Value: false, MinOS: "14.0"},
	{Name: "find_device", Key: "allowFindMyDevice", Value: false, Supervised: true, MinOS: "13.0"},

	{Name: "factory_reset", Key: "allowEraseContentAndSettings", Value: false, Supervised: true, MinOS: "8.0"},
	{Name: "account_change", Key: "allowAccountModification", Value: false, Supervised: true, MinOS: "7.0"},
	{Name: "user_add", Caveat: "An iPhone or iPad has one user."},
	{Name: "passcode_change", Key: "allowPasscodeModification", Value: false, Supervised: true, MinOS: "9.0"},
	{Name: "biometric_unlock", Key: "allowFingerprintForUnlock", Value: false, MinOS: "7.0", Caveat: "Touch ID and Face ID. " + deprecatedUnsupervised},
	{Name: "biometric_change", Key: "allowFingerprintModification", Value: false, Supervised: true, MinOS: "8.3"},
	{Name: "device_name_change", Key: "allowDeviceNameModification", Value: false, Supervised: true, MinOS: "9.0"},
	{Name: "wallpaper_change", Key: "allowWallpaperModification", Value: false, Supervised: true, MinOS: "9.0"},
	{Name: "notification_change", Key: "allowNotificationsModification", Value: false, Supervised: true, MinOS: "9.3"},
	{Name: "profile_install", Key: "allowUIConfigurationProfileInstallation", Value: false, Supervised: true, MinOS: "6.0"},
	{Name: "developer_options", Caveat: "Apple has no switch for Developer Mode."},
	{Name: "safe_boot", Caveat: "An iPhone or iPad has no safe mode."},
	{Name: "automatic_time", Key: "forceAutomaticDateAndTime", Value: true, Supervised: true, MinOS: "12.0"},
	{Name: "lock_screen_controls", Key: "allowLockScreenControlCenter", Value: false, MinOS: "7.0", UserEnrollment: true},
	{Name: "lock_screen_notifications", Key: "allowLockScreenNotificationsView", Value: false, MinOS: "7.0", UserEnrollment: true},
	{Name: "lock_screen_notifications", Key: "allowLockScreenTodayView", Value: false, MinOS: "7.0", UserEnrollment: true},
	{Name: "proximity_setup", Key: "allowProximitySetupToNewDevice", Value: false, Supervised: true, MinOS: "11.0"},
	{Name: "paired_watch", Key: "allowPairedWatch", Value: false, Supervised: true, MinOS: "9.0"},
	{Name: "network_drives", Key: "allowFilesNetworkDriveAccess", Value: false, Supervised: true, MinOS: "13.1"},
	{Name: "screen_time", Key: "allowEnablingRestrictions", Value: false, Supervised: true, MinOS: "8.0"},
	{Name: "dictation", Key: "allowDictation", Value: false, Supervised: true, MinOS: "10.3", Deprecated: "26.4"},
	{Name: "untrusted_tls", Key: "allowUntrustedTLSPrompt", Value: false, MinOS: "5.0"},
}

// Feature is what a part of the document beside the restrictions becomes.
type Feature struct {
	Name           string // of the field in the document: "wifi", "wifi.proxy"
	Type           string // payload, declaration, command, or "Settings.DeviceName"
	Key            string // of it, where the feature is one key
	Before         string // only on versions before this one; those from it on have another row
	Supervised     bool
	MinOS          string // iOS and iPadOS
	UserEnrollment bool
	Mac            bool // carried out on a Mac too
	Caveat         string
}

// Features are all parts of the document that need more than an iPhone or iPad
// of its organization, or work on less.
var Features = []Feature{
	{Name: "device_name", Type: "Settings.DeviceName", Supervised: true, MinOS: "5.0", Mac: true},
	{Name: "certificates", Type: "com.apple.security.root", MinOS: "4.0", UserEnrollment: true, Mac: true, Caveat: "Installed roots are trusted for TLS at once."},
	{Name: "wifi", Type: "com.apple.wifi.managed", Key: "SSID_STR", MinOS: "7.0", UserEnrollment: true, Mac: true},
	{Name: "wifi.proxy", Type: "com.apple.wifi.managed", Key: "ProxyType", MinOS: "4.0", Mac: true},
	{Name: "wifi.disable_private_address", Type: "com.apple.wifi.managed", Key: "DisableAssociationMACRandomization", MinOS: "14.0"},
	{Name: "vpn", Type: "com.apple.vpn.managed", Key: "IKEv2", MinOS: "8.0", Mac: true, Caveat: "IKEv2 with Apple's default algorithms (AES-256, SHA2-256, group 14)."},
	{Name: "email", Type: "com.apple.mail.managed", MinOS: "4.0", UserEnrollment: true, Mac: true, Caveat: "The device asks for passwords that are left out."},
	{Name: "email.prevent_move", Type: "com.apple.mail.managed", Key: "PreventMove", MinOS: "5.0", UserEnrollment: true},
	{Name: "web_clips", Type: "com.apple.webClip.managed", MinOS: "4.0", UserEnrollment: true, Mac: true},
	{Name: "web_clips.removable", Type: "com.apple.webClip.managed", Key: "IsRemovable", MinOS: "4.0", UserEnrollment: true},
	{Name: "web_clips.full_screen", Type: "com.apple.webClip.managed", Key: "FullScreen", MinOS: "4.0", UserEnrollment: true},
	{Name: "passcode", Type: "com.apple.mobiledevice.passwordpolicy", Before: "15.0", MinOS: "4.0", UserEnrollment: true, Mac: true, Caveat: "In user enrollment six digits that are not simple, whatever the policy says."},
	{Name: "passcode", Type: "com.apple.configuration.passcode.settings", MinOS: "15.0", UserEnrollment: true, Mac: true, Caveat: "A Mac gets the profile."},
	{Name: "web_filter", Type: "com.apple.webcontent-filter", Supervised: true, MinOS: "7.0", Caveat: "Safari and the web views of apps."},
	{Name: "apps.required", Type: "InstallApplication", Key: "Identifier", MinOS: "7.0", UserEnrollment: true, Caveat: "Without supervision the user is asked. In user enrollment only with a volume licence, or from a manifest."},
	{Name: "apps.required.removable", Type: "InstallApplication", Key: "Attributes.Removable", MinOS: "14.0", UserEnrollment: true},
	{Name: "apps.allowed", Type: "com.apple.applicationaccess", Key: "whitelistedAppBundleIDs", Before: "15.0", Supervised: true, MinOS: "9.3"},
	{Name: "apps.allowed", Type: "com.apple.applicationaccess", Key: "allowListedAppBundleIDs", Supervised: true, MinOS: "15.0", Caveat: "Phone and Settings are always there; other apps of the system only if they are on the list."},
	{Name: "apps.blocked", Type: "com.apple.applicationaccess", Key: "blacklistedAppBundleIDs", Before: "15.0", Supervised: true, MinOS: "9.3"},
	{Name: "apps.blocked", Type: "com.apple.applicationaccess", Key: "blockedAppBundleIDs", Supervised: true, MinOS: "15.0"},
	{Name: "home_screen", Type: "com.apple.homescreenlayout", Supervised: true, MinOS: "9.3"},
	{Name: "home_screen.web_clip", Type: "com.apple.homescreenlayout", Key: "Dock.IconItem.URL", Supervised: true, MinOS: "11.3"},
	{Name: "lock_message", Type: "com.apple.shareddeviceconfiguration", Key: "LockScreenFootnote", Supervised: true, MinOS: "9.3.1"},
	{Name: "os_update.target_version", Type: "com.apple.configuration.softwareupdate.enforcement.specific", MinOS: "17.0"},
	{Name: "os_update.mode", Type: "com.apple.configuration.softwareupdate.settings", Key: "AutomaticActions", Supervised: true, MinOS: "18.0", Caveat: "The device chooses the time of day: windowed is carried out as automatic."},
	{Name: "os_update.defer_days", Type: "com.apple.applicationaccess", Key: "forceDelayedSoftwareUpdates", Before: "18.0", Supervised: true, MinOS: "11.3"},
	{Name: "os_update.defer_days", Type: "com.apple.configuration.softwareupdate.settings", Key: "Deferrals", Supervised: true, MinOS: "18.0", Caveat: "Mode postpone defers for the longest time, 90 days."},
	{Name: "single_app", Type: "com.apple.app.lock", Supervised: true, MinOS: "6.0", Caveat: "The app has to be on the device: put it among the required apps."},
}
