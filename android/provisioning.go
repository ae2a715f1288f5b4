package android

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"rollcall/enroll"
)

// Agent is the app that Android's setup installs: the device policy controller.
type Agent struct {
	Component string // "org.example.agent/.AdminReceiver"
	URL       string // https, where setup downloads the APK; empty: it is on the device
	Signature string // SignatureChecksum
	Package   string // PackageChecksum; where it is there, setup looks at nothing else
}

// DevicePolicy is Google's own agent for the Android Management API.
var DevicePolicy = Agent{
	Component: "com.google.android.apps.work.clouddpc/.receivers.CloudDeviceAdminReceiver",
	URL:       "https://play.google.com/managed/downloadManagingApp?identifier=setup",
	Signature: "I5YvS0O5hXY46mb01BlRjq4oJJGs2kuUcHvVkAPEXlg",
}

// extra starts the names of what Android's setup understands (AOSP,
// ManagedProvisioning, ExtrasProvisioningDataParser).
const extra = "android.app.extra.PROVISIONING_"

// The keys of the admin extras: what setup hands to the agent as it is.
const (
	extraServer      = "rollcall.server" // URL of this server
	extraToken       = "rollcall.token"
	extraDevicePlain = "com.google.android.apps.work.clouddpc.EXTRA_ENROLLMENT_TOKEN"
)

// WiFi is the network that setup joins to download the agent.
type WiFi struct {
	SSID     string
	Security string // NONE, WPA or WEP
	Password string
	Hidden   bool
}

// Setup is what else the setup of a device is told. All may be left out.
type Setup struct {
	WiFi           WiFi
	Locale         string // "de_DE"
	TimeZone       string // "Europe/Berlin"
	KeepSystemApps bool
	SkipEncryption bool
	UseMobileData  bool // download the agent over it
}

// Provisioning makes what brings a device to its enrollment.
type Provisioning struct {
	Server       string // public URL
	Organization string
	Agent        Agent // zero: none was configured
}

