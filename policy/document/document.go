package document

import "encoding/json"

// Document is what a policy says, in neutral words. Bounds are told by the
// tags (JSON Schema) and are checked where a document enters; Check adds what
// one field says about another.
type Document struct {
	Restrictions *Restrictions `json:"restrictions,omitempty"`
	Passcode     *Passcode     `json:"passcode,omitempty"`

	WiFi         []WiFi        `json:"wifi,omitempty" maxItems:"50" doc:"Union over all policies, by ssid."`
	VPN          []VPN         `json:"vpn,omitempty" maxItems:"20" doc:"Union over all policies, by name."`
	Email        []Email       `json:"email,omitempty" maxItems:"20" doc:"Union over all policies, by name."`
	Certificates []Certificate `json:"certificates,omitempty" maxItems:"50" doc:"Union over all policies, by name. Wi-Fi and VPN refer to them by name."`
	WebClips     []WebClip     `json:"web_clips,omitempty" maxItems:"50" doc:"Union over all policies, by name."`
	Apps         *Apps         `json:"apps,omitempty"`

	WebFilter   *WebFilter  `json:"web_filter,omitempty"`
	DeviceName  string      `json:"device_name,omitempty" maxLength:"255" doc:"Name the device is to have. May hold variables. Single value: the highest priority wins."`
	LockMessage string      `json:"lock_message,omitempty" maxLength:"500" doc:"Shown on the lock screen. May hold variables. Single value."`
	OSUpdate    *OSUpdate   `json:"os_update,omitempty" doc:"Single value."`
	HomeScreen  *HomeScreen `json:"home_screen,omitempty" doc:"Single value."`
	SingleApp   *App        `json:"single_app,omitempty" doc:"The only app the device shows (kiosk). Single value."`

	Apple   *Apple   `json:"apple,omitempty" doc:"Apple's own payloads, as they are."`
	Android *Android `json:"android,omitempty" doc:"Fields of the Android Management policy, as they are."`
}

// Permission is what a restriction says; empty: nothing. Of two policies deny
// wins.
type Permission string

// The permissions.
const (
	Allow Permission = "allow"
	Deny  Permission = "deny"
)

// Requirement is what a duty says; empty: nothing. Of two policies require wins.
type Requirement string

// The requirements.
const (
	Require  Requirement = "require"
	Optional Requirement = "optional"
)

// Location is the location setting. Of two policies off wins over on, and on
// over user.
type Location string

// The location settings.
const (
	LocationOff  Location = "off"
	LocationOn   Location = "on"
	LocationUser Location = "user"
)

