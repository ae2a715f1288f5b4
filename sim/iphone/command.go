package iphone

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"

	"rollcall/sim/plist"
)

// outcome is the success of a command: response keys, and what happens once
// the result is out, if the session ends with it.
type outcome struct {
	keys  plist.Dict
	after func(context.Context)
}

// commandSpec is a command this phone knows. Commands marked unlocked answer
// NotNow while the screen is locked.
type commandSpec struct {
	right      int64
	supervised bool
	unlocked   bool
	run        func(p *Phone, ctx context.Context, command plist.Dict) (outcome, error)
}

var commands map[string]commandSpec

func init() { // not a literal: the handlers reach the table again through a session
	commands = map[string]commandSpec{
		"DeviceInformation":        {run: (*Phone).deviceInformation},
		"SecurityInfo":             {right: rightSecurity, unlocked: true, run: (*Phone).securityInfo},
		"InstallProfile":           {right: rightInstallProfiles, unlocked: true, run: (*Phone).installProfile},
		"RemoveProfile":            {right: rightInstallProfiles, unlocked: true, run: (*Phone).removeProfile},
		"ProfileList":              {right: rightInspectProfiles, run: (*Phone).profileList},
		"CertificateList":          {right: rightInspectProfiles, unlocked: true, run: (*Phone).certificateList},
		"ProvisioningProfileList":  {right: rightInspectProv, run: (*Phone).provisioningProfileList},
		"InstallApplication":       {right: rightApps, unlocked: true, run: (*Phone).installApplication},
		"RemoveApplication":        {right: rightApps, run: (*Phone).removeApplication},
		"InstalledApplicationList": {right: rightInspectApps, run: (*Phone).installedApplicationList},
		"ManagedApplicationList":   {right: rightApps, run: (*Phone).managedApplicationList},
		"Restrictions":             {right: rightRestrictions, run: (*Phone).restrictions},
		"Settings":                 {right: rightSettings, run: (*Phone).applySettings},
		"DeviceConfigured":         {run: (*Phone).deviceConfigured},
		"DeviceLock":               {right: rightLock, run: (*Phone).deviceLock},
		"ClearPasscode":            {right: rightLock, run: (*Phone).clearPasscode},
		"EraseDevice":              {right: rightErase, run: (*Phone).eraseDevice},
		"RestartDevice":            {right: rightLock, supervised: true, run: (*Phone).acknowledge},
		"ShutDownDevice":           {right: rightLock, supervised: true, run: (*Phone).acknowledge},
		"DeclarativeManagement":    {run: (*Phone).declarativeManagement},
	}
}

func (p *Phone) acknowledge(context.Context, plist.Dict) (outcome, error) { return outcome{}, nil }

func (p *Phone) deviceInformation(_ context.Context, c plist.Dict) (outcome, error) {
	queries, ok := c["Queries"].([]any)
	if !ok || len(queries) == 0 {
		return outcome{}, errFormat
	}
	all := p.information()
	answers := plist.Dict{}
	for _, q := range queries {
		name, ok := q.(string)
		if !ok {
			return outcome{}, errFormat
		}
		if v, ok := all[name]; ok {
			answers[name] = v
		}
	}
	return outcome{keys: plist.Dict{"QueryResponses": answers}}, nil
}

// information is everything DeviceInformation can tell under the rights the
// server has.
func (p *Phone) information() plist.Dict {
	p.mu.Lock()
	defer p.mu.Unlock()
	model := "iPhone"
	if len(p.cfg.Product) >= 4 && p.cfg.Product[:4] == "iPad" {
		model = "iPad"
	}
	d := maps.Clone(p.enrollment.id)
	d["AwaitingConfiguration"] = p.awaiting
	if p.enrollment.mdm.mode == modeBYOD { // nothing that would tell the device from others
		d["OSVersion"], d["BuildVersion"], d["ModelName"], d["ProductName"] = p.cfg.OSVersion, p.cfg.BuildVersion, model, p.cfg.Product
	}
	if p.enrollment.mdm.rights&rightDeviceInfo != 0 {
		for k, v := range (plist.Dict{
			"SerialNumber": p.cfg.Serial, "DeviceName": p.name, "OSVersion": p.cfg.OSVersion, "BuildVersion": p.cfg.BuildVersion,
			"SupplementalBuildVersion": p.cfg.BuildVersion, "ModelName": model, "Model": "MX0A3LL", "ModelNumber": "MX0A3LL/A",
			"ProductName": p.cfg.Product, "DeviceCapacity": 128.0, "AvailableDeviceCapacity": 97.5, "BatteryLevel": 0.8,
			"IsSupervised": p.supervised, "IsMultiUser": false, "IsDeviceLocatorServiceEnabled": false, "IsMDMLostModeEnabled": false,
			"EASDeviceIdentifier": p.digest("eas")[:32], "IsActivationLockEnabled": false, "IsCloudBackupEnabled": false,
			"iTunesStoreAccountIsActive": false, "TimeZone": "Europe/Berlin", "SoftwareUpdateDeviceID": p.cfg.Product,
		}) {
			d[k] = v
		}
	}
	if p.enrollment.mdm.rights&rightNetworkInfo != 0 {
		d["WiFiMAC"], d["BluetoothMAC"], d["CellularTechnology"] = p.mac(0), p.mac(1), 1
		if p.cfg.IMEI != "" {
			d["ServiceSubscriptions"] = []any{plist.Dict{"Slot": "CTSubscriptionSlotOne", "IMEI": p.cfg.IMEI, "IsDataPreferred": true}}
		}
	}
	return d
}

