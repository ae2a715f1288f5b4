package mdm

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/certs"
	"rollcall/certs/cms"
	"rollcall/enroll"
	"rollcall/mdm/plist"
	"rollcall/policy"
	"rollcall/policy/document"
)

// EnrollmentIdentifier is the stable top-level PayloadIdentifier of the
// enrollment profile: installing it again is a renewal, removing it ends the
// enrollment.
const EnrollmentIdentifier = "rollcall.enrollment"

// Modes of account-driven enrollment (Apple: MDM payload, EnrollmentMode):
// devices of their users, and devices of the organization.
const (
	ModeBYOD = "BYOD"
	ModeADDE = "ADDE"
)

// accessRights asks for every right (Apple: MDM payload, AccessRights).
const accessRights = 8191

const (
	otaChallengeLife = time.Hour      // the device follows at once
	mdmChallengeLife = 24 * time.Hour // people leave a downloaded profile for later
	renewalLife      = 30 * 24 * time.Hour
)

// Signer signs configuration profiles, so that a device shows them as verified.
type Signer struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	Chain       []*x509.Certificate // without Certificate
}

// Challenges makes one-time SCEP challenges; certs.Identities does.
type Challenges interface {
	NewChallenge(ctx context.Context, b certs.Binding, ttl time.Duration) (string, error)
}

// Profiles writes every profile the server hands out.
type Profiles struct {
	Organization string
	SCEPURL      string
	ServerURL    string
	CheckInURL   string // empty: check-in goes to ServerURL
	OTAURL       string // where phases 2 and 3 of the Profile Service post to
	Authority    *certs.Authority
	Challenges   Challenges
	Topic        func(ctx context.Context) (string, error) // of the push certificate; an error when there is none
	Anchor       *x509.Certificate                         // of a server certificate from our own CA, which devices must be told to trust; nil: publicly trusted
	Signer       *Signer                                   // nil: profiles go unsigned
	// Current is what the identity of an enrollment was issued for; nil: nothing
	// that a renewal would have to keep.
	Current func(ctx context.Context, enrollmentID string) (certs.Binding, error)
}

// profileDict is a profile's or payload's dictionary.
type profileDict = map[string]any

func newUUID() string { return strings.ToUpper(uuid.NewString()) }

// uuidOf derives a UUID from content: equal content, equal UUID.
func uuidOf(parts ...string) string {
	return strings.ToUpper(uuid.NewHash(sha256.New(), uuid.NameSpaceOID, []byte(strings.Join(parts, "\x00")), 8).String())
}

// ProfileService is the first answer of over-the-air enrollment: a bare payload
// that asks the device for its attributes, signed by the identity Apple gave
// it. secret comes back as CHALLENGE.
func (p *Profiles) ProfileService(secret string) ([]byte, error) {
	content := profileDict{"URL": p.OTAURL, "DeviceAttributes": []string{"UDID", "VERSION", "PRODUCT", "SERIAL", "IMEI", "MEID"}}
	if secret != "" {
		content["Challenge"] = secret
	}
	return p.finish(profileDict{
		"PayloadType": "Profile Service", "PayloadVersion": 1, "PayloadIdentifier": EnrollmentIdentifier + ".service",
		"PayloadUUID": newUUID(), "PayloadDisplayName": p.title(), "PayloadOrganization": p.Organization,
		"PayloadDescription": "Lets " + p.Organization + " check which device this is.", "PayloadContent": content,
	})
}

// Identity is the answer to phase 2: a profile with nothing but an identity to
// get, for which b is the binding.
func (p *Profiles) Identity(ctx context.Context, b certs.Binding) ([]byte, error) {
	b.Purpose = certs.PurposeOTA
	scep, _, err := p.scep(ctx, b, otaChallengeLife, EnrollmentIdentifier+".ota.scep")
	if err != nil {
		return nil, err
	}
	return p.configuration(EnrollmentIdentifier+".ota", newUUID(), p.title(), []any{scep})
}

// Enrollment is the profile that enrolls: an identity to get and the MDM
// payload that uses it. b.EnrollmentID makes it a renewal.
func (p *Profiles) Enrollment(ctx context.Context, b certs.Binding) ([]byte, error) {
	topic, err := p.Topic(ctx)
	if err != nil {
		return nil, err
	}
	b.Purpose = certs.PurposeMDM
	life := mdmChallengeLife
	if b.EnrollmentID != "" {
		life = renewalLife
	}
	scep, identity, err := p.scep(ctx, b, life, EnrollmentIdentifier+".scep")
	if err != nil {
		return nil, err
	}
	mdm := profileDict{
		"PayloadType": "com.apple.mdm", "PayloadVersion": 1, "PayloadIdentifier": EnrollmentIdentifier + ".mdm", "PayloadUUID": newUUID(),
		"PayloadDisplayName": "Mobile device management", "PayloadOrganization": p.Organization,
		"IdentityCertificateUUID": identity, "Topic": topic, "ServerURL": p.ServerURL, "SignMessage": true, "CheckOutWhenRemoved": true,
		"ServerCapabilities": []string{"com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken"},
	}
	// A device that belongs to its user grants fixed rights, and cancels an
	// enrollment that asks for any.
	if b.EnrollmentMode != ModeBYOD {
		mdm["AccessRights"] = accessRights
	}
	if b.EnrollmentMode != "" {
		mdm["EnrollmentMode"], mdm["AssignedManagedAppleID"] = b.EnrollmentMode, b.ManagedAppleID
	}
	if p.CheckInURL != "" {
		mdm["CheckInURL"] = p.CheckInURL
	}
	payloads := []any{scep, mdm}
	if p.Anchor != nil {
		payloads = append([]any{p.anchor()}, payloads...)
	}
	return p.configuration(EnrollmentIdentifier, newUUID(), p.title(), payloads)
}