// Restrictions are what people may do with the device. What each becomes on
// each platform, and who does not honour it, is told by the tables of the
// compilers and by docs/policy.md.
type Restrictions struct {
	// Hardware and connections.
	Camera         Permission `json:"camera,omitempty" enum:"allow,deny"`
	Microphone     Permission `json:"microphone,omitempty" enum:"allow,deny"`
	Screenshot     Permission `json:"screenshot,omitempty" enum:"allow,deny" doc:"Screenshots and screen recording."`
	USBTransfer    Permission `json:"usb_transfer,omitempty" enum:"allow,deny" doc:"Files over USB to a computer."`
	USBAccessories Permission `json:"usb_accessories,omitempty" enum:"allow,deny" doc:"Accessories while the device is locked."`
	ExternalMedia  Permission `json:"external_media,omitempty" enum:"allow,deny" doc:"USB drives and memory cards."`
	HostPairing    Permission `json:"host_pairing,omitempty" enum:"allow,deny" doc:"Pairing with other computers than the supervising one."`
	Bluetooth      Permission `json:"bluetooth,omitempty" enum:"allow,deny"`
	BluetoothSetup Permission `json:"bluetooth_change,omitempty" enum:"allow,deny" doc:"Changing Bluetooth settings."`
	NFC            Permission `json:"nfc,omitempty" enum:"allow,deny"`
	Tethering      Permission `json:"tethering,omitempty" enum:"allow,deny" doc:"Personal hotspot."`
	WiFiSetup      Permission `json:"wifi_change,omitempty" enum:"allow,deny" doc:"Joining networks other than those of the policy."`
	VPNSetup       Permission `json:"vpn_change,omitempty" enum:"allow,deny"`
	MobileNetworks Permission `json:"cellular_change,omitempty" enum:"allow,deny" doc:"Changing mobile network settings."`
	ESIMChange     Permission `json:"esim_change,omitempty" enum:"allow,deny"`
	Roaming        Permission `json:"roaming,omitempty" enum:"allow,deny" doc:"Data while roaming."`
	AirDrop        Permission `json:"airdrop,omitempty" enum:"allow,deny" doc:"AirDrop on Apple, nearby and Bluetooth sharing on Android."`
	AirPrint       Permission `json:"printing,omitempty" enum:"allow,deny"`
	OutgoingCalls  Permission `json:"outgoing_calls,omitempty" enum:"allow,deny"`
	SMS            Permission `json:"sms,omitempty" enum:"allow,deny"`
	Location       Location   `json:"location,omitempty" enum:"off,on,user"`

	// Apps and content.
	AppInstall        Permission `json:"app_install,omitempty" enum:"allow,deny"`
	AppRemove         Permission `json:"app_remove,omitempty" enum:"allow,deny"`
	AppStore          Permission `json:"app_store,omitempty" enum:"allow,deny" doc:"Installing from the store by hand; the server still installs."`
	UnknownSources    Permission `json:"unknown_sources,omitempty" enum:"allow,deny" doc:"Apps from outside the store; trusting enterprise apps."`
	Marketplaces      Permission `json:"marketplaces,omitempty" enum:"allow,deny" doc:"Alternative marketplaces and web distribution."`
	InAppPurchases    Permission `json:"in_app_purchases,omitempty" enum:"allow,deny"`
	AutomaticApps     Permission `json:"automatic_app_downloads,omitempty" enum:"allow,deny"`
	Safari            Permission `json:"browser,omitempty" enum:"allow,deny" doc:"The built-in browser."`
	AutoFill          Permission `json:"autofill,omitempty" enum:"allow,deny"`
	ExplicitContent   Permission `json:"explicit_content,omitempty" enum:"allow,deny"`
	IMessage          Permission `json:"imessage,omitempty" enum:"allow,deny"`
	FaceTime          Permission `json:"facetime,omitempty" enum:"allow,deny"`
	GameCenter        Permission `json:"game_center,omitempty" enum:"allow,deny"`
	Music             Permission `json:"itunes,omitempty" enum:"allow,deny"`
	Podcasts          Permission `json:"podcasts,omitempty" enum:"allow,deny"`
	Books             Permission `json:"bookstore,omitempty" enum:"allow,deny"`
	News              Permission `json:"news,omitempty" enum:"allow,deny"`
	Siri              Permission `json:"assistant,omitempty" enum:"allow,deny"`
	SiriLocked        Permission `json:"assistant_locked,omitempty" enum:"allow,deny" doc:"The assistant while the device is locked."`
	WritingTools      Permission `json:"writing_tools,omitempty" enum:"allow,deny"`
	ImageGeneration   Permission `json:"image_generation,omitempty" enum:"allow,deny"`
	ExternalAI        Permission `json:"external_intelligence,omitempty" enum:"allow,deny"`
	ScreenObservation Permission `json:"screen_observation,omitempty" enum:"allow,deny"`

	// Data and cloud.
	Backup             Permission  `json:"backup,omitempty" enum:"allow,deny"`
	EncryptedBackup    Requirement `json:"encrypted_backup,omitempty" enum:"require,optional"`
	CloudDocuments     Permission  `json:"cloud_documents,omitempty" enum:"allow,deny"`
	CloudPhotos        Permission  `json:"cloud_photos,omitempty" enum:"allow,deny"`
	CloudKeychain      Permission  `json:"cloud_keychain,omitempty" enum:"allow,deny"`
	PrivateRelay       Permission  `json:"private_relay,omitempty" enum:"allow,deny"`
	Handoff            Permission  `json:"handoff,omitempty" enum:"allow,deny"`
	ManagedToUnmanaged Permission  `json:"managed_to_unmanaged,omitempty" enum:"allow,deny" doc:"Opening documents of managed apps in others; work to personal on Android."`
	UnmanagedToManaged Permission  `json:"unmanaged_to_managed,omitempty" enum:"allow,deny"`
	ManagedPasteboard  Requirement `json:"managed_pasteboard,omitempty" enum:"require,optional" doc:"Copy and paste keep to the same boundary."`
	Diagnostics        Permission  `json:"diagnostics,omitempty" enum:"allow,deny" doc:"Sending diagnostics to the vendor."`
	AdTracking         Permission  `json:"ad_tracking,omitempty" enum:"allow,deny"`
	FindMy             Permission  `json:"find_device,omitempty" enum:"allow,deny"`

	// The device and its settings.
	FactoryReset           Permission  `json:"factory_reset,omitempty" enum:"allow,deny"`
	AccountChange          Permission  `json:"account_change,omitempty" enum:"allow,deny"`
	UserAdd                Permission  `json:"user_add,omitempty" enum:"allow,deny" doc:"Further users on the device."`
	PasscodeChange         Permission  `json:"passcode_change,omitempty" enum:"allow,deny"`
	BiometricUnlock        Permission  `json:"biometric_unlock,omitempty" enum:"allow,deny"`
	BiometricChange        Permission  `json:"biometric_change,omitempty" enum:"allow,deny"`
	DeviceNameChange       Permission  `json:"device_name_change,omitempty" enum:"allow,deny"`
	WallpaperChange        Permission  `json:"wallpaper_change,omitempty" enum:"allow,deny"`
	NotificationChange     Permission  `json:"notification_change,omitempty" enum:"allow,deny"`
	ProfileInstall         Permission  `json:"profile_install,omitempty" enum:"allow,deny" doc:"Installing configuration profiles and certificates by hand."`
	DeveloperOptions       Permission  `json:"developer_options,omitempty" enum:"allow,deny"`
	SafeBoot               Permission  `json:"safe_boot,omitempty" enum:"allow,deny"`
	AutomaticTime          Requirement `json:"automatic_time,omitempty" enum:"require,optional"`
	LockControlCenter      Permission  `json:"lock_screen_controls,omitempty" enum:"allow,deny" doc:"Control Center on the lock screen."`
	LockNotifications      Permission  `json:"lock_screen_notifications,omitempty" enum:"allow,deny"`
	ProximitySetup         Permission  `json:"proximity_setup,omitempty" enum:"allow,deny" doc:"Setting up a new device nearby."`
	PairedWatch            Permission  `json:"paired_watch,omitempty" enum:"allow,deny"`
	FilesNetworkDrives     Permission  `json:"network_drives,omitempty" enum:"allow,deny"`
	ScreenTimeRestrictions Permission  `json:"screen_time,omitempty" enum:"allow,deny"`
	KeyboardDictation      Permission  `json:"dictation,omitempty" enum:"allow,deny"`
	UntrustedTLS           Permission  `json:"untrusted_tls,omitempty" enum:"allow,deny" doc:"Accepting untrusted certificates by hand."`
}

