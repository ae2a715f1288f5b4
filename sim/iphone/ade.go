package iphone

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"

	"rollcall/sim/cms"
	"rollcall/sim/plist"
)

// CloudConfiguration is the part of an ADE profile that Apple hands a device
// at activation. Exactly one of the URLs is used: ConfigurationWebURL first.
type CloudConfiguration struct {
	URL                   string
	ConfigurationWebURL   string
	AwaitDeviceConfigured bool
	// ReturnToService is is_return_to_service (iOS 26); the device waits for
	// DeviceConfigured then, whatever AwaitDeviceConfigured says.
	ReturnToService bool
	// Choice answers the pages behind ConfigurationWebURL.
	Choice Choice
}

// SetupAssistant is Automated Device Enrollment: the activated device gets its
// enrollment profile with its signed machine info and installs it. ADE devices
// are supervised.
//
// A server that asks for a newer system gets it, once: the device updates,
// restarts, and asks again.
func (p *Phone) SetupAssistant(ctx context.Context, c CloudConfiguration) error {
	raw, err := p.fetchProfile(ctx, c)
	var r *RefusedError
	if errors.As(err, &r) && r.Status == http.StatusForbidden && r.Code == "com.apple.softwareupdate.required" && r.UpdateTo != "" && p.major() >= 17 {
		p.change(func() { p.cfg.OSVersion = r.UpdateTo })
		raw, err = p.fetchProfile(ctx, c)
	}
	if err != nil {
		return err
	}
	return p.installFromSetup(ctx, raw, c)
}

// ReturnToService is the device erasing itself to come back managed without
// hands (iOS 26): it asks whether it may, erases itself, and enrolls again.
func (p *Phone) ReturnToService(ctx context.Context, c CloudConfiguration) error {
	answer, err := p.askReturnToService(ctx)
	if err != nil {
		return err
	}
	if enabled, ok := answer["Enabled"].(bool); !ok {
		return protocolError("ReturnToService", "no Enabled")
	} else if !enabled {
		return ErrNotReturning
	}
	for key, v := range answer {
		if _, isData := v.([]byte); key != "Enabled" && (!isData || !slices.Contains([]string{"WiFiProfileData", "MDMProfileData", "BootstrapToken"}, key)) {
			return protocolError("ReturnToService", "%s is %T", key, v)
		}
	}
	if err := p.Erase(ctx); err != nil {
		return err
	}
	if raw, ok := answer["MDMProfileData"].([]byte); ok {
		return p.installFromSetup(ctx, raw, c)
	}
	if c.ConfigurationWebURL != "" {
		return protocolError("ReturnToService", "nobody is there for the web view")
	}
	return p.SetupAssistant(ctx, c)
}

func (p *Phone) askReturnToService(ctx context.Context) (plist.Dict, error) {
	e := p.current()
	if e == nil {
		return nil, ErrNotEnrolled
	}
	message := maps.Clone(e.id)
	message["MessageType"] = "ReturnToService"
	status, body, err := p.CheckInRaw(ctx, message)
	if err != nil {
		return nil, err
	}
	dict, err := plist.UnmarshalDict(body)
	answer, ok := dict["ReturnToService"].(plist.Dict)
	if status != http.StatusOK || err != nil || !ok {
		return nil, protocolError("ReturnToService", "status %d, %v", status, err)
	}
	return answer, nil
}

// fetchProfile sends the signed machine info and gets the enrollment profile.
func (p *Phone) fetchProfile(ctx context.Context, c CloudConfiguration) ([]byte, error) {
	signed, err := p.signedMachineInfo(plist.Dict{
		"UDID": p.cfg.UDID, "SERIAL": p.cfg.Serial, "PRODUCT": p.cfg.Product, "VERSION": p.cfg.BuildVersion, "LANGUAGE": "en",
	})
	if err != nil {
		return nil, err
	}
	return p.enrollmentProfile(ctx, c, signed)
}

// signedMachineInfo signs with the device identity. Where the device may be
// told from others, it tells more of itself.
func (p *Phone) signedMachineInfo(info plist.Dict) ([]byte, error) {
	if info["SERIAL"] != nil {
		p.tellMore(info)
	}
	p.tamper("MachineInfo", info)
	device := p.cfg.Identity
	if device.Certificate == nil {
		return nil, ErrNoIdentity
	}
	return cms.Sign(plist.Marshal(info), device.Certificate, device.Key, cms.SignOptions{Digest: p.cfg.Digest, Certificates: device.Chain})
}

func (p *Phone) tellMore(info plist.Dict) {
	if p.cfg.IMEI != "" {
		info["IMEI"] = p.cfg.IMEI
	}
	if p.major() >= 17 {
		info["OS_VERSION"] = p.cfg.OSVersion
		info["MDM_CAN_REQUEST_SOFTWARE_UPDATE"] = true
		info["SOFTWARE_UPDATE_DEVICE_ID"] = p.cfg.Product
	}
}

func (p *Phone) installFromSetup(ctx context.Context, raw []byte, c CloudConfiguration) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	defer p.closeIdle(p.system)
	prof, err := parseProfile(raw, nil)
	if err != nil {
		return err
	}
	if prof.kind != configuration || prof.find(payloadMDM) == nil {
		return protocolError("Setup Assistant", "the profile has no MDM payload")
	}
	var wasSupervised, wasAwaiting bool
	p.change(func() {
		wasSupervised, wasAwaiting = p.supervised, p.awaiting
		p.supervised, p.awaiting = true, c.AwaitDeviceConfigured || c.ReturnToService
	})
	if err := p.installConfiguration(ctx, prof, bySetup); err != nil {
		p.change(func() { p.supervised, p.awaiting = wasSupervised, wasAwaiting })
		return err
	}
	return nil
}

func (p *Phone) enrollmentProfile(ctx context.Context, c CloudConfiguration, signed []byte) ([]byte, error) {
	if c.ConfigurationWebURL != "" {
		profiles, err := p.browse(ctx, c.ConfigurationWebURL, http.Header{
			headerMachineInfo: {base64.StdEncoding.EncodeToString(signed)},
		}, c.Choice, nil)
		if err != nil {
			return nil, err
		}
		if len(profiles) == 0 {
			return nil, protocolError("Setup Assistant", "no profile")
		}
		return profiles[len(profiles)-1], nil // Setup Assistant installs one
	}
	resp, body, err := send(ctx, p.system, http.MethodPost, c.URL, http.Header{
		"Content-Type": {typeSignature}, "User-Agent": {mdmAgent},
	}, signed)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp, body)
	}
	if contentType(resp) != typeProfile {
		return nil, protocolError("Setup Assistant", "content type %q", resp.Header.Get("Content-Type"))
	}
	return body, nil
}