// digest makes a stable secondary identifier.
func (p *Phone) digest(of string) string {
	sum := sha256.Sum256([]byte(p.cfg.UDID + of))
	return hex.EncodeToString(sum[:])
}

func (p *Phone) mac(n byte) string {
	sum := sha256.Sum256([]byte(p.cfg.UDID))
	const digits = "0123456789abcdef"
	out := []byte("a4:83:e7")
	for _, b := range []byte{sum[0], sum[1], sum[2] ^ n} {
		out = append(out, ':', digits[b>>4], digits[b&15])
	}
	return string(out)
}

func (p *Phone) securityInfo(context.Context, plist.Dict) (outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	compliant := p.passcode || !p.passcodeDemanded()
	return outcome{keys: plist.Dict{"SecurityInfo": plist.Dict{
		"HardwareEncryptionCaps": 3, "PasscodePresent": p.passcode, "PasscodeCompliant": compliant,
		"PasscodeCompliantWithProfiles": compliant,
		"ManagementStatus":              plist.Dict{"IsUserEnrollment": false},
	}}}, nil
}

// passcodeDemanded tells whether an installed policy wants a passcode. The
// caller holds p.mu.
func (p *Phone) passcodeDemanded() bool {
	for _, in := range p.profiles {
		for _, pl := range in.profile.payloads {
			if force, _ := pl.dict["forcePIN"].(bool); force && pl.kind == "com.apple.mobiledevice.passwordpolicy" {
				return true
			}
		}
	}
	return false
}

func (p *Phone) deviceConfigured(context.Context, plist.Dict) (outcome, error) {
	if !p.Awaiting() {
		return outcome{}, mdmError(12081, "the device is not awaiting configuration")
	}
	p.change(func() { p.awaiting = false })
	return outcome{}, nil
}

func (p *Phone) deviceLock(context.Context, plist.Dict) (outcome, error) {
	result := "NoPasscodeSet"
	p.change(func() {
		if p.passcode {
			p.locked, result = true, "Success"
		}
	})
	return outcome{keys: plist.Dict{"MessageResult": result}}, nil
}

func (p *Phone) clearPasscode(_ context.Context, c plist.Dict) (outcome, error) {
	token, ok := c["UnlockToken"].([]byte)
	if !ok {
		return outcome{}, errFormat
	}
	if !bytes.Equal(token, p.UnlockToken()) {
		return outcome{}, mdmError(12019, "the unlock token is not valid")
	}
	p.change(func() { p.passcode, p.locked = false, false })
	return outcome{}, nil
}

func (p *Phone) eraseDevice(context.Context, plist.Dict) (outcome, error) {
	return outcome{after: func(context.Context) { p.erase() }}, nil
}

func (p *Phone) restrictions(_ context.Context, c plist.Dict) (outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bools, values := plist.Dict{}, plist.Dict{}
	perProfile := plist.Dict{}
	for id, in := range p.profiles {
		own := plist.Dict{}
		for _, pl := range in.profile.payloads {
			if pl.kind != "com.apple.applicationaccess" {
				continue
			}
			for k, v := range pl.dict {
				switch v := v.(type) {
				case bool:
					own[k], bools[k] = plist.Dict{"value": v}, plist.Dict{"value": v}
				case int64, float64:
					values[k] = plist.Dict{"value": v}
				}
			}
		}
		perProfile[id] = plist.Dict{"restrictedBool": own}
	}
	keys := plist.Dict{"GlobalRestrictions": plist.Dict{"restrictedBool": bools, "restrictedValue": values}}
	if all, _ := c["ProfileRestrictions"].(bool); all {
		keys["ProfileRestrictions"] = perProfile
	}
	return outcome{keys: keys}, nil
}
