package document

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"rollcall/enroll"
)

// Check gives the first thing that is wrong with a document and that the bounds
// of its fields do not tell: what is there twice, refers to nothing, or
// contradicts itself. The error is an *enroll.Error of KindInvalid; its text
// begins with the JSON pointer of the place, its hint says what is allowed.
func (d Document) Check() error {
	for _, check := range []func() error{
		d.checkTexts, d.checkVariables, d.checkPasscode, d.checkCertificates, d.checkWiFi, d.checkVPN, d.checkEmail, d.checkWebClips,
		d.checkApps, d.checkWebFilter, d.checkOSUpdate, d.checkHomeScreen, d.checkRaw,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// wrong makes the error of a place.
func wrong(code, pointer, hint, format string, args ...any) error {
	return enroll.Errorf(enroll.KindInvalid, code, "%s: %s", pointer, fmt.Sprintf(format, args...)).WithHint("%s", hint)
}

// checkTexts looks at every text: whether a device can be told it, and whether
// it is the mark of a secret that is not there.
func (d Document) checkTexts() error {
	return eachText("", reflect.ValueOf(d), func(pointer, text string) error {
		if err := checkText(text); err != nil {
			return wrong("text", pointer, "Texts are made of the characters that XML can hold.", "%v", err)
		}
		if text == Kept {
			return secretMissing(pointer)
		}
		return nil
	})
}

func secretMissing(pointer string) error {
	return wrong("secret_missing", pointer, "Give the secret itself; "+Kept+" keeps one that the policy has already.", "there is no secret to keep")
}

// eachText calls f for every string of a document by its JSON pointer.
func eachText(pointer string, v reflect.Value, f func(pointer, text string) error) error {
	switch v.Kind() {
	case reflect.String:
		return f(pointer, v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return eachText(pointer, v.Elem(), f)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if string(v.Bytes()) == Kept {
				return f(pointer, Kept)
			}
			return nil
		}
		for i := range v.Len() {
			if err := eachText(element(pointer, i), v.Index(i), f); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			if err := f(pointer, k.String()); err != nil {
				return err
			}
			if err := eachText(pointer+"/"+token(k.String()), v.MapIndex(k), f); err != nil {
				return err
			}
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return nil
		}
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if err := eachText(pointer+"/"+name, v.Field(i), f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d Document) checkVariables() error {
	if pointer, variable := d.unknownVariable(); pointer != "" {
		return wrong("variable", pointer, "The variables are {"+strings.Join(VariableNames, "}, {")+"}.", "there is no variable %s", variable)
	}
	return nil
}

// twice says which key of a list is there twice.
func twice[T any](pointer, what string, list []T, key func(*T) string) error {
	seen := map[string]bool{}
	for i := range list {
		k := key(&list[i])
		if seen[k] {
			return wrong("twice", element(pointer, i), "Each "+what+" stands in the list once.", "%q is there twice", k)
		}
		seen[k] = true
	}
	return nil
}

func (d Document) checkPasscode() error {
	p := d.Passcode
	if p == nil {
		return nil
	}
	if p.MinLength > 0 && p.MinComplexChars > p.MinLength {
		return wrong("passcode_contradiction", "/passcode/min_complex_characters", fmt.Sprintf("At most min_length, %d.", p.MinLength),
			"%d special characters do not fit into %d", p.MinComplexChars, p.MinLength)
	}
	if p.Simple == Allow && (p.Complexity == "medium" || p.Complexity == "high") {
		return wrong("passcode_contradiction", "/passcode/simple", "Leave simple out, or set complexity to low.",
			"simple passcodes are allowed, and the complexity %s forbids them", p.Complexity)
	}
	return nil
}

func (d Document) checkCertificates() error {
	if err := twice("/certificates", "name", d.Certificates, func(c *Certificate) string { return c.Name }); err != nil {
		return err
	}
	for i, c := range d.Certificates {
		p := element("/certificates", i)
		switch c.Kind {
		case "root":
			if c.Password != "" {
				return wrong("certificate_password", p+"/password", "Leave the password out.", "a root certificate has no password")
			}
			if _, err := x509.ParseCertificate(c.DER()); err != nil {
				return wrong("certificate_data", p+"/data", "One certificate, DER or PEM, as base64.", "it is not a certificate (%v)", err)
			}
		case "pkcs12":
			var pfx struct {
				Version int
				Rest    asn1.RawValue
				Mac     asn1.RawValue `asn1:"optional"`
			}
			if rest, err := asn1.Unmarshal(c.Data, &pfx); err != nil || len(rest) > 0 || pfx.Version != 3 {
				return wrong("certificate_data", p+"/data", "A .p12 or .pfx file as base64.", "it is not a pkcs12 file")
			}
		}
	}
	return nil
}

// DER is the certificate without the text around it.
func (c Certificate) DER() []byte {
	if block, _ := pem.Decode(c.Data); block != nil && block.Type == "CERTIFICATE" {
		return block.Bytes
	}
	return c.Data
}

// Certificate gives the certificate of that name.
func (d *Document) Certificate(name string) (Certificate, bool) {
	i := slices.IndexFunc(d.Certificates, func(c Certificate) bool { return c.Name == name })
	if i < 0 {
		return Certificate{}, false
	}
	return d.Certificates[i], true
}

// refers checks the name of a certificate.
func (d *Document) refers(pointer, name, kind string) error {
	c, ok := d.Certificate(name)
	if !ok {
		return wrong("certificate_unknown", pointer, "Put it into certificates of the same policy.", "there is no certificate %q in the policy", name)
	}
	if c.Kind != kind {
		return wrong("certificate_kind", pointer, "The name of a "+kind+" certificate.", "%q is a %s certificate", name, c.Kind)
	}
	return nil
}

func (d Document) checkWiFi() error {
	if err := twice("/wifi", "ssid", d.WiFi, func(w *WiFi) string { return w.SSID }); err != nil {
		return err
	}
	for i := range d.WiFi {
		if err := d.checkNetwork(element("/wifi", i), &d.WiFi[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *Document) checkNetwork(p string, w *WiFi) error {
	if len(w.SSID) > 32 {
		return wrong("wifi_ssid", p+"/ssid", "1 to 32 bytes; letters beyond ASCII take several.", "the name has %d bytes", len(w.SSID))
	}
	if err := checkPassphrase(p, w); err != nil {
		return err
	}
	if (w.EAP != nil) != (w.Security == "eap") {
		return wrong("wifi_eap", p+"/eap", "eap goes with the security eap, and only with it.", "the security is %s", w.Security)
	}
	if e := w.EAP; e != nil {
		if len(e.Methods) == 0 {
			return wrong("wifi_eap", p+"/eap/methods", "One or more of tls, ttls, peap, leap, fast, sim and aka.", "there is no method")
		}
		if slices.Contains(e.Methods, "tls") && e.Certificate == "" {
			return wrong("wifi_certificate", p+"/eap/certificate", "The name of a pkcs12 certificate of the policy.", "the method tls needs a certificate")
		}
		if e.Certificate != "" {
			if err := d.refers(p+"/eap/certificate", e.Certificate, "pkcs12"); err != nil {
				return err
			}
		}
		for j, name := range e.TrustedRoots {
			if err := d.refers(element(p+"/eap/trusted_roots", j), name, "root"); err != nil {
				return err
			}
		}
	}
	if x := w.Proxy; x != nil {
		switch {
		case x.Server != "" && x.PACURL != "":
			return wrong("wifi_proxy", p+"/proxy", "Either server and port, or pac_url.", "it has a server and a script")
		case x.Server == "" && x.PACURL == "":
			return wrong("wifi_proxy", p+"/proxy", "Either server and port, or pac_url.", "it has neither a server nor a script")
		case (x.Server == "") != (x.Port == 0):
			return wrong("wifi_proxy", p+"/proxy/port", "1 to 65535, together with server.", "server and port go together")
		}
	}
	return nil
}

// checkPassphrase holds a passphrase against IEEE 802.11, annex J.4: 8 to 63
// characters of ASCII, or the key itself; WEP takes keys of two lengths.
func checkPassphrase(p string, w *WiFi) error {
	s := string(w.Password)
	_, notHex := hex.DecodeString(s)
	n, isHex := len(s), notHex == nil
	ascii := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	switch w.Security {
	case "open", "eap":
		if s != "" {
			return wrong("wifi_password", p+"/password", "Leave it out; the password of a person stands in eap.", "a network with the security %s has no passphrase", w.Security)
		}
	case "wpa2", "wpa3":
		if !(ascii && n >= 8 && n <= 63 || isHex && n == 64) {
			return wrong("wifi_password", p+"/password", "8 to 63 characters of ASCII, or 64 hexadecimal digits.", "the passphrase has %d bytes or characters beyond ASCII", n)
		}
	case "wep":
		if !(ascii && (n == 5 || n == 13) || isHex && (n == 10 || n == 26)) {
			return wrong("wifi_password", p+"/password", "5 or 13 characters, or 10 or 26 hexadecimal digits.", "the key has %d bytes", n)
		}
	}
	return nil
}

func (d Document) checkVPN() error {
	if err := twice("/vpn", "name", d.VPN, func(v *VPN) string { return v.Name }); err != nil {
		return err
	}
	always := ""
	for i := range d.VPN {
		v, p := &d.VPN[i], element("/vpn", i)
		if v.Server == "" && v.AndroidPackage == "" {
			return wrong("vpn_empty", p, "Give server (Apple), android_package, or both.", "there is nothing to connect with")
		}
		if v.AndroidPackage != "" {
			if always != "" && always != v.AndroidPackage {
				return wrong("vpn_always_on", p+"/android_package", "One app for all connections.", "only one app can keep a connection always on, and %s does", always)
			}
			always = v.AndroidPackage
		} else if v.Lockdown {
			return wrong("vpn_lockdown", p+"/lockdown", "Together with android_package.", "there is no app that keeps the connection")
		}
		if v.Server == "" {
			continue
		}
		needs := map[string]struct{ field, value string }{
			"":              {"authentication", ""},
			"shared_secret": {"shared_secret", string(v.SharedSecret)},
			"certificate":   {"certificate", v.Certificate},
			"password":      {"username", v.Username},
		}[v.Authentication]
		if needs.value == "" {
			return wrong("vpn_authentication", p+"/"+needs.field, "With a server: authentication, and what it needs.", "it is missing")
		}
		if v.RemoteID == "" {
			return wrong("vpn_remote_id", p+"/remote_id", "The server's name in its certificate, often its host name.", "it is missing")
		}
		if v.Certificate != "" {
			if err := d.refers(p+"/certificate", v.Certificate, "pkcs12"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d Document) checkEmail() error {
	return twice("/email", "name", d.Email, func(e *Email) string { return e.Name })
}

func (d Document) checkWebClips() error {
	if err := twice("/web_clips", "name", d.WebClips, func(w *WebClip) string { return w.Name }); err != nil {
		return err
	}
	for i, w := range d.WebClips {
		if err := checkURL(element("/web_clips", i)+"/url", w.URL); err != nil {
			return err
		}
		if len(w.Icon) > 0 && !strings.HasPrefix(string(w.Icon), "\x89PNG\r\n\x1a\n") {
			return wrong("web_clip_icon", element("/web_clips", i)+"/icon", "A PNG file as base64.", "it is not a PNG file")
		}
	}
	return nil
}

func checkURL(pointer, s string, schemes ...string) error {
	if schemes == nil {
		schemes = []string{"https", "http"}
	}
	u, err := url.Parse(anyVariable.ReplaceAllString(s, "x"))
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return wrong("url", pointer, "A full address that begins with "+schemes[0]+"://.", "%q is not such an address", s)
	}
	return nil
}

func (d Document) checkApps() error {
	if d.SingleApp != nil {
		if err := d.SingleApp.check("/single_app"); err != nil {
			return err
		}
	}
	if d.Apps == nil {
		return nil
	}
	if d.Apps.Allowed != nil && len(d.Apps.Blocked) > 0 {
		return wrong("apps_contradiction", "/apps/blocked", "Either allowed or blocked.", "a list of allowed apps and a list of blocked apps cannot stand together")
	}
	var blocked appList
	for _, l := range []struct {
		pointer string
		apps    []App
	}{{"/apps/blocked", d.Apps.Blocked}, {"/apps/required", d.Apps.Required}, {"/apps/allowed", d.Apps.Allowed}} {
		var seen appList
		for i := range l.apps {
			a, p := &l.apps[i], element(l.pointer, i)
			if err := a.check(p); err != nil {
				return err
			}
			ids := slices.Concat(appleIDs(a), androidIDs(a))
			if _, there := seen.find(ids); there {
				return wrong("twice", p, "Each app stands in the list once.", "%q is there twice", a.Label())
			}
			if _, no := blocked.find(ids); no {
				return wrong("apps_contradiction", p, "Take it out of one of the lists.", "%q is blocked by the same policy", a.Label())
			}
			seen.add(*a)
		}
		if l.pointer == "/apps/blocked" {
			blocked = seen
			if d.SingleApp != nil {
				if _, no := blocked.find(slices.Concat(appleIDs(d.SingleApp), androidIDs(d.SingleApp))); no {
					return wrong("apps_contradiction", "/single_app", "Take it out of the blocked apps.", "%q is blocked by the same policy", d.SingleApp.Label())
				}
			}
		}
	}
	return nil
}

func (a *App) check(p string) error {
	switch {
	case appleIDs(a) == nil && androidIDs(a) == nil:
		return wrong("app_empty", p, "Give bundle_id, app_store_id or manifest_url (Apple), or package (Android).", "the app has no identifier")
	case a.AppStoreID != 0 && a.ManifestURL != "":
		return wrong("app_source", p+"/manifest_url", "Either app_store_id or manifest_url.", "the app comes from two places")
	case a.License != "" && a.AppStoreID == 0:
		return wrong("app_license", p+"/license", "Together with app_store_id.", "only apps of the App Store have a licence")
	case a.APKURL != "" && a.Package == "":
		return wrong("app_package", p+"/apk_url", "Together with package.", "the package is missing")
	case a.ManifestURL != "":
		return checkURL(p+"/manifest_url", a.ManifestURL, "https")
	case a.APKURL != "":
		return checkURL(p+"/apk_url", a.APKURL)
	}
	return nil
}

func (d Document) checkWebFilter() error {
	f := d.WebFilter
	if f == nil {
		return nil
	}
	if f.AllowOnly != nil && len(f.Denied) > 0 {
		return wrong("web_filter_contradiction", "/web_filter/denied", "Either allow_only or denied.", "a list of allowed pages and a list of denied pages cannot stand together")
	}
	for i, u := range f.Permitted {
		if slices.Contains(f.Denied, u) {
			return wrong("web_filter_contradiction", element("/web_filter/permitted", i), "Take it out of one of the lists.", "%q is denied as well", u)
		}
	}
	return twice("/web_filter/allow_only", "address", f.AllowOnly, func(b *Bookmark) string { return b.URL })
}

// deadlineForm is the device's own time, which has no zone.
const deadlineForm = "2006-01-02T15:04:05"

func (d Document) checkOSUpdate() error {
	u := d.OSUpdate
	if u == nil {
		return nil
	}
	const p = "/os_update"
	switch {
	case u.Mode == "windowed" && u.WindowStart == u.WindowEnd:
		return wrong("os_update_window", p+"/window_end_minute", "Two different minutes of the day, 0 to 1439.", "the window has no length")
	case u.Mode != "windowed" && (u.WindowStart != 0 || u.WindowEnd != 0):
		return wrong("os_update_window", p+"/mode", "The mode windowed.", "a window needs the mode windowed")
	case (u.TargetVersion == "") != (u.Deadline == ""):
		return wrong("os_update_deadline", p+"/deadline", "target_version and deadline together.", "a version is enforced at a time")
	}
	if u.Deadline != "" {
		if _, err := time.Parse(deadlineForm, u.Deadline); err != nil {
			return wrong("os_update_deadline", p+"/deadline", "Like 2026-12-24T18:00:00, without a zone.", "%q is not a time", u.Deadline)
		}
		if strings.Trim(u.TargetVersion, "0123456789.") != "" {
			return wrong("os_update_version", p+"/target_version", "Like 26.1 or 18.7.2.", "%q is not a version", u.TargetVersion)
		}
	}
	return nil
}

func (d Document) checkHomeScreen() error {
	if d.HomeScreen == nil {
		return nil
	}
	if err := checkIcons("/home_screen/dock", d.HomeScreen.Dock, true); err != nil {
		return err
	}
	for i, page := range d.HomeScreen.Pages {
		if err := checkIcons(element("/home_screen/pages", i), page, true); err != nil {
			return err
		}
	}
	return nil
}

func checkIcons(pointer string, icons []Icon, folders bool) error {
	for i, c := range icons {
		p := element(pointer, i)
		kinds := 0
		for _, there := range []bool{c.BundleID != "" || c.Package != "", c.WebClip != "", c.Folder != ""} {
			if there {
				kinds++
			}
		}
		switch {
		case kinds != 1:
			return wrong("icon", p, "An app (bundle_id, package), a web_clip, or a folder.", "an icon is one of three things, and this is %d of them", kinds)
		case c.Folder != "" && !folders:
			return wrong("icon", p+"/folder", "An app or a web_clip.", "a folder cannot hold folders")
		case (c.Folder != "") != (len(c.Icons) > 0):
			return wrong("icon", p+"/icons", "folder and icons together.", "a folder has a name and icons")
		}
		if err := checkIcons(p+"/icons", c.Icons, false); err != nil {
			return err
		}
	}
	return nil
}

func (d Document) checkRaw() error {
	if d.Android != nil {
		for _, k := range slices.Sorted(maps.Keys(d.Android.Policy)) {
			p := "/android/policy/" + token(k)
			if k == "name" || k == "version" {
				return wrong("android_field", p, "Leave it out.", "the server gives it")
			}
			v := d.Android.Policy[k]
			if !json.Valid(v) || string(v) == "null" {
				return wrong("android_field", p, "The value of the field in the Android Management API.", "it has no value")
			}
			if bytes.Contains(v, []byte(`"`+Kept+`"`)) {
				return secretMissing(p)
			}
		}
	}
	if d.Apple != nil {
		return CheckProfiles("/apple/profiles", d.Apple.Profiles)
	}
	return nil
}
