package amapi

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"rollcall/enroll"
)

const (
	signInLife  = 10 * time.Minute // of a token that the sign-in page gave
	maxBondLife = 90 * 24 * time.Hour
	enrollURL   = "https://enterprise.google.com/android/enroll"
	invalidURL  = enrollURL + "/invalid"
)

// bond is what a bound token carries to the device and back (additionalData, at
// most 1,024 characters).
type bond struct {
	V     int    `json:"v"`
	Token string `json:"t"` // ID of the BoundToken
	Nonce string `json:"n"`
}

// Bound is a bound token for a person.
type Bound struct {
	ID        string
	Link      string // opened on the device
	QRCode    string // content of a QR code
	Value     string
	ExpiresAt time.Time
}

// enrollLink is where a device enrolls with a token.
func enrollLink(value string) string { return enrollURL + "?" + url.Values{"et": {value}}.Encode() }

// issue makes a one-time token that is bound to a row. The intent is stored
// before Google is asked: where the answer is lost, what the device brings back
// is known all the same.
func issue(ctx context.Context, store TokenStore, client *Client, enterprise string, t BoundToken, now time.Time, life time.Duration) (EnrollmentToken, BoundToken, error) {
	nonce, hash := enroll.NewSecret()
	t.ID, t.NonceHash, t.State, t.CreatedAt, t.ExpiresAt = enroll.NewID(), hash[:], TokenAsked, now, now.Add(life)
	data, err := json.Marshal(bond{V: 1, Token: t.ID, Nonce: nonce})
	if err != nil {
		return EnrollmentToken{}, t, err
	}
	if err := store.AddBoundToken(ctx, t); err != nil {
		return EnrollmentToken{}, t, err
	}
	made, err := client.CreateToken(ctx, enterprise, EnrollmentToken{PolicyName: policyName(enterprise, quarantinePolicy), Duration: fmt.Sprintf("%ds", int64(life/time.Second)),
		AdditionalData: string(data), OneTimeOnly: true, AllowPersonalUsage: t.Mode.usage()})
	if err != nil {
		return made, t, err
	}
	t.Name, t.State = made.Name, TokenMade
	return made, t, store.BoundTokenMade(ctx, t.ID, made.Name)
}

// find reads what a device brought back. A token that is not ours, or that
// somebody made up, is nil.
func find(ctx context.Context, store TokenStore, data string) (*BoundToken, error) {
	var b bond
	if json.Unmarshal([]byte(data), &b) != nil || b.V != 1 || b.Token == "" {
		return nil, nil
	}
	t, err := store.BoundToken(ctx, b.Token)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hash := enroll.HashSecret(b.Nonce)
	if subtle.ConstantTimeCompare(hash[:], t.NonceHash) != 1 {
		return nil, nil
	}
	return &t, nil
}

// BindToken makes a one-time token for the row of a device; the gate is asked
// when the device comes with it. It is the only way in for personal devices.
func (s *Enterprises) BindToken(ctx context.Context, d enroll.Device, m Mode, life time.Duration) (Bound, error) {
	o, err := s.Store.Organization(ctx)
	switch {
	case err != nil:
		return Bound{}, err
	case !o.Bound():
		return Bound{}, notBound()
	case d.Platform != enroll.PlatformAndroid:
		return Bound{}, enroll.Errorf(enroll.KindConflict, "not_android", "the row of %s is for %s", d.Serial, d.Platform)
	case !d.BlockedAt.IsZero():
		return Bound{}, enroll.Errorf(enroll.KindConflict, "device_blocked", "the device %s is blocked", d.Serial)
	case life < time.Minute || life > maxBondLife:
		return Bound{}, enroll.Errorf(enroll.KindInvalid, "amapi_token_life", "a token is good for one minute to 90 days")
	}
	known := false
	for _, one := range Modes {
		known = known || one == m
	}
	if !known || o.Settings.of(m).Gate == GateOff {
		return Bound{}, enroll.Errorf(enroll.KindConflict, "amapi_mode_off", "devices cannot enroll as %q", m).WithHint("Switch the mode on in the settings of the enterprise.")
	}
	if m == PersonalProfile && d.Ownership == enroll.OwnershipCorporate || m != PersonalProfile && d.Ownership == enroll.OwnershipPersonal {
		return Bound{}, enroll.Errorf(enroll.KindConflict, "amapi_mode_ownership", "the row of %s is %s, which %s is not for", d.Serial, d.Ownership, m)
	}
	client, err := s.Clouds.management(ctx, o)
	if err != nil {
		return Bound{}, err
	}
	made, t, err := issue(ctx, s.Store, client, o.Name, BoundToken{DeviceID: d.ID, Serial: d.Serial, Mode: m}, s.now(), life)
	if err != nil {
		return Bound{}, err
	}
	return Bound{ID: t.ID, Link: enrollLink(made.Value), QRCode: made.QRCode, Value: made.Value, ExpiresAt: t.ExpiresAt}, nil
}
