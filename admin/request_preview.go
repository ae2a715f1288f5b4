package admin

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/enroll"
)

// previewSecret stands where the secret of a link will, and is as long.
var previewSecret = strings.Repeat("0", 43)

type requestPreviewView struct {
	Via     enroll.Via `json:"via" enum:"email,sms"`
	To      string     `json:"to" doc:"Address or number the message would go to."`
	Subject string     `json:"subject,omitempty" doc:"Of an e-mail."`
	Text    string     `json:"text"`
	HTML    string     `json:"html,omitempty" doc:"Of an e-mail: a whole page, with the QR code in it as a data URL."`
	QR      []byte     `json:"qr,omitempty" doc:"Of an e-mail: the QR code as a PNG, in base64."`
	Link    string     `json:"link" doc:"In the form of the real one, which each message has for itself. It leads nowhere."`
}

func (r routes) previewRequest() {
	a := r.a
	type previewRequest struct {
		Body struct {
			Serial string             `json:"serial,omitempty" maxLength:"200" doc:"A device on the roll."`
			Import string             `json:"import,omitempty" maxLength:"64" doc:"Instead: ID of an import, applied or not."`
			Line   int                `json:"line,omitempty" minimum:"1" doc:"With import: of the recipient. Absent: the first one who can be reached."`
			Via    enroll.Via         `json:"via,omitempty" enum:"email,sms" doc:"email if left out."`
			Kind   enroll.MessageKind `json:"kind,omitempty" enum:"invitation,reminder" doc:"invitation if left out."`
		}
	}
	add(r, RoleOperator, requestOperation("preview-request", http.MethodPost, "/preview", "Preview the message of an enrollment request",
		"As its user would get it. Nothing is made and nothing is sent, so this works also without a mail server."),
		func(ctx context.Context, in *previewRequest) (*body[requestPreviewView], error) {
			b := in.Body
			if (b.Serial == "") == (b.Import == "") {
				return nil, enroll.Errorf(enroll.KindInvalid, "recipients_missing", "either a serial or an import has to be given")
			}
			if b.Via == "" {
				b.Via = enroll.ViaEmail
			}
			to, platform, err := a.previewRecipient(ctx, b.Serial, b.Import, b.Line, b.Via)
			if err != nil {
				return nil, err
			}
			kind := enroll.MessageInvitation
			if b.Kind != "" {
				kind = b.Kind
			}
			now := a.now().UTC()
			l := enroll.Letter{Message: enroll.Message{Kind: kind, Via: b.Via, Secret: previewSecret, CreatedAt: now}, Address: to.User.Email, Name: to.User.Name, Language: to.User.Language,
				Serial: to.Serial, Platform: platform, SentBy: caller(ctx).Name, ExpiresAt: now.Add(enroll.RequestLifetime).Truncate(time.Minute)}
			if b.Via == enroll.ViaSMS {
				l.Address = to.User.Mobile
			}
			p, err := a.Mail.Preview(l)
			if err != nil {
				return nil, err
			}
			return &body[requestPreviewView]{requestPreviewView{Via: b.Via, To: l.Address, Subject: p.Subject, Text: p.Text, HTML: p.HTML, QR: p.QR, Link: p.Link}}, nil
		})
}

// previewRecipient finds who a message would go to.
func (a *API) previewRecipient(ctx context.Context, serial, importID string, line int, via enroll.Via) (enroll.Recipient, enroll.Platform, error) {
	if serial != "" {
		d, err := SerialParam{serial}.device(ctx, a)
		if err != nil {
			return enroll.Recipient{}, "", err
		}
		to := enroll.Recipient{Serial: d.Serial, State: d.EffectiveAt(a.now())}
		if d.UserID != "" {
			if to.User, err = a.Roll.User(ctx, d.UserID); err != nil {
				return to, "", err
			}
		}
		return to, d.Platform, unreachable(to, via)
	}
	p := enroll.Page{Limit: 100}
	if line > 0 {
		p = enroll.Page{Limit: 1, After: strconv.Itoa(line - 1)}
	}
	page, err := a.Imports.ImportRecipients(ctx, importID, p)
	if err != nil {
		return enroll.Recipient{}, "", err
	}
	for i, to := range page {
		if line > 0 && to.Line != line {
			break
		}
		if line == 0 && to.Unreachable(via) != "" && i < len(page)-1 {
			continue
		}
		platform, err := a.platformOf(ctx, importID, to)
		if err != nil {
			return to, "", err
		}
		return to, platform, unreachable(to, via)
	}
	return enroll.Recipient{}, "", enroll.Errorf(enroll.KindNotFound, "recipient_unknown", "the import has no such recipient").WithHint("GET %s/imports/%s/recipients lists them.", Prefix, importID)
}

// platformOf is the platform of a device, or what a plan would make it.
func (a *API) platformOf(ctx context.Context, importID string, to enroll.Recipient) (enroll.Platform, error) {
	rows, err := a.Imports.ImportRows(ctx, importID, enroll.ImportRowFilter{Line: to.Line}, enroll.Page{Limit: 1})
	if err != nil {
		return "", err
	}
	for _, r := range rows {
		for _, c := range r.Changes {
			if c.Field == "platform" {
				return enroll.Platform(c.New), nil
			}
		}
	}
	d, err := a.Roll.Device(ctx, to.Serial)
	return d.Platform, err
}

func unreachable(to enroll.Recipient, via enroll.Via) error {
	if code := to.Unreachable(via); code != "" {
		texts := map[string]string{"user_only": "the import makes users only, and a request is for a device", "device_enrolled": "the device is enrolled already", "device_blocked": "the device is blocked",
			"email_missing": "the user of the device has no e-mail address", "mobile_missing": "the user of the device has no mobile number"}
		return enroll.Errorf(enroll.KindConflict, code, "%s", texts[code])
	}
	return nil
}
