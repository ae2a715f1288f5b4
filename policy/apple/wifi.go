package apple

import (
	"slices"

	"rollcall/policy/document"
)

// encryptionTypes are what the security of a network is called. WPA2 joins
// networks that have come to WPA3 as well.
var encryptionTypes = map[string]string{"open": "None", "wep": "WEP", "wpa2": "WPA2", "wpa3": "WPA3", "eap": "WPA2"}

// eapTypes are the numbers of EAP methods (IANA: EAP registry, Method Types).
var eapTypes = map[string]int64{"tls": 13, "leap": 17, "sim": 18, "ttls": 21, "aka": 23, "peap": 25, "fast": 43}

var innerMethods = map[string]string{"pap": "PAP", "chap": "CHAP", "mschap": "MSCHAP", "mschapv2": "MSCHAPv2"}

// wifi makes a profile for each network, with the certificates it refers to
// inside: references by UUID do not leave their profile.
func (c *compiler) wifi() {
	for i := range c.d.WiFi {
		w, pointer := &c.d.WiFi[i], element("/wifi", i)
		if !c.able(pointer, c.feature("wifi")) {
			continue
		}
		key := "wifi." + short(w.SSID)
		content := document.Dict{"SSID_STR": w.SSID, "EncryptionType": encryptionTypes[w.Security], "HIDDEN_NETWORK": w.Hidden,
			"AutoJoin": w.AutoJoin == nil || *w.AutoJoin}
		if w.Password != "" {
			content["Password"] = string(w.Password)
		}
		certificates := carrier{c: c, key: key}
		if w.EAP != nil {
			content["EAPClientConfiguration"] = eap(w.EAP, pointer+"/eap", &certificates)
			if w.EAP.Certificate != "" {
				content["PayloadCertificateUUID"] = certificates.uuid(pointer+"/eap/certificate", w.EAP.Certificate, "pkcs12")
			}
		}
		if certificates.missing {
			continue
		}
		if w.Proxy != nil && c.able(pointer+"/proxy", c.feature("wifi.proxy")) {
			addProxy(content, w.Proxy)
		}
		if w.PublicMAC && c.able(pointer+"/disable_private_address", c.feature("wifi.disable_private_address")) {
			content["DisableAssociationMACRandomization"] = true
		}
		network := document.Payload{Type: "com.apple.wifi.managed", DisplayName: w.SSID, Content: content}
		c.install(key, "Wi-Fi "+w.SSID, pointer, append(certificates.payloads, network)...)
	}
}

func eap(e *document.EAP, pointer string, certificates *carrier) document.Dict {
	types := []any{}
	for _, m := range e.Methods {
		types = append(types, eapTypes[m])
	}
	out := document.Dict{"AcceptEAPTypes": types}
	for key, text := range map[string]string{"UserName": e.Identity, "UserPassword": string(e.Password), "OuterIdentity": e.AnonymousIdentity,
		"TTLSInnerAuthentication": innerMethods[e.Phase2]} {
		if text != "" {
			out[key] = text
		}
	}
	if len(e.TrustedRoots) > 0 {
		anchors := []any{}
		for i, name := range e.TrustedRoots {
			if id := certificates.uuid(element(pointer+"/trusted_roots", i), name, "root"); !slices.Contains(anchors, any(id)) {
				anchors = append(anchors, id)
			}
		}
		out["PayloadCertificateAnchorUUID"] = anchors
	}
	if len(e.ServerNames) > 0 {
		out["TLSTrustedServerNames"] = texts(e.ServerNames)
	}
	return out
}

func addProxy(content document.Dict, p *document.Proxy) {
	if p.PACURL != "" {
		content["ProxyType"], content["ProxyPACURL"] = "Auto", p.PACURL
		return
	}
	content["ProxyType"], content["ProxyServer"], content["ProxyServerPort"] = "Manual", p.Server, int64(p.Port)
	if p.Username != "" {
		content["ProxyUsername"], content["ProxyPassword"] = p.Username, string(p.Password)
	}
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
