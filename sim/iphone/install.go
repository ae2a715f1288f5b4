package iphone

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"time"

	"golang.org/x/crypto/pkcs12"

	"rollcall/sim/plist"
	"rollcall/sim/scep"
)

// origin is how a profile came to the phone.
type origin int

const (
	byHand origin = iota
	bySetup
	byMDM
	byAccount
)

// installed is a profile on the phone.
type installed struct {
	profile *profile
	managed bool // came through MDM, or is the MDM profile
	anchors []*x509.Certificate
}

// enrollment is the relation to one MDM server.
type enrollment struct {
	profileID string
	mdm       mdmSettings
	id        plist.Dict // UDID, or EnrollmentID of a user enrollment
	bearer    string     // access token of an account-driven enrollment
	identity  identity
	http      *http.Client
	token     []byte
	magic     string

	// cached is a result that the server has not taken yet.
	cached      plist.Dict
	endedNotNow bool
}

// mdmSettings are the keys of com.apple.mdm that are used later.
type mdmSettings struct {
	serverURL, checkInURL, topic string
	signMessage, checkOut        bool
	rights                       int64
	mode, account                string // of account-driven enrollment
}

func readMDM(d plist.Dict) mdmSettings {
	m := mdmSettings{serverURL: d["ServerURL"].(string), topic: d["Topic"].(string)}
	m.mode, _ = d["EnrollmentMode"].(string)
	m.account, _ = d["AssignedManagedAppleID"].(string)
	if m.rights, _ = d["AccessRights"].(int64); m.mode == modeBYOD {
		m.rights = rightsOfUser
	}
	m.checkInURL = m.serverURL
	if u, ok := d["CheckInURL"].(string); ok {
		m.checkInURL = u
	}
	m.signMessage, _ = d["SignMessage"].(bool)
	m.checkOut, _ = d["CheckOutWhenRemoved"].(bool)
	return m
}

// installConfiguration installs a validated Configuration profile, or leaves
// the phone as it was.
func (p *Phone) installConfiguration(ctx context.Context, prof *profile, from origin) error {
	mdm := prof.find(payloadMDM)
	old := p.current()
	if err := p.mayInstall(prof, mdm, old, from); err != nil {
		return err
	}
	in := &installed{profile: prof, managed: from == byMDM || mdm != nil}
	// Roots that come by hand alone are not trusted for TLS until the user
	// says so; those of MDM and of an enrollment profile are.
	if from != byHand || mdm != nil {
		for _, pl := range prof.payloads {
			if pl.kind == payloadRoot {
				cert, err := pl.certificate()
				if err != nil {
					return err
				}
				in.anchors = append(in.anchors, cert)
			}
		}
	}
	identities, err := p.makeIdentities(ctx, prof, in.anchors)
	if err != nil {
		return err
	}
	if mdm == nil {
		p.change(func() { p.profiles[prof.identifier] = in })
		return nil
	}
	id, ok := identities[mdm.dict["IdentityCertificateUUID"].(string)]
	if !ok {
		return mdmError(12005, "the identity certificate of the MDM payload cannot be found")
	}
	return p.enroll(ctx, in, readMDM(mdm.dict), id)
}

