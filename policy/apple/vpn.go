package apple

import "rollcall/policy/document"

// vpn makes a profile with an IKEv2 connection for each that has a server. The
// algorithms are Apple's defaults (AES-256, SHA2-256, group 14).
func (c *compiler) vpn() {
	for i := range c.d.VPN {
		v, pointer := &c.d.VPN[i], element("/vpn", i)
		if v.Server == "" || !c.able(pointer, c.feature("vpn")) {
			continue
		}
		key := "vpn." + short(v.Name)
		local := v.LocalID
		if local == "" {
			local = v.Username
		}
		ike := document.Dict{"RemoteAddress": v.Server, "RemoteIdentifier": v.RemoteID, "LocalIdentifier": local}
		certificates := carrier{c: c, key: key}
		switch v.Authentication {
		case "shared_secret":
			ike["AuthenticationMethod"], ike["SharedSecret"] = "SharedSecret", string(v.SharedSecret)
		case "certificate":
			ike["AuthenticationMethod"] = "Certificate"
			ike["PayloadCertificateUUID"] = certificates.uuid(pointer+"/certificate", v.Certificate, "pkcs12")
		default:
			ike["AuthenticationMethod"], ike["ExtendedAuthEnabled"] = "None", int64(1)
			ike["AuthName"] = v.Username
			if v.Password != "" { // else the device asks
				ike["AuthPassword"] = string(v.Password)
			}
		}
		if certificates.missing {
			continue
		}
		if v.OnDemand {
			ike["OnDemandEnabled"] = int64(1)
			ike["OnDemandRules"] = []any{document.Dict{"Action": "Connect"}}
		}
		connection := document.Payload{Type: "com.apple.vpn.managed", DisplayName: v.Name,
			Content: document.Dict{"VPNType": "IKEv2", "UserDefinedName": v.Name, "IKEv2": ike}}
		c.install(key, "VPN "+v.Name, pointer, append(certificates.payloads, connection)...)
	}
}
