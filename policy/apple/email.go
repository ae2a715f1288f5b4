package apple

import "rollcall/policy/document"

var (
	accountTypes        = map[string]string{"imap": "EmailTypeIMAP", "pop": "EmailTypePOP"}
	mailAuthentications = map[string]string{"": "EmailAuthPassword", "none": "EmailAuthNone", "password": "EmailAuthPassword",
		"cram_md5": "EmailAuthCRAMMD5", "ntlm": "EmailAuthNTLM", "http_md5": "EmailAuthHTTPMD5"}
)

// email makes a profile for each account. Passwords that are left out are asked
// for by the device.
func (c *compiler) email() {
	for i := range c.d.Email {
		e, pointer := &c.d.Email[i], element("/email", i)
		if !c.able(pointer, c.feature("email")) {
			continue
		}
		content := document.Dict{"EmailAccountDescription": e.Name, "EmailAccountType": accountTypes[e.Type]}
		if e.PreventMove && c.able(pointer+"/prevent_move", c.feature("email.prevent_move")) {
			content["PreventMove"] = true
		}
		if e.Address != "" {
			content["EmailAddress"] = e.Address
		}
		addMailServer(content, "Incoming", &e.Incoming)
		addMailServer(content, "Outgoing", &e.Outgoing)
		if e.Incoming.Password != "" && e.Incoming.Password == e.Outgoing.Password {
			delete(content, "OutgoingPassword")
			content["OutgoingPasswordSameAsIncomingPassword"] = true
		}
		c.install("email."+short(e.Name), "E-mail "+e.Name, pointer,
			document.Payload{Type: "com.apple.mail.managed", DisplayName: e.Name, Content: content})
	}
}

func addMailServer(content document.Dict, side string, s *document.MailServer) {
	server := side + "MailServer"
	content[server+"HostName"] = s.Host
	content[server+"Authentication"] = mailAuthentications[s.Authentication]
	content[server+"UseSSL"] = s.TLS == nil || *s.TLS
	if s.Port != 0 {
		content[server+"PortNumber"] = int64(s.Port)
	}
	if s.Username != "" {
		content[server+"Username"] = s.Username
	}
	if s.Password != "" {
		content[side+"Password"] = string(s.Password)
	}
}
