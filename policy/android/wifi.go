package android

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"rollcall/policy/document"
)

// networks writes Wi-Fi networks as Open Network Configuration, in the subset
// that Google supports (developers.google.com/android/management/configure-networks).
func (c *compiler) networks(d *document.Document) {
	var networks []any
	used := map[string]bool{} // names of certificates
	order := make([]int, len(d.WiFi))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(d.WiFi[a].SSID, d.WiFi[b].SSID) })
	for _, i := range order {
		if n := c.network(fmt.Sprintf("/wifi/%d", i), d, &d.WiFi[i], used); n != nil {
			networks = append(networks, n)
		}
	}
	var certificates []any
	for i, cert := range d.Certificates {
		switch {
		case used[cert.Name] && cert.Kind == "root":
			certificates = append(certificates, map[string]any{"GUID": certificateID(cert), "Type": "Authority", "X509": base64.StdEncoding.EncodeToString(cert.DER())})
		case used[cert.Name]:
			certificates = append(certificates, map[string]any{"GUID": certificateID(cert), "Type": "Client", "PKCS12": base64.StdEncoding.EncodeToString(cert.Data)})
		default:
			c.note(fmt.Sprintf("/certificates/%d", i), document.NotePlatform, "Google installs only the certificates that Wi-Fi networks refer to; for others a required app has to.")
		}
	}
	if networks == nil {
		return
	}
	c.set("/wifi", "openNetworkConfiguration.NetworkConfigurations", networks)
	if certificates != nil {
		c.set("/wifi", "openNetworkConfiguration.Certificates", certificates)
	}
}

func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func certificateID(c document.Certificate) string { return "certificate-" + shortHash(c.Data) }

func (c *compiler) network(p string, d *document.Document, w *document.WiFi, used map[string]bool) map[string]any {
	wifi := map[string]any{"SSID": w.SSID, "AutoConnect": w.AutoJoin == nil || *w.AutoJoin}
	if w.Hidden {
		wifi["HiddenSSID"] = true
	}
	if w.PublicMAC && c.fits(p+"/disable_private_address", nil, 33) {
		wifi["MACAddressRandomizationMode"] = "Hardware"
	}
	switch w.Security {
	case "open":
		wifi["Security"] = "None"
	case "wep":
		// Google takes digits only: 10 or 26.
		key := string(w.Password)
		if len(key) == 5 || len(key) == 13 {
			key = hex.EncodeToString([]byte(key))
		}
		wifi["Security"], wifi["Passphrase"] = "WEP-PSK", key
	case "wpa3":
		c.note(p+"/security", document.NoteRounded, "Asked for as WPA2; networks that speak both are joined with WPA3.")
		fallthrough
	case "wpa2":
		wifi["Security"], wifi["Passphrase"] = "WPA-PSK", string(w.Password)
	case "eap":
		eap := c.eap(p+"/eap", d, w.EAP, used)
		if eap == nil {
			return nil
		}
		wifi["Security"], wifi["EAP"] = "WPA-EAP", eap
	}
	out := map[string]any{"GUID": "wifi-" + shortHash([]byte(w.SSID)), "Name": w.SSID, "Type": "WiFi", "WiFi": wifi}
	if x := w.Proxy; x != nil {
		if x.PACURL != "" {
			out["ProxySettings"] = map[string]any{"Type": "PAC", "PAC": x.PACURL}
		} else {
			out["ProxySettings"] = map[string]any{"Type": "Manual", "Manual": map[string]any{"HTTPProxy": map[string]any{"Host": x.Server, "Port": x.Port}}}
		}
		if x.Username != "" {
			c.note(p+"/proxy/username", document.NotePlatform, "Android asks the person for the name and password of a proxy.")
		}
		if x.Password != "" {
			c.note(p+"/proxy/password", document.NotePlatform, "Android asks the person for the name and password of a proxy.")
		}
	}
	return out
}

var outer = map[string]string{"tls": "EAP-TLS", "ttls": "EAP-TTLS", "peap": "PEAP", "sim": "EAP-SIM", "aka": "EAP-AKA"}

// eap gives the EAP of a network; nil, with a note, where Android would refuse
// the network.
func (c *compiler) eap(p string, d *document.Document, e *document.EAP, used map[string]bool) map[string]any {
	method, left := "", []string{}
	for _, m := range e.Methods {
		if method == "" && outer[m] != "" {
			method = m
		} else {
			left = append(left, m)
		}
	}
	if method == "" {
		c.note(p+"/methods", document.NotePlatform, "Android knows tls, ttls, peap, sim and aka; the network is left out.")
		return nil
	}
	if len(left) > 0 {
		c.note(p+"/methods", document.NoteRounded, "Android takes one method, here %s; without %s.", method, strings.Join(left, ", "))
	}
	withServer := method != "sim" && method != "aka"
	if withServer && len(e.ServerNames) == 0 {
		c.note(p+"/server_names", document.NotePlatform, "Android refuses enterprise networks without the names of their servers; the network is left out.")
		return nil
	}
	out := map[string]any{"Outer": outer[method]}
	for _, f := range []struct{ name, value string }{{"Identity", e.Identity}, {"AnonymousIdentity", e.AnonymousIdentity}, {"Password", string(e.Password)}} {
		if f.value != "" {
			out[f.name] = f.value
		}
	}
	if method == "ttls" || method == "peap" {
		switch e.Phase2 {
		case "mschapv2", "":
			out["Inner"] = "MSCHAPv2"
		case "pap":
			out["Inner"] = "PAP"
		default:
			c.note(p+"/phase2", document.NotePlatform, "Android knows pap and mschapv2; the network is left out.")
			return nil
		}
	}
	if cert, ok := d.Certificate(e.Certificate); ok && method == "tls" {
		if cert.Password != "" {
			c.note(p+"/certificate", document.NotePlatform, "Google takes pkcs12 files without a password (3DES or RC2); the network is left out.")
			return nil
		}
		used[cert.Name] = true
		out["ClientCertType"], out["ClientCertRef"] = "Ref", certificateID(cert)
	}
	var roots []any
	for _, name := range e.TrustedRoots {
		if cert, ok := d.Certificate(name); ok {
			used[name] = true
			roots = append(roots, certificateID(cert))
		}
	}
	if roots != nil {
		out["ServerCARefs"] = roots
	}
	if withServer {
		names := make([]any, len(e.ServerNames))
		for i, n := range e.ServerNames {
			names[i] = n
		}
		out["DomainSuffixMatch"] = names
	}
	return out
}
