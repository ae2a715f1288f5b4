package apple

import (
	"strconv"

	"rollcall/policy/document"
)

var certificateTypes = map[string]string{"root": "com.apple.security.root", "pkcs12": "com.apple.security.pkcs12"}

// certificates installs those that stand for themselves: all roots, and the
// identities that no network or connection carries in its own profile.
func (c *compiler) certificates() {
	carried := map[string]bool{}
	for _, w := range c.d.WiFi {
		if w.EAP != nil {
			carried[w.EAP.Certificate] = true
		}
	}
	for _, v := range c.d.VPN {
		if v.Server != "" {
			carried[v.Certificate] = true
		}
	}
	for i := range c.d.Certificates {
		cert, pointer := &c.d.Certificates[i], element("/certificates", i)
		if cert.Kind == "pkcs12" && carried[cert.Name] || !c.able(pointer, c.feature("certificates")) {
			continue
		}
		key := "certificate." + short(cert.Name)
		c.install(key, "Certificate "+cert.Name, pointer, certificatePayload(key, cert))
	}
}

// certificatePayload is a certificate in the profile of that key, under a UUID
// by which other payloads of the profile refer to it.
func certificatePayload(key string, cert *document.Certificate) document.Payload {
	p := document.Payload{Type: certificateTypes[cert.Kind], DisplayName: cert.Name}
	if cert.Kind == "pkcs12" {
		// Without the key Password, if only an empty one, the device would ask.
		p.Content = document.Dict{"PayloadContent": cert.Data, "PayloadCertificateFileName": cert.Name + ".p12", "Password": string(cert.Password)}
	} else {
		p.Content = document.Dict{"PayloadContent": cert.DER(), "PayloadCertificateFileName": cert.Name + ".cer"}
	}
	p.UUID = uuidOf(key, cert.Name, cert.Kind, string(cert.Data), string(cert.Password))
	return p
}

// carrier collects the certificates that a payload refers to into its profile.
type carrier struct {
	c        *compiler
	key      string // of the profile
	payloads []document.Payload
	missing  bool
}

// uuid gives the UUID of a certificate of the document and carries it along.
// One that is not there, or of another kind, is noted and marks the carrier.
func (r *carrier) uuid(pointer, name, kind string) string {
	cert, ok := r.c.d.Certificate(name)
	if !ok || cert.Kind != kind {
		r.c.note(pointer, document.NoteDoubtful, "It is left out, since there is no %s certificate %s.", kind, strconv.Quote(name))
		r.missing = true
		return ""
	}
	p := certificatePayload(r.key, &cert)
	for _, have := range r.payloads {
		if have.UUID == p.UUID {
			return p.UUID
		}
	}
	r.payloads = append(r.payloads, p)
	return p.UUID
}
