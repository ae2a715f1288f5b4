package iphone

import (
	"context"
	"crypto/x509"
	"net/http"

	"rollcall/sim/cms"
	"rollcall/sim/plist"
)

// Install is a person installing a profile: the bytes are a property list or
// a DER CMS SignedData around one. A "Profile Service" profile starts OTA
// enrollment, a "Configuration" profile is installed, and with it the MDM
// enrollment if it contains one. Errors: *RefusedError for a server's
// refusal, ChainError for a profile that is not valid, *scep.Failure,
// *ProtocolError for answers a device does not understand. After an error
// nothing is installed.
func (p *Phone) Install(ctx context.Context, raw []byte) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer p.finish()
	defer p.closeIdle(p.system)
	prof, err := parseProfile(raw, nil)
	if err != nil {
		return err
	}
	if prof.kind == profileService {
		return p.installOTA(ctx, prof)
	}
	return p.installConfiguration(ctx, prof, byHand)
}

// installOTA runs phases 2 and 3 of Over-the-Air Profile Delivery.
func (p *Phone) installOTA(ctx context.Context, service *profile) error {
	content := service.dict["PayloadContent"].(plist.Dict)
	target := content["URL"].(string)
	attributes := p.attributes(content["DeviceAttributes"].([]any))
	if challenge, ok := content["Challenge"].(string); ok {
		attributes["CHALLENGE"] = challenge
	}
	p.tamper("OTA", attributes)

	device := p.cfg.Identity
	if device.Certificate == nil {
		return ErrNoIdentity
	}
	second, err := p.otaPhase(ctx, target, attributes, identity{device.Certificate, device.Key}, device.Chain)
	if err != nil {
		return err
	}
	ask := second.find(payloadSCEP)
	if ask == nil || second.find(payloadMDM) != nil {
		return protocolError("OTA phase 2", "the profile must have a SCEP payload and no MDM payload")
	}
	id, err := p.enrollSCEP(ctx, *ask, p.system)
	if err != nil {
		return err
	}
	final, err := p.otaPhase(ctx, target, attributes, *id, nil)
	if err != nil {
		return err
	}
	return p.installConfiguration(ctx, final, byHand)
}

// otaPhase posts the signed attributes and reads the Configuration profile
// that comes back, decrypting it with the signer's key if it is encrypted.
func (p *Phone) otaPhase(ctx context.Context, target string, attributes plist.Dict, id identity, chain []*x509.Certificate) (*profile, error) {
	body, err := cms.Sign(plist.Marshal(attributes), id.cert, id.key, cms.SignOptions{Digest: p.cfg.Digest, Certificates: chain})
	if err != nil {
		return nil, err
	}
	resp, answer, err := send(ctx, p.system, http.MethodPost, target, http.Header{
		"Content-Type": {typeSignature}, "User-Agent": {profileAgent},
	}, body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp, answer)
	}
	if contentType(resp) != typeProfile {
		return nil, protocolError("OTA", "content type %q", resp.Header.Get("Content-Type"))
	}
	prof, err := parseProfile(answer, &id)
	if err != nil {
		return nil, err
	}
	if prof.kind != configuration {
		return nil, protocolError("OTA", "a %q profile where a Configuration is due", prof.kind)
	}
	return prof, nil
}

// attributes answers DeviceAttributes. What the phone does not have is left out.
func (p *Phone) attributes(wanted []any) plist.Dict {
	all := map[string]string{
		"UDID": p.cfg.UDID, "SERIAL": p.cfg.Serial, "PRODUCT": p.cfg.Product, "VERSION": p.cfg.BuildVersion,
		"IMEI": p.cfg.IMEI, "DEVICE_NAME": p.DeviceName(), "MAC_ADDRESS_EN0": p.mac(0),
	}
	d := plist.Dict{"LANGUAGE": "en_US"}
	for _, name := range wanted {
		if v := all[name.(string)]; v != "" {
			d[name.(string)] = v
		}
	}
	return d
}

func (p *Phone) tamper(step string, message plist.Dict) {
	if p.cfg.Tamper != nil {
		p.cfg.Tamper(step, message)
	}
}
