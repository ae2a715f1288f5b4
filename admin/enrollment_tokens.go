package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/android"
	"rollcall/enroll"
)

type EnrollmentTokenView struct {
	ID         string           `json:"id"`
	Name       string           `json:"name"`
	State      string           `json:"state" enum:"usable,used,expired,revoked"`
	MaxUses    int              `json:"max_uses" doc:"0: no limit."`
	Uses       int              `json:"uses"`
	Ownership  enroll.Ownership `json:"ownership,omitempty" enum:"personal,corporate" doc:"Of devices whose row leaves it open; rows that say otherwise are refused."`
	Group      string           `json:"group,omitempty" doc:"That devices join."`
	UserID     string           `json:"user_id,omitempty" doc:"Who enrolls with it; owner of rows that have none."`
	DeviceID   string           `json:"device_id,omitempty" doc:"The one row it is good for."`
	Serial     string           `json:"serial,omitempty" doc:"Of that row."`
	RequestID  string           `json:"request_id,omitempty" doc:"The enrollment request it was made for."`
	CreatedBy  string           `json:"created_by,omitempty"`
	CreatedAt  time.Time        `json:"created_at"`
	ExpiresAt  time.Time        `json:"expires_at,omitzero" doc:"Absent: never."`
	LastUsedAt time.Time        `json:"last_used_at,omitzero"`
	RevokedAt  time.Time        `json:"revoked_at,omitzero"`
}

// viewEnrollmentTokens names the rows that tokens are bound to.
func (a *API) viewEnrollmentTokens(ctx context.Context, tokens ...android.Token) (map[string]EnrollmentTokenView, error) {
	var bound []string
	for _, t := range tokens {
		if t.DeviceID != "" {
			bound = append(bound, t.DeviceID)
		}
	}
	serials, err := a.Roll.Serials(ctx, bound)
	if err != nil {
		return nil, err
	}
	out := map[string]EnrollmentTokenView{}
	for _, t := range tokens {
		out[t.ID] = a.viewEnrollmentToken(t, serials[t.DeviceID])
	}
	return out, nil
}

func (a *API) viewEnrollmentToken(t android.Token, serial string) EnrollmentTokenView {
	return EnrollmentTokenView{ID: t.ID, Name: t.Name, State: t.State(a.now()), MaxUses: t.MaxUses, Uses: t.Uses, Ownership: t.Ownership, Group: t.Group, UserID: t.UserID, DeviceID: t.DeviceID, Serial: serial,
		RequestID: t.RequestID, CreatedBy: t.CreatedBy, CreatedAt: utc(t.CreatedAt), ExpiresAt: utc(t.ExpiresAt), LastUsedAt: utc(t.LastUsedAt), RevokedAt: utc(t.RevokedAt)}
}

// setupInput is what else Android's setup is told.
type setupInput struct {
	WiFi *struct {
		SSID     string `json:"ssid" maxLength:"32"`
		Security string `json:"security,omitempty" enum:"NONE,WPA,WEP"`
		Password string `json:"password,omitempty" maxLength:"64"`
		Hidden   bool   `json:"hidden,omitempty"`
	} `json:"wifi,omitempty" doc:"The network that setup joins to download the agent. It stands in the code in clear."`
	Locale         string `json:"locale,omitempty" maxLength:"20" example:"de_DE"`
	TimeZone       string `json:"time_zone,omitempty" maxLength:"60" example:"Europe/Berlin"`
	KeepSystemApps bool   `json:"keep_system_apps,omitempty"`
	SkipEncryption bool   `json:"skip_encryption,omitempty"`
	UseMobileData  bool   `json:"use_mobile_data,omitempty" doc:"Let setup download the agent over it."`
}

func (in *setupInput) setup() android.Setup {
	if in == nil {
		return android.Setup{}
	}
	s := android.Setup{Locale: in.Locale, TimeZone: in.TimeZone, KeepSystemApps: in.KeepSystemApps, SkipEncryption: in.SkipEncryption, UseMobileData: in.UseMobileData}
	if w := in.WiFi; w != nil {
		s.WiFi = android.WiFi{SSID: w.SSID, Security: w.Security, Password: w.Password, Hidden: w.Hidden}
	}
	return s
}

