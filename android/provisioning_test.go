package android

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"image/png"
	"math/big"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"rollcall/enroll"
)

var testAgent = Agent{Component: "org.example.agent/.AdminReceiver", URL: "https://mdm.example.com/agent.apk", Signature: "I5YvS0O5hXY46mb01BlRjq4oJJGs2kuUcHvVkAPEXlg"}

func testProvisioning() Provisioning {
	return Provisioning{Server: "https://mdm.example.com", Organization: "Acme & Söhne", Agent: testAgent}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestPayloadsOfAnAgent(t *testing.T) {
	got, err := testProvisioning().ForAgent("secret", Setup{WiFi: WiFi{SSID: "Setup", Security: "WPA", Password: "long enough", Hidden: true}, Locale: "de-DE",
		TimeZone: "Europe/Berlin", KeepSystemApps: true, SkipEncryption: true, UseMobileData: true})
	if err != nil {
		t.Fatal(err)
	}
	bundle := map[string]any{"rollcall.server": "https://mdm.example.com", "rollcall.token": "secret"}
	const p = "android.app.extra.PROVISIONING_"
	if diff := cmp.Diff(map[string]any{
		p + "DEVICE_ADMIN_COMPONENT_NAME":            "org.example.agent/.AdminReceiver",
		p + "DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION": "https://mdm.example.com/agent.apk",
		p + "DEVICE_ADMIN_SIGNATURE_CHECKSUM":        "I5YvS0O5hXY46mb01BlRjq4oJJGs2kuUcHvVkAPEXlg",
		p + "ADMIN_EXTRAS_BUNDLE":                    bundle,
		p + "ORGANIZATION_NAME":                      "Acme & Söhne",
		p + "WIFI_SSID":                              "Setup", p + "WIFI_SECURITY_TYPE": "WPA", p + "WIFI_PASSWORD": "long enough", p + "WIFI_HIDDEN": true,
		p + "LOCALE": "de_DE", p + "TIME_ZONE": "Europe/Berlin", p + "LEAVE_ALL_SYSTEM_APPS_ENABLED": true, p + "SKIP_ENCRYPTION": true, p + "USE_MOBILE_DATA": true,
	}, object(t, got.QR)); diff != "" {
		t.Errorf("QR (-want +got):\n%s", diff)
	}
	if strings.Contains(got.QR, `\u0026`) {
		t.Error("the code holds escapes for HTML")
	}
	if diff := cmp.Diff(bundle, object(t, got.Knox)); diff != "" {
		t.Errorf("Knox (-want +got):\n%s", diff)
	}
	if z := object(t, got.ZeroTouch); z[p+"DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION"] != nil || z[p+"DEVICE_ADMIN_COMPONENT_NAME"] == nil {
		t.Errorf("zero-touch: %v", z)
	}
	link, err := url.Parse(got.Link)
	if err != nil || link.Scheme != LinkScheme || link.Query().Get("token") != "secret" || link.Query().Get("server") != "https://mdm.example.com" {
		t.Errorf("link %s, %v", got.Link, err)
	}
	if !bytes.Contains(got.NFC, []byte(`rollcall.token\=secret`)) {
		t.Errorf("NFC: %s", got.NFC)
	}
}

func TestPayloadsOfDevicePolicy(t *testing.T) {
	got, err := testProvisioning().ForDevicePolicy("VALUE", Setup{})
	if err != nil {
		t.Fatal(err)
	}
	q := object(t, got.QR)
	if diff := cmp.Diff(map[string]any{"com.google.android.apps.work.clouddpc.EXTRA_ENROLLMENT_TOKEN": "VALUE"}, q["android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE"]); diff != "" {
		t.Error(diff)
	}
	if got.Link != "https://enterprise.google.com/android/enroll?et=VALUE" || got.Knox != `{"com.google.android.apps.work.clouddpc.EXTRA_ENROLLMENT_TOKEN":"VALUE"}` {
		t.Errorf("%s\n%s", got.Link, got.Knox)
	}
}

func TestNFCRecord(t *testing.T) {
	got, err := nfcMessage(map[string]any{extra + "LOCALE": "a=b:ü\U0001F600", extra + "ADMIN_EXTRAS_BUNDLE": nil}, map[string]string{"k": "v w"})
	if err != nil {
		t.Fatal(err)
	}
	n := int(got[1])
	if got[0] != 0xC2 || string(got[6:6+n]) != nfcType || int(got[5]) != len(got)-6-n {
		t.Fatalf("record % x", got)
	}
	const want = `android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE=k\=v w\n` + "\n" + `android.app.extra.PROVISIONING_LOCALE=a\=b\:\u00FC\uD83D\uDE00` + "\n"
	if diff := cmp.Diff(want, string(got[6+n:])); diff != "" {
		t.Error(diff)
	}
}

func TestSetupThatCannotWork(t *testing.T) {
	for name, test := range map[string]struct {
		agent Agent
		setup Setup
	}{
		"no checksum":        {Agent{Component: testAgent.Component, URL: testAgent.URL}, Setup{}},
		"plain http":         {Agent{Component: testAgent.Component, URL: "http://example.com/a.apk", Signature: "x"}, Setup{}},
		"no component":       {Agent{Component: "agent", URL: testAgent.URL, Signature: "x"}, Setup{}},
		"a password alone":   {testAgent, Setup{WiFi: WiFi{Password: "secret secret"}}},
		"a short password":   {testAgent, Setup{WiFi: WiFi{SSID: "x", Security: "WPA", Password: "short"}}},
		"unknown security":   {testAgent, Setup{WiFi: WiFi{SSID: "x", Security: "WPA9"}}},
		"a long SSID":        {testAgent, Setup{WiFi: WiFi{SSID: strings.Repeat("x", 33)}}},
		"a strange locale":   {testAgent, Setup{Locale: "German"}},
		"a strange timezone": {testAgent, Setup{TimeZone: "Berlin!"}},
	} {
		p := testProvisioning()
		p.Agent = test.agent
		if _, err := p.ForAgent("t", test.setup); enroll.KindOf(err) != enroll.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := testProvisioning()
	p.Agent = Agent{}
	if got, err := p.ForAgent("t", Setup{}); err != nil || got.QR != "" || got.Link == "" {
		t.Errorf("without an agent: %+v, %v", got, err)
	}
}

func TestChecksum(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	if got, err := SignatureChecksum(der); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if PackageChecksum(der) != want {
		t.Error("the checksum of a package is not that of its bytes")
	}
	if _, err := SignatureChecksum([]byte("APK")); err == nil {
		t.Error("what is no certificate has a checksum")
	}
	plain := hex.EncodeToString(sum[:])
	var colons []string
	for i := 0; i < len(plain); i += 2 {
		colons = append(colons, strings.ToUpper(plain[i:i+2]))
	}
	for _, form := range []string{plain, strings.Join(colons, ":"), want, want + "=", base64.StdEncoding.EncodeToString(sum[:]), " " + plain + "\n"} {
		if got, err := ParseChecksum(form); err != nil || got != want {
			t.Errorf("%q: %q, %v", form, got, err)
		}
	}
	for _, form := range []string{"", "abcd", plain[2:], want[1:] + "!"} {
		if _, err := ParseChecksum(form); err == nil {
			t.Errorf("%q is taken", form)
		}
	}
}

// decodeQR reads a PNG with an independent decoder.
func decodeQR(t *testing.T, picture []byte) string {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	if err != nil {
		t.Fatal(err)
	}
	return result.GetText()
}

func TestQR(t *testing.T) {
	payloads, err := testProvisioning().ForAgent("secret", Setup{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a payload": payloads.QR, "level M": strings.Repeat("x", 2300), "level L": strings.Repeat("x", 2900)} {
		code, err := NewQR(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		picture, err := code.PNG()
		if err != nil {
			t.Fatal(err)
		}
		if got := decodeQR(t, picture); got != text {
			t.Errorf("%s: read back %q", name, got)
		}
		svg := string(code.SVG())
		black := 0
		for y := range code.Modules() {
			for x := range code.Modules() {
				if code.code.Black(x, y) {
					black++
				}
			}
		}
		drawn := 0
		for _, run := range regexp.MustCompile(`M\d+ \d+h(\d+)v1h-`).FindAllStringSubmatch(svg, -1) {
			n, _ := strconv.Atoi(run[1])
			drawn += n
		}
		if drawn != black {
			t.Errorf("%s: the SVG has %d black modules, the code %d", name, drawn, black)
		}
	}
	if _, err := NewQR(strings.Repeat("x", 3000)); enroll.KindOf(err) != enroll.KindInvalid {
		t.Errorf("too much: %v", err)
	}
}