// Renewal is the enrollment profile with a new identity to get. Installed over
// the old one it renews the enrollment, which keeps its state and must keep its
// mode.
func (p *Profiles) Renewal(ctx context.Context, s policy.RenewIdentity) ([]byte, error) {
	var b certs.Binding
	if p.Current != nil {
		current, err := p.Current(ctx, s.EnrollmentID)
		if err != nil {
			return nil, err
		}
		b = current
	}
	b.AttemptID, b.RequestID, b.DeviceID, b.Serial, b.UDID = s.DecisionID, "", s.DeviceID, s.Serial, s.UDID
	b.Evidence, b.EnrollmentID = string(enroll.EvidenceToken), s.EnrollmentID
	return p.Enrollment(ctx, b)
}

// Trust is a profile with nothing but the anchor of the server's own CA, for
// trials without a publicly trusted certificate; nil when that is not needed.
func (p *Profiles) Trust() ([]byte, error) {
	if p.Anchor == nil {
		return nil, nil
	}
	return p.configuration(EnrollmentIdentifier+".trust", uuidOf("trust", string(p.Anchor.Raw)), p.Organization+" certificate authority", []any{p.anchor()})
}

// Configuration is the profile of a policy under its stable identifier. UUIDs
// derive from the content, so that the same content is the same profile.
func (p *Profiles) Configuration(identifier string, f document.Profile) ([]byte, error) {
	var payloads []any
	all, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	for i, pl := range f.Payloads {
		content, err := json.Marshal(pl)
		if err != nil {
			return nil, err
		}
		d := profileDict{}
		for k, v := range pl.Content {
			d[k] = plain(v)
		}
		d["PayloadType"], d["PayloadVersion"] = pl.Type, 1
		if d["PayloadIdentifier"] = pl.Identifier; pl.Identifier == "" {
			d["PayloadIdentifier"] = fmt.Sprintf("%s.%d", identifier, i+1)
		}
		if d["PayloadUUID"] = pl.UUID; pl.UUID == "" {
			d["PayloadUUID"] = uuidOf(identifier, fmt.Sprint(i), string(content))
		}
		if pl.DisplayName != "" {
			d["PayloadDisplayName"] = pl.DisplayName
		}
		payloads = append(payloads, d)
	}
	title := f.DisplayName
	if title == "" {
		title = f.ID
	}
	return p.configuration(identifier, uuidOf(identifier, string(all)), title, payloads)
}

// plain takes the policy's own dictionary type out of a value.
func plain(v any) any {
	switch v := v.(type) {
	case document.Dict:
		return plain(map[string]any(v))
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	}
	return v
}

func (p *Profiles) title() string { return p.Organization + " enrollment" }

func (p *Profiles) anchor() profileDict {
	return profileDict{
		"PayloadType": "com.apple.security.root", "PayloadVersion": 1, "PayloadIdentifier": EnrollmentIdentifier + ".anchor",
		"PayloadUUID": uuidOf("anchor", string(p.Anchor.Raw)), "PayloadDisplayName": p.Anchor.Subject.CommonName,
		"PayloadCertificateFileName": "rollcall-ca.cer", "PayloadContent": p.Anchor.Raw,
	}
}

// scep is the payload with which a device gets an identity against a one-time
// challenge, and the UUID other payloads name it by.
func (p *Profiles) scep(ctx context.Context, b certs.Binding, life time.Duration, identifier string) (profileDict, string, error) {
	secret, err := p.Challenges.NewChallenge(ctx, b, life)
	if err != nil {
		return nil, "", err
	}
	id := newUUID()
	subject := [][][]string{{{"O", p.Organization}}, {{"CN", "Device identity"}}}
	if b.Serial != "" {
		subject = append(subject, [][]string{{"2.5.4.5", b.Serial}})
	}
	fingerprint := p.Authority.Fingerprint()
	return profileDict{
		"PayloadType": "com.apple.security.scep", "PayloadVersion": 1, "PayloadIdentifier": identifier, "PayloadUUID": id,
		"PayloadDisplayName": "Device identity",
		"PayloadContent": profileDict{
			"URL": p.SCEPURL, "Name": "rollcall", "Subject": subject, "Challenge": secret, "Keysize": 2048, "Key Type": "RSA",
			"Key Usage": 5, "CAFingerprint": fingerprint[:], "Retries": 3, "RetryDelay": 10, "KeyIsExtractable": false,
		},
	}, id, nil
}

func (p *Profiles) configuration(identifier, id, title string, payloads []any) ([]byte, error) {
	return p.finish(profileDict{
		"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": identifier, "PayloadUUID": id,
		"PayloadDisplayName": title, "PayloadOrganization": p.Organization, "PayloadContent": payloads,
	})
}

// finish encodes a profile and signs it when a signing certificate is there.
func (p *Profiles) finish(profile profileDict) ([]byte, error) {
	body, err := plist.Encode(profile)
	if err != nil || p.Signer == nil {
		return body, err
	}
	return cms.Sign(body, p.Signer.Certificate, p.Signer.Key, p.Signer.Chain...)
}