// Passcode is what the passcode must be; zero values say nothing. Of two
// policies the stricter value of each field wins.
type Passcode struct {
	Required          bool       `json:"required,omitempty"`
	MinLength         int        `json:"min_length,omitempty" minimum:"1" maximum:"16"`
	Complexity        string     `json:"complexity,omitempty" enum:"low,medium,high" doc:"low: 4 digits or a pattern. medium: no repeated or ordered digits (Apple: not simple). high: 8 characters with letters (Apple: alphanumeric, not simple)."`
	Simple            Permission `json:"simple,omitempty" enum:"allow,deny" doc:"1111, 1234 and the like."`
	Alphanumeric      bool       `json:"alphanumeric,omitempty" doc:"At least one letter and one digit."`
	MinComplexChars   int        `json:"min_complex_characters,omitempty" minimum:"1" maximum:"4"`
	History           int        `json:"history,omitempty" minimum:"1" maximum:"50" doc:"Number of old passcodes that cannot be used again."`
	MaxAgeDays        int        `json:"max_age_days,omitempty" minimum:"1" maximum:"730"`
	MaxFailedAttempts int        `json:"max_failed_attempts,omitempty" minimum:"2" maximum:"11" doc:"After so many the device erases itself."`
	LockAfterSeconds  int        `json:"lock_after_seconds,omitempty" minimum:"15" maximum:"3600" doc:"Inactivity until the screen locks. Apple counts whole minutes, at most 15: rounded down, at least 1."`
	GraceSeconds      *int       `json:"grace_seconds,omitempty" minimum:"0" maximum:"14400" doc:"Time after locking in which no passcode is asked for."`
	WorkProfile       bool       `json:"work_profile,omitempty" doc:"On Android, ask for the work profile's own lock as well."`
}