// mayInstall holds the profile against what is on the phone.
func (p *Phone) mayInstall(prof *profile, mdm *payload, old *enrollment, from origin) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	present := p.profiles[prof.identifier]
	if removal, _ := prof.dict["PayloadRemovalDisallowed"].(bool); removal && !p.supervised && from == byHand && mdm == nil {
		return payloadError("PayloadRemovalDisallowed needs supervision")
	}
	if present != nil && from == byHand && present.profile.signer != nil &&
		(prof.signer == nil || !present.profile.signer.Equal(prof.signer)) {
		return ChainError{{4001, domainInstall, "the profile can only be replaced by one of the same signer"}}
	}
	isEnrollment := old != nil && old.profileID == prof.identifier
	if mdm == nil {
		if isEnrollment {
			return mdmError(12009, "the MDM profile cannot be replaced by one without an MDM payload")
		}
		return nil
	}
	next := readMDM(mdm.dict)
	switch {
	case (next.mode != "") != (from == byAccount || from == byMDM && old != nil && old.mdm.mode != ""):
		return mdmError(12000, "EnrollmentMode belongs to account-driven enrollment")
	case old == nil && from == byMDM:
		return mdmError(12010, "an MDM payload through MDM on a phone that is not enrolled")
	case old == nil:
		return nil
	case !isEnrollment:
		return mdmError(12001, "the phone is already managed")
	case next.topic != old.mdm.topic || next.serverURL != old.mdm.serverURL || next.checkInURL != old.mdm.checkInURL:
		return mdmError(12012, "Topic, ServerURL and CheckInURL must not change")
	case next.mode != old.mdm.mode || next.account != old.mdm.account:
		return mdmError(12012, "EnrollmentMode and AssignedManagedAppleID must not change")
	case next.rights&^old.mdm.rights != 0:
		return mdmError(12012, "AccessRights must not grow")
	}
	return nil
}

// makeIdentities gets a certificate for each identity payload, by PayloadUUID.
func (p *Phone) makeIdentities(ctx context.Context, prof *profile, anchors []*x509.Certificate) (map[string]identity, error) {
	roots, err := p.rootsWith(anchors)
	if err != nil {
		return nil, err
	}
	out := map[string]identity{}
	for _, pl := range prof.payloads {
		switch pl.kind {
		case payloadSCEP:
			client := p.system
			if len(anchors) != 0 {
				client = &http.Client{Transport: p.transport(roots, nil), Timeout: time.Minute}
				defer p.closeIdle(client)
			}
			id, err := p.enrollSCEP(ctx, pl, client)
			if err != nil {
				return nil, err
			}
			out[pl.uuid] = *id
		case payloadP12:
			password, _ := pl.dict["Password"].(string)
			key, cert, err := pkcs12.Decode(pl.dict["PayloadContent"].([]byte), password)
			if err != nil {
				return nil, payloadError("com.apple.security.pkcs12: %v", err)
			}
			rsaKey, ok := key.(*rsa.PrivateKey)
			if !ok {
				return nil, payloadError("com.apple.security.pkcs12: a %T", key)
			}
			out[pl.uuid] = identity{cert, rsaKey}
		case payloadACME:
			return nil, payloadError("this phone has no ACME client")
		}
	}
	return out, nil
}

// enrollSCEP executes a com.apple.security.scep payload.
func (p *Phone) enrollSCEP(ctx context.Context, pl payload, client *http.Client) (*identity, error) {
	d := pl.dict["PayloadContent"].(plist.Dict)
	size := 1024
	if n, ok := d["Keysize"].(int64); ok {
		size = int(n)
	}
	key, err := p.newKey(size)
	if err != nil {
		return nil, err
	}
	o := scep.Options{URL: d["URL"].(string), Key: key, HTTP: client, Digest: p.cfg.SCEPDigest, Cipher: p.cfg.SCEPCipher}
	o.Name, _ = d["Name"].(string)
	o.Challenge, _ = d["Challenge"].(string)
	o.Fingerprint, _ = d["CAFingerprint"].([]byte)
	if n, ok := d["Key Usage"].(int64); ok {
		o.KeyUsage = int(n)
	}
	if rdns, ok := d["Subject"].([]any); ok {
		if o.Subject, err = scep.ParseSubject(rdns); err != nil {
			return nil, payloadError("%v", err)
		}
	}
	if names, ok := d["SubjectAltName"].(plist.Dict); ok {
		o.Names = scep.AltNames{Email: texts(names["rfc822Name"]), DNS: texts(names["dNSName"]), URI: texts(names["uniformResourceIdentifier"])}
	}
	cert, err := scep.Enroll(ctx, o)
	if err != nil {
		return nil, err
	}
	return &identity{cert, key}, nil
}

func (p *Phone) newKey(bits int) (*rsa.PrivateKey, error) {
	if p.cfg.Keys != nil {
		return p.cfg.Keys()
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// texts reads a value that may be a string or an array of strings.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
