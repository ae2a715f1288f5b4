package iphone

import (
	"context"
	"encoding/base64"
	"net/http"

	"rollcall/sim/cms"
	"rollcall/sim/plist"
)

// CloudConfiguration is the part of an ADE profile that Apple hands a device
// at activation. Exactly one of the URLs is used: ConfigurationWebURL first.
type CloudConfiguration struct {
	URL                   string
	ConfigurationWebURL   string
	AwaitDeviceConfigured bool
	// Choice answers the pages behind ConfigurationWebURL.
	Choice Choice
}

// SetupAssistant is Automated Device Enrollment: the activated device gets its
// enrollment profile with its signed machine info and installs it. ADE devices
// are supervised.
func (p *Phone) SetupAssistant(ctx context.Context, c CloudConfiguration) error {
	info := plist.Dict{
		"UDID": p.cfg.UDID, "SERIAL": p.cfg.Serial, "PRODUCT": p.cfg.Product, "VERSION": p.cfg.BuildVersion, "LANGUAGE": "en",
	}
	if p.cfg.IMEI != "" {
		info["IMEI"] = p.cfg.IMEI
	}
	if p.major() >= 17 {
		info["OS_VERSION"] = p.cfg.OSVersion
		info["MDM_CAN_REQUEST_SOFTWARE_UPDATE"] = true
		info["SOFTWARE_UPDATE_DEVICE_ID"] = p.cfg.Product
	}
	p.tamper("MachineInfo", info)
	device := p.cfg.Identity
	if device.Certificate == nil {
		return ErrNoIdentity
	}
	signed, err := cms.Sign(plist.Marshal(info), device.Certificate, device.Key, cms.SignOptions{Digest: p.cfg.Digest, Certificates: device.Chain})
	if err != nil {
		return err
	}
	raw, err := p.enrollmentProfile(ctx, c, signed)
	if err != nil {
		return err
	}
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
		p.supervised, p.awaiting = true, c.AwaitDeviceConfigured
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
			"X-Apple-Aspen-Deviceinfo": {base64.StdEncoding.EncodeToString(signed)},
		}, c.Choice)
		if err != nil {
			return nil, err
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