type PayloadsView struct {
	Link      string `json:"link" doc:"Opens the agent on a device that is set up."`
	QR        string `json:"qr,omitempty" doc:"JSON of the code that is scanned in Android's setup. Absent: no agent is configured."`
	PNG       string `json:"png,omitempty" doc:"The code as a picture, base64. Without an agent it holds the link."`
	SVG       string `json:"svg,omitempty" doc:"The code as a drawing."`
	NFC       string `json:"nfc,omitempty" doc:"NDEF message for a tag, base64."`
	ZeroTouch string `json:"zero_touch,omitempty" doc:"DPC extras of a zero-touch configuration, JSON."`
	Knox      string `json:"knox" doc:"Custom JSON of a Knox Mobile Enrollment profile."`
}

func viewPayloads(p android.Payloads) (PayloadsView, error) {
	out := PayloadsView{Link: p.Link, QR: p.QR, NFC: base64.StdEncoding.EncodeToString(p.NFC), ZeroTouch: p.ZeroTouch, Knox: p.Knox}
	content := p.QR
	if content == "" {
		content = p.Link
	}
	code, err := android.NewQR(content)
	if err != nil {
		return out, err
	}
	picture, err := code.PNG()
	out.PNG, out.SVG = base64.StdEncoding.EncodeToString(picture), string(code.SVG())
	return out, err
}

type newEnrollmentTokenView struct {
	EnrollmentTokenView
	Token string `json:"token" doc:"The token itself. It is shown here and never again."`
	PayloadsView
}

