package mail

import (
	"encoding/base64"
	"strings"

	"rollcall/enroll"
)

// Preview is a message as its reader would get it.
type Preview struct {
	Subject string // empty: an SMS
	Text    string
	HTML    string // a whole page, with the code in it; empty: an SMS
	QR      []byte // PNG of the link; nil: an SMS
	Link    string
}

// Preview writes a letter as it would be sent, and sends nothing. It needs
// neither a mail server nor a gateway.
func (s *Sender) Preview(l enroll.Letter) (Preview, error) {
	if l.Via != enroll.ViaEmail && l.Via != enroll.ViaSMS {
		return Preview{}, enroll.Errorf(enroll.KindInvalid, "via_unknown", "there are no texts for %q", l.Via).WithHint("Use email or sms.")
	}
	c, err := s.composer.compose(l)
	if err != nil {
		return Preview{}, err
	}
	// A browser knows no parts of a mail.
	c.HTML = strings.ReplaceAll(c.HTML, "cid:code", "data:image/png;base64,"+base64.StdEncoding.EncodeToString(c.QR))
	return Preview{Subject: c.Subject, Text: c.Text, HTML: c.HTML, QR: c.QR, Link: s.composer.link(l.Secret)}, nil
}