// WiFi is one network.
type WiFi struct {
	SSID      string `json:"ssid" minLength:"1" maxLength:"32"`
	Hidden    bool   `json:"hidden,omitempty"`
	AutoJoin  *bool  `json:"auto_join,omitempty" doc:"Default true."`
	Security  string `json:"security" enum:"open,wep,wpa2,wpa3,eap" doc:"wpa2 and wpa3 are personal (a passphrase); eap is enterprise."`
	Password  Secret `json:"password,omitempty" maxLength:"64" format:"password" doc:"8 to 63 characters or 64 hexadecimal digits for wpa2 and wpa3."`
	EAP       *EAP   `json:"eap,omitempty"`
	Proxy     *Proxy `json:"proxy,omitempty"`
	PublicMAC bool   `json:"disable_private_address,omitempty" doc:"The device shows its real MAC address in this network."`
}

// EAP is how a device proves itself in an enterprise network.
type EAP struct {
	Methods           []string `json:"methods" minItems:"1" maxItems:"7" enum:"tls,ttls,peap,leap,fast,sim,aka"`
	Identity          string   `json:"identity,omitempty" maxLength:"255" doc:"May hold variables."`
	AnonymousIdentity string   `json:"anonymous_identity,omitempty" maxLength:"255"`
	Password          Secret   `json:"password,omitempty" maxLength:"255" format:"password"`
	Phase2            string   `json:"phase2,omitempty" enum:"pap,chap,mschap,mschapv2" doc:"Inner method of ttls."`
	Certificate       string   `json:"certificate,omitempty" maxLength:"64" doc:"Name of a pkcs12 certificate of the policy."`
	TrustedRoots      []string `json:"trusted_roots,omitempty" maxItems:"10" doc:"Names of root certificates of the policy."`
	ServerNames       []string `json:"server_names,omitempty" maxItems:"20"`
}

// Proxy is the proxy of a network: a server, or the URL of a script.
type Proxy struct {
	Server   string `json:"server,omitempty" maxLength:"255"`
	Port     int    `json:"port,omitempty" minimum:"1" maximum:"65535"`
	Username string `json:"username,omitempty" maxLength:"255"`
	Password Secret `json:"password,omitempty" maxLength:"255" format:"password"`
	PACURL   string `json:"pac_url,omitempty" maxLength:"2000" format:"uri"`
}