// enrollmentTokens has what brings Android devices with an agent here.
func (r routes) enrollmentTokens() {
	a := r.a
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/enrollment-tokens" + path, Tags: []string{"Android"}, Summary: summary, Description: description}
	}
	add(r, RoleViewer, op("list-enrollment-tokens", http.MethodGet, "", "List the enrollment tokens", "Newest first, those that cannot be used any more included."),
		func(ctx context.Context, in *ListParams) (*body[list[EnrollmentTokenView]], error) {
			p, err := in.page()
			if err != nil {
				return nil, err
			}
			tokens, err := a.EnrollmentTokens.Store.EnrollmentTokens(ctx, p)
			if err != nil {
				return nil, err
			}
			views, err := a.viewEnrollmentTokens(ctx, tokens...)
			if err != nil {
				return nil, err
			}
			return &body[list[EnrollmentTokenView]]{listOf(tokens, p, func(t android.Token) string { return t.ID }, func(t android.Token) EnrollmentTokenView { return views[t.ID] })}, nil
		})

	type one struct {
		ID string `path:"id" maxLength:"64"`
	}
	// single answers a token that was read or changed.
	single := func(ctx context.Context, t android.Token, err error) (*body[EnrollmentTokenView], error) {
		if err != nil {
			return nil, err
		}
		views, err := a.viewEnrollmentTokens(ctx, t)
		return &body[EnrollmentTokenView]{views[t.ID]}, err
	}
	add(r, RoleViewer, op("get-enrollment-token", http.MethodGet, "/{id}", "Read an enrollment token", ""),
		func(ctx context.Context, in *one) (*body[EnrollmentTokenView], error) {
			t, err := a.EnrollmentTokens.Store.EnrollmentToken(ctx, in.ID)
			return single(ctx, t, err)
		})
	add(r, RoleOperator, op("revoke-enrollment-token", http.MethodDelete, "/{id}", "Revoke an enrollment token", "It stops working at once; devices that enrolled with it stay."),
		func(ctx context.Context, in *one) (*body[EnrollmentTokenView], error) {
			t, err := a.EnrollmentTokens.Store.RevokeEnrollmentToken(ctx, in.ID, a.now().UTC())
			return single(ctx, t, err)
		})

	type create struct {
		Body struct {
			Name      string           `json:"name" maxLength:"255" doc:"What it is for."`
			MaxUses   *int             `json:"max_uses,omitempty" minimum:"0" maximum:"1000000" doc:"How many devices may enroll with it; 0 for any number. Left out: one."`
			ExpiresAt time.Time        `json:"expires_at,omitzero" doc:"Left out: never."`
			Serial    string           `json:"serial,omitempty" maxLength:"200" doc:"Bind it to this row of the roll, which makes it proof of the row."`
			Group     string           `json:"group,omitempty" maxLength:"255" doc:"Static group that devices join."`
			Ownership enroll.Ownership `json:"ownership,omitempty" enum:"personal,corporate"`
			User      *userInput       `json:"user,omitempty" doc:"A user of the directory, found by domain and e-mail."`
			Setup     *setupInput      `json:"setup,omitempty"`
		}
	}
	created := op("create-enrollment-token", http.MethodPost, "", "Make an enrollment token",
		"With everything that brings a device here by it. The token is in the answer and cannot be read again.")
	created.DefaultStatus = http.StatusCreated
	add(r, RoleOperator, created, func(ctx context.Context, in *create) (*body[newEnrollmentTokenView], error) {
		b := in.Body
		if err := checkName("token", b.Name); err != nil {
			return nil, err
		}
		serial := ""
		t := android.Token{Name: b.Name, MaxUses: 1, ExpiresAt: b.ExpiresAt.UTC(), Group: b.Group, Ownership: b.Ownership}
		if call, ok := enroll.CallOf(ctx); ok {
			t.CreatedBy = call.ActorName
		}
		if b.MaxUses != nil {
			t.MaxUses = *b.MaxUses
		}
		if b.Serial != "" {
			d, err := SerialParam{b.Serial}.device(ctx, a)
			if err != nil {
				return nil, err
			}
			t.DeviceID, serial = d.ID, d.Serial
		}
		if b.User != nil {
			u, err := a.Roll.UserByEmail(ctx, cmp.Or(b.User.Domain, enroll.DefaultDomain), b.User.Email)
			if err != nil {
				return nil, err
			}
			t.UserID = u.ID
		}
		if _, err := a.Provisioning.ForAgent("", b.Setup.setup()); err != nil { // before anything is stored
			return nil, err
		}
		t, secret, err := a.EnrollmentTokens.Create(ctx, t)
		if err != nil {
			return nil, err
		}
		payloads, err := a.payloads(secret, b.Setup)
		return &body[newEnrollmentTokenView]{newEnrollmentTokenView{a.viewEnrollmentToken(t, serial), secret, payloads}}, err
	})

	type payloads struct {
		Body struct {
			Token string      `json:"token" minLength:"1" maxLength:"1024"`
			For   string      `json:"for,omitempty" enum:"agent,device_policy" doc:"device_policy: the token is one of the Android Management API's. Left out: agent."`
			Setup *setupInput `json:"setup,omitempty"`
		}
	}
	add(r, RoleOperator, op("make-enrollment-payloads", http.MethodPost, "/payloads", "Make QR code, link and other forms of a token", "The token is not looked at, nor kept."),
		func(ctx context.Context, in *payloads) (*body[PayloadsView], error) {
			if in.Body.For == "device_policy" {
				p, err := a.Provisioning.ForDevicePolicy(in.Body.Token, in.Body.Setup.setup())
				if err != nil {
					return nil, err
				}
				v, err := viewPayloads(p)
				return &body[PayloadsView]{v}, err
			}
			v, err := a.payloads(in.Body.Token, in.Body.Setup)
			return &body[PayloadsView]{v}, err
		})
}

func (a *API) payloads(token string, setup *setupInput) (PayloadsView, error) {
	p, err := a.Provisioning.ForAgent(token, setup.setup())
	if err != nil {
		return PayloadsView{}, err
	}
	return viewPayloads(p)
}