var (
	componentForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+/[A-Za-z0-9_.$]+$`)
	localeForm    = regexp.MustCompile(`^[a-z]{2,3}([_-][A-Za-z]{2,4})?$`)
	zoneForm      = regexp.MustCompile(`^[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}$`)
)

// Check says what of an agent cannot work.
func (a Agent) Check() error {
	invalid := func(format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, "agent_invalid", format, args...)
	}
	switch {
	case len(a.Component) > 255 || !componentForm.MatchString(a.Component):
		return invalid("the component %q is not of the form org.example.agent/.AdminReceiver", a.Component)
	case a.URL == "":
		return nil
	case !strings.HasPrefix(a.URL, "https://"):
		return invalid("the APK's address is not https")
	case a.Signature == "" && a.Package == "":
		return invalid("the APK is downloaded without a checksum; Android's setup refuses that")
	}
	return nil
}

// check says what of a set-up cannot work.
func (s Setup) check() error {
	invalid := func(format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, "setup_invalid", format, args...)
	}
	w := s.WiFi
	switch {
	case w.SSID == "" && (w.Password != "" || w.Security != "" || w.Hidden):
		return invalid("the Wi-Fi network has no SSID")
	case len(w.SSID) > 32:
		return invalid("an SSID has 32 bytes at most")
	case !slices.Contains([]string{"", "NONE", "WPA", "WEP"}, w.Security):
		return invalid("the security of the Wi-Fi network is NONE, WPA or WEP")
	case w.Security == "WPA" && (len(w.Password) < 8 || len(w.Password) > 64):
		return invalid("a WPA password has 8 to 64 bytes")
	case s.Locale != "" && !localeForm.MatchString(s.Locale):
		return invalid("the locale %q is not of the form de_DE", s.Locale)
	case s.TimeZone != "" && !zoneForm.MatchString(s.TimeZone):
		return invalid("the time zone %q is not of the form Europe/Berlin", s.TimeZone)
	}
	return nil
}

// extras are the members of the set-up.
func (s Setup) extras(into map[string]any) {
	text := func(name, value string) {
		if value != "" {
			into[extra+name] = value
		}
	}
	flag := func(name string, value bool) {
		if value {
			into[extra+name] = true
		}
	}
	text("WIFI_SSID", s.WiFi.SSID)
	text("WIFI_SECURITY_TYPE", s.WiFi.Security)
	text("WIFI_PASSWORD", s.WiFi.Password)
	flag("WIFI_HIDDEN", s.WiFi.Hidden)
	text("LOCALE", strings.ReplaceAll(s.Locale, "-", "_"))
	text("TIME_ZONE", s.TimeZone)
	flag("LEAVE_ALL_SYSTEM_APPS_ENABLED", s.KeepSystemApps)
	flag("SKIP_ENCRYPTION", s.SkipEncryption)
	flag("USE_MOBILE_DATA", s.UseMobileData)
}

// Payloads is the way to one enrollment token in every form.
type Payloads struct {
	QR        string // JSON of the QR code that is scanned in Android's setup; empty: no agent was configured
	Link      string // for an agent, or Android Device Policy, on a device that is set up
	NFC       []byte // NDEF message for a tag
	ZeroTouch string // DPC extras of a zero-touch configuration, JSON
	Knox      string // custom JSON of a Knox Mobile Enrollment profile
}

// LinkScheme starts the link that an agent on the device opens.
const LinkScheme = "rollcall-agent"

// Link is what an agent on a device that is set up opens.
func (p Provisioning) Link(token string) string {
	return LinkScheme + "://enroll?" + url.Values{"server": {p.Server}, "token": {token}}.Encode()
}

// ForAgent gives the payloads of a token of this server, for the agent that was
// configured.
func (p Provisioning) ForAgent(token string, s Setup) (Payloads, error) {
	bundle := map[string]string{extraServer: p.Server, extraToken: token}
	out := Payloads{Link: p.Link(token), Knox: marshal(bundle)}
	if p.Agent == (Agent{}) {
		return out, s.check()
	}
	return p.payloads(p.Agent, bundle, out, s)
}

// ForDevicePolicy gives the payloads of an enrollment token of the Android
// Management API.
func (p Provisioning) ForDevicePolicy(value string, s Setup) (Payloads, error) {
	bundle := map[string]string{extraDevicePlain: value}
	out := Payloads{Link: "https://enterprise.google.com/android/enroll?" + url.Values{"et": {value}}.Encode(), Knox: marshal(bundle)}
	return p.payloads(DevicePolicy, bundle, out, s)
}

func (p Provisioning) payloads(a Agent, bundle map[string]string, out Payloads, s Setup) (Payloads, error) {
	if err := a.Check(); err != nil {
		return Payloads{}, err
	}
	if err := s.check(); err != nil {
		return Payloads{}, err
	}
	full := map[string]any{extra + "DEVICE_ADMIN_COMPONENT_NAME": a.Component, extra + "ADMIN_EXTRAS_BUNDLE": bundle}
	set := func(name, value string) {
		if value != "" {
			full[extra+name] = value
		}
	}
	set("DEVICE_ADMIN_SIGNATURE_CHECKSUM", a.Signature)
	set("DEVICE_ADMIN_PACKAGE_CHECKSUM", a.Package)
	// A zero-touch configuration names the agent and gets it from Google Play.
	out.ZeroTouch = marshal(full)
	set("DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION", a.URL)
	set("ORGANIZATION_NAME", p.Organization)
	s.extras(full)
	out.QR = marshal(full)
	var err error
	out.NFC, err = nfcMessage(full, bundle)
	return out, err
}

// marshal gives JSON as a code holds it: without escapes for HTML.
func marshal(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("android: %T has no JSON: %v", v, err))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// nfcType is the type of the record that Android's setup reads from a tag.
const nfcType = "application/com.android.managedprovisioning"

// nfcMessage is an NDEF message of one MIME record (NFC Forum, NDEF 1.0): a
// Java properties text, in which the bundle is properties once more (AOSP,
// PropertiesProvisioningDataParser).
func nfcMessage(full map[string]any, bundle map[string]string) ([]byte, error) {
	var payload strings.Builder
	for _, k := range slices.Sorted(maps.Keys(full)) {
		value := fmt.Sprint(full[k])
		if k == extra+"ADMIN_EXTRAS_BUNDLE" {
			var inner strings.Builder
			for _, b := range slices.Sorted(maps.Keys(bundle)) {
				inner.WriteString(property(b, bundle[b]))
			}
			value = inner.String()
		}
		payload.WriteString(property(k, value))
	}
	if payload.Len() > 8<<10 {
		return nil, enroll.Errorf(enroll.KindInvalid, "payload_too_large", "this is too much for an NFC tag")
	}
	const onlyMIME = 0xC2 // message begin, message end, type name format 2; the length has four bytes
	n := payload.Len()
	record := append([]byte{onlyMIME, byte(len(nfcType)), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, nfcType...)
	return append(record, payload.String()...), nil
}

// property is a line of a properties text (java.util.Properties).
func property(key, value string) string {
	return escapeProperty(key, true) + "=" + escapeProperty(value, false) + "\n"
}

func escapeProperty(s string, key bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case strings.ContainsRune(`\=:#!`, r), r == ' ' && (key || i == 0):
			b.WriteString(`\` + string(r))
		case r < 0x20 || r > 0x7E && r <= 0xFFFF:
			fmt.Fprintf(&b, `\u%04X`, r)
		case r > 0xFFFF:
			high, low := 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF
			fmt.Fprintf(&b, `\u%04X\u%04X`, high, low)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