// VPN is one connection: IKEv2 on Apple, an always-on app on Android.
type VPN struct {
	Name           string `json:"name" minLength:"1" maxLength:"64"`
	Server         string `json:"server,omitempty" maxLength:"255"`
	RemoteID       string `json:"remote_id,omitempty" maxLength:"255"`
	LocalID        string `json:"local_id,omitempty" maxLength:"255" doc:"May hold variables."`
	Authentication string `json:"authentication,omitempty" enum:"shared_secret,certificate,password"`
	SharedSecret   Secret `json:"shared_secret,omitempty" maxLength:"255" format:"password"`
	Certificate    string `json:"certificate,omitempty" maxLength:"64" doc:"Name of a pkcs12 certificate of the policy."`
	Username       string `json:"username,omitempty" maxLength:"255" doc:"May hold variables."`
	Password       Secret `json:"password,omitempty" maxLength:"255" format:"password"`
	OnDemand       bool   `json:"on_demand,omitempty" doc:"Connect whenever there is a network."`
	AndroidPackage string `json:"android_package,omitempty" maxLength:"255" doc:"App that keeps the connection always on."`
	Lockdown       bool   `json:"lockdown,omitempty" doc:"No network without the connection (Android)."`
}

// Email is one mail account.
type Email struct {
	Name        string     `json:"name" minLength:"1" maxLength:"64"`
	Address     string     `json:"address,omitempty" maxLength:"255" doc:"May hold variables, such as {user.email}."`
	Type        string     `json:"type" enum:"imap,pop"`
	Incoming    MailServer `json:"incoming"`
	Outgoing    MailServer `json:"outgoing"`
	PreventMove bool       `json:"prevent_move,omitempty" doc:"Messages stay in this account."`
}

// MailServer is one side of a mail account.
type MailServer struct {
	Host           string `json:"host" minLength:"1" maxLength:"255"`
	Port           int    `json:"port,omitempty" minimum:"1" maximum:"65535"`
	TLS            *bool  `json:"tls,omitempty" doc:"Default true."`
	Username       string `json:"username,omitempty" maxLength:"255" doc:"May hold variables."`
	Authentication string `json:"authentication,omitempty" enum:"none,password,cram_md5,ntlm,http_md5" doc:"Default password."`
	Password       Secret `json:"password,omitempty" maxLength:"255" format:"password" doc:"Left out: the device asks."`
}

// Certificate is a root or intermediate certificate, or an identity.
type Certificate struct {
	Name     string `json:"name" minLength:"1" maxLength:"64"`
	Kind     string `json:"kind" enum:"root,pkcs12" doc:"root: a CA certificate to trust, DER or PEM. pkcs12: a certificate with its key."`
	Data     []byte `json:"data" maxLength:"100000" doc:"base64 of the file."`
	Password Secret `json:"password,omitempty" maxLength:"255" format:"password" doc:"Of the pkcs12 file."`
}

// WebClip is a link on the home screen.
type WebClip struct {
	Name       string `json:"name" minLength:"1" maxLength:"64"`
	URL        string `json:"url" minLength:"1" maxLength:"2000" format:"uri" doc:"May hold variables."`
	Icon       []byte `json:"icon,omitempty" maxLength:"400000" doc:"PNG, base64."`
	Removable  *bool  `json:"removable,omitempty" doc:"Default true."`
	FullScreen bool   `json:"full_screen,omitempty"`
}

// Apps are the apps a device must, may and must not have. Allowed makes a
// closed list: what is not on it cannot be used. Allowed and Blocked together
// are refused.
type Apps struct {
	Required []App `json:"required,omitempty" maxItems:"500"`
	Allowed  []App `json:"allowed,omitzero" maxItems:"1000" doc:"Empty: nothing but the required apps and what belongs to the system."`
	Blocked  []App `json:"blocked,omitempty" maxItems:"1000"`
}

// App names an app on each platform it exists on.
type App struct {
	Name        string `json:"name,omitempty" maxLength:"255"`
	BundleID    string `json:"bundle_id,omitempty" maxLength:"255" doc:"Apple."`
	AppStoreID  int64  `json:"app_store_id,omitempty" minimum:"1" doc:"Apple, number in the App Store."`
	ManifestURL string `json:"manifest_url,omitempty" maxLength:"2000" format:"uri" doc:"Apple, an app of one's own."`
	Package     string `json:"package,omitempty" maxLength:"255" doc:"Android."`
	APKURL      string `json:"apk_url,omitempty" maxLength:"2000" format:"uri" doc:"Android, for the agent protocol."`

	License       string `json:"license,omitempty" enum:"device,user" doc:"Volume licence (Apple). Left out: none."`
	KeepOnRemoval bool   `json:"keep_on_removal,omitempty" doc:"The app stays when management ends."`
	NoBackup      bool   `json:"no_backup,omitempty"`
	Removable     *bool  `json:"removable,omitempty" doc:"The user may remove it; default true on Apple, false on Android."`
	Configuration Dict   `json:"configuration,omitempty" doc:"Managed app configuration. May hold variables."`
}

// WebFilter is which web pages can be opened. AllowOnly makes a closed list;
// with Denied together it is refused.
type WebFilter struct {
	AdultContent Permission `json:"adult_content,omitempty" enum:"allow,deny"`
	Permitted    []string   `json:"permitted,omitempty" maxItems:"500" doc:"URLs that are let through although the automatic filter would not."`
	Denied       []string   `json:"denied,omitempty" maxItems:"500"`
	AllowOnly    []Bookmark `json:"allow_only,omitzero" maxItems:"500" doc:"Empty: no page at all."`
}

// Bookmark is a page of a closed list.
type Bookmark struct {
	Title string `json:"title" minLength:"1" maxLength:"255"`
	URL   string `json:"url" minLength:"1" maxLength:"2000" format:"uri"`
}

// OSUpdate is when the operating system updates itself.
type OSUpdate struct {
	Mode          string `json:"mode,omitempty" enum:"user,automatic,windowed,postpone" doc:"postpone: as late as the platform lets."`
	WindowStart   int    `json:"window_start_minute,omitempty" minimum:"0" maximum:"1439" doc:"Minute of the day, device's time."`
	WindowEnd     int    `json:"window_end_minute,omitempty" minimum:"0" maximum:"1439"`
	DeferDays     int    `json:"defer_days,omitempty" minimum:"1" maximum:"90" doc:"New versions are offered so much later (Apple, supervised)."`
	TargetVersion string `json:"target_version,omitempty" maxLength:"16" doc:"Apple: this version is enforced."`
	Deadline      string `json:"deadline,omitempty" maxLength:"19" doc:"Device's time, 2026-12-24T18:00:00: until when target_version must be there."`
	MinAPILevel   int    `json:"min_api_level,omitempty" minimum:"23" maximum:"99" doc:"Android: devices below are not compliant."`
}

// HomeScreen is the layout of the home screen.
type HomeScreen struct {
	Dock  []Icon   `json:"dock,omitempty" maxItems:"16"`
	Pages [][]Icon `json:"pages,omitempty" maxItems:"16"`
}

// Icon is an app, a web clip of the policy or a folder; exactly one.
type Icon struct {
	BundleID string `json:"bundle_id,omitempty" maxLength:"255"`
	Package  string `json:"package,omitempty" maxLength:"255"`
	WebClip  string `json:"web_clip,omitempty" maxLength:"2000" doc:"URL of the web clip, as it stands there."`
	Folder   string `json:"folder,omitempty" maxLength:"64" doc:"Name of a folder."`
	Icons    []Icon `json:"icons,omitempty" maxItems:"60" doc:"Of the folder; no folders in folders."`
}

// Apple is the escape hatch to Apple's payloads.
type Apple struct {
	Profiles []Profile `json:"profiles,omitempty" maxItems:"100" doc:"Union over all policies. Uploaded .mobileconfig files stand here too."`
}

// Android is the escape hatch to the Android Management policy: top-level
// fields that are laid over what the neutral fields become.
type Android struct {
	Policy map[string]json.RawMessage `json:"policy,omitempty"`
}

// Secret is a text that is stored sealed and never read back through the API.
type Secret string

// Kept stands for a secret in answers; sent back, it leaves the secret as it is.
const Kept = "********"
